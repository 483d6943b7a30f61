"""The line editor: what each key shows, and which line comes out."""

from __future__ import annotations

import random

import pytest
from firmware_support import session

from emulator.firmware.lineedit import HISTORY_LINES, LINE_LIMIT, History, LineEditor


def screen_after(output: str) -> tuple[str, int]:
    """The line a terminal shows after some output, and where its cursor stands."""
    cells: list[str] = []
    place = 0
    for character in output:
        if character == "\b":
            place -= 1
        elif character != "\a":
            cells[place : place + 1] = [character]
            place += 1
        assert 0 <= place <= len(cells)
    return "".join(cells).rstrip(" "), place


KEYS = [
    ("abc", "abc", 3),
    ("abc\b", "ab", 2),
    ("abc\x7f\x7f", "a", 1),
    ("abc\x01X", "Xabc", 1),
    ("abc\x01\x06X", "aXbc", 2),
    ("abc\x02\x02\bX", "Xbc", 1),
    ("abc\x01\x04", "bc", 0),
    ("abc\x01\x05d", "abcd", 4),
    ("one two\x17", "one ", 4),
    ("one two  \x17", "one ", 4),
    ("one two\x15x", "x", 1),
    ("one two\x01\x06\x06\x06\x0b", "one", 3),
    ("one two\x01\x06\x06\x06\x0b\x01\x19", " twoone", 4),
    ("one two\x1bbX", "one Xtwo", 5),
    ("one two\x01\x1bfX", "oneX two", 4),
    ("one two\x01\x1bd", " two", 0),
    ("one two\x1bh", "one ", 4),
    ("abc\x1b[D\x1b[DX", "aXbc", 2),
    ("abc\x1bOD\x1b[CX", "abcX", 4),
    ("a\tb", "a b", 3),
    ("a\x11\x16b", "a\x16b", 3),
    ("\b\x04\x06\x02", "", 0),
    ("a\x1b[Zb\x1bqc", "abc", 3),
    ("a\x1c\x1db", "ab", 2),
]


@pytest.mark.parametrize(("keys", "line", "cursor"), KEYS, ids=[repr(row[0]) for row in KEYS])
def test_keys(keys: str, line: str, cursor: int) -> None:
    out: list[str] = []
    editor = LineEditor(out.append)
    for key in keys:
        assert editor.key(ord(key)) in ("", "join")
    assert (editor.text, editor.cursor) == (line, cursor)
    assert screen_after("".join(out)) == (line.rstrip(" "), cursor)


def test_random_keys_leave_line_and_screen_in_step() -> None:
    seed = 20
    print("seed", seed)
    rng = random.Random(seed)
    keys = [1, 2, 4, 5, 6, 8, 9, 11, 21, 23, 25, 27, 127, *b"ab cd []OABCDbfhd"]
    for _ in range(200):
        out: list[str] = []
        editor = LineEditor(out.append)
        for _ in range(60):
            editor.key(rng.choice(keys))
            assert screen_after("".join(out)) == (editor.text.rstrip(" "), editor.cursor)


def test_a_line_has_an_end() -> None:
    out: list[str] = []
    editor = LineEditor(out.append)
    for _ in range(LINE_LIMIT + 5):
        editor.key(ord("x"))
    assert len(editor.text) == LINE_LIMIT
    assert out[-5:] == ["\a"] * 5


def test_the_first_keys_echo_as_typed() -> None:
    person = session()
    assert person.type("ban") == "ban"
    assert person.type("x\b") == "x\b \b"
    assert person.type("ner\x12") == "ner\n{0} ok banner"
    assert person.type("\x15") == "\b\b\b\b\b\b      \b\b\b\b\b\b"
    assert person.type("junk\x03") == "junk\n{0} ok "
    assert person.line("1 .") == "1 \n"


def test_history() -> None:
    person = session()
    for text in ("1 .", "2 .", "2 .", "   ", "3 ."):
        person.line(text)
    assert person.type("\x10") == "3 ."
    assert person.type("\x10").endswith("2 .")
    assert person.type("\x10").endswith("1 .")
    assert person.type("\x10") == "\a"
    assert person.type("\x1b[B").endswith("2 .")
    assert person.type("\n") == "\n2 \n{0} ok "
    assert person.type("\x0e") == "\a"
    assert person.type("\x0c") == "\n1 .\n2 .\n3 .\n2 .\n{0} ok "


def test_history_is_bounded() -> None:
    history = History()
    for number in range(HISTORY_LINES * 2):
        history.add(f"line {number}")
    assert len(history.lines) == HISTORY_LINES
    for number in range(40):
        history.add("x" * 1000 + str(number))
    assert sum(map(len, history.lines)) <= 16384


def test_line_feed_ends_a_line_too() -> None:
    person = session()
    assert person.type(b"1 .\n") == "1 .\n1 \n{0} ok "
    assert person.type(b"2 .\r\n3 .\r\n") == "2 .\n2 \n{0} ok \n{0} ok 3 .\n3 \n{0} ok \n{0} ok "


def test_completion() -> None:
    person = session()
    assert person.type("prin\x00") == "printenv "
    assert person.type("\x15show-d\x00").endswith("show-d\a")  # devs, disks, displays
    assert person.type("i\x00") == "is"
    assert person.type("\x00") == "\a"
    assert person.type("k\x00") == "ks "
    assert person.type("\x15: my-very-own 1 ;\nmy-v\x00").endswith("my-very-own ")
    assert person.type("\x15\x00xyzzy\x00").endswith("\axyzzy\a")
