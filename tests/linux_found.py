"""The Linux guest that `images/linux/build` has made: where it is, and its kernel with a command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emulator.firmware.program import Program, read_program

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "images" / "linux" / "build"
ENV = "S4V_LINUX"
# How much the kernel tests its ciphers at boot. The randomised tests take most of a boot, so few boots run them.
CRYPTO = {"none": "cryptomgr.notests=1", "vectors": "cryptomgr.noextratests=1",
          "random": "cryptomgr.fuzz_iterations=10"}  # fmt: skip


@dataclass(frozen=True)
class Linux:
    """A folder that `images/linux/build` has made."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinux"

    @property
    def initrd(self) -> Path:
        return self.folder / "initramfs.cpio.gz"

    def program(self, append: str = "") -> Program:
        """Kernel and RAM disk with our console and more words of command line."""
        return read_program(self.kernel, initrd=self.initrd, arguments=f"console=ttyHV0 {append}".strip())


@cache
def find_linux() -> tuple[Linux | None, str]:
    """The guest, or None and why there is none: S4V_LINUX is a folder, or `build`; else what was built before."""
    wanted = os.environ.get(ENV, "")
    if wanted not in ("", "build"):
        folder = Path(wanted)
        if all((folder / name).is_file() for name in ("vmlinux", "initramfs.cpio.gz")):
            return Linux(folder), ""
        raise FileNotFoundError(f"{ENV}={wanted}: no vmlinux and initramfs.cpio.gz there")
    command = [sys.executable, str(BUILD), *([] if wanted else ["--find"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Linux(Path(done.stdout.strip())), ""
    if wanted:
        raise RuntimeError(f"images/linux/build failed:\n{done.stderr}")
    return None, f"no Linux guest: run images/linux/build, or set {ENV}=build"
