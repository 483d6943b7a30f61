"""Budgets to the instruction, and what counts as one (docs/internals/determinism.md)."""

from __future__ import annotations

import pytest
from engine_guests import CODE, NOP, add, branch, machine, mov, sethi, step_only, trap, words

from emulator import Machine, StopReason

O0, O5, L0, G1 = 8, 13, 16, 1
ILLTRAP = 0


def looping() -> Machine:
    """Taken, not taken and annulled branches, delay slots, traps that are skipped, ta, hypercalls."""
    code = [
        add(L0, L0, 1), branch(3), add(G1, G1, 1), NOP,  # taken, slot runs
        branch(3, annul=True), ILLTRAP, ILLTRAP,  # ba,a: the slot is annulled
        branch(3, cond=0), add(G1, G1, 1),  # bn: not taken, slot runs
        branch(3, cond=0, annul=True), ILLTRAP,  # bn,a: skips its slot
        ILLTRAP, trap(5), mov(O5, 0x16), trap(0x80),  # a trap that is no instruction, ta, CPU_MYID
        branch(-15), ILLTRAP,  # a trap in a delay slot
    ]
    return machine(*code)


@pytest.mark.parametrize("by_steps", [False, True])
def test_budget_is_exact(by_steps: bool) -> None:
    """For every n up to a few blocks, and around the lengths at which the engine changes its ways."""
    for n in [*range(140), 1000, 4095, 9999, 65_537]:
        guest = looping()
        step_only(guest, by_steps)
        stop = guest.run(n)
        assert (stop.reason, stop.insns, guest.insns, guest.strands[0].insns) == (StopReason.BUDGET, n, n, n)


def test_every_cut_leads_to_the_same_state() -> None:
    """One by one, in threes, and at once."""
    digests: dict[int, bytes] = {}
    for step in (1, 3, 7, 64, 65, 210):
        guest = looping()
        for at in range(step, 211, step):
            guest.run(step)
            if at % 42 == 0 or at == 210:
                assert digests.setdefault(at, guest.digest()) == guest.digest(), (step, at)
    assert len(digests) == 5


def test_one_strand_alone_leaves_no_trace_of_its_budget() -> None:
    a, b = looping(), looping()
    a.strands[0].run(100)
    for _ in range(10):
        b.strands[0].run(10)
    assert a.digest() == b.digest()


@pytest.mark.parametrize(
    ("code", "insns"),
    [
        ((NOP, NOP), 2),
        ((branch(2), NOP, NOP), 3),  # branch, slot, target
        ((branch(2, annul=True), ILLTRAP, NOP), 2),  # the annulled slot is no instruction
        ((branch(5, cond=0, annul=True), ILLTRAP, NOP), 2),
        ((ILLTRAP,), 1),  # the handler's DONE; what trapped did not complete
        ((trap(3),), 2),  # ta completes, then the handler's DONE
        ((mov(O5, 0x16), trap(0x80)), 2),  # a hypercall is its ta
        ((branch(2), ILLTRAP, NOP), 3),  # branch, DONE, target: the slot trapped
    ],
)
def test_what_counts(code: tuple[int, ...], insns: int) -> None:
    """Instructions completed until the mark behind `code` is reached."""
    guest = machine(*code, mov(L0, 1), branch(0), NOP)
    while not guest.strands[0]["l0"]:
        guest.run(1)
    assert guest.insns == insns + 1


def test_a_call_that_must_wait_for_the_console_counts_once() -> None:
    """With the output queue full the hypercall is not completed; it runs again after the client has read."""
    guest = machine(mov(O0, 65), mov(O5, 0x61), trap(0x80), branch(-1), mov(O0, 65))
    total = 0
    while (stop := guest.run(1_000_000)).reason is not StopReason.CONSOLE:
        total += stop.insns
    total += stop.insns
    assert guest.insns == total
    assert guest.run(10).insns == 0
    before = len(guest.console.read())
    assert before == 65536
    assert guest.run(10).insns == 10


def test_time_stands_still_without_instructions() -> None:
    """TICK is the instruction count times the strands' share, not the host's clock."""
    guest = machine(branch(0), NOP)
    guest.run(1000)
    tick = guest.strands[0]["tick"]
    assert tick == 1000 == guest.strands[0]["tick"]
    guest.run(234)
    assert guest.strands[0]["tick"] == 1234


def test_tick_reads_the_instructions_before_it() -> None:
    """In the middle of a block and by steps alike."""
    for by_steps in (False, True):
        guest = machine(*[NOP] * 10, 0x91410000, branch(0), NOP)  # rd %tick, %o0
        step_only(guest, by_steps)
        guest.run(100)
        assert guest.strands[0]["o0"] == 10


def test_waiting_strand_is_woken_at_its_tick() -> None:
    """A yield with a timer set: virtual time jumps to the match, and no instruction is charged for the wait."""
    guest = machine(sethi(L0, 1 << 20), 0xAF842000, mov(O5, 0x12), trap(0x80), 0x91410000, branch(0), NOP)
    guest.strands[0]["pil"] = 13
    guest.run(4)
    stop = guest.run(1)
    assert stop.reason is StopReason.BUDGET
    assert guest.strands[0]["tick"] >= 1 << 20


def test_real_time_goes_on() -> None:
    """Not deterministic: TICK never steps back, over runs and over save and load."""
    guest = Machine("1M", tod_seconds=1, rng_seed=1)
    guest.memory.write(CODE, words(0x91410000, branch(-1), NOP))
    guest.strands[0].start(CODE)
    seen = 0
    for _ in range(5):
        assert guest.run(5000).insns == 5000
        now = guest.strands[0]["o0"]
        assert now >= seen > -1
        seen = now
    other = Machine("1M", tod_seconds=1, rng_seed=1)
    other.load(guest.save())
    other.run(5000)
    assert other.strands[0]["o0"] >= seen > 0


def test_waiting_in_real_time_ends_at_the_timer() -> None:
    """A yield with a timer milliseconds ahead is not idle: the run goes on once it has come."""
    guest = Machine("1M")
    code = [0x91410000, sethi(L0, 1 << 24), 0xA0040008, 0xAF842000, mov(O5, 0x12), trap(0x80), branch(0), NOP]
    guest.memory.write(CODE, words(*code))  # tick_cmpr = tick + 16 Mi: 4.7 ms
    guest.strands[0].start(CODE)
    guest.strands[0]["pil"] = 13
    stop = guest.run(1000)
    assert (stop.reason, stop.insns) == (StopReason.BUDGET, 1000)
    assert guest.strands[0]["tick"] >= guest.strands[0]["tick_cmpr"] > 1 << 24
