"""Operands for floating-point tests, leaning to where results are hard to get right."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction

Case = tuple[int, int, int, int, int]  # a, b, c, rounding, tem
TEMS = (0, 0, 4, 31)


def specials(bits: int) -> list[int]:
    """Both signs of zero, the ends of the subnormal and normal ranges, one, infinity, NaNs."""
    fraction = 23 if bits == 32 else 52
    sign, one_exp = 1 << (bits - 1), (127 if bits == 32 else 1023) << fraction
    infinity = sign - (1 << fraction)
    smallest, quiet = 1 << fraction, 1 << (fraction - 1)
    positive = [0, 1, 2, 3, quiet, smallest - 2, smallest - 1, smallest, smallest + 1, 2 * smallest - 1,
                2 * smallest, 2 * smallest + 1, one_exp - 1, one_exp, one_exp + 1, one_exp + quiet,
                one_exp + smallest, infinity - smallest, infinity - 1, infinity,
                infinity | 1, infinity | quiet >> 1, infinity | quiet - 1, infinity | quiet,
                infinity | quiet | 0x123, sign - 1]
    return positive + [v | sign for v in positive]


def _random_number(rng: random.Random, bits: int, near: int) -> int:
    """Random sign, exponent and fraction, each with a leaning to the difficult."""
    width = 23 if bits == 32 else 52
    ones = (1 << (bits - 1 - width)) - 1
    fraction = rng.getrandbits(width)
    style = rng.randrange(8)
    if style == 0:
        fraction = 1 << rng.randrange(width)
    elif style == 1:
        fraction = (1 << width) - 1 - rng.randrange(4)
    elif style == 2:
        fraction &= -1 << rng.randrange(width)
    elif style == 3:
        fraction = rng.randrange(4)
    where = rng.randrange(10)
    if where < 4:
        exponent = min(max(near + rng.randrange(-4, 5), 0), ones)
    elif where == 4:
        exponent = rng.randrange(3)
    elif where == 5:
        exponent = ones - rng.randrange(3)
    else:
        exponent = rng.randrange(ones)
    return rng.getrandbits(1) << (bits - 1) | exponent << width | fraction


def encode_truncated(value: Fraction, bits: int) -> int:
    """The number of the format next to value towards zero; the largest one where value is beyond."""
    width, bias = (23, 127) if bits == 32 else (52, 1023)
    magnitude = abs(value)
    if magnitude == 0:
        return 0
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    exponent = min(max(exponent, 1 - bias), bias)
    scaled = math.floor(magnitude / Fraction(2) ** (exponent - width))
    scaled = min(scaled, (2 << width) - 1)
    return (value < 0) << (bits - 1) | ((exponent + bias - 1) << width) + scaled


def _decode(a: int, bits: int) -> float:
    value: float = struct.unpack(">f" if bits == 32 else ">d", a.to_bytes(bits // 8, "big"))[0]
    return value


def _aimed(rng: random.Random, bits: int, operation: str, a: int, b: int) -> tuple[int, int, int]:
    """Operands whose result lies near a tie, near zero, near the underflow or the overflow threshold."""
    width, bias = (23, 127) if bits == 32 else (52, 1023)
    ones = 2 * bias + 1
    sign = 1 << (bits - 1)
    c = _random_number(rng, bits, rng.randrange(ones))
    ea = a >> width & ones
    target = rng.choice((0, 0, 0, ones, ones - 1, -width, rng.randrange(ones)))
    if "div" in operation:
        eb = ea + bias - target
    elif "mul" in operation or "madd" in operation or "msub" in operation:
        eb = target + bias - ea
    else:
        eb = ea - rng.choice((width, width + 1, width + 2, 1, 0))
    eb = min(max(eb + rng.randrange(-1, 2), 0), ones - 1)
    b = b & ~(ones << width) | eb << width
    x, y = _decode(a, bits), _decode(b, bits)
    if math.isfinite(x) and math.isfinite(y) and rng.random() < 0.7:
        product = Fraction(x) * Fraction(y)
        c = encode_truncated(product * rng.choice((1, 1, Fraction(1, 2 << width), Fraction(1, 4 << width),
                                                   2 << width, 4 << width)), bits)
        c ^= rng.choice((0, sign, sign))
        c = min((c & (sign - 1)) + rng.choice((0, 0, 1)), sign - 1) | c & sign
    return a, b, c


def random_cases(rng: random.Random, operation: str, count: int) -> list[Case]:
    """Cases for an operation named as in fp_driver.c."""
    bits = 32 if operation.startswith("fp32") else 64
    ones = 0xFF if bits == 32 else 0x7FF
    special = specials(bits)
    cases = []
    for _ in range(count):
        near = rng.randrange(ones)
        a, b, c = (_random_number(rng, bits, near) for _ in range(3))
        style = rng.randrange(8)
        if style < 3:
            a, b, c = _aimed(rng, bits, operation, a, b)
        elif style == 3:
            a, b, c = (rng.choice(special) if rng.random() < 0.5 else v for v in (a, b, c))
        elif style == 4:
            a, b, c = (rng.choice(special) for _ in range(3))
        if "from_i" in operation:
            b = (rng.getrandbits(64) >> rng.randrange(64)) ^ (-rng.getrandbits(1) & (1 << 64) - 1)
        elif "to_fp32" in operation and style < 6:
            # a double around a single, or around the middle of two
            single = _random_number(rng, 32, rng.choice((0, 1, 254, near >> 3)))
            value = _decode(single, 32)
            if math.isfinite(value):
                b = struct.unpack(">Q", struct.pack(">d", value))[0]
                b = (b + rng.choice((0, 1 << 28, 1, (1 << 28) + 1, (1 << 28) - 1))) & (1 << 64) - 1
        elif "to_i" in operation and style < 6:
            exponent = (ones >> 1) + rng.choice((-1, 0, 22, 23, 30, 31, 32, 51, 52, 53, 61, 62, 63, 64))
            b = b & ~(ones << (bits - 1 - ones.bit_length())) | exponent << (bits - 1 - ones.bit_length())
        cases.append((a, b, c, rng.randrange(4), rng.choice(TEMS)))
    return cases
