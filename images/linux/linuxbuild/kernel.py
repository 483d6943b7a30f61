"""The kernel: Debian's source as it is, configured by kernel.fragment on top of `tinyconfig`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from linuxbuild.cache import publish
from linuxbuild.tools import CROSS, DATE, BuildError, run

FRAGMENT = Path(__file__).resolve().parents[1] / "kernel.fragment"
RESULTS = {"vmlinux": "vmlinux", "arch/sparc/boot/image": "image", ".config": "config", "System.map": "System.map"}
RECIPE = 1  # part of the key: count up where the commands below change what comes out
SETTING = re.compile(r"^(?:# )?CONFIG_(\w+)(?:=| is not set)")


def lost_settings(fragment: str, config: str) -> list[str]:
    """Lines of the fragment that the finished configuration does not have."""
    kept = set(config.splitlines())
    names = {found[1] for line in kept if (found := SETTING.match(line)) and not line.startswith("#")}
    lost = []
    for line in fragment.splitlines():
        found = SETTING.match(line)
        if found and line not in kept and (not line.startswith("#") or found[1] in names):
            lost.append(line)
    return lost


def unpack(tarball: Path, work: Path, log: Path) -> Path:
    """The source tree below ``work``, unpacked once."""
    tree = work / "linux"
    if not tree.is_dir():
        partial = work / "linux.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        run(["tar", "-xf", tarball, "--strip-components=1", "-C", partial], log=log)
        os.rename(partial, tree)
    return tree


def build_kernel(tarball: Path, work: Path, target: Path, *, jobs: int, log: Path) -> None:
    """Configure and make; ``target`` appears when all is done. Goes on from a build that was cut."""
    tree, out = unpack(tarball, work, log), work / "out"
    out.mkdir(exist_ok=True)
    make = ["make", "-C", tree, f"O={out}", "ARCH=sparc", f"CROSS_COMPILE={CROSS}", f"KBUILD_BUILD_TIMESTAMP={DATE}",
            "KBUILD_BUILD_USER=sun4v", "KBUILD_BUILD_HOST=sun4v", "KBUILD_BUILD_VERSION=1"]  # fmt: skip
    run([*make, "-s", "tinyconfig"], log=log)
    fragment = FRAGMENT.read_text()
    with (out / ".config").open("a") as config:
        config.write(fragment)  # of two lines for one option the later counts
    run([*make, "-s", "olddefconfig"], log=log)
    if lost := lost_settings(fragment, (out / ".config").read_text()):
        raise BuildError(f"options of {FRAGMENT.name} that this kernel does not take: {', '.join(lost)}")
    run([*make, f"-j{jobs}", "image"], log=log)
    partial = work / "kernel.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, result in RESULTS.items():
        shutil.copyfile(out / name, partial / result)
    publish(partial, target)
