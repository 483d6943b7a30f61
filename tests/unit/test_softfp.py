"""softfp on cases whose results are known beforehand: NaN rules, flags under traps, limits, signs."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

from fp_library import DZ, NV, NX, OF, RM, RN, RP, RZ, UF, SoftFp
from fp_operands import random_cases

INF32, DEFAULT32, NEG32 = 0x7F800000, 0x7FFFFFFF, 1 << 31
INF64, DEFAULT64, NEG64 = 0x7FF << 52, (1 << 63) - 1, 1 << 63
MAX64, TINY64, NORM64 = INF64 - 1, 1, 1 << 52
QUIET64 = 1 << 51
SNAN_A, SNAN_B, SNAN_C = INF64 | 0xA, NEG64 | INF64 | 0xB, INF64 | 0xC
QNAN_A, QNAN_B, QNAN_C = INF64 | QUIET64 | 0xA, NEG64 | INF64 | QUIET64 | 0xB, INF64 | QUIET64 | 0xC


@pytest.fixture(scope="module")
def softfp(tmp_path_factory: pytest.TempPathFactory) -> SoftFp:
    try:
        return SoftFp(tmp_path_factory.mktemp("softfp"))
    except RuntimeError as error:
        pytest.skip(str(error))


def d(value: float) -> int:
    return int.from_bytes(struct.pack(">d", value), "big")


def s(value: float) -> int:
    return int.from_bytes(struct.pack(">f", value), "big")


@pytest.mark.parametrize("name", ["fp64_add", "fp64_sub", "fp64_mul", "fp64_div", "fp64_half_add",
                                  "fp64_half_sub", "fp64_neg_add", "fp64_neg_mul", "fp64_neg_half_add"])
@pytest.mark.parametrize(("a", "b", "result", "flags"), [
    (QNAN_A, d(1.0), QNAN_A, 0), (d(1.0), QNAN_B, QNAN_B, 0),
    (QNAN_A, QNAN_B, QNAN_B, 0),  # two quiet ones: rs2
    (SNAN_A, QNAN_B, QNAN_A, NV),  # the signalling one, made quiet
    (SNAN_A, SNAN_B, QNAN_B, NV),  # two signalling ones: rs2
    (QNAN_A, SNAN_B, QNAN_B, NV),
])
def test_nan_operands(softfp: SoftFp, name: str, a: int, b: int, result: int, flags: int) -> None:
    """Also of the subtracting and negating forms: a NaN keeps its sign."""
    assert softfp.one(name, a, b) == (result, flags)


@pytest.mark.parametrize("name", ["fp64_madd", "fp64_msub", "fp64_nmadd", "fp64_nmsub"])
@pytest.mark.parametrize(("a", "b", "c", "result", "flags"), [
    (QNAN_A, QNAN_B, QNAN_C, QNAN_C, 0), (QNAN_A, QNAN_B, d(1.0), QNAN_B, 0),
    (SNAN_A, QNAN_B, QNAN_C, QNAN_A, NV), (SNAN_A, SNAN_B, QNAN_C, QNAN_B, NV),
    (SNAN_A, SNAN_B, SNAN_C, QNAN_C, NV),
    (0, INF64, QNAN_C, QNAN_C, NV), (0, INF64, d(1.0), DEFAULT64, NV),
])
def test_nan_operands_of_multiply_add(softfp: SoftFp, name: str, a: int, b: int, c: int, result: int,
                                      flags: int) -> None:
    assert softfp.one(name, a, b, c) == (result, flags)


@pytest.mark.parametrize(("name", "a", "b", "result"), [
    ("fp64_add", INF64, NEG64 | INF64, DEFAULT64), ("fp64_sub", INF64, INF64, DEFAULT64),
    ("fp64_mul", 0, NEG64 | INF64, DEFAULT64), ("fp64_div", 0, NEG64, DEFAULT64),
    ("fp64_div", INF64, NEG64 | INF64, DEFAULT64), ("fp64_sqrt", 0, d(-1.0), DEFAULT64),
    ("fp64_neg_mul", 0, INF64, DEFAULT64), ("fp32_mul_fp64", 0, INF32, DEFAULT64),
    ("fp32_add", INF32, NEG32 | INF32, DEFAULT32), ("fp32_sqrt", 0, s(-1.0), DEFAULT32),
])
def test_invalid_gives_the_default_nan(softfp: SoftFp, name: str, a: int, b: int, result: int) -> None:
    assert softfp.one(name, a, b) == (result, NV)


def test_division_by_zero(softfp: SoftFp) -> None:
    assert softfp.one("fp64_div", d(1.0), NEG64) == (NEG64 | INF64, DZ)
    assert softfp.one("fp64_div", INF64, 0) == (INF64, 0)


@pytest.mark.parametrize(("rounding", "positive", "negative"), [
    (RN, INF64, INF64), (RZ, MAX64, MAX64), (RP, INF64, MAX64), (RM, MAX64, INF64)])
def test_overflow(softfp: SoftFp, rounding: int, positive: int, negative: int) -> None:
    assert softfp.one("fp64_add", MAX64, MAX64, rounding=rounding) == (positive, OF | NX)
    low = NEG64 | MAX64
    assert softfp.one("fp64_add", low, low, rounding=rounding) == (NEG64 | negative, OF | NX)


def test_halving_does_not_overflow(softfp: SoftFp) -> None:
    assert softfp.one("fp64_half_add", MAX64, MAX64) == (MAX64, 0)
    assert softfp.one("fp64_half_sub", MAX64, NEG64 | MAX64) == (MAX64, 0)
    assert softfp.one("fp64_half_add", TINY64, 0, rounding=RP) == (TINY64, UF | NX)
    assert softfp.one("fp64_half_add", d(1.0), d(4.0)) == (d(2.5), 0)


def test_tininess_is_detected_before_rounding(softfp: SoftFp) -> None:
    """(1 - 2**-53) * 2**-1022 rounds up to the smallest normal number: tiny all the same."""
    below_one = d(1.0) - 1
    assert softfp.one("fp64_mul", below_one, NORM64) == (NORM64, UF | NX)
    assert softfp.one("fp64_mul", below_one, NORM64, rounding=RZ) == (NORM64 - 1, UF | NX)


def test_exact_tiny_result_signals_only_under_ufm(softfp: SoftFp) -> None:
    half = d(0.5)
    assert softfp.one("fp64_mul", NORM64, half) == (NORM64 >> 1, 0)
    assert softfp.one("fp64_mul", NORM64, half, tem=UF) == (NORM64 >> 1, UF)
    assert softfp.one("fp64_mul", NORM64, half, tem=OF) == (NORM64 >> 1, 0)
    assert softfp.one("fp64_add", TINY64, 0, tem=UF) == (TINY64, UF)


@pytest.mark.parametrize("rounding", [RN, RZ, RP, RM])
def test_signs_of_zero(softfp: SoftFp, rounding: int) -> None:
    cancelled = NEG64 if rounding == RM else 0
    one, minus = d(1.0), d(-1.0)
    assert softfp.one("fp64_add", one, minus, rounding=rounding) == (cancelled, 0)
    assert softfp.one("fp64_sub", NEG64, NEG64, rounding=rounding) == (cancelled, 0)
    assert softfp.one("fp64_add", NEG64, NEG64, rounding=rounding) == (NEG64, 0)
    assert softfp.one("fp64_madd", one, one, minus, rounding=rounding) == (cancelled, 0)
    assert softfp.one("fp64_nmadd", one, one, minus, rounding=rounding) == (cancelled ^ NEG64, 0)
    assert softfp.one("fp64_neg_add", one, minus, rounding=rounding) == (cancelled, 0)
    assert softfp.one("fp64_neg_add", NEG64, NEG64, rounding=rounding) == (0, 0)
    assert softfp.one("fp64_neg_mul", NEG64, one, rounding=rounding) == (0, 0)
    assert softfp.one("fp64_sqrt", 0, NEG64, rounding=rounding) == (NEG64, 0)


def test_negated_forms_round_before_the_sign_change(softfp: SoftFp) -> None:
    third = softfp.one("fp64_div", d(1.0), d(3.0))[0]
    up, down = (softfp.one("fp64_madd", third, third, third, rounding=r)[0] for r in (RP, RM))
    assert up == down + 1
    assert softfp.one("fp64_nmadd", third, third, third, rounding=RP) == (up | NEG64, NX)
    assert softfp.one("fp64_nmadd", third, third, third, rounding=RM) == (down | NEG64, NX)


def test_fused_rounds_once_and_unfused_twice(softfp: SoftFp) -> None:
    """(1 + 2**-52)**2 - (1 + 2**-51) is 2**-104, which the rounded product has lost."""
    a, c = d(1.0) + 1, d(-1.0) + 2
    assert softfp.one("fp64_madd", a, a, c) == (d(2.0**-104), 0)
    assert softfp.one("fp64_umadd", a, a, c) == (0, NX)
    assert softfp.one("fp64_umadd", a, a, c, tem=NX)[1] == NX
    assert softfp.one("fp64_numsub", a, d(1.0), d(3.0)) == (d(2.0) - 1, 0)


@pytest.mark.parametrize(("name", "operand", "result", "flags"), [
    ("fp64_to_i32", d(2147483647.75), 0x7FFFFFFF, NX), ("fp64_to_i32", d(2147483648.0), 0x7FFFFFFF, NV),
    ("fp64_to_i32", d(-2147483648.5), 0x80000000, NX), ("fp64_to_i32", d(-2147483649.0), 0x80000000, NV),
    ("fp64_to_i32", d(-1.5), 0xFFFFFFFF, NX), ("fp64_to_i32", QNAN_A, 0x7FFFFFFF, NV),
    ("fp64_to_i32", QNAN_B, 0x80000000, NV), ("fp64_to_i64", d(-(2.0**63)), NEG64, 0),
    ("fp64_to_i64", d(2.0**63), NEG64 - 1, NV), ("fp64_to_i64", NEG64 | INF64, NEG64, NV),
    ("fp64_to_i64", TINY64, 0, NX), ("fp64_to_i64", NEG64, 0, 0), ("fp32_to_i64", s(-3.0), (1 << 64) - 3, 0),
    ("fp32_from_i64", (1 << 64) - 1, s(-1.0), 0), ("fp32_from_i32", 0x01000001, s(2.0**24), NX),
    ("fp64_from_i64", (1 << 53) + 1, d(2.0**53), NX), ("fp64_from_i32", 1 << 31, d(-(2.0**31)), 0),
    ("fp64_to_fp32", SNAN_B, 0xFFC00000, NV), ("fp64_to_fp32", INF64 | 0xFEDCBA9876543, 0x7FFF6E5D, 0),
    ("fp64_to_fp32", d(1.0 + 2.0**-24), s(1.0), NX), ("fp64_to_fp32", d(2.0**-150), 0, UF | NX),
    ("fp32_to_fp64", 1, d(2.0**-149), 0), ("fp32_to_fp64", 0xFF812345, 0xFFF82468A0000000, NV),
])
def test_conversions(softfp: SoftFp, name: str, operand: int, result: int, flags: int) -> None:
    assert softfp.one(name, 0, operand) == (result, flags)


@pytest.mark.parametrize(("a", "b", "relation", "lexicographic"), [
    (d(1.0), d(2.0), 1, 1), (d(2.0), d(1.0), 2, 0), (d(-1.0), d(-2.0), 2, 0), (NEG64, 0, 0, 1),
    (0, NEG64, 0, 0), (NEG64 | INF64, INF64, 1, 1), (d(1.0), d(1.0), 0, 0), (QNAN_A, d(1.0), 3, 2),
    (d(1.0), QNAN_A, 3, 3), (QNAN_A, QNAN_B, 3, 3),
])
def test_compares(softfp: SoftFp, a: int, b: int, relation: int, lexicographic: int) -> None:
    assert softfp.one("fp64_compare", a, b) == (relation, 0)
    assert softfp.one("fp64_compare_signalling", a, b) == (relation, NV if relation == 3 else 0)
    assert softfp.one("fp64_compare_lexicographic", a, b) == (lexicographic, 0)


def test_compare_of_a_signalling_nan(softfp: SoftFp) -> None:
    assert softfp.one("fp64_compare", SNAN_A, d(1.0)) == (3, NV)
    assert softfp.one("fp64_compare_lexicographic", SNAN_A, d(1.0)) == (2, 0)


def test_fsmuld_chooses_among_the_singles(softfp: SoftFp) -> None:
    signalling, quiet = INF32 | 1, INF32 | 1 << 22 | 2
    assert softfp.one("fp32_mul_fp64", signalling, quiet) == (INF64 | QUIET64 | 1 << 29, NV)
    assert softfp.one("fp32_mul_fp64", s(3.0), s(-5.0)) == (d(-15.0), 0)
    assert softfp.one("fp32_neg_mul_fp64", s(3.0), s(-5.0)) == (d(15.0), 0)
    assert softfp.one("fp32_mul_fp64", 1, 1) == (d(2.0**-298), 0)


def test_no_undefined_behaviour(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every operation over hard operands under the undefined behaviour sanitizer, which reports on stderr."""
    try:
        softfp = SoftFp(tmp_path, extra=("-fsanitize=undefined",))
    except (RuntimeError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no sanitizer: {error}")
    for name in softfp.numbers:
        softfp.run(name, random_cases(random.Random(f"ub {name}"), name, 500))
    assert "runtime error" not in capfd.readouterr().err
