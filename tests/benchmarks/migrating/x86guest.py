"""An x86-64 guest for QEMU: Debian's cloud kernel and a RAM disk with one program, which is its first process.

Built once into a cache folder. Needs `apt-get download` (no root), `dpkg-deb`, gcc with a static libc.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "images" / "linux"))

from linuxbuild.cache import default_cache, publish  # noqa: E402
from linuxbuild.cpio import Archive  # noqa: E402

PROGRAM = Path(__file__).with_name("dirtier.c")
META = "linux-image-cloud-amd64"
NEEDS = ("qemu-system-x86_64", "apt-get", "dpkg-deb", "gcc")


class MissingError(Exception):
    """Something that is needed is not there; the text says what."""


@dataclass(frozen=True)
class X86Guest:
    """Files for -kernel and -initrd."""

    kernel: Path
    initrd: Path


def compile_dirtier(compiler: str, target: Path) -> None:
    """The program, static. Raises MissingError."""
    if shutil.which(compiler) is None:
        raise MissingError(f"{compiler} is not installed")
    command = [compiler, "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", str(target), str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{compiler} cannot build {PROGRAM.name} (a static libc is needed): {done.stderr.strip()}")


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _kernel(work: Path) -> Path:
    """The newest cloud kernel that apt knows, unpacked."""
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", _run("apt-cache", "depends", META, cwd=work))
    if found is None:
        raise MissingError(f"apt knows no {META}: apt-get update")
    _run("apt-get", "download", found[1], cwd=work)
    package = next(work.glob("linux-image-*.deb"))
    _run("dpkg-deb", "-x", package.name, "unpacked", cwd=work)
    return next((work / "unpacked" / "boot").glob("vmlinuz-*"))


def x86_guest() -> X86Guest:
    """From the cache, or built now. Raises MissingError."""
    for tool in NEEDS:
        if shutil.which(tool) is None:
            raise MissingError(f"{tool} is not installed")
    folder = default_cache() / "x86-guest"
    guest = X86Guest(folder / "vmlinuz", folder / "initrd.gz")
    stamp = folder / "dirtier.c"
    if stamp.is_file() and stamp.read_bytes() == PROGRAM.read_bytes():
        return guest
    work = default_cache() / "x86-guest.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "vmlinuz").write_bytes(_kernel(work).read_bytes())
    compile_dirtier("gcc", work / "init")
    archive = Archive()
    archive.add_file("init", (work / "init").read_bytes(), 0o755)
    (work / "initrd.gz").write_bytes(archive.to_gzip())
    shutil.rmtree(work / "unpacked")
    for package in work.glob("*.deb"):
        package.unlink()
    (work / "dirtier.c").write_bytes(PROGRAM.read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    publish(work, folder)
    return guest
