"""Every FP row on the engine: operands, results, FSR (cexc, aexc, fcc, ftt), FPRS and traps, against MPFR.

Single instructions through the stepper and through blocks, then programs of many, so that the flags which the engine
collects late add up as they must. What each row computes is stated here by name, apart from its body.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from engine_support import BLOCK, CODE, GSR_BITS, MASK64, Bench, Registers, double_index
from isa_support import SEED

pytest.importorskip("gmpy2", reason="the oracle is MPFR, through gmpy2")

from fp_operands import random_cases
from fp_reference import expected

from csrc.isa.groups import load_rows
from csrc.isa.table import Op

STATES = int(os.environ.get("S4V_ENGINE_STATES", "24"))  # of every row
ROWS = {row.name: row for row in load_rows(("fp",))}
QUAD = {name for name, row in ROWS.items() if "quad" in row.flags}  # see test_feature_bits.py
NX, DZ, UF, OF, NV = 1, 2, 4, 8, 16
IEEE_TRAP = 0x21
AEXC, TEM, RD, FTT = 5, 23, 30, 14
FCC_AT = (10, 32, 34, 36)

OPERATIONS = {
    "fadd": "add", "fsub": "sub", "fmul": "mul", "fdiv": "div", "fsqrt": "sqrt", "fhadd": "half_add",
    "fhsub": "half_sub", "fnadd": "neg_add", "fnmul": "neg_mul", "fnhadd": "neg_half_add", "fcmp": "compare",
    "fcmpe": "compare_signalling", "flcmp": "compare_lexicographic", "fmadd": "madd", "fmsub": "msub",
    "fnmadd": "nmadd", "fnmsub": "nmsub", "fumadd": "umadd", "fumsub": "umsub", "fnumadd": "numadd",
    "fnumsub": "numsub",
}  # fmt: skip
ARITHMETIC = {stem + letter: f"fp{bits}_{name}" for stem, name in OPERATIONS.items()
              for letter, bits in (("s", 32), ("d", 64))}  # fmt: skip
ARITHMETIC |= {
    "fsmuld": "fp32_mul_fp64", "fnsmuld": "fp32_neg_mul_fp64", "fstox": "fp32_to_i64", "fdtox": "fp64_to_i64",
    "fxtos": "fp32_from_i64", "fxtod": "fp64_from_i64", "fitos": "fp32_from_i32", "fitod": "fp64_from_i32",
    "fdtos": "fp64_to_fp32", "fstod": "fp32_to_fp64", "fstoi": "fp32_to_i32", "fdtoi": "fp64_to_i32",
}  # fmt: skip
SIGNS = {"fmov": lambda v, sign: v, "fneg": lambda v, sign: v ^ sign, "fabs": lambda v, sign: v & ~sign}
# condition -> the relations (0 equal, 1 less, 2 greater, 3 unordered) under which it holds
FCC = {"n": "", "ne": "123", "lg": "12", "ul": "13", "l": "1", "ug": "23", "g": "2", "u": "3", "a": "0123", "e": "0",
       "ue": "03", "ge": "02", "uge": "023", "le": "01", "ule": "013", "o": "012"}  # fmt: skip
# condition on N, Z, V, C
ICC = {
    "n": lambda n, z, v, c: False, "e": lambda n, z, v, c: z, "le": lambda n, z, v, c: z or n != v,
    "l": lambda n, z, v, c: n != v, "leu": lambda n, z, v, c: c or z, "cs": lambda n, z, v, c: c,
    "neg": lambda n, z, v, c: n, "vs": lambda n, z, v, c: v, "a": lambda n, z, v, c: True,
    "ne": lambda n, z, v, c: not z, "g": lambda n, z, v, c: not z and n == v, "ge": lambda n, z, v, c: n == v,
    "gu": lambda n, z, v, c: not c and not z, "cc": lambda n, z, v, c: not c, "pos": lambda n, z, v, c: not n,
    "vc": lambda n, z, v, c: not v,
}  # fmt: skip
REGISTER = {"e": lambda v: v == 0, "lez": lambda v: v <= 0, "lz": lambda v: v < 0, "ne": lambda v: v != 0,
            "gz": lambda v: v > 0, "gez": lambda v: v >= 0}  # fmt: skip


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[str, Bench]]:
    """The M7, and the M10 for the multiply-add that is rounded twice."""
    with Bench("m7") as first, Bench("m10") as second:
        yield {"m7": first, "m10": second}


def operand(row: Op, word: int, state: Registers, place: str) -> int:
    """The FP source `place` (1 to 3) of a word, 0 where the row has none."""
    number = {"1": word >> 14, "2": word, "3": word >> 9}[place] & 31
    if "fs" + place in row.sources:
        return state.single(number)
    return state.doubles[double_index(number)] if "fd" + place in row.sources else 0


def write(row: Op, word: int, state: Registers, value: int) -> None:
    """The FP destination."""
    rd = word >> 25 & 31
    if (row.dest or "").startswith("fs"):
        state.set_single(rd, value)
    else:
        state.set_double(double_index(rd), value)


def condition(row: Op, word: int, state: Registers) -> bool:
    """Whether a conditional move of FP registers moves."""
    name = row.name.removeprefix("fmov")
    if name.startswith("r"):
        value = state.integers[word >> 14 & 31]
        return REGISTER[name[2:]](value - (1 << 64) if value >> 63 else value)
    cond, kind = name[1:].split("_")
    if kind == "fcc":
        return str(state.fsr >> FCC_AT[word >> 11 & 3] & 3) in FCC[cond]
    nzvc = state.ccr >> (4 if kind == "xcc" else 0)
    return bool(ICC[cond](*(bool(nzvc >> bit & 1) for bit in (3, 2, 1, 0))))


def arithmetic(row: Op, word: int, state: Registers) -> int:
    """One arithmetic instruction on `state`; the trap it raises."""
    rounding = state.gsr >> 25 & 3 if state.gsr >> 27 & 1 else state.fsr >> RD & 3
    tem = state.fsr >> TEM & 31
    a, b, c = (operand(row, word, state, place) for place in "123")
    result, flags = expected(ARITHMETIC[row.name], a, b, c, rounding, tem)
    if row.name.startswith("flcmp"):  # no FPop: FSR but for fcc stays
        at = FCC_AT[word >> 25 & 3]
        state.fsr = state.fsr & ~(3 << at) | result << at
        return 0
    state.fsr &= ~(7 << FTT | 31)
    if taken := flags & tem:
        state.fsr |= 1 << FTT | next(bit for bit in (NV, DZ, OF, UF, NX) if taken & bit)
        return IEEE_TRAP
    state.fsr |= flags | flags << AEXC
    if row.dest:
        write(row, word, state, result)
    else:
        at = FCC_AT[word >> 25 & 3]
        state.fsr = state.fsr & ~(3 << at) | result << at
    return 0


def execute(row: Op, word: int, state: Registers) -> int:
    """The model: one instruction on `state`; the trap it raises."""
    if row.name in ARITHMETIC:
        return arithmetic(row, word, state)
    stem = row.name[:-1]
    state.fsr &= ~(7 << FTT | 31)
    value = operand(row, word, state, "2")
    if stem in SIGNS:
        sign = 1 << (31 if row.name.endswith("s") else 63)
        write(row, word, state, SIGNS[stem](value, sign))
    elif condition(row, word, state):
        write(row, word, state, value)
    return 0


def random_operands(row: Op, rng: random.Random) -> list[int]:
    """Operands 1 to 3: hard ones for arithmetic."""
    if row.name in ARITHMETIC:
        return list(random_cases(rng, ARITHMETIC[row.name], 1)[0][:3])
    return [rng.getrandbits(64) for _ in range(3)]


def random_state(rng: random.Random) -> Registers:
    """All registers at random; FSR with rounding and flags, no traps enabled."""
    fsr = rng.getrandbits(2) << RD | rng.getrandbits(6) << 32 | rng.getrandbits(2) << 10 | rng.getrandbits(10)
    state = Registers([0] + [rng.getrandbits(64) >> rng.choice((0, 0, 64)) for _ in range(31)],
                      [rng.getrandbits(64) for _ in range(32)], ccr=rng.getrandbits(8), fsr=fsr)  # fmt: skip
    state.gsr = (rng.getrandbits(32) << 32 | rng.getrandbits(3) << 25) & GSR_BITS
    return state


def place_operands(row: Op, word: int, state: Registers, values: list[int]) -> None:
    """Put operands where the word looks for them; FPRS stays clean."""
    for place, value in zip("123", values, strict=True):
        number = {"1": word >> 14, "2": word, "3": word >> 9}[place] & 31
        if "fs" + place in row.sources:
            state.set_single(number, value & 0xFFFFFFFF)
        elif "fd" + place in row.sources:
            state.set_double(double_index(number), value & MASK64)
    state.fprs = 4


def same(got: Registers, wanted: Registers, *, exact_dirty: bool) -> bool:
    """Equal; a conditional move that does not move may still mark its destination dirty (V9 5.2.1.1)."""
    if not exact_dirty and got.fprs & wanted.fprs == wanted.fprs:
        got = replace(got, fprs=wanted.fprs)
    return got == wanted


def bench_of(row: Op, benches: dict[str, Bench]) -> Bench:
    """A machine that has the row."""
    return benches["m10" if row.feature == "fjfmau" else "m7"]


def test_every_row_has_a_model() -> None:
    moves = {name for name, row in ROWS.items() if "fop" in row.flags}
    assert set(ROWS) == set(ARITHMETIC) | moves | QUAD
    assert not set(ARITHMETIC) & moves


@pytest.mark.parametrize("budget", [1, BLOCK], ids=["stepper", "blocks"])
@pytest.mark.parametrize("name", sorted(set(ROWS) - QUAD))
def test_row_on_the_engine(benches: dict[str, Bench], name: str, budget: int) -> None:
    row, rng = ROWS[name], random.Random(f"{SEED} {name} {budget}")
    print(f"S4V_TEST_SEED={SEED} S4V_ENGINE_STATES={STATES}")
    bench = bench_of(row, benches)
    for _ in range(STATES if name in ARITHMETIC else STATES // 4):
        match, mask, _ = rng.choice(row.forms())
        word, state = match | rng.getrandbits(32) & ~mask, random_state(rng)
        state.fsr |= rng.choice((0, 0, 4, 31, rng.getrandbits(5))) << TEM
        place_operands(row, word, state, random_operands(row, rng))
        bench.place([word])
        after, trap = bench.run(state, budget=budget)
        wanted = replace(state, integers=list(state.integers), doubles=list(state.doubles))
        assert trap == execute(row, word, wanted), f"{name} {word:#010x} trap {trap:#x}"
        moved = "fop" not in row.flags or after.doubles != state.doubles
        assert same(after, wanted, exact_dirty=moved), f"{name} {word:#010x}: {after.differences(wanted)}"


def random_program(rng: random.Random, length: int) -> list[tuple[Op, int]]:
    """Rows and words, mostly arithmetic."""
    rows = [row for name, row in ROWS.items() if name not in QUAD and row.feature != "fjfmau"]
    fast = [row for row in rows if row.name in ARITHMETIC]
    program = []
    for _ in range(length):
        row = rng.choice(fast if rng.random() < 0.8 else rows)
        match, mask, _ = rng.choice(row.forms())
        program.append((row, match | rng.getrandbits(32) & ~mask))
    return program


@pytest.mark.parametrize("budget", [40, 1 << 12], ids=["exact", "blocks"])
@pytest.mark.parametrize("tem", [0, NX, DZ | OF, UF, NV, 31])
def test_programs(benches: dict[str, Bench], budget: int, tem: int) -> None:
    """Forty instructions in a row: exceptions accrue, cexc is the last FPop's, rounding holds throughout.

    With exceptions enabled the first one that is raised ends the program, at its own address.
    """
    rng, bench, trapped = random.Random(f"{SEED} programs {budget} {tem}"), benches["m7"], 0
    print(f"S4V_TEST_SEED={SEED} S4V_ENGINE_STATES={STATES}")
    for _ in range(2 * STATES):
        state, program = random_state(rng), random_program(rng, 40)
        state.doubles = [rng.choice((0x3FF, 0x400, 0x3FE, 0x433)) << 52 | rng.getrandbits(50) << 2 for _ in range(32)]
        state.fsr = state.fsr & ~(1 << 4) | tem << TEM
        bench.place([word for _, word in program])
        after, trap = bench.run(state, budget=budget)
        wanted = replace(state, integers=list(state.integers), doubles=list(state.doubles))
        stop, expected_trap = 0, 0
        for stop, (row, word) in enumerate(program):  # noqa: B007
            expected_trap = execute(row, word, wanted)
            if expected_trap:
                break
        text = " ".join(row.name for row, _ in program[:stop + 1])
        assert trap == expected_trap, text
        if trap:
            trapped += 1
            assert bench.regs["tpc1"] == CODE + 4 * stop, text
        assert same(after, wanted, exact_dirty=False), f"{text}: {after.differences(wanted)}"
    assert (trapped > 0) == (tem != 0)
