"""The bodies of the integer rows against qemu-sparc64, without an engine between."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from integer_bodies import Case, build_bodies, make_cases, plain_rows, run_bodies, run_qemu

SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
EACH = int(os.environ.get("S4V_INTEGER_CASES", "40"))  # cases of every row
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


@needs_tools
def test_results_are_qemus(tmp_path: Path) -> None:
    print(f"S4V_TEST_SEED={SEED} S4V_INTEGER_CASES={EACH}")
    cases = [case for case in make_cases(SEED + 1, EACH) if not expected_trap(case)]
    ours = run_bodies(build_bodies(tmp_path), cases)
    rows = plain_rows()
    differences = []
    for case, result, reference in zip(cases, ours, run_qemu(cases, tmp_path), strict=True):
        masks = (1 << 64) - 1, 0xFFFFFFFF, 0xFF
        if rows[case.row].name == "mulscc":  # rd 63:32 and xcc are undefined
            masks = 0xFFFFFFFF, 0xFFFFFFFF, 0x0F
        if any((x ^ y) & m for x, y, m in zip(result, reference, masks, strict=False)):
            differences.append((rows[case.row].name, case, [hex(x) for x in result], [hex(x) for x in reference]))
    assert differences == []
