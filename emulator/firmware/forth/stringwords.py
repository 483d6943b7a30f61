"""Strings, parsing and input. Source: IEEE 1275-1994, annex A; ``"`` takes ``"(hex bytes)`` and ``"n``."""

from __future__ import annotations

from emulator.firmware.forth.cells import MASK, digit, flag, number
from emulator.firmware.forth.machine import Forth
from emulator.firmware.forth.outputwords import type_bytes
from emulator.firmware.forth.words import Handler, WordList

words = WordList("Strings")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "l": "\n", "b": "\b", "!": "\a", '"': '"'}


def parse_string(forth: Forth) -> bytes:
    """The text up to the closing quote, with its escapes resolved."""
    frame = forth.source()
    out = ""
    while True:
        out += forth.parse('"')
        following = frame.text[frame.place : frame.place + 1]
        if following == "(":
            frame.place += 1
            out += _hex_bytes(forth.parse(")"))
        elif following in ESCAPES and following:
            frame.place += 1
            out += ESCAPES[following]
        else:
            if following and following <= " ":
                frame.place += 1
            return out.encode("latin-1", "replace")


def _hex_bytes(text: str) -> str:
    """Characters of pairs of hexadecimal digits; everything else is skipped."""
    kept = "".join(character for character in text if digit(character, 16) is not None)
    return "".join(chr(int(kept[place : place + 2], 16)) for place in range(0, len(kept), 2))


def string_literal(forth: Forth, text: bytes) -> None:
    """A string in the text: its address and length are pushed, or compiled."""
    if forth.compiling:
        address, length = forth.space.permanent(text)
        forth.literal(address)
        forth.literal(length)
    else:
        forth.push_string(text)


@words('"', '( -- addr len ) text"', help="A string", immediate=True)
def _quote(forth: Forth) -> None:
    string_literal(forth, parse_string(forth))


@words('s"', '( -- addr len ) text"', help="A string without escapes", immediate=True)
def _s_quote(forth: Forth) -> None:
    string_literal(forth, forth.parse('"').encode("latin-1", "replace"))


@words('."', '( -- ) text"', help="Print a text", immediate=True)
def _dot_quote(forth: Forth) -> None:
    text = parse_string(forth)
    if forth.compiling:
        string_literal(forth, text)
        forth.compile("word", forth.dictionary.builtins.xt("type"))
    else:
        type_bytes(forth, text)


@words(".(", "( -- ) text)", help="Print a text at once", immediate=True)
def _dot_paren(forth: Forth) -> None:
    forth.emit(forth.parse(")"))


@words("(", "( -- ) text)", help="A comment", immediate=True)
def _comment(forth: Forth) -> None:
    forth.parse(")")


@words("\\", "( -- ) rest of line", help="A comment up to the end of the line", immediate=True)
def _line_comment(forth: Forth) -> None:
    forth.parse("")


@words("ascii", "( -- char ) word", help="Code of a character", immediate=True)
def _ascii(forth: Forth) -> None:
    forth.literal(ord(forth.name()[0]))


@words("control", "( -- char ) word", help="Code of a control character", immediate=True)
def _control(forth: Forth) -> None:
    forth.literal(ord(forth.name()[0]) & 31)


@words("char", "( -- char ) word")
def _char(forth: Forth) -> None:
    forth.push(ord(forth.name()[0]))


@words("[char]", "( -- char ) word", immediate=True)
def _bracket_char(forth: Forth) -> None:
    forth.literal(ord(forth.name()[0]))


@words("parse-word", "( -- addr len ) word")
def _parse_word(forth: Forth) -> None:
    forth.push_string(forth.parse_word().encode("latin-1", "replace"))


@words("parse", "( delimiter -- addr len ) text")
def _parse(forth: Forth) -> None:
    delimiter = forth.pop()
    text = forth.parse("" if delimiter == MASK else chr(delimiter & 0xFF))
    forth.push_string(text.encode("latin-1", "replace"))


@words("word", "( delimiter -- pstr ) text")
def _word(forth: Forth) -> None:
    frame, delimiter = forth.source(), chr(forth.pop() & 0xFF)
    while frame.text[frame.place : frame.place + 1] == delimiter:
        frame.place += 1
    text = forth.parse(delimiter).encode("latin-1", "replace")[:255]
    forth.push(forth.space.temporary(bytes([len(text)]) + text)[0])


@words("count", "( pstr -- addr len )", help="Address and length of a packed string")
def _count(forth: Forth) -> None:
    address = forth.pop()
    forth.push(address + 1, forth.space.read(address, 1))


@words("pack", "( addr len pstr -- pstr )")
def _pack(forth: Forth) -> None:
    target = forth.pop()
    text = forth.pop_string()[:255]
    forth.space.write_bytes(target, bytes([len(text)]) + text)
    forth.push(target)


@words("/string", "( addr len n -- addr' len' )")
def _slash_string(forth: Forth) -> None:
    address, length, count = forth.pops(3)
    forth.push(address + count, length - count)


@words("-trailing", "( addr len -- addr len' )")
def _minus_trailing(forth: Forth) -> None:
    address, length = forth.pops(2)
    forth.push(address, len(forth.space.read_bytes(address, length).rstrip(b" ")))


@words("left-parse-string", "( addr len char -- right$ left$ )")
def _left_parse_string(forth: Forth) -> None:
    address, length, character = forth.pops(3)
    text = forth.space.read_bytes(address, length)
    place = text.find(bytes([character & 0xFF]))
    left = length if place < 0 else place
    right = min(left + 1, length)
    forth.push(address + right, length - right, address, left)


@words("compare", "( addr1 len1 addr2 len2 -- n )", help="Compare strings: 0, 1 or -1")
def _compare(forth: Forth) -> None:
    second = forth.pop_string()
    first = forth.pop_string()
    forth.push((first > second) - (first < second))


@words("$=", "( addr1 len1 addr2 len2 -- equal? )")
def _equal(forth: Forth) -> None:
    second = forth.pop_string()
    forth.push(flag(forth.pop_string() == second))


@words("$number", "( addr len -- true | n false )", help="A string as a number")
def _number(forth: Forth) -> None:
    found = number(forth.pop_string().decode("latin-1"), forth.base)
    forth.push(*([MASK] if found is None else [found[0], 0]))


@words("digit", "( char base -- n true | char false )")
def _digit(forth: Forth) -> None:
    character, base = forth.pops(2)
    value = digit(chr(character & 0xFF), base)
    forth.push(*([character, 0] if value is None else [value, MASK]))


@words("key", "( -- char )", help="Wait for a key")
def _key(forth: Forth) -> None:
    forth.push(forth.key())


@words("key?", "( -- flag )", help="Was a key typed?")
def _key_question(forth: Forth) -> None:
    forth.push(flag(bool(forth.keys)))


def _evaluate(forth: Forth) -> None:
    forth.evaluate(forth.pop_string().decode("latin-1"))


_EVALUATES: dict[str, Handler] = {"evaluate": _evaluate, "eval": _evaluate}
for _name, _handler in _EVALUATES.items():
    words(_name, "( ... addr len -- ... )", help="Interpret a string")(_handler)


@words("string,", "( addr len -- )", help='As `",`')
def _string_comma(forth: Forth) -> None:
    text = forth.pop_string()[:255]
    forth.space.permanent(bytes([len(text)]) + text)
