"""Talks to a guest over its console: send, expect, with budgets of instructions and of stops, never by the clock."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TypeVar

from emulator import Machine, Stop, StopReason

T = TypeVar("T")
FINAL = {StopReason.EXIT, StopReason.RESET, StopReason.WATCHDOG, StopReason.EXPIRED, StopReason.SUSPEND,
         StopReason.FIRMWARE}  # fmt: skip
SLICE_INSNS = 2_000_000
SLICE_SECONDS = 0.02  # in real time, where a guest that waits takes no instructions
BUDGET_INSNS = 6_000_000_000
QUIET_STOPS = 30_000  # stops in a row with nothing done: the guest waits for ever
TAIL_CHARS = 3000
PROMPT = r"sun4v# "
DONE = r's4v-"done \$\?\r?\n([\s\S]*?)s4v-done (\d+)\r?\n'


class GuestError(AssertionError):
    """The guest did not say what it should, or stopped; the message ends with the end of its console."""


class GuestConsole:
    """A machine and what its guest has written.

    `text` is all output so far; `expect` looks only at what is behind the last match. `stop` is the machine's last.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.text = ""
        self.seen = 0
        self.stop: Stop | None = None
        self._pending = b""
        timed = not machine.deterministic and "seconds" in inspect.signature(machine.run).parameters
        self._options = {"seconds": SLICE_SECONDS} if timed else {}

    # -- talking

    def send(self, line: str) -> None:
        """Type a line."""
        self._pending += line.encode() + b"\n"

    def expect(self, pattern: str, *, budget_insns: int = BUDGET_INSNS) -> re.Match[str]:
        """Run until new output has the pattern; what is behind it is new for the next call."""
        compiled = re.compile(pattern)
        match = self.run_until(
            lambda: compiled.search(self.text, self.seen), f"no {pattern!r}", budget_insns=budget_insns
        )
        self.seen = match.end()
        return match

    def command(self, line: str, *, budget_insns: int = BUDGET_INSNS) -> str:
        """Output of a shell command that succeeds."""
        status, output = self.try_command(line, budget_insns=budget_insns)
        if status != 0:
            raise GuestError(f"{line!r}: status {status}\n{output}")
        return output

    def try_command(self, line: str, *, budget_insns: int = BUDGET_INSNS) -> tuple[int, str]:
        """Status and output of a shell command. Its end is a line that the echo of the input does not have."""
        self.send(f'{line}; echo "s4v-"done $?')
        match = self.expect(DONE, budget_insns=budget_insns)
        self.expect(PROMPT)  # what is typed before it is echoed twice
        return int(match[2]), match[1].replace("\r\n", "\n")

    def shell(self) -> None:
        """Wait for the shell, and keep it from wrapping the lines we look for."""
        self.expect(r"init: shell")
        self.expect(PROMPT)
        self.command("stty columns 500")

    # -- running

    def step(self, budget_insns: int = SLICE_INSNS) -> Stop:
        """Feed input that waits, run a slice, collect output."""
        if self._pending:
            taken = self.machine.console.feed(self._pending)
            self._pending = self._pending[taken:]
        self.stop = self.machine.run(budget_insns, **self._options)
        self.text += self.machine.console.read().decode("latin-1")
        return self.stop

    def run_until(self, done: Callable[[], T | None], failure: str, *, budget_insns: int = BUDGET_INSNS) -> T:
        """Run until `done` gives something. Raises GuestError when the budget is used up or the guest has stopped."""
        left, quiet = budget_insns, 0
        while (result := done()) is None:
            if left <= 0:
                raise self.error(f"{failure} within {budget_insns} instructions")
            if quiet > QUIET_STOPS:
                raise self.error(f"{failure}: the guest waits for ever")
            if self.stop is not None and self.stop.reason in FINAL:
                raise self.error(f"{failure}: the machine stopped, {self.stop}")
            stop = self.step(min(left, SLICE_INSNS))
            left -= stop.insns
            quiet = 0 if stop.insns else quiet + 1
        return result

    def run_to_stop(self, reason: StopReason, *, budget_insns: int = BUDGET_INSNS) -> Stop:
        """Run until the machine stops for a reason that ends or restarts a guest."""
        return self.run_until(
            lambda: self.stop if self.stop and self.stop.reason is reason else None,
            f"no stop with {reason.name}",
            budget_insns=budget_insns,
        )

    def restart(self) -> None:
        """What `sun4v run` does when the guest asks for a restart."""
        self.machine.reset()
        self.stop = None

    def error(self, text: str) -> GuestError:
        """An error that shows the end of the console."""
        return GuestError(f"{text}; the console ends with:\n{self.text[-TAIL_CHARS:]}")
