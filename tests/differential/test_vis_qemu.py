"""The model of VIS 1, VIS 2 and POPC against qemu-sparc64, an implementation that we did not write.

A static sparc64 program is generated with one function per row: it loads the operand registers, executes the row's
encoding and stores the destination, GSR and CCR. ``tests/unit/test_vis.py`` ties the C to the same model, so here the
model alone is compared, and with it the operand fields of the rows.

Where QEMU 7.2 departs from the manuals the manuals win. Each such row has its reason here and, where the departure
can be described, the model is bent the same way and must then agree, so the rest of the instruction is compared all
the same. Where it cannot, GSR and CCR are compared, and QEMU 7.2 must indeed have another destination: a row stands in
the table for as long as it has to. A QEMU that does what the manual says passes too.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from vis_model import MODELS, In, Model, Out, join, lower_bytes, rounded, run_model, split, upper_bytes
from vis_support import SAMPLES, SEED, SPECIAL, random_word, rows

CPU = "Sun-UltraSparc-T2"
DEPARTING = "7.2"
NAMES = sorted(name for name, row in rows().items() if row.feature in ("vis", "vis2", "popc") and name != "shutdown")
IMM = 5


def bend(name: str, change: Model) -> Model:
    """QEMU's outcome: that of ``change`` for the destination, of the manual's model for GSR and CCR."""
    return lambda case: replace(expected_out(name, case), value=change(case).value)


def edge_the_other_way(name: str) -> Model:
    """The right mask taken in when the addresses lie in different doublewords, left out when in the same."""
    def run(case: In) -> Out:
        same = case.rs1 // 8 == case.rs2 // 8
        other = case.rs2 ^ 8 if same else case.rs1 // 8 * 8 + case.rs2 % 8
        return MODELS[name](replace(case, rs2=other))
    return run


def multiply_upper_byte_scale(case: In) -> Out:
    pairs = zip(lower_bytes(case.f1, 64), split(case.f2, 16, signed=True), strict=True)
    return Out(join([rounded(x * y, 8) for x, y in pairs], 16))


def rounded_not_shifted(bytes_of: Callable[[int, int], list[int]]) -> Model:
    def run(case: In) -> Out:
        products = [x * y for x, y in zip(bytes_of(case.f1, 32), split(case.f2, 16, signed=True, total=32),
                                          strict=True)]
        return Out(join([product + 256 if product % 256 > 127 else product for product in products], 32))
    return run


def reversed_bytes(case: In) -> Out:
    value = MODELS["bshuffle"](case).value
    assert value is not None
    return Out(int.from_bytes(value.to_bytes(8, "little"), "big"))


# Rows where QEMU 7.2 departs from UA2007, chapter 7: (reason, QEMU's outcome or None where it cannot be described)
DIFFERENT: dict[str, tuple[str, Model | None]] = {
    "siam": ("illegal instruction in QEMU", None),
    "bshuffle": ("the nibbles of GSR.mask select the result's bytes from the wrong end", reversed_bytes),
    "fmul8ulx16": ("drops 8 bits of the product, not 16", multiply_upper_byte_scale),
    "fmul8x16au": ("multiplies by the lower half, and in one lane by an earlier result", None),
    "fmul8x16al": ("multiplies by the upper half, and in one lane by an earlier result", None),
    "fmuld8sux16": ("rounds the product in place of shifting it left", rounded_not_shifted(upper_bytes)),
    "fmuld8ulx16": ("rounds the product", rounded_not_shifted(lower_bytes)),
    "fexpand": ("expands the rs1 field's register", lambda case: MODELS["fexpand"](replace(case, f2=case.f1))),
}
for _name in NAMES:
    if _name.startswith("edge32"):
        DIFFERENT[_name] = ("as the other edges, and the index into the masks is wrong", None)
    elif _name.startswith("edge"):
        DIFFERENT[_name] = ("the test for one doubleword is the wrong way round", edge_the_other_way(_name))
    elif _name.startswith("array"):
        DIFFERENT[_name] = ("fields above the middle ones are placed wrongly, sizes 6 and 7 not taken as 5", None)
    elif _name.startswith(("fpcmpgt", "fpcmple")):
        DIFFERENT[_name] = ("compares unsigned", MODELS[_name.replace("fpcmp", "fpcmpu")])
for _name in ("fpsub16", "fpsub16s", "fpsub32"):
    DIFFERENT[_name] = ("subtracts the first from the second",
                        lambda case, name=_name: MODELS[name](replace(case, f1=case.f2, f2=case.f1)))

# QEMU reads the single operands of these rows as doubles. They are run on even registers whose two halves are equal,
# which makes no difference to a machine that reads singles.
SINGLES_AS_DOUBLES = {"fmul8x16": "1", "fmul8x16au": "12", "fmul8x16al": "12", "fmuld8sux16": "12",
                      "fmuld8ulx16": "12", "fpmerge": "12"}

# register numbers the generated program uses for each operand field; a single is the low half of its double
REGISTERS = {"rs1": 1, "rs2": 4, "ri": 4, "rd": 5, "fd1": 0, "fd2": 2, "fdd": 4, "fs1": 1, "fs2": 3, "fsd": 5,
             "imm3": IMM}
SHIFTS = {"rs1": 14, "fd1": 14, "fs1": 14, "rd": 25, "fdd": 25, "fsd": 25, "rs2": 0, "ri": 0, "fd2": 0, "fs2": 0,
          "imm3": 0}
STORES = {"rd": "stx %%g5, [%1]", "fdd": "std %%f4, [%1]", "fsd": "st %%f5, [%1 + 4]", None: "nop"}

PROGRAM = """
#include <stdint.h>
#include <stdio.h>
struct in { uint64_t rs1, rs2, f1, f2, old, gsr, ccr; };
struct out { uint64_t value, gsr, ccr; };
#define ROW(name, word, store) static void run_##name(const struct in *s, struct out *o) { __asm__ volatile( \\
  "ldd [%0 + 16], %%f0; ldd [%0 + 24], %%f2; ldd [%0 + 32], %%f4;" \\
  "ldx [%0 + 40], %%g5; wr %%g5, 0, %%gsr; ldx [%0 + 48], %%g5; wr %%g5, 0, %%ccr;" \\
  "ldx [%0], %%g1; ldx [%0 + 8], %%g4; ldx [%0 + 32], %%g5; .word " #word ";" store ";" \\
  "rd %%gsr, %%g5; stx %%g5, [%1 + 8]; rd %%ccr, %%g5; stx %%g5, [%1 + 16]" \\
  : : "r"(s), "r"(o) : "g1", "g4", "g5", "f0", "f1", "f2", "f3", "f4", "f5", "cc", "memory"); }
