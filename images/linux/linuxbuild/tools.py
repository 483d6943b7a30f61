"""What the build needs of the host, and how it runs commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

CROSS = "sparc64-linux-gnu-"
EPOCH = 1767225600  # 2026-01-01 00:00 UTC: the one date that goes into what is built
DATE = "Thu Jan  1 00:00:00 UTC 2026"

# command or file -> the Debian package that has it
NEEDED = {
    f"{CROSS}gcc": "gcc-sparc64-linux-gnu",
    f"{CROSS}ld": "binutils-sparc64-linux-gnu",
    "/usr/sparc64-linux-gnu/lib/libc.a": "libc6-dev-sparc64-cross",
    "make": "make",
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "xz": "xz-utils",
    "bzip2": "bzip2",
    "apt-get": "apt",
    "dpkg-source": "dpkg-dev",
}


class BuildError(Exception):
    """The build cannot go on; one line for people."""


def missing_packages() -> list[str]:
    """Debian packages to install before a build can work, in the order of NEEDED."""
    there = {what: Path(what).exists() if what.startswith("/") else shutil.which(what) is not None for what in NEEDED}
    return list(dict.fromkeys(package for what, package in NEEDED.items() if not there[what]))


def check_host() -> None:
    """Raises BuildError with the packages that are missing."""
    if missing := missing_packages():
        raise BuildError(f"tools are missing (Debian: apt-get install {' '.join(missing)})")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which the results of a build depend on nothing of the host."""
    kept = ("PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "APT_CONFIG")
    base = {name: os.environ[name] for name in kept if name in os.environ}
    fixed = {"LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), "KCONFIG_NOTIMESTAMP": "1"}
    return {**base, **fixed, **(extra or {})}


def run(command: Sequence[str | Path], *, log: Path, cwd: Path | None = None, stdin: bytes = b"") -> None:
    """Run a command with its output appended to ``log``. Raises BuildError with the end of the output."""
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"+ {' '.join(words)}\n".encode())
        out.flush()
        done = subprocess.run(words, cwd=cwd, input=stdin, stdout=out, stderr=subprocess.STDOUT, check=False,
                              env=clean_environment())
    if done.returncode != 0:
        last = log.read_text(errors="replace").splitlines()[-15:]
        raise BuildError("\n".join([f"{' '.join(words[:6])} ... failed (status {done.returncode}); the end of {log}:",
                                    *(f"  {line}" for line in last)]))


def output(command: Sequence[str | Path]) -> str:
    """Standard output of a command, stripped. Raises BuildError."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout.strip()
