"""A debugger at strands on host threads whose code is translated: each access, pass and step is told, once."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from engine_drivers import SEED
from many_strands import LINE, check_end, lines, load

from emulator import Machine, Stop, StopReason
from emulator.machine_debug import Watch

WARM = 200_000
ENDLESS = 1 << 40
POINTS = {StopReason.BREAKPOINT, StopReason.WATCHPOINT}


def running(strands: int, *, deterministic: bool = False, rounds: int = ENDLESS) -> tuple[Machine, dict[str, int]]:
    """All strands are in translated code."""
    machine = Machine("4M", strands=strands, deterministic=deterministic)
    if not machine._core.set_engine(1, 2):
        pytest.skip("needs a host that can translate: x86-64 with MOVBE and BMI2, and a core of tail calls")
    symbols = load(machine, rounds)
    for _ in range(10_000):
        machine.run(WARM // 10)
        if all(line.done > 1000 and line.received > 10 for line in lines(machine)):
            break
    assert machine.engine_statistics.regions >= (1 if deterministic else strands)
    return machine, symbols


def go(machine: Machine) -> Stop:
    """Up to a stop that is not ours."""
    stop = machine.run(1 << 34)
    assert stop.reason in POINTS, stop
    return stop


def follows(last: tuple[int, int], done: int, received: int) -> tuple[int, int]:
    """The next round is told, or the same one again: an interrupt came before the instruction was executed, which
    comes back to it and to the point there."""
    assert done == last[0] + 1 or (done == last[0] and received > last[1]), "told twice, or not at all"
    return done, received


@pytest.mark.parametrize("strands", [2, 4])
def test_each_store_to_a_watched_word_is_told_before_it_is_made(strands: int) -> None:
    """One strand stores there; the others run by. Nothing of its rounds is missed, and it is always that strand."""
    machine, symbols = running(strands)
    own = symbols["lines"] + LINE * (strands - 1)
    machine.add_watchpoint(own, 8, Watch.WRITE)
    last = machine.memory.load(own), -1
    for _ in range(50):
        stop = go(machine)
        strand = machine.strands[strands - 1]
        assert (stop.strand, stop.address, stop.watched, stop.watch_kind) == (
            strands - 1,
            symbols["counted"],
            own,
            Watch.WRITE.value,
        )
        assert strand["i0"] == machine.memory.load(own) + 1
        last = follows(last, strand["i0"], lines(machine)[strands - 1].received)
    others = [line.done for line in lines(machine)[:-1]]
    machine.remove_watchpoint(own, 8, Watch.WRITE)
    for _ in range(1000):
        assert machine.run(WARM).reason is StopReason.BUDGET
        if all(line.done > before for line, before in zip(lines(machine)[:-1], others, strict=True)):
            break
    else:
        pytest.fail("a strand does not go on")
    machine.close()


@pytest.mark.parametrize("strands", [2, 4])
def test_strands_that_all_meet_a_watchpoint_pass_it_one_at_a_time(strands: int) -> None:
    """Between two stops the word that all change by CASX changes only by what the strand told of did."""
    machine, symbols = running(strands)
    shared, told = symbols["shared"], Counter[int]()
    machine.add_watchpoint(shared, 8, Watch.WRITE)
    last: Stop | None = None
    before = machine.memory.load(shared)
    for _ in range(200):
        stop = go(machine)
        now = machine.memory.load(shared)
        assert (stop.address, stop.watched) == (symbols["watched"], shared)
        assert stop.strand is not None
        told[stop.strand] += 1
        assert now - before <= (0 if last is None else 1), "an access was not told"
        last, before = stop, now
    assert len(told) == strands, told
    machine.close()


@pytest.mark.parametrize("strands", [2, 4])
def test_each_pass_of_a_breakpoint_is_told_once(strands: int) -> None:
    """As many stops of a strand as it makes rounds; who was told goes on."""
    chance = random.Random(SEED)
    print("seed", SEED)
    machine, symbols = running(strands)
    machine.add_breakpoint(symbols["counted"])
    told, last = Counter[int](), dict[int, tuple[int, int]]()
    for _ in range(600):
        stop = machine.run(chance.choice([1, 2, 7, 50, 1 << 34]))
        if stop.reason is StopReason.BUDGET:
            continue
        assert (stop.reason, stop.address) == (StopReason.BREAKPOINT, symbols["counted"])
        assert stop.strand is not None
        strand, line = machine.strands[stop.strand], lines(machine)[stop.strand]
        assert strand["pc"] == symbols["counted"]
        before = last.get(stop.strand, (strand["i0"] - 1, -1))
        last[stop.strand] = follows(before, strand["i0"], line.received)
        told[stop.strand] += 1
    assert len(told) == strands, told
    machine.remove_breakpoint(symbols["counted"])
    assert machine.run(WARM).reason is StopReason.BUDGET
    machine.close()


def test_points_in_a_handler_of_interrupts_that_come_from_other_threads() -> None:
    """Each mondo's store to the handler's count is told; none is lost meanwhile."""
    machine, symbols = running(4)
    word = symbols["lines"] + LINE * 2 + 16
    machine.add_watchpoint(word, 8, Watch.WRITE)
    counts = []
    for _ in range(40):
        stop = go(machine)
        assert stop.strand == 2
        assert machine.strands[2]["tl"] == 1
        counts.append(machine.memory.load(word))
    assert counts == list(range(counts[0], counts[0] + 40))
    machine.remove_watchpoint(word, 8, Watch.WRITE)
    machine.add_breakpoint(symbols["handler"])
    told = {go(machine).strand for _ in range(40)}
    assert told == {0, 1, 2, 3}
    machine.close()


def test_steps_of_one_strand_while_the_others_stand() -> None:
    """A step is one instruction or one trap, at the address where the next begins; nothing else moves."""
    machine, symbols = running(4)
    inside = range(symbols["_start"], symbols["table"] + 0x8000)
    for number in (3, 0, 2, 1):
        counts = [strand.insns for strand in machine.strands]
        done, trapped = 0, 0
        for _ in range(400):
            pc, npc = machine.strands[number]["pc"], machine.strands[number]["npc"]
            stop = machine.step(number)
            assert (stop.reason, stop.strand) == (StopReason.STEP, number)
            assert machine.strands[number]["pc"] in inside
            if stop.insns:
                assert machine.strands[number]["pc"] in (npc, npc + 4, symbols["handler"]) or pc in inside
            done += stop.insns
            trapped += stop.insns == 0
        assert done + trapped == 400
        counts[number] += done
        assert [strand.insns for strand in machine.strands] == counts
        assert machine.run(WARM).reason is StopReason.BUDGET
    machine.close()


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_debugger_that_comes_and_goes_changes_nothing_of_the_result(deterministic: bool) -> None:
    """Points set and taken, steps, saves, budgets at random, until the guest has ended: every count is right."""
    chance = random.Random(SEED + deterministic)
    print("seed", SEED)
    rounds, strands = 20_000, 4
    machine, symbols = running(strands, deterministic=deterministic, rounds=rounds)
    places = [symbols[name] for name in ("counted", "watched", "handler", "sent", "again", "next")]
    words = [symbols["shared"], symbols["lines"], symbols["lines"] + LINE + 16]
    points: list[tuple[int, Watch]] = []
    breaks: set[int] = set()
    met, stop = Counter[StopReason](), machine.run(0)
    for _ in range(20_000):
        action = chance.randrange(12)
        if action == 0 and len(breaks) < 2:
            place = chance.choice([each for each in places if each not in breaks])
            breaks.add(place)
            machine.add_breakpoint(place)
        elif action == 1 and len(points) < 2:
            points.append(point := (chance.choice(words), chance.choice([Watch.READ, Watch.WRITE, Watch.ACCESS])))
            machine.add_watchpoint(point[0], 8, point[1])
        elif action <= 3 and breaks:
            machine.remove_breakpoint(breaks.pop())
        elif action <= 5 and points:
            at, kind = points.pop()
            machine.remove_watchpoint(at, 8, kind)
        elif action == 6:
            stop = machine.step(chance.randrange(strands))
        else:
            stop = machine.run(chance.choice([1, 10, 100, 3000]))
        met[stop.reason] += action >= 6
        if stop.reason is StopReason.EXIT:
            break
    for place in breaks:
        machine.remove_breakpoint(place)
    for at, kind in points:
        machine.remove_watchpoint(at, 8, kind)
    while stop.reason is not StopReason.EXIT:
        stop = machine.run(1 << 30)
        assert stop.reason in (StopReason.EXIT, StopReason.BUDGET), stop
    assert stop.exit_code == 0
    print(met)
    assert met[StopReason.BREAKPOINT] > 20
    assert met[StopReason.WATCHPOINT] > 20
    check_end(machine, rounds)
    machine.close()
