"""Decisions of `sun4v run` that a real guest shows only by chance: a scripted machine shows them always."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from emulator import Machine, Stop, StopReason
from emulator.runner import COMPARE_OFF, Session
from emulator.terminal import HostConsole


class ScriptedStrand:
    def __init__(self) -> None:
        self.regs = {"tick": 0, "tick_cmpr": COMPARE_OFF, "stick": COMPARE_OFF | 100, "stick_cmpr": COMPARE_OFF}

    def __getitem__(self, name: str) -> int:
        return self.regs[name]


class ScriptedConsole:
    def __init__(self) -> None:
        self.fed = b""
        self.hung_up = False

    def feed(self, data: bytes) -> int:
        taken = data[:3]  # a queue with little room
        self.fed += taken
        return len(taken)

    def hangup(self) -> None:
        self.hung_up = True

    def read(self) -> bytes:
        return b""


class ScriptedMachine:
    """Stops as its script says; an entry is (reason, instructions, STICK_CMPR afterwards)."""

    deterministic = False
    watchdog_ms = 0  # off
    firmware = None

    def __init__(self, script: Sequence[tuple[StopReason, int, int]]) -> None:
        self.script = iter(script)
        self.strands = (ScriptedStrand(),)
        self.console = ScriptedConsole()

    def run(self, budget_insns: int, *, seconds: float) -> Stop:
        reason, insns, compare = next(self.script)
        self.strands[0].regs["stick_cmpr"] = compare
        return Stop(reason=reason, strand=0, insns=insns, exit_code=7 if reason is StopReason.EXIT else None)


@pytest.fixture
def host() -> Iterator[HostConsole]:
    """A host console whose input holds five bytes and then ends."""
    reader, writer = os.pipe()
    os.write(writer, b"input")
    os.close(writer)
    yield HostConsole(reader, -1)
    os.close(reader)


IDLE, EXIT, OFF = StopReason.IDLE, StopReason.EXIT, COMPARE_OFF


@pytest.mark.parametrize(
    ("script", "status"),
    [
        # at rest with the input used up and ended: nothing can follow
        ([(IDLE, 0, OFF)] * 9, 3),
        # a timer set, then one that came just before we looked (no longer ahead), then the guest goes on
        ([(IDLE, 9, OFF)] * 4 + [(IDLE, 0, 200), (IDLE, 0, 50), (EXIT, 1, OFF)], 7),
        # work between two idle stops
        ([(IDLE, 9, OFF)] * 4 + [(IDLE, 0, OFF), (StopReason.BUDGET, 5, OFF), (IDLE, 0, OFF), (EXIT, 1, OFF)], 7),
    ],
)
def test_when_a_guest_is_at_rest(script: list[tuple[StopReason, int, int]], status: int, host: HostConsole) -> None:
    machine = ScriptedMachine(script)
    outcome = Session(cast(Machine, machine), host).run()
    assert outcome.status == status
    assert (machine.console.fed, machine.console.hung_up) == (b"input", True)


def test_input_waits_for_room_and_the_hangup_for_the_input(host: HostConsole) -> None:
    machine = ScriptedMachine([(StopReason.BUDGET, 1, OFF), (EXIT, 1, OFF)])
    Session(cast(Machine, machine), host).run()
    assert (machine.console.fed, machine.console.hung_up) == (b"input", False)
