"""Strands on host threads of their own (docs/internals/threads.md): csrc/tests/beside.c, check-strands in both modes.

Chance is seeded where it is ours; how the host's threads interleave is not. Nothing here looks at the clock: a test
that loses a wake-up or a stop does not end, and fails by the limit of run_driver().
"""

from __future__ import annotations

import os
import re
import struct
import threading
from pathlib import Path

import pytest
from engine_drivers import DEPTH, ROOT, SEED, driver, run_driver

from emulator import Machine, Stop, StopReason, parse_image

STRANDS_ELF = ROOT / "images" / "prebuilt" / "check-strands.elf"
ALL_TESTS = 0xFFF
LOOP = struct.pack(">2I", 0x10800000, 0x01000000)  # ba .; nop
SUPPRESSIONS = f"suppressions={ROOT}/tests/tsan.supp:history_size=7"  # the longest: stacks of writes long ago
KINDS = [
    pytest.param("", id="plain"),
    pytest.param("address,undefined", id="asan", marks=[pytest.mark.slow, pytest.mark.nosan]),
    pytest.param("thread", id="tsan", marks=[pytest.mark.slow, pytest.mark.nosan]),
]


@pytest.fixture(params=KINDS)
def beside(request: pytest.FixtureRequest) -> Path:
    """The driver: plain, under AddressSanitizer and UBSan, under ThreadSanitizer (guest memory left out: tsan.supp)."""
    kind: str = request.param
    return driver("beside", sanitizers=kind, sanitize=True) if kind else driver("beside")


def run(beside: Path, *arguments: object) -> str:
    return run_driver(beside, *arguments, TSAN_OPTIONS=SUPPRESSIONS)


@pytest.mark.parametrize(("mode", "strands"), [("program", 2), ("program", 8), ("moved", 4), ("steady", 4)])
def test_guest_finds_memory_locks_mondos_and_code_in_order(beside: Path, mode: str, strands: int) -> None:
    """Runs cut at random by budget, time and kicks; with the state moved to a new machine; in one piece."""
    output = run(beside, mode, STRANDS_ELF, strands, ALL_TESTS, 6 * DEPTH, SEED)
    assert re.fullmatch(r"relaxed \d+\nstrands: ok\n", output), output


@pytest.mark.parametrize(
    ("mode", "strands"),
    [("exact", 2), ("exact", 5), ("stops", 2), ("stops", 8), ("idle", 2), ("idle", 64), ("life", 3), ("come", 6)],
)
def test_contract_of_a_run(beside: Path, mode: str, strands: int) -> None:
    """Budgets to the instruction, every stop told once, sleep until kicked, freeing in every state, strands that go."""
    assert run(beside, mode, strands, SEED) == ""


@pytest.mark.serial
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_litmus_sees_stores_overtaken_where_nothing_forbids_it() -> None:
    """Store buffering without MEMBAR shows what the fenced form must not: or that test proves nothing."""
    sb_plain, found = 1 << 1, 0
    for attempt in range(20):
        output = run(driver("beside"), "program", STRANDS_ELF, 2, sb_plain, 200, SEED + attempt)
        found += int(output.split()[1])
        if found:
            return
    pytest.fail("no store was overtaken by a load in a million rounds")


def start_strands(machine: Machine, tests: int, rounds: int) -> None:
    image = parse_image(STRANDS_ELF.read_bytes())
    machine.load_image(image)
    machine.memory.write(0x1000, struct.pack(">3Q", tests, rounds, SEED))
    machine.strands[0].start(image.entry, arg=0x1000)


def run_to_end(machine: Machine) -> tuple[Stop, bytes]:
    output = b""
    while True:
        stop = machine.run(50_000_000, seconds=0.05)
        output += machine.console.read()
        if stop.reason not in (StopReason.BUDGET, StopReason.TIME, StopReason.CONSOLE):
            return stop, output


@pytest.mark.parametrize("deterministic", [False, True])
def test_same_program_in_both_modes(deterministic: bool) -> None:
    with Machine("16M", strands=4, deterministic=deterministic) as machine:
        start_strands(machine, ALL_TESTS, 10)
        stop, output = run_to_end(machine)
        assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
        assert re.fullmatch(rb"relaxed \d+\nstrands: ok\n", output)
        assert deterministic is False or output.startswith(b"relaxed 0\n")


def test_the_interpreter_lock_is_free_while_strands_run() -> None:
    """A Python thread kicks runs that have no other end."""
    done = threading.Event()
    with Machine("1M", strands=2) as machine:
        machine.memory.write(0, LOOP)
        for strand in machine.strands:
            strand.start(0)

        def kick() -> None:
            while not done.is_set():
                machine.kick()

        kicker = threading.Thread(target=kick)
        kicker.start()
        try:
            while not all(strand.insns for strand in machine.strands):
                assert machine.run(1 << 60).reason is StopReason.KICK
        finally:
            done.set()
            kicker.join()


def test_time_ends_a_run_and_says_so() -> None:
    for strands in (1, 3):
        with Machine("1M", strands=strands) as machine:
            machine.memory.write(0, LOOP)
            machine.strands[0].start(0)
            assert machine.run(1 << 60, seconds=0.002).reason is StopReason.TIME


def test_a_deterministic_run_does_not_look_at_the_clock() -> None:
    with Machine("1M", strands=2, deterministic=True) as machine:
        machine.memory.write(0, LOOP)
        machine.strands[0].start(0)
        stop = machine.run(3_000_000, seconds=1e-9)
        assert (stop.reason, stop.insns) == (StopReason.BUDGET, 3_000_000)


def test_trace_is_one_text_in_order() -> None:
    """While tracing, strands take turns: no line is broken by another strand's."""
    with Machine("1M", strands=3) as machine:
        machine.memory.write(0, LOOP)
        for strand in machine.strands:
            strand.start(0)
        machine.trace()
        lines: list[str] = []
        for _ in range(20):
            machine.run(200)
            lines += machine.read_trace().splitlines()
    assert len(lines) == 4000
    assert all(re.fullmatch(r"[0-2] \d+ 000000000000000[04] [0-9a-f]{8} \S.*", line) for line in lines)
