"""Words that show numbers and text, and number bases. Source: IEEE 1275-1994, annex A; `.s` as OpenBoot."""

from __future__ import annotations

from emulator.firmware.forth import throw
from emulator.firmware.forth.cells import MASK, digits, number, signed
from emulator.firmware.forth.machine import Forth
from emulator.firmware.forth.space import BASE_CELL, PICTURE_BYTES, PICTURE_END, SPACE_BASE
from emulator.firmware.forth.words import Handler, WordList

words = WordList("Numeric output")
radix = WordList("Radix")
SPACES_LIMIT = 1024
TYPE_LIMIT = 64 << 10


def type_bytes(forth: Forth, text: bytes) -> None:
    """Print a string; its bytes go out as they are. Raises ThrowError for one of more than TYPE_LIMIT bytes."""
    if len(text) > TYPE_LIMIT:
        raise throw.abort("Length too large")
    forth.emit(text.decode("latin-1"))


@words(".", "( n -- )", help="Show a number in the current base")
def _dot(forth: Forth) -> None:
    forth.emit(digits(forth.pop_signed(), forth.base) + " ")


@words("u.", "( u -- )", help="Show a number without sign")
def _u_dot(forth: Forth) -> None:
    forth.emit(digits(forth.pop(), forth.base) + " ")


@words("s.", "( n -- )")
def _s_dot(forth: Forth) -> None:
    _dot(forth)


@words(".d", "( n -- )", help="Show a number in base 10")
def _dot_d(forth: Forth) -> None:
    forth.emit(f"{forth.pop_signed()} ")


@words(".h", "( n -- )", help="Show a number in base 16")
def _dot_h(forth: Forth) -> None:
    forth.emit(digits(forth.pop_signed(), 16) + " ")


@words(".x", "( u -- )", help="Show a number in base 16, without sign")
def _dot_x(forth: Forth) -> None:
    forth.emit(f"{forth.pop():x} ")


@words(".s", "( ... -- ... )", help="Show the stack without changing it")
def _dot_s(forth: Forth) -> None:
    shown = " ".join(digits(signed(cell), forth.base) for cell in forth.stack)
    forth.emit(f"{shown} " if shown else "Empty ")


def _right(forth: Forth, text: str, width: int) -> None:
    forth.emit(text.rjust(min(max(width, 0), SPACES_LIMIT)))


@words(".r", "( n width -- )", help="Show a number right-aligned")
def _dot_r(forth: Forth) -> None:
    value, width = map(signed, forth.pops(2))
    _right(forth, digits(value, forth.base), width)


@words("u.r", "( u width -- )")
def _u_dot_r(forth: Forth) -> None:
    value, width = forth.pops(2)
    _right(forth, digits(value, forth.base), signed(width))


@words("emit", "( char -- )", help="Print a character")
def _emit(forth: Forth) -> None:
    forth.emit(chr(forth.pop() & 0xFF))


@words("type", "( addr len -- )", help="Print a string")
def _type(forth: Forth) -> None:
    type_bytes(forth, forth.pop_string())


@words("cr", "( -- )", help="Begin a new line")
def _cr(forth: Forth) -> None:
    forth.emit("\n")


@words("??cr", "( -- )", help="Begin a new line unless at the start of one")
def _question_cr(forth: Forth) -> None:
    forth.fresh_line()


@words("(cr", "( -- )")
def _paren_cr(forth: Forth) -> None:
    forth.emit("\r")


@words("space", "( -- )")
def _space(forth: Forth) -> None:
    forth.emit(" ")


@words("spaces", "( n -- )")
def _spaces(forth: Forth) -> None:
    forth.emit(" " * min(max(forth.pop_signed(), 0), SPACES_LIMIT))


@words("to-column", "( n -- )")
def _to_column(forth: Forth) -> None:
    forth.to_column(min(forth.pop(), SPACES_LIMIT))


