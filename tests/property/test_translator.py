"""The translator (docs/internals/translator.md) against the bodies and against the interpreter, to the bit.

The drivers' machines translate blocks at their Nth entry where SUN4V_TRANSLATE=N; a failure prints its seed, and with
the same environment `engine_lockstep find SEED` the first instruction that differs.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from engine_drivers import DEPTH, ENVIRONMENT, ROOT, SEED, driver, numbers, run_driver, said

from emulator import Machine, StopReason
from emulator.errors import EngineError

pytestmark = pytest.mark.nosan

PREBUILT = ROOT / "images" / "prebuilt"
PROGRAMS = ("check-smc", "check-smp", "check-traps", "check-user", "check-windows", "check-mmu", "hcall-calls",
            "bench-fib", "bench-calls", "bench-traps", "bench-bytecode", "bench-nbody", "bench-sha",
            "bench-hash")  # fmt: skip
NO_TRANSLATOR = 77


@pytest.fixture(scope="module", autouse=True)
def translator() -> None:
    """Skips where this host has none."""
    with Machine("8M") as machine:
        try:
            machine.use_engine("translator")
        except EngineError as none:
            pytest.skip(str(none))


def run(program: Path, *arguments: object, hot: int) -> str:
    return run_driver(program, *arguments, SUN4V_TRANSLATE=str(hot))


@pytest.mark.parametrize("hot", [1, 2, 6])
def test_translated_code_against_stepper(hot: int) -> None:
    """Random programs of all rows, cut at random. Early translation takes single blocks, a later one regions."""
    output = run(driver("engine_lockstep"), SEED + hot, 500 * DEPTH, hot=hot)
    programs, insns, wrong = numbers(output)
    assert (programs, wrong) == (500 * DEPTH, 0)
    assert insns > 2000 * programs
    assert said(output, "native bytes") > 1000 * programs  # bytes of host code: that it was translated at all


@pytest.mark.parametrize("hot", ["", "2"])
def test_a_debugger_changes_nothing(hot: str) -> None:
    """Break- and watchpoints that come and go, steps: to the bit as without."""
    with_it = {"SUN4V_DEBUGGED": "1"} | ({"SUN4V_TRANSLATE": hot} if hot else {})
    output = run_driver(driver("engine_lockstep"), SEED, 150 * DEPTH, **with_it)
    programs, _, wrong = numbers(output)
    assert (programs, wrong) == (150 * DEPTH, 0)
    assert said(output, "points met") > programs


@pytest.mark.parametrize("hot", ["", "1", "3"])
def test_disturbed_at_random(hot: str) -> None:
    """Evictions from the soft TLB, injected interrupts and errors, timers, lost write permissions."""
    with_it = {"SUN4V_DISTURBED": "1"} | ({"SUN4V_TRANSLATE": hot} if hot else {})
    output = run_driver(driver("engine_lockstep"), SEED + 40, 150 * DEPTH, **with_it)
    programs, insns, wrong = numbers(output)
    assert (programs, wrong) == (150 * DEPTH, 0)
    assert insns > 6000 * programs


@pytest.mark.parametrize(("what", "machines"), [("cuts", 100), ("restore", 100), ("harvest", 100)])
def test_two_machines(what: str, machines: int) -> None:
    """Cuts do not matter; a translating machine's state goes on in one that interprets; every store marks again."""
    count, _, wrong = numbers(run(driver("engine_replay"), what, SEED, machines * DEPTH, hot=2))
    assert (count, wrong) == (machines * DEPTH, 0)


def test_every_store_marks_its_page_and_no_other() -> None:
    assert run(driver("engine_stores"), hot=1) == run_driver(driver("engine_stores"))


@pytest.mark.parametrize(("mode", "strands"), [("program", 8), ("moved", 4), ("steady", 4)])
def test_strands_on_threads(mode: str, strands: int) -> None:
    """Litmus tests, locks, mondos, code that another strand writes (images/programs/check/strands.c), translated."""
    output = run(driver("beside"), mode, PREBUILT / "check-strands.elf", strands, 0xFFF, 6 * DEPTH, SEED, hot=1)
    assert output.endswith("strands: ok\n"), output


@pytest.mark.parametrize(("mode", "strands"), [("exact", 5), ("stops", 8), ("life", 3)])
def test_contract_of_a_run(mode: str, strands: int) -> None:
    assert run(driver("beside"), mode, strands, SEED, hot=1) == ""


def _advance(machine: Machine, insns: int) -> tuple[int, StopReason]:
    left = insns
    while True:
        stop = machine.run(left)
        left -= stop.insns
        machine.console.read()
        if stop.reason is not StopReason.CONSOLE or left == 0:
            return insns - left, stop.reason


@pytest.mark.parametrize("hot", [1, 50])
@pytest.mark.parametrize("name", PROGRAMS)
def test_digests_are_the_interpreters(name: str, hot: int) -> None:
    """At every N: here at random ones."""
    rng = random.Random(f"{SEED} {name} {hot}")
    with Machine("64M", strands=2, deterministic=True) as one, Machine("64M", strands=2, deterministic=True) as other:
        other.use_engine("translator", hot_entries=hot)
        one.boot(PREBUILT / f"{name}.elf")
        other.boot(PREBUILT / f"{name}.elf")
        for _ in range(8):
            insns = rng.randint(1, rng.choice((20, 3000, 3_000_000)))
            end = _advance(one, insns)
            assert _advance(other, insns) == end
            assert one.digest() == other.digest()
            if end[1] is not StopReason.BUDGET:
                break
        assert other._core.native_bytes() > (1000 if hot == 1 else 0)
        assert one._core.native_bytes() == 0


def test_code_memory_is_given_back_when_everything_decoded_is_dropped() -> None:
    """The limit drops all blocks; the translations go with them, and the program goes on."""
    with Machine("64M", deterministic=True) as machine, Machine("64M", deterministic=True) as same:
        machine.use_engine("translator", hot_entries=1)
        for each in (machine, same):
            each.boot(PREBUILT / "bench-dhry.elf")
        _advance(machine, 100_000)
        before = machine._core.native_bytes()
        machine.use_engine("interpreter")
        assert machine._core.native_bytes() == 0 < before
        _advance(machine, 100_000)
        machine.use_engine("translator", hot_entries=1)
        _advance(machine, 100_000)
        _advance(same, 300_000)
        assert machine.digest() == same.digest()


def test_unknown_engine_is_refused() -> None:
    with Machine("8M") as machine, pytest.raises(EngineError, match="interpreter or translator"):
        machine.use_engine("fast")


def test_build_without_tail_calls_refuses() -> None:
    """The sanitized core dispatches by a loop, which host code cannot enter: the driver is told so, and gives up."""
    program = driver("engine_lockstep", sanitize=True)
    environment = ENVIRONMENT | {"SUN4V_TRANSLATE": "1", "ASAN_OPTIONS": "detect_leaks=0"}  # giving up frees nothing
    done = subprocess.run([program, "1", "1"], env=environment, check=False)
    assert done.returncode == NO_TRANSLATOR
