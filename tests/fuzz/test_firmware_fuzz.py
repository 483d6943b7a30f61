"""The prompt under random keys and random words: it never fails, never hangs, and its state stays loadable.

S4V_FUZZ scales the number of sessions, S4V_SEED is the first seed.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from firmware_support import FakeHost, Session

from emulator.firmware.forth.machine import FRAMES, STACK_CELLS
from emulator.firmware.forth.space import SPACE_BASE, SPACE_LIMIT
from emulator.firmware.promptstate import load_prompt, save_prompt
from emulator.firmware.variables import Variables

ROUNDS = int(os.environ.get("S4V_FUZZ", "1500")) // 125
SEED = int(os.environ.get("S4V_SEED", "1275"))
LINE_STEPS = 1500
OUTPUT_LIMIT = 4 << 20
NUMBERS = ["0", "1", "2", "3", "-1", "10", "4000", "8000", f"{SPACE_BASE:x}", "fe001000", "fd800000", "fd000000",
           "7fffffffffffffff", "8000000000000000", "ffffffffffffffff", "d# 10", "h# ff"]  # fmt: skip
TEXTS = [
    '"',
    '."',
    "abc",
    '"(',
    ")",
    "(",
    "\\",
    "x",
    "y",
    "/cpu@1",
    "disk",
    "/",
    "..",
    "boot-file",
    "auto-boot?",
    "nvramrc",
    "false",
]


def check(person: Session) -> None:
    """What must hold whatever was typed."""
    forth = person.prompt.forth
    assert len(forth.stack) <= STACK_CELLS
    assert len(forth.frames) <= FRAMES
    assert all(isinstance(cell, int) and 0 <= cell < 1 << 64 for cell in forth.stack)
    assert len(forth.space.data) <= SPACE_LIMIT
    assert len(person.host.out) <= OUTPUT_LIMIT
    used = {word.code for word in forth.dictionary.words} | {frame.code for frame in forth.frames}
    assert set(forth.dictionary.codes) <= used | {-1}


def live(rng: random.Random, pieces: list[bytes]) -> None:
    """Feed pieces, now and then with a break, a save and load, a return from an action."""
    secured = {"security-mode": "command", "security-password": "p"} if rng.random() < 0.1 else {}
    person = Session(FakeHost(Variables(secured)), line_steps=LINE_STEPS)
    person.prompt.start() if rng.random() < 0.3 else person.prompt.enter()
    for piece in pieces:
        person.type(piece)
        check(person)
        person.host.clock += rng.choice([0, 10_000, 4_000_000])
        if rng.random() < 0.1:
            person.prompt.interrupt()
        if not person.prompt.active:
            person.prompt.enter()
        if rng.random() < 0.05:
            state = json.loads(json.dumps(save_prompt(person.prompt)))
            fresh = Session(person.host, line_steps=LINE_STEPS)
            load_prompt(fresh.prompt, state)
            person = fresh
    person.prompt.interrupt()
    person.host.variables.load({})
    person.prompt.enter()
    person.shown()
    assert person.type("\r") == "\n{0} ok "


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes(seed: int) -> None:
    print("seed", SEED + seed)
    rng = random.Random(SEED + seed)
    for _ in range(ROUNDS):
        live(rng, [rng.randbytes(rng.randrange(1, 60)) + rng.choice([b"", b"\r"]) for _ in range(30)])


@pytest.mark.parametrize("seed", range(10))
def test_random_words(seed: int) -> None:
    print("seed", SEED + seed)
    rng = random.Random(SEED + seed)
    names = list(Session().prompt.forth.dictionary.builtins.by_name)
    vocabulary = [
        names,
        names,
        NUMBERS,
        NUMBERS,
        TEXTS,
        [": x", ": y", ";", "if", "then", "do", "loop", "begin", "until"],
    ]

    def line() -> bytes:
        words = [rng.choice(rng.choice(vocabulary)) for _ in range(rng.randrange(1, 12))]
        return " ".join(words).encode("latin-1") + b"\r"

    for _ in range(ROUNDS):
        live(rng, [line() for _ in range(60)])


def test_a_flood_of_input_is_bounded() -> None:
    person = Session(line_steps=LINE_STEPS)
    person.prompt.enter()
    person.prompt.feed(b"begin again\r" + b"x" * (1 << 20))
    assert len(person.prompt.forth.keys) <= 16384
    while person.prompt.busy:
        person.prompt.run()
    assert len(person.prompt.editor.text) <= 1023


def test_definitions_without_end_are_bounded() -> None:
    person = Session(line_steps=LINE_STEPS)
    person.prompt.enter()
    person.type(": endless\r")
    for _ in range(300):
        person.type("( " + "x" * 900 + " ) 1 2 3 4 5 6 7 8 9\r")
    definition = person.prompt.forth.definition
    assert definition is not None
    assert len(definition.source) <= 65536
    assert len(definition.code) <= 8192


def test_evaluating_itself_ends() -> None:
    person = Session(line_steps=LINE_STEPS)
    person.prompt.enter()
    person.shown()
    assert person.line(': again-and-again " again-and-again" evaluate ; again-and-again') == "Return Stack Overflow\n"
    assert person.line('" dup eval" dup 2dup eval').endswith("\n")


def test_much_output_and_much_memory_cost_steps() -> None:
    """A slice stays a slice: what one run writes is bounded, however much each word of it writes."""
    person = Session(line_steps=1 << 40)
    person.prompt.enter()
    for word in ("words", "400 spaces", "printenv", "fe000000 1000 type"):
        person.prompt.interrupt()
        person.host.out.clear()
        person.prompt.feed(f"begin {word} again\r".encode())
        assert 100_000 < len(person.host.out) < 500_000, word
    stores = 0

    def poke(address: int, data: bytes, *, real: bool = False) -> bool:
        nonlocal stores
        stores += len(data)
        return True

    person.prompt.interrupt()
    person.host.poke = poke  # type: ignore[method-assign]
    person.prompt.feed(b"begin 0 1000000 0 fill again\r")
    assert 8 << 20 < stores < 64 << 20