def _number_in(base: int) -> Handler:
    """A handler that reads the next word as a number in a base: ``d# 10``."""

    def handler(forth: Forth) -> None:
        word = forth.name()
        found = number(word, base)
        if found is None:
            raise throw.undefined(word)
        for value in found:
            forth.literal(value)

    return handler


def _set_base(base: int) -> Handler:
    def handler(forth: Forth) -> None:
        forth.base = base

    return handler


for _name, _prefix, _base in (
    ("decimal", "d#", 10), ("hex", "h#", 16), ("octal", "o#", 8), ("binary", "b#", 2),
):  # fmt: skip
    radix(_name, "( -- )", help=f"Numbers are read and shown in base {_base}")(_set_base(_base))
    radix(_prefix, "( -- n ) number", help=f"Read the next number in base {_base}", immediate=True)(_number_in(_base))
radix("td", "( -- n ) number", immediate=True)(_number_in(10))
radix("th", "( -- n ) number", immediate=True)(_number_in(16))


@radix("base", "( -- addr )", help="Variable that holds the number base")
def _base_word(forth: Forth) -> None:
    forth.push(SPACE_BASE + BASE_CELL)


# Pictured numbers. The text grows downwards in a small buffer of the data space.


def _hold(forth: Forth, text: bytes) -> None:
    if len(forth.picture) + len(text) > PICTURE_BYTES:
        raise throw.ThrowError(-17, "Pictured numeric output string overflow")
    forth.picture = text + forth.picture


def _hold_digit(forth: Forth, value: int) -> int:
    base = forth.base if 2 <= forth.base <= 36 else 16
    _hold(forth, digits(value % base, base).encode())
    return value // base


def _finish(forth: Forth) -> None:
    start = PICTURE_END - len(forth.picture)
    forth.space.data[start:PICTURE_END] = forth.picture
    forth.push(SPACE_BASE + start, len(forth.picture))


@words("<#", "( -- )", help="Begin a pictured number")
def _begin_picture(forth: Forth) -> None:
    forth.picture = b""


@words("u#", "( u1 -- u2 )", help="Convert one digit")
def _u_sharp(forth: Forth) -> None:
    forth.push(_hold_digit(forth, forth.pop()))


@words("u#s", "( u -- 0 )", help="Convert all digits")
def _u_sharp_s(forth: Forth) -> None:
    value = _hold_digit(forth, forth.pop())
    while value:
        value = _hold_digit(forth, value)
    forth.push(0)


@words("u#>", "( u -- addr len )", help="End a pictured number")
def _u_sharp_greater(forth: Forth) -> None:
    forth.pop()
    _finish(forth)


@words("#", "( ud1 -- ud2 )")
def _sharp(forth: Forth) -> None:
    low, high = forth.pops(2)
    value = _hold_digit(forth, low | high << 64)
    forth.push(value & MASK, value >> 64)


@words("#s", "( ud -- 0 0 )")
def _sharp_s(forth: Forth) -> None:
    low, high = forth.pops(2)
    value = _hold_digit(forth, low | high << 64)
    while value:
        value = _hold_digit(forth, value)
    forth.push(0, 0)


@words("#>", "( ud -- addr len )")
def _sharp_greater(forth: Forth) -> None:
    forth.pops(2)
    _finish(forth)


@words("hold", "( char -- )")
def _hold_word(forth: Forth) -> None:
    _hold(forth, bytes([forth.pop() & 0xFF]))


@words("sign", "( n -- )")
def _sign(forth: Forth) -> None:
    if forth.pop_signed() < 0:
        _hold(forth, b"-")


def _text_of(*, negative: bool) -> Handler:
    def handler(forth: Forth) -> None:
        value = forth.pop_signed() if negative else forth.pop()
        forth.push_string(digits(value, forth.base).encode())

    return handler


words("(.)", "( n -- addr len )")(_text_of(negative=True))
words("(u.)", "( u -- addr len )")(_text_of(negative=False))
