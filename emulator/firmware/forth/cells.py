"""Cells: 64-bit numbers, their arithmetic and their text.

A cell is an int from 0 to 2**64 - 1. Source: IEEE 1275-1994, 2.4 and annex A; division truncates as OpenBoot's does.
"""

from __future__ import annotations

MASK = (1 << 64) - 1
SIGN = 1 << 63
TRUE = MASK
MIN_BASE, MAX_BASE = 2, 36
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def signed(cell: int) -> int:
    """A cell as a signed number."""
    return cell - (1 << 64) if cell & SIGN else cell


def flag(truth: bool) -> int:
    """Truth as Forth has it: all bits set, or none."""
    return TRUE if truth else 0


def divide(dividend: int, divisor: int) -> tuple[int, int]:
    """(quotient, remainder) of signed numbers, rounded towards zero. Raises ZeroDivisionError."""
    quotient = abs(dividend) // abs(divisor)
    if (dividend < 0) != (divisor < 0):
        quotient = -quotient
    return quotient, dividend - quotient * divisor


def digits(number: int, base: int) -> str:
    """Text of a number in a base, with a minus sign where it is negative."""
    base = base if MIN_BASE <= base <= MAX_BASE else 16
    if base == 16:
        return f"{number:x}"
    if base == 10:
        return str(number)
    rest, out = abs(number), ""
    while rest or not out:
        rest, digit = divmod(rest, base)
        out = _DIGITS[digit] + out
    return f"-{out}" if number < 0 else out


def digit(character: str, base: int) -> int | None:
    """Value of one digit, or None."""
    value = _DIGITS.find(character.lower()) if character else -1
    return value if 0 <= value < base else None


def number(text: str, base: int) -> list[int] | None:
    """Cells of a number as it is typed: one, or two (low, high) where it ends in a point; None: not a number.

    Points and commas may stand between digits, to group them: ``f000.0000``. A number too long for a cell keeps its
    low bits.
    """
    negative = text.startswith("-")
    body = text[1:] if negative else text
    double = body.endswith(".") and len(body) > 1
    body = body.removesuffix(".") if double else body
    if not MIN_BASE <= base <= MAX_BASE or not body or len(body) > 300:
        return None
    value, grouped = 0, True
    for character in body:
        if character in ".,":
            if grouped:
                return None
            grouped = True
            continue
        found = digit(character, base)
        if found is None:
            return None
        value, grouped = value * base + found, False
    if grouped:
        return None
    value = -value if negative else value
    return [value & MASK, value >> 64 & MASK] if double else [value & MASK]