"""
MAIN = """
int main(void) {
  uint64_t row; struct in in; struct out out;
  while (fread(&row, sizeof row, 1, stdin) == 1 && fread(&in, sizeof in, 1, stdin) == 1) {
    out.value = 0; table[row](&in, &out); fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}
"""


def encode(row: Any) -> int:
    word: int = row.forms()[0][0]
    for token in row.tokens():
        number = REGISTERS[token.rstrip("+")]
        if row.name in SINGLES_AS_DOUBLES and token in ("fs1", "fs2"):
            number -= 1  # the upper half of the double
        word |= number << SHIFTS[token.rstrip("+")]
    return word


def program() -> str:
    text = [PROGRAM]
    for name in NAMES:
        row = rows()[name]
        store = STORES[row.dest.rstrip("+") if row.dest else None]
        text.append(f'ROW({name}, {encode(row):#x}, "{store}")')
    entries = ", ".join(f"run_{name}" for name in NAMES)
    text.append(f"static void (*const table[])(const struct in *, struct out *) = {{ {entries} }};")
    return "\n".join([*text, MAIN])


def cases(name: str) -> list[In]:
    rng = random.Random(f"{SEED} qemu {name}")
    pairs = [(x, y) for x in SPECIAL for y in SPECIAL]
    pairs += [(x, (x + delta) % 2 ** 64) for x in SPECIAL for delta in range(8)]
    pairs += [(random_word(rng), random_word(rng)) for _ in range(SAMPLES)]
    # GSR has reserved bits; only the defined ones can be read back.
    defined = 0xFFFFFFFF0E0000FF
    twice = SINGLES_AS_DOUBLES.get(name, "")
    return [In(rs1=x, rs2=y, f1=x % 2 ** 32 * 0x100000001 if "1" in twice else x,
               f2=y % 2 ** 32 * 0x100000001 if "2" in twice else y, old=random_word(rng), imm=IMM,
               gsr=rng.getrandbits(64) & defined, ccr=rng.getrandbits(8)) for x, y in pairs]


Answer = tuple[int, int, int]  # destination, GSR, CCR


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated sparc64 program."""
    compiler = shutil.which("sparc64-linux-gnu-gcc")
    if compiler is None or shutil.which("qemu-sparc64") is None:
        pytest.skip("needs sparc64-linux-gnu-gcc and qemu-sparc64")
    directory = tmp_path_factory.mktemp("vis")
    (directory / "guest.c").write_text(program())
    built = subprocess.run([compiler, "-O1", "-mcpu=niagara2", "-static", "guest.c", "-o", "guest"], cwd=directory,
                           capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"no static sparc64 program: {built.stderr[:200]}")
    return directory / "guest"


def ask_qemu(guest: Path, name: str) -> list[Answer] | None:
    """QEMU's answers to ``cases(name)``; None where it takes the row for an illegal instruction."""
    print(f"seed {SEED}, {SAMPLES} random states")
    requests = b"".join(
        struct.pack(">8Q", NAMES.index(name), case.rs1, case.rs2, case.f1, case.f2, case.old, case.gsr, case.ccr)
        for case in cases(name))
    done = subprocess.run(["qemu-sparc64", "-cpu", CPU, str(guest)], input=requests, capture_output=True, check=False)
    if done.returncode == -signal.SIGILL:
        return None
    done.check_returncode()
    answers = list(struct.iter_unpack(">3Q", done.stdout))
    assert len(answers) == len(cases(name))
    return answers


def expected_out(name: str, case: In) -> Out:
    """The model's outcome; ``cc_sub`` rows get the CCR of a subtraction, which in the strand is the engine's work."""
    out = run_model(name, case)
    if "cc_sub" in rows()[name].flags:
        out = replace(out, ccr=run_model("subxccc", replace(case, ccr=0)).ccr)
    return out


def answer(out: Out) -> Answer:
    assert out.gsr is not None
    assert out.ccr is not None
    return (out.value or 0, out.gsr, out.ccr)


def agrees(outcome: Model, name: str, answers: list[Answer]) -> str:
    """The first case where QEMU answers otherwise, as text; empty if there is none."""
    return agrees_in(lambda _, case: outcome(case), name, answers)


def agrees_in(outcome: Callable[[int, In], Out], name: str, answers: list[Answer]) -> str:
    """The same with the number of the case."""
    for n, (case, got) in enumerate(zip(cases(name), answers, strict=True)):
        if got != answer(outcome(n, case)):
            return f"{name} {case}: QEMU {got}, expected {answer(outcome(n, case))}"
    return ""


@cache
def qemu_version() -> str:
    """The first two numbers of it."""
    said = subprocess.run(["qemu-sparc64", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+\.\d+)", said)
    return found[1] if found else said


@pytest.mark.parametrize("name", NAMES)
def test_model_agrees_with_qemu(name: str, guest: Path) -> None:
    answers = ask_qemu(guest, name)
    reason, change = DIFFERENT.get(name, ("", None))
    complaint = "illegal instruction"
    if answers is not None:
        complaint = agrees(lambda case: expected_out(name, case), name, answers)
    if name in DIFFERENT:
        assert complaint or qemu_version() != DEPARTING, f"{name} is as in the manual; not so: {reason}"
        complaint = complaint and departs(name, change, answers)
    assert not complaint, complaint


def departs(name: str, change: Model | None, answers: list[Answer] | None) -> str:
    """What is wrong even with a departure from the manual that is known; empty: nothing."""
    if answers is None:
        return "" if name == "siam" else "illegal instruction"
    if change is not None:
        return agrees(bend(name, change), name, answers)
    value = [got[0] for got in answers]
    return agrees_in(lambda n, case: replace(expected_out(name, case), value=value[n]), name, answers)
