"""The user land: Debian's busybox, linked statically."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from linuxbuild.cache import publish
from linuxbuild.tools import CROSS, run

RECIPE = 1  # part of the key: count up where the commands below change what comes out
# `tc` of this version does not compile against newer kernel headers.
SETTINGS = {"STATIC": "y", "PIE": "n", "TC": "n", "FEATURE_SUID": "n"}


def configure(config: Path) -> None:
    """Put SETTINGS into a busybox configuration."""
    text = config.read_text()
    for name, value in SETTINGS.items():
        line = f"CONFIG_{name}=y" if value == "y" else f"# CONFIG_{name} is not set"
        text = re.sub(rf"^(?:# )?CONFIG_{name}(?:=.*| is not set)$", line, text, flags=re.MULTILINE)
    config.write_text(text)


def build_busybox(description: Path, work: Path, target: Path, *, jobs: int, log: Path) -> None:
    """Unpack the source package and make; ``target`` has busybox and busybox.links (the names it answers to)."""
    tree, out = work / "busybox", work / "out"
    if not tree.is_dir():
        partial = work / "busybox.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # No check of the signature here: apt has verified the files by that of the archive.
        run(["dpkg-source", "--no-check", "-x", description, partial], log=log)
        os.rename(partial, tree)
    out.mkdir(exist_ok=True)
    make = ["make", "-C", tree, f"O={out}", "ARCH=sparc", f"CROSS_COMPILE={CROSS}"]
    run([*make, "-s", "defconfig"], log=log)
    configure(out / ".config")
    run([*make, "-s", "oldconfig"], log=log, stdin=b"\n" * 2000)
    run([*make, f"-j{jobs}", "busybox", "busybox.links"], log=log)
    partial = work / "result.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    run([f"{CROSS}strip", "-o", partial / "busybox", out / "busybox"], log=log)
    shutil.copyfile(out / "busybox.links", partial / "busybox.links")
    publish(partial, target)
