"""gcc's `execute` torture tests on our machine: none may fail that passes under qemu-sparc64, and translated code must
come to the interpreter's state.

The tests come from Debian's gcc source package: fetch_torture.py puts them into a cache, or $S4V_GCC_SOURCE names a gcc
source tree. S4V_TORTURE=all runs every test at every level (about ten minutes on two cores); the default is a seeded
sample: S4V_TORTURE_SAMPLE (default 60) tests at each level, three times as many at -O2.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
pytest.importorskip("emulator")

from fetch_torture import torture_folder
from torture import Result, Toolchain, Variant, Verdict, missing_tool, run_tests, summary

ALL = os.environ.get("S4V_TORTURE") == "all"
SAMPLE = int(os.environ.get("S4V_TORTURE_SAMPLE", "60"))
SEED = int(os.environ.get("S4V_SEED", "20221208"))
MAIN = Variant("-O2")
VARIANTS = [MAIN, *(Variant(level) for level in ("-O0", "-O1", "-O3", "-Os")), Variant("-O2", "niagara4")]
FOLDER = torture_folder()

pytestmark = [
    pytest.mark.skipif(missing_tool() is not None, reason=f"needs {missing_tool()}"),
    pytest.mark.skipif(FOLDER is None, reason="no gcc tests: run tests/differential/fetch_torture.py"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    return Toolchain(tmp_path_factory.mktemp("torture"))


def select(variant: Variant) -> list[Path]:
    assert FOLDER is not None
    tests = sorted(FOLDER.glob("*.c")) + sorted((FOLDER / "ieee").glob("*.c"))
    if ALL:
        return tests
    print(f"S4V_SEED={SEED}")
    return sorted(random.Random(f"{SEED} {variant}").sample(tests, SAMPLE * (3 if variant == MAIN else 1)))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_no_torture_test_fails_that_passes_in_qemu(variant: Variant, tools: Toolchain) -> None:
    sources = select(variant)
    results = run_tests(sources, variant, tools)
    print(summary(variant, results))
    ran = [r for r in results if r.verdict in (Verdict.PASSED, Verdict.FAILED, Verdict.DIFFERENT)]
    assert len(ran) > 0.9 * len(sources)
    assert [r for r in ran if r.verdict is Verdict.DIFFERENT] == []
    wrong: list[Result] = []
    for source, result in zip(sources, results, strict=True):
        if result.verdict is Verdict.FAILED and tools.passes_in_qemu(source, variant):
            wrong.append(result)
    assert not wrong, wrong
