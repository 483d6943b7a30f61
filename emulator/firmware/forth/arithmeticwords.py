"""Arithmetic, comparison and the words that take numbers apart."""

from __future__ import annotations

from collections.abc import Callable

from emulator.firmware.forth import throw
from emulator.firmware.forth.cells import MASK, TRUE, divide, flag, signed
from emulator.firmware.forth.machine import Forth
from emulator.firmware.forth.words import Handler, WordList

words = WordList("Arithmetic")


def _on(count: int, function: Callable[..., int], *, sign: bool) -> Handler:
    """A handler: `count` cells in, one out; as signed numbers where `sign`."""

    def handler(forth: Forth) -> None:
        values = forth.pops(count)
        forth.push(function(*(map(signed, values) if sign else values)))

    return handler


def _quotient(a: int, b: int) -> int:
    return _divided(a, b)[0]


def _divided(a: int, b: int) -> tuple[int, int]:
    if not b:
        raise throw.trap(throw.DIVISION_BY_ZERO)
    return divide(a, b)


def _shift(count: int) -> int:
    """A shift count: the processor looks at six bits."""
    return count & 63


BINARY_SIGNED: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": _quotient, "mod": lambda a, b: _divided(a, b)[1],
    "min": min, "max": max,
    "<": lambda a, b: flag(a < b), ">": lambda a, b: flag(a > b),
    "<=": lambda a, b: flag(a <= b), ">=": lambda a, b: flag(a >= b),
    "=": lambda a, b: flag(a == b), "<>": lambda a, b: flag(a != b),
}  # fmt: skip
BINARY_UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "lshift": lambda a, n: a << _shift(n), "<<": lambda a, n: a << _shift(n),
    "rshift": lambda a, n: a >> _shift(n), ">>": lambda a, n: a >> _shift(n),
    ">>a": lambda a, n: signed(a) >> _shift(n),
    "u<": lambda a, b: flag(a < b), "u>": lambda a, b: flag(a > b),
    "u<=": lambda a, b: flag(a <= b), "u>=": lambda a, b: flag(a >= b),
    "umin": min, "umax": max,
}  # fmt: skip
UNARY_SIGNED: dict[str, Callable[[int], int]] = {
    "negate": lambda a: -a, "abs": abs, "1+": lambda a: a + 1, "1-": lambda a: a - 1, "2+": lambda a: a + 2,
    "2-": lambda a: a - 2, "2*": lambda a: a * 2, "2/": lambda a: a >> 1, "4*": lambda a: a * 4,
    "invert": lambda a: ~a, "not": lambda a: ~a,
    "0=": lambda a: flag(a == 0), "0<>": lambda a: flag(a != 0), "0<": lambda a: flag(a < 0),
    "0>": lambda a: flag(a > 0), "0<=": lambda a: flag(a <= 0), "0>=": lambda a: flag(a >= 0),
    "even": lambda a: a + (a & 1),
    "/n*": lambda a: a * 8, "/x*": lambda a: a * 8, "/l*": lambda a: a * 4, "/w*": lambda a: a * 2, "/c*": lambda a: a,
    "cells": lambda a: a * 8, "chars": lambda a: a,
    "na1+": lambda a: a + 8, "xa1+": lambda a: a + 8, "la1+": lambda a: a + 4, "wa1+": lambda a: a + 2,
    "ca1+": lambda a: a + 1, "cell+": lambda a: a + 8, "char+": lambda a: a + 1,
}  # fmt: skip
UNARY_UNSIGNED: dict[str, Callable[[int], int]] = {
    "u2/": lambda a: a >> 1, "aligned": lambda a: a + 7 & ~7,
    "wbflip": lambda a: _flip(a, 2, 1), "lbflip": lambda a: _flip(a, 4, 1), "lwflip": lambda a: _flip(a, 4, 2),
    "xbflip": lambda a: _flip(a, 8, 1), "xwflip": lambda a: _flip(a, 8, 2), "xlflip": lambda a: _flip(a, 8, 4),
    "lcc": lambda a: a + 32 if 0x41 <= a <= 0x5A else a, "upc": lambda a: a - 32 if 0x61 <= a <= 0x7A else a,
    "l->n": lambda a: (a & 0xFFFF_FFFF) - (a << 1 & 1 << 32), "n->l": lambda a: a & 0xFFFF_FFFF,
    "w->n": lambda a: (a & 0xFFFF) - (a << 1 & 1 << 16),
}  # fmt: skip
INDEXED = {"ca+": 1, "wa+": 2, "la+": 4, "xa+": 8, "na+": 8}
CONSTANTS = {
    "true": TRUE, "false": 0, "0": 0, "1": 1, "2": 2, "3": 3, "-1": TRUE, "bl": 32, "bell": 7, "bs": 8, "carret": 13,
    "linefeed": 10, "newline": 10, "/c": 1, "/w": 2, "/l": 4, "/x": 8, "/n": 8,
}  # fmt: skip


def _flip(value: int, size: int, unit: int) -> int:
    """Exchange the units of a number of `size` bytes, first with last."""
    data = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
    parts = [data[place : place + unit] for place in range(0, size, unit)]
    return int.from_bytes(b"".join(reversed(parts)), "big")


def _constant(value: int) -> Handler:
    return lambda forth: forth.push(value)


def _indexed(size: int) -> Handler:
    return _on(2, lambda address, index: address + index * size, sign=False)


