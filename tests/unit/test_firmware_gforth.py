"""Our Forth against gforth: random programs leave the same stack."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from firmware_support import session
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

GFORTH = shutil.which("gforth")
pytestmark = pytest.mark.skipif(GFORTH is None, reason="gforth is missing")

# word -> (cells in, cells out); what either system leaves open (signed division, counts over 63) is not among them
WORDS = {
    "dup": (1, 2), "drop": (1, 0), "swap": (2, 2), "over": (2, 3), "rot": (3, 3), "-rot": (3, 3), "nip": (2, 1),
    "tuck": (2, 3), "2dup": (2, 4), "2drop": (2, 0), "2swap": (4, 4), "2over": (4, 6), "+": (2, 1), "-": (2, 1),
    "*": (2, 1), "and": (2, 1), "or": (2, 1), "xor": (2, 1), "invert": (1, 1), "negate": (1, 1), "abs": (1, 1),
    "1+": (1, 1), "1-": (1, 1), "2*": (1, 1), "2/": (1, 1), "min": (2, 1), "max": (2, 1), "=": (2, 1), "<>": (2, 1),
    "<": (2, 1), ">": (2, 1), "<=": (2, 1), ">=": (2, 1), "u<": (2, 1), "u>": (2, 1), "0=": (1, 1), "0<": (1, 1),
    "0<>": (1, 1), "0>": (1, 1), "within": (3, 1), "um*": (2, 2), "m*": (2, 2), "s>d": (1, 2), "d+": (4, 2),
    "d-": (4, 2), "depth": (0, 1), "true": (0, 1), "cells": (1, 1), ">r r>": (1, 1), ">r r@ r> +": (1, 1),
    "2>r 2r>": (2, 2), "0 pick": (1, 2), "1 pick": (2, 3), "2 pick": (3, 4), "2 roll": (3, 3), "3 roll": (4, 4),
    "3f and lshift": (2, 1), "3f and rshift": (2, 1), "7fff and 1+ 0 swap um/mod": (2, 2),
    "7fff and 1+ >r s>d r> sm/rem": (2, 2), "7fff and 1+ negate >r s>d r> sm/rem": (2, 2),
    "7fff and 1+ >r s>d r> fm/mod": (2, 2), "7fff and 1+ negate >r s>d r> fm/mod": (2, 2),
    "ff and >r 7fffffff and r> 1+ /mod": (2, 2), "7fffffff and swap 7fff and swap 1+ 7 swap */": (2, 1),
    "<# #s #> nip": (2, 1), "if 1 else 2 then": (1, 1), "dup if drop 7 then": (1, 1),
    "7 and 0 ?do i + loop": (2, 1), "7 and 1+ 0 do i xor 2 +loop": (2, 1), "0 7 do i - -1 +loop": (1, 1),
    "3 0 do 2 0 do i j * + loop loop": (1, 1), "7 and 0 swap begin dup while tuck + swap 1- repeat drop": (1, 1),
    "f and begin 1- dup 0< until": (1, 1), "9 0 do i 5 = if leave then i + loop": (1, 1),
    "3 and case 0 of 10 endof 1 of 20 endof 30 swap endcase": (1, 1),
}  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-20, 20), st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([1 << 63, (1 << 64) - 1])
)
PROGRAMS = st.lists(st.lists(st.one_of(NUMBERS, st.sampled_from(sorted(WORDS))), min_size=1, max_size=12), min_size=20,
                    max_size=40)  # fmt: skip


def program(parts: list[int | str]) -> str:
    """A program with numbers put before words that would find too few cells."""
    out, depth = [], 0
    for part in parts:
        if isinstance(part, int):
            out.append(f"-0{-part:x}" if part < 0 else f"0{part:x}")
            depth += 1
            continue
        taken, left = WORDS[part]
        while depth < taken:
            out.append(f"0{depth + 3:x}")
            depth += 1
        out.append(part)
        depth += left - taken
    return " ".join(out)


def gforth(programs: list[str]) -> list[list[int]]:
    """The stacks gforth has after each program, every one in a definition of its own."""
    show = ": show depth 0 ?do depth i - 1- pick u. loop cr begin depth while drop repeat ; hex"
    lines = [show, *(f": p {text} ;\np show" for text in programs), "bye"]
    assert GFORTH is not None
    done = subprocess.run([GFORTH, "-e", "warnings off"], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          timeout=30, check=False)  # fmt: skip
    rows = [line for line in done.stdout.splitlines() if line.startswith("p show")]
    assert len(rows) == len(programs), done.stdout[-2000:] + done.stderr[-2000:]
    return [[int(cell, 16) for cell in row.removeprefix("p show").split("ok")[0].split()] for row in rows]


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(PROGRAMS)
def test_random_programs_leave_the_same_stack(parts: list[list[int | str]]) -> None:
    programs = [program(row) for row in parts]
    person = session()
    for text, expected in zip(programs, gforth(programs), strict=True):
        person.line("clear")
        assert person.line(text) == "", text
        assert person.prompt.forth.stack == expected, text
        person.line("clear")
        person.type(f": p {text} ;\np\n")  # compiled as well as interpreted
        assert person.prompt.forth.stack == expected, text


def test_gforth_agrees_on_each_word() -> None:
    programs = [program([0x1234_5678_9ABC, -3, 5, 7, word]) for word in sorted(WORDS)]
    person = session()
    for text, expected in zip(programs, gforth(programs), strict=True):
        person.line("clear")
        person.line(text)
        assert person.prompt.forth.stack == expected, text
