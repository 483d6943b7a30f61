"""Translated floating point against the interpreter's: operands at the ends of the exponents' ranges."""

from __future__ import annotations

import os
import random

import pytest
from engine_guests import NOP, add, branch, machine, sethi

from emulator.errors import EngineError

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
FP_TABLE, FP_RESULTS, FP_FSR = 0x40000, 0x100000, 0x30000
FP_DOUBLES = [sign << 63 | exponent << 52 | mantissa
               for sign in (0, 1)
              for exponent in (0, 1, 2, 0x1FF, 0x200, 0x3FE, 0x3FF, 0x41D, 0x41E, 0x43E, 0x5FF, 0x7FD, 0x7FE, 0x7FF)
              for mantissa in (0, 1, (1 << 52) - 1)]  # fmt: skip
FP_SINGLES = [sign << 31 | exponent << 23 | mantissa
              for sign in (0, 1) for exponent in (0, 1, 2, 0x3F, 0x40, 0x7F, 0x9D, 0x9E, 0xBD, 0xFD, 0xFE, 0xFF)
              for mantissa in (0, 1, (1 << 23) - 1)]  # fmt: skip
# opf of what is tried; 0x100 and above: FPop2, a compare
FP_OPS = {"double": (0x42, 0x46, 0x4A, 0x4E, 0x2A, 0x02, 0x06, 0x0A, 0xC6, 0xD2, 0x82, 0xC8, 0x88, 0x152, 0x156),
          "single": (0x41, 0x45, 0x49, 0x4D, 0x29, 0x01, 0x05, 0x09, 0xC9, 0xD1, 0x81, 0xC4, 0x84, 0x69, 0x151, 0x155)}


def _fp_operation(opf: int) -> int:
    """On %f0 and %f2, to %f4."""
    op3 = 0x35 if opf & 0x100 else 0x34
    return 2 << 30 | (0 if opf & 0x100 else 4 << 25) | op3 << 19 | (opf & 0xFF) << 5 | 2


def _fp_loop(width: str, count: int) -> list[int]:
    """For each pair of operands every operation, its result and the FSR after it."""
    def memory(op3: int, rd: int, rs1: int, offset: int) -> int:
        return 3 << 30 | rd << 25 | op3 << 19 | rs1 << 14 | 0x2000 | offset

    body = [memory(0x23, 0, 8, 0), memory(0x23, 2, 8, 8)]
    if width == "single":
        body = [memory(0x20, 0, 8, 0), memory(0x20, 2, 8, 4)]
    for opf in FP_OPS[width]:
        body += [_fp_operation(opf), memory(0x27, 4, 10, 0), memory(0x25, 1, 10, 8), add(10, 10, 16)]
    body += [add(8, 8, 16 if width == "double" else 8), 0x80A02001 | 9 << 25 | 9 << 14]  # subcc %o1, 1, %o1
    setup = [2 << 30 | 6 << 25 | 0x32 << 19 | 0x2014, 2 << 30 | 6 << 25 | 0x30 << 19 | 0x2004]  # %pstate, %fprs
    setup += [sethi(9, count), 0x80102000 | 9 << 25 | 9 << 14 | count & 0x3FF]
    setup += [sethi(8, FP_TABLE), sethi(10, FP_RESULTS), sethi(11, FP_FSR), memory(0x21, 1, 11, 0)]
    return [*setup, *body, branch(-len(body), cond=9), NOP, branch(0), NOP]


@pytest.mark.parametrize("rounding", range(4))
@pytest.mark.parametrize("width", ["double", "single"])
def test_floating_point_at_the_ends_of_the_range(width: str, rounding: int) -> None:
    values, size = (FP_DOUBLES, 8) if width == "double" else (FP_SINGLES, 4)
    rng = random.Random(f"{SEED} {width} {rounding}")
    pairs = [(rng.choice(values), rng.choice(values)) for _ in range(3000)]
    table = b"".join(a.to_bytes(size, "big") + b.to_bytes(size, "big") for a, b in pairs)
    results = []
    for engine in ("interpreter", "translator"):
        with machine(*_fp_loop(width, len(pairs))) as guest:
            try:
                guest.use_engine(engine, hot_entries=2)
            except EngineError as none:
                pytest.skip(str(none))
            guest.memory.write(FP_TABLE, table)
            guest.memory.write(FP_FSR, (rounding << 30).to_bytes(8, "big"))
            guest.run(len(pairs) * (4 * len(FP_OPS[width]) + 6))
            per_pair = 16 * len(FP_OPS[width])
            results.append((guest.digest(), bytes(guest.memory.read(FP_RESULTS, per_pair * len(pairs)))))
    assert any(results[0][1][-per_pair:])
    assert results[0] == results[1]
