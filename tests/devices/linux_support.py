"""An unmodified Linux as the guest of device tests: where it is found, and its shell.

S4V_LINUX names a folder with ``vmlinux`` and ``initramfs.cpio.gz``; else the newest one that ``images/linux/build``
has left in the cache is taken.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

from emulator import StopReason
from emulator.devices.lab import Domain, build_domain, run_together
from emulator.firmware.program import Program, read_program

SLICE = 500_000
SLICE_NS = 10_000_000
END = re.compile(r"<(\d+)>\r\n")
BUDGET = 3_000_000_000


@cache
def linux_program() -> Program:
    """The kernel with a shell as its first process. Skips the test where there is none."""
    named = os.environ.get("S4V_LINUX")
    folders = [Path(named)] if named else []
    if not named:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sun4v"
        folders = sorted(base.glob("linux-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders:
        kernel, disk = folder / "vmlinux", folder / "initramfs.cpio.gz"
        if kernel.is_file() and disk.is_file():
            return read_program(kernel, initrd=disk, arguments="console=ttyHV0 rdinit=/bin/sh")
    pytest.skip("no Linux guest: images/linux/build makes one, or S4V_LINUX names its folder")


class Shell:
    """A domain that runs Linux, and what its console has said. Others may run beside it."""

    def __init__(self, domain: Domain, *others: Shell) -> None:
        self.domain, self.others = domain, others
        self.text = ""
        self.stopped: StopReason | None = None

    def boot(self) -> Shell:
        self.domain.machine.power_on(linux_program())
        self.wait("\n/ # ", budget=20_000_000_000)
        self.do("mkdir -p /dev /proc /sys /mnt; mount -t proc proc /proc; mount -t sysfs sysfs /sys; "
                "mount -t devtmpfs devtmpfs /dev; echo")  # fmt: skip
        return self

    def step(self, slice_: int = SLICE) -> None:
        if self.others:
            stops = run_together([self.domain, *(other.domain for other in self.others)], SLICE_NS)
        else:
            stops = [self.domain.machine.run(slice_)]
        for shell in (self, *self.others):
            shell.text += shell.domain.machine.console.read().decode("latin-1")
        if stops[0].reason in (StopReason.EXIT, StopReason.RESET, StopReason.WATCHDOG):
            self.stopped = stops[0].reason

    def wait(self, text: str, *, budget: int = BUDGET, start: int | None = None) -> str:
        """Run until the console has said it; what it has said since the call, or since `start`."""
        start = len(self.text) if start is None else start
        while text not in self.text[start:]:
            assert self.stopped is None, f"{self.stopped}: {self.text[-2000:]}"
            assert budget > 0, f"no {text!r}: {self.text[-2000:]}"
            self.step()
            budget -= SLICE
        return self.text[start:]

    def type(self, line: str) -> int:
        """Type a line; where its echo begins."""
        start = len(self.text)
        data = (line + "\n").encode()
        while data:
            data = data[self.domain.machine.console.feed(data) :]
            self.step()
        return start

    def do(self, command: str, *, status: int = 0) -> str:
        """Run a command and wait for it; its output. Fails where its exit status is another."""
        start = self.type(f'{command}; echo "<"$?">"')
        while not (end := END.search(self.text, start)):
            self.wait(">\r\n", start=max(start, len(self.text) - 8))
        output = self.text[start : end.start()].replace("\r\n", "\n").partition('">"\n')[2]
        assert end[1] == str(status), f"{command}: status {end[1]}\n{output[-2000:]}"
        return output


def linux(*others: Shell, **options: object) -> Shell:
    """A booted Linux in a new domain."""
    linux_program()
    return Shell(build_domain("256M", deterministic=True, **options), *others).boot()  # type: ignore[arg-type]
