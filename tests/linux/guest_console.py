"""Talks to a guest over its console: send, expect, with budgets of instructions and of the guest's time, never the clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from emulator import Machine, Stop, StopReason

T = TypeVar("T")
FINAL = {StopReason.EXIT, StopReason.RESET, StopReason.WATCHDOG, StopReason.EXPIRED, StopReason.SUSPEND,
         StopReason.FIRMWARE}  # fmt: skip

SLICE_INSNS = 2_000_000
IDLE_LIMIT = 200_000  # stops in a row without an instruction: a guest that waits for ever is a failure, not a hang
TAIL_CHARS = 3000


class GuestError(AssertionError):
    """The guest did not say what it should, or stopped; the message ends with the end of its console."""


class GuestConsole:
    """A machine and what its guest has written. `text` is all output; `expect` looks only at what is new.

    `budget_insns` bounds the instructions of one wait, over all strands. `stop` is the last stop of the machine.
    """

    def __init__(self, machine: Machine, *, budget_insns: int = 4_000_000_000) -> None:
        self.machine = machine
        self.budget_insns = budget_insns
        self.text = ""
        self.seen = 0
        self.stop: Stop | None = None
        self._pending = b""

    # -- talking

    def send(self, line: str) -> None:
        """Type a line."""
        self._pending += line.encode() + b"\n"

    def expect(self, pattern: str, *, budget_insns: int | None = None) -> re.Match[str]:
        """Run until new output has the pattern; what is behind it is new for the next call."""
        compiled = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return compiled.search(self.text, self.seen)

        match = self.run_until(found, f"no {pattern!r}", budget_insns=budget_insns)
        self.seen = match.end()
        return match

    def command(self, line: str, *, budget_insns: int | None = None) -> str:
        """Run a shell command that succeeds; its output. The end is told by a line the echo does not have."""
        status, output = self.try_command(line, budget_insns=budget_insns)
        if status != 0:
            raise GuestError(f"{line!r}: status {status}\n{output}")
        return output

    def try_command(self, line: str, *, budget_insns: int | None = None) -> tuple[int, str]:
        """Status and output of a shell command."""
        self.send(f'{line}; echo "s4v-"done $?')
        match = self.expect(r's4v-"done \$\?\r?\n([\s\S]*?)s4v-done (\d+)\r?\n', budget_insns=budget_insns)
        return int(match[2]), match[1].replace("\r\n", "\n")

    # -- running

    def step(self, budget_insns: int = SLICE_INSNS) -> Stop:
        """Feed input that waits, run a slice, collect output."""
        if self._pending:
            taken = self.machine.console.feed(self._pending)
            self._pending = self._pending[taken:]
        self.stop = self.machine.run(budget_insns)
        self.text += self.machine.console.read().decode("latin-1")
        return self.stop

    def run_until(self, done: Callable[[], T | None], failure: str, *, budget_insns: int | None = None) -> T:
        """Run until `done` gives something. Raises GuestError when the budget is used up or the guest has stopped."""
        left = self.budget_insns if budget_insns is None else budget_insns
        idle = 0
        while (result := done()) is None:
            if left <= 0:
                raise self.error(f"{failure} within the budget")
            stop = self.step(min(left, SLICE_INSNS))
            left -= stop.insns
            idle = 0 if stop.insns else idle + 1
            if idle > IDLE_LIMIT:
                raise self.error(f"{failure}: the guest waits for ever")
            if stop.reason in FINAL and (result := done()) is None:
                raise self.error(f"{failure}: the machine stopped, {stop}")
            if result is not None:
                break
        return result

    def error(self, text: str) -> GuestError:
        """An error that shows the end of the console."""
        return GuestError(f"{text}; the console ends with:\n{self.text[-TAIL_CHARS:]}")

    def run_to_stop(self, reason: StopReason, *, budget_insns: int | None = None) -> Stop:
        """Run until the machine stops for a reason that ends or restarts a guest."""
        stop = self.run_until(
            lambda: self.stop if self.stop and self.stop.reason is reason else None,
            f"no stop with {reason.name}", budget_insns=budget_insns)  # fmt: skip
        return stop
