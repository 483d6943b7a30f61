"""Breakpoints: before the instruction, past it, in delay slots, with turns."""

from __future__ import annotations

import pytest
from engine_guests import CODE, NOP, add, branch, machine, step_only

from emulator import Machine, StopReason

L0, L1 = 16, 17


def loop() -> Machine:
    """%l0 counts before the branch, %l1 in its delay slot; the second branch is never taken."""
    return machine(add(L0, L0, 1), branch(2), add(L1, L1, 1), branch(5, cond=0), NOP, branch(-5), NOP)


@pytest.mark.parametrize("by_steps", [False, True])
@pytest.mark.parametrize("warm", [0, 500])
@pytest.mark.parametrize("index", range(7))
def test_stops_before_and_goes_on(index: int, warm: int, by_steps: bool) -> None:
    """At every instruction, delay slots included, in fresh and in decoded code."""
    guest = loop()
    step_only(guest, by_steps)
    guest.run(7 * warm)
    guest.add_breakpoint(CODE + 4 * index)
    free = loop()
    for _ in range(4):
        stop = guest.run(100)
        assert (stop.reason, stop.address, guest.strands[0]["pc"]) == (StopReason.BREAKPOINT, *[CODE + 4 * index] * 2)
        free.run(guest.insns - free.insns)
        assert free.strands[0]["pc"] == CODE + 4 * index
        if guest.insns:  # before the first one, looking at the breakpoint has filled the instruction TLB
            assert guest.digest() == free.digest()
    guest.remove_breakpoint(CODE + 4 * index)
    assert guest.run(100).reason is StopReason.BUDGET


def test_reached_by_the_budget_is_not_passed() -> None:
    """A run that ends at the breakpoint by its budget has not reported it: the next one does, at once."""
    guest = loop()
    guest.add_breakpoint(CODE + 8)
    assert guest.run(2).reason is StopReason.BUDGET
    stop = guest.run(100)
    assert (stop.reason, stop.insns) == (StopReason.BREAKPOINT, 0)
    assert guest.run(100).insns == 7


def test_turns_do_not_hide_breakpoints() -> None:
    """With two strands and a turn as long as the loop, each strand stops at each of its passes."""
    guest = machine(*[NOP] * 6, branch(-6), NOP, strands=2, quantum=8)
    guest.strands[1].start(CODE)
    guest.add_breakpoint(CODE)
    hits = [guest.run(1000) for _ in range(20)]
    assert {stop.reason for stop in hits} == {StopReason.BREAKPOINT}
    assert {stop.strand for stop in hits} == {0, 1}
    assert guest.insns <= 8 * 20
