"""The integer rows: bodies against qemu-sparc64 without an engine between, and the engine against the bodies."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from integer_bodies import Case, build_bodies, build_guest, make_cases, plain_rows, read_symbols, run_bodies, run_qemu

SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
EACH = int(os.environ.get("S4V_INTEGER_CASES", "40"))  # cases of every row
Result = tuple[int, ...]
TOOLS = ("gcc", "sparc64-linux-gnu-gcc", "qemu-sparc64")

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
needs_tools = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")


def expected_trap(case: Case) -> int:
    """Which trap the manual asks for: division_by_zero, tag_overflow or none."""
    name = plain_rows()[case.row].name
    if name in ("udivx", "sdivx"):
        return 0x28 if case.b == 0 else 0
    if name in ("udiv", "udivcc", "sdiv", "sdivcc"):
        return 0x28 if case.b & 0xFFFFFFFF == 0 else 0
    if name not in ("taddcctv", "tsubcctv"):
        return 0
    signs = [(v & 0xFFFFFFFF ^ 0x80000000) - 0x80000000 for v in (case.a, case.b)]
    result = signs[0] + signs[1] if name == "taddcctv" else signs[0] - signs[1]
    return 0x23 if (case.a | case.b) & 3 or not -(1 << 31) <= result < 1 << 31 else 0


@needs_gcc
def test_traps_are_the_manuals(tmp_path: Path) -> None:
    print(f"S4V_TEST_SEED={SEED} S4V_INTEGER_CASES={EACH}")
    cases = make_cases(SEED, EACH)
    seen = set()
    for case, result in zip(cases, run_bodies(build_bodies(tmp_path), cases), strict=True):
        assert result[3] == expected_trap(case), case
        seen.add(result[3])
    assert seen == {0, 0x23, 0x28}


def differences(cases: list[Case], ours: list[Result], reference: list[Result]) -> list[str]:
    """Where (rd, Y, CCR) differ in defined bits."""
    found = []
    for case, result, other in zip(cases, ours, reference, strict=True):
        name = plain_rows()[case.row].name
        masks = (1 << 64) - 1, 0xFFFFFFFF, 0xFF
        if name == "mulscc":  # rd 63:32 and xcc are undefined
            masks = 0xFFFFFFFF, 0xFFFFFFFF, 0x0F
        if any((x ^ y) & m for x, y, m in zip(result, other, masks, strict=False)):
            found.append(f"{name} {case}: {[hex(x) for x in result]} and {[hex(x) for x in other]}")
    return found


def cases_without_traps(seed: int) -> list[Case]:
    print(f"S4V_TEST_SEED={SEED} S4V_INTEGER_CASES={EACH}")
    return [case for case in make_cases(seed, EACH) if not expected_trap(case)]


@needs_tools
def test_bodies_are_qemus(tmp_path: Path) -> None:
    cases = cases_without_traps(SEED + 1)
    ours = run_bodies(build_bodies(tmp_path), cases)
    assert differences(cases, ours, run_qemu(build_guest(cases, tmp_path))) == []


@needs_tools
@pytest.mark.parametrize("quantum", ["whole", 1, 7])
def test_the_engine_is_the_bodies(tmp_path: Path, quantum: str | int) -> None:
    """The same program on the engine, in one run and in slices: specialised handlers, registers of every kind."""
    emulator = pytest.importorskip("emulator", reason="needs the C core (make)", exc_type=ImportError)
    cases = cases_without_traps(SEED + 2)
    if quantum != "whole":
        cases = cases[:: 5]
    program = build_guest(cases, tmp_path)
    symbols = read_symbols(program)
    insns = (symbols["done"] - symbols["_start"]) // 4
    with emulator.Machine("16M", deterministic=True) as machine:
        machine.boot(program)
        strand = machine.strands[0]
        strand["fprs"] = 4
        strand["pstate"] |= 0x10
        step = insns if quantum == "whole" else int(quantum)
        for done in range(0, insns, step):
            stop = machine.run(min(step, insns - done))
            assert stop.reason is emulator.StopReason.BUDGET, stop
        assert strand["pc"] == symbols["done"]
        data = machine.memory.read(symbols["output"], 24 * len(cases))
    ours = run_bodies(build_bodies(tmp_path), cases)
    assert differences(cases, ours, list(struct.iter_unpack(">3Q", data))) == []
