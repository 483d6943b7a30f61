"""128 and 256 strands whose code is translated, on threads and in turns: CASX, mondos, cuts, moves; host memory."""

from __future__ import annotations

import random
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from engine_drivers import SEED
from many_strands import ROOT, check_end, lines, load

from emulator import Machine, StopReason

ENGINES = ("translator", "interpreter")
CODE_BYTES = 16 << 20  # reserved for each strand on a thread, twice (codemem.c): to write and to execute
TOUCHED_BYTES = 128 << 10  # of them, by a small program


def made(strands: int, engine: str, *, deterministic: bool) -> Machine:
    machine = Machine("16M", strands=strands, deterministic=deterministic, quantum=500)
    if not machine._core.set_engine(ENGINES.index("interpreter") - ENGINES.index(engine), 2):
        pytest.skip("needs a host that can translate: x86-64 with MOVBE and BMI2, and a core of tail calls")
    assert (machine.engine, machine.engine_note) == (engine, "")
    return machine


def code_memory() -> tuple[int, int]:
    """What this process has mapped of host code, and how much of it is there: bytes."""
    mapped = there = 0
    ours = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            ours = "s4v-code" in line
            mapped += (int(found[2], 16) - int(found[1], 16)) * ours
        elif ours and line.startswith("Rss:"):
            there += int(line.split()[1]) << 10
    return mapped, there


@pytest.mark.parametrize("strands", [128, pytest.param(256, marks=pytest.mark.slow)])
def test_strands_on_threads_in_runs_cut_at_random(strands: int) -> None:
    """Budgets to the instruction, time, and the state moved between machines of both engines; nothing is lost."""
    chance, rounds = random.Random(SEED), 400
    print("seed", SEED)
    machine = made(strands, "translator", deterministic=False)
    load(machine, rounds)
    moves = cuts = 0
    while True:
        budget = chance.choice([1, 1000, 20_000, 1 << 40 if moves == 2 else 100])
        stop = machine.run(budget, seconds=chance.choice([None, 0.001, 0.02]))
        if stop.reason is StopReason.EXIT:
            break
        assert stop.reason is StopReason.TIME or (stop.reason, stop.insns) == (StopReason.BUDGET, budget)
        cuts += 1
        if moves < 2 and cuts % 8 == 0:
            state = machine.save()
            machine.close()
            moves += 1
            machine = made(strands, ENGINES[moves % 2], deterministic=False)
            machine.load(state)
            assert machine.save() == state
    assert (stop.exit_code, moves) == (0, 2)
    assert machine.engine_statistics.blocks > strands, "each strand has code of its own"
    check_end(machine, rounds)
    assert sum(line.received for line in lines(machine)) > strands
    machine.close()


def test_memory_for_code_is_taken_where_it_is_used() -> None:
    """16 MiB of address space a strand, and a few pages of memory; all of it goes with the machine."""
    strands = 128
    before = code_memory()
    machine = made(strands, "translator", deterministic=False)
    load(machine, 200)
    assert machine.run(1 << 40).reason is StopReason.EXIT
    mapped, there = (after - was for after, was in zip(code_memory(), before, strict=True))
    assert mapped == 2 * strands * CODE_BYTES
    assert there < 2 * strands * TOUCHED_BYTES
    assert machine.engine_statistics.native_bytes < strands * TOUCHED_BYTES
    machine.close()
    assert code_memory() == before


@pytest.mark.parametrize("strands", [128, pytest.param(256, marks=pytest.mark.slow)])
def test_strands_in_turns_are_the_same_in_both_engines(strands: int) -> None:
    """Digests at random counts; one of the machines moves to the other engine in between."""
    chance, rounds = random.Random(SEED), 60
    print("seed", SEED)
    one, other = (made(strands, engine, deterministic=True) for engine in ENGINES)
    for machine in (one, other):
        load(machine, rounds)
    for turn in range(6):
        count = chance.randrange(1, 12_000)
        stops = [machine.run(count) for machine in (one, other)]
        assert stops[0] == stops[1]
        assert one.digest() == other.digest(), f"after {one.insns} instructions"
        if turn == 3:
            state = one.save()
            assert one.engine_statistics.regions > 0
            one.close()
            one = made(strands, "translator", deterministic=True)
            one.load(state)
    stops = [machine.run(1 << 30) for machine in (one, other)]
    assert stops[0] == stops[1] and stops[0].reason is StopReason.EXIT and stops[0].exit_code == 0
    assert one.digest() == other.digest()
    for machine in (one, other):
        check_end(machine, rounds)
        machine.close()


LITTLE_SPACE = """
import resource, sys
sys.path[:0] = [{root!r}, {tests!r}]
from emulator import Machine
machine = Machine("16M", strands=2, max_strands=64)
machine.use_engine("translator")
def leave(more_bytes):
    space = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + more_bytes, resource.RLIM_INFINITY))
leave(300 << 20)
machine.add_strands(range(2, 18))
print(machine.engine, "|", machine.engine_note)
leave(150 << 20)
other = Machine("16M", strands=8)
print(other.prefer_engine("translator"), "|", other.engine)
"""


def test_a_host_without_address_space_for_all_is_told_of() -> None:
    """Strands that come later interpret, which the note says; a machine that begins so interprets as a whole."""
    made(1, "translator", deterministic=False).close()
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    program = LITTLE_SPACE.format(root=str(ROOT), tests=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    later, whole = done.stdout.splitlines()
    assert later.startswith("translator | ") and "executable memory" in later, later
    assert whole.startswith("the host gives no executable memory") and whole.endswith("| interpreter"), whole
