"""Machines that have booted the Linux guest."""

from __future__ import annotations

from guest_console import GuestConsole
from linux_found import BUILD, CRYPTO, ENV, ROOT, Linux, find_linux

from emulator import Machine

__all__ = ["BUILD", "CRYPTO", "ENV", "ROOT", "Linux", "boot_linux", "find_linux"]


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