for _name, _function in BINARY_SIGNED.items():
    words(_name, "( n1 n2 -- n3 )")(_on(2, _function, sign=True))
for _name, _function in BINARY_UNSIGNED.items():
    words(_name, "( u1 u2 -- u3 )")(_on(2, _function, sign=False))
for _name, _single in UNARY_SIGNED.items():
    words(_name, "( n1 -- n2 )")(_on(1, _single, sign=True))
for _name, _single in UNARY_UNSIGNED.items():
    words(_name, "( u1 -- u2 )")(_on(1, _single, sign=False))
for _name, _size in INDEXED.items():
    words(_name, "( addr1 index -- addr2 )")(_indexed(_size))
for _name, _value in CONSTANTS.items():
    words(_name, "( -- n )")(_constant(_value))
words("within", "( n min max -- flag )", help="min <= n < max")(
    _on(3, lambda n, low, high: flag((n - low) & MASK < (high - low) & MASK), sign=False)
)
words("between", "( n min max -- flag )", help="min <= n <= max")(
    _on(3, lambda n, low, high: flag(low <= n <= high), sign=True)
)


@words("/mod", "( n1 n2 -- rem quot )")
def _slash_mod(forth: Forth) -> None:
    dividend, divisor = map(signed, forth.pops(2))
    quotient, remainder = _divided(dividend, divisor)
    forth.push(remainder, quotient)


@words("u/mod", "( u1 u2 -- rem quot )")
def _u_slash_mod(forth: Forth) -> None:
    dividend, divisor = forth.pops(2)
    quotient, remainder = _divided(dividend, divisor)
    forth.push(remainder, quotient)


@words("*/", "( n1 n2 n3 -- quot )", help="n1 * n2 / n3")
def _star_slash(forth: Forth) -> None:
    a, b, c = map(signed, forth.pops(3))
    forth.push(_divided(a * b, c)[0])


@words("*/mod", "( n1 n2 n3 -- rem quot )")
def _star_slash_mod(forth: Forth) -> None:
    a, b, c = map(signed, forth.pops(3))
    quotient, remainder = _divided(a * b, c)
    forth.push(remainder, quotient)


def _push_double(forth: Forth, value: int) -> None:
    """A number of two cells, the low one first."""
    forth.push(value, value >> 64)


def _pop_double(forth: Forth) -> int:
    low, high = forth.pops(2)
    return low | high << 64


def _signed_double(value: int) -> int:
    return value - (1 << 128) if value >> 127 else value


@words("um*", "( u1 u2 -- ud )")
def _um_star(forth: Forth) -> None:
    a, b = forth.pops(2)
    _push_double(forth, a * b)


@words("m*", "( n1 n2 -- d )")
def _m_star(forth: Forth) -> None:
    a, b = map(signed, forth.pops(2))
    _push_double(forth, a * b)


@words("um/mod", "( ud u -- rem quot )")
def _um_slash_mod(forth: Forth) -> None:
    divisor = forth.pop()
    quotient, remainder = _divided(_pop_double(forth), divisor)
    forth.push(remainder, quotient)


@words("sm/rem", "( d n -- rem quot )", help="Rounded towards zero")
def _sm_slash_rem(forth: Forth) -> None:
    divisor = forth.pop_signed()
    quotient, remainder = _divided(_signed_double(_pop_double(forth)), divisor)
    forth.push(remainder, quotient)


@words("fm/mod", "( d n -- rem quot )", help="Rounded down")
def _fm_slash_mod(forth: Forth) -> None:
    divisor = forth.pop_signed()
    dividend = _signed_double(_pop_double(forth))
    if not divisor:
        raise throw.trap(throw.DIVISION_BY_ZERO)
    forth.push(dividend % divisor, dividend // divisor)


@words("s>d", "( n -- d )")
def _s_to_d(forth: Forth) -> None:
    _push_double(forth, forth.pop_signed())


@words("d+", "( d1 d2 -- d3 )")
def _d_plus(forth: Forth) -> None:
    second = _pop_double(forth)
    _push_double(forth, _pop_double(forth) + second)


@words("d-", "( d1 d2 -- d3 )")
def _d_minus(forth: Forth) -> None:
    second = _pop_double(forth)
    _push_double(forth, _pop_double(forth) - second)


@words("bounds", "( start len -- end start )")
def _bounds(forth: Forth) -> None:
    start, length = forth.pops(2)
    forth.push(start + length, start)


def _split(size: int, unit: int) -> Handler:
    """A handler that takes a number apart, the low unit deepest."""

    def handler(forth: Forth) -> None:
        value = forth.pop()
        forth.push(*(value >> place & (1 << 8 * unit) - 1 for place in range(0, 8 * size, 8 * unit)))

    return handler


def _join(size: int, unit: int) -> Handler:
    """A handler that puts a number together, the low unit deepest."""

    def handler(forth: Forth) -> None:
        parts = forth.pops(size // unit)
        forth.push(sum((part & (1 << 8 * unit) - 1) << 8 * unit * index for index, part in enumerate(parts)))

    return handler


for _big, _big_size in {"w": 2, "l": 4, "x": 8}.items():
    for _small, _small_size in {"b": 1, "w": 2, "l": 4}.items():
        if _small_size < _big_size:
            words(f"{_big}{_small}split", "( n -- low ... high )")(_split(_big_size, _small_size))
            words(f"{_small}{_big}join", "( low ... high -- n )")(_join(_big_size, _small_size))
