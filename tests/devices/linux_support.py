"""An unmodified Linux as the guest of device tests: its shell."""

from __future__ import annotations

import re
from functools import cache

import pytest
from linux_found import CRYPTO, find_linux

from emulator import StopReason
from emulator.devices.lab import Domain, build_domain, run_together
from emulator.firmware.program import Program, read_program

SLICE = 500_000
SLICE_NS = 10_000_000
END = re.compile(r"<(\d+)>\r\n")
BUDGET = 3_000_000_000


def linux_on_disk(root: str) -> Program:
    """The kernel alone, with a shell of a disk as its first process."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    arguments = f"console=ttyHV0 {CRYPTO['none']} root={root} rw rootwait init=/bin/sh"
    return read_program(found.kernel, arguments=arguments)


@cache
def linux_program() -> Program:
    """The kernel with a shell as its first process. Skips the test where there is none."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    return found.program(f"{CRYPTO['none']} rdinit=/bin/sh")


class Shell:
    """A domain that runs Linux, and what its console has said. Others may run beside it."""

    def __init__(self, domain: Domain, *others: Shell) -> None:
        self.domain, self.others = domain, others
        self.text = ""
        self.stopped: StopReason | None = None

    def boot(self, program: Program | None = None) -> Shell:
        self.domain.machine.power_on(program or linux_program())
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
        # the line may be echoed twice, where it was typed before the shell looked
        output = self.text[start : end.start()].replace("\r\n", "\n").rpartition('">"\n')[2]
        assert end[1] == str(status), f"{command}: status {end[1]}\n{output[-2000:]}"
        return output


def linux(*others: Shell, deterministic: bool = True, program: Program | None = None, **options: object) -> Shell:
    """A booted Linux in a new domain; `program`: its kernel and RAM disk, if not those with the shell."""
    linux_program()
    domain = build_domain("256M", deterministic=deterministic, **options)  # type: ignore[arg-type]
    return Shell(domain, *others).boot(program)
