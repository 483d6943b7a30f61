"""The built Linux guest, and machines that have booted it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from guest_console import GuestConsole

from emulator import Machine
from emulator.firmware.program import Program, read_program

ROOT = Path(__file__).resolve().parents[2]
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


def boot_linux(
    linux: Linux,
    *,
    platform: str = "t5-2",
    cpu_arch: str = "native",
    vcpus: int = 1,
    memory: str = "256M",
    deterministic: bool = True,
    append: str = "",
    crypto: str = "none",
    tod_seconds: int | None = None,
) -> GuestConsole:
    """A machine whose Linux has come to the shell prompt."""
    machine = Machine(memory, strands=vcpus, platform=platform, cpu_arch=cpu_arch, deterministic=deterministic,
                      tod_seconds=tod_seconds)  # fmt: skip
    machine.power_on(linux.program(f"{CRYPTO[crypto]} {append}"))
    guest = GuestConsole(machine)
    guest.shell()
    return guest
