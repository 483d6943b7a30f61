"""softfp against MPFR, hostfp against softfp, and the V9 operations against qemu-sparc64.

SUN4V_FP_CASES multiplies the number of random cases (default 1: about 200 thousand against MPFR and ten
million against the host's FPU), SUN4V_SEED sets the seed.
"""

from __future__ import annotations

import os
import random
import sys
from itertools import product
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
pytest.importorskip("gmpy2", reason="the oracle is MPFR, through gmpy2")

from fp_library import SoftFp
from fp_operands import Case, random_cases, specials
from fp_reference import expected

SCALE = int(os.environ.get("SUN4V_FP_CASES", "1"))
SEED = int(os.environ.get("SUN4V_SEED", "20110601"))
FLAG_NAMES = {16: "NV", 8: "OF", 4: "UF", 2: "DZ", 1: "NX"}

STEMS = ("add", "sub", "mul", "div", "sqrt", "half_add", "half_sub", "neg_add", "neg_mul", "neg_half_add",
         "madd", "msub", "nmadd", "nmsub", "umadd", "umsub", "numadd", "numsub", "to_i32", "to_i64",
         "from_i32", "from_i64", "compare", "compare_signalling", "compare_lexicographic")
OPERATIONS = [f"fp{bits}_{stem}" for stem in STEMS for bits in (32, 64)]
OPERATIONS += ["fp32_mul_fp64", "fp32_neg_mul_fp64", "fp32_to_fp64", "fp64_to_fp32"]
HOST_STEMS = ("add", "sub", "mul", "div", "sqrt", "madd", "to_i32", "to_i64", "from_i32", "from_i64",
              "compare")
HOST_OPERATIONS = [f"fp{bits}_{stem}" for stem in HOST_STEMS for bits in (32, 64)]
HOST_OPERATIONS += ["fp32_mul_fp64", "fp32_to_fp64", "fp64_to_fp32"]


@pytest.fixture(scope="module")
def softfp(tmp_path_factory: pytest.TempPathFactory) -> SoftFp:
    try:
        return SoftFp(tmp_path_factory.mktemp("softfp"))
    except RuntimeError as error:
        pytest.skip(str(error))


def flag_text(flags: int) -> str:
    return "+".join(name for bit, name in FLAG_NAMES.items() if flags & bit) or "none"


def assert_agrees(softfp: SoftFp, operation: str, cases: list[Case]) -> None:
    wrong = []
    for case, got in zip(cases, softfp.run(operation, cases), strict=True):
        want = expected(operation, *case)
        if got != want:
            wrong.append((case, got, want))
    if wrong:
        (a, b, c, rounding, tem), got, want = wrong[0]
        pytest.fail(f"{len(wrong)} of {len(cases)} differ (seed {SEED}); {operation} a={a:#x} b={b:#x} "
                    f"c={c:#x} rounding={rounding} tem={tem}: {got[0]:#x} {flag_text(got[1])}, "
                    f"MPFR {want[0]:#x} {flag_text(want[1])}")


def test_every_operation_of_the_driver_is_tested(softfp: SoftFp) -> None:
    assert sorted(softfp.numbers) == sorted(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_special_operands(softfp: SoftFp, operation: str) -> None:
    """Every pair of special operands, in every rounding direction; a third operand at random."""
    rng = random.Random(f"{SEED} special {operation}")
    values = specials(32 if operation.startswith("fp32") else 64)
    cases = [(a, b, rng.choice(values), rng.randrange(4), rng.choice((0, 4)))
             for a, b in product(values, values)]
    assert_agrees(softfp, operation, cases)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_hard_operands(softfp: SoftFp, operation: str) -> None:
    rng = random.Random(f"{SEED} hard {operation}")
    print("seed", SEED)
    assert_agrees(softfp, operation, random_cases(rng, operation, 4000 * SCALE))


@pytest.mark.parametrize("operation", HOST_OPERATIONS)
def test_host_agrees(softfp: SoftFp, operation: str) -> None:
    """The fast path stands only where result and inexact are softfp's, and it stands in most cases."""
    for rounding in range(4):
        count = 100_000 * SCALE
        bad, fast, first = softfp.check_host(operation, count=count, seed=SEED + rounding, rounding=rounding)
        difference = f"{bad} differ, seed {SEED + rounding}, rounding {rounding}: {[hex(v) for v in first]}"
        assert not bad, difference
        assert fast > count // (12 if operation == "fp64_to_fp32" else 3)
