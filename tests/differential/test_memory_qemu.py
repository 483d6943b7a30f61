"""Loads, stores and atomics of the engine against qemu-sparc64: one program on both, registers and memory after it.

Every plain row of the memory group at aligned addresses, register and immediate forms, and the alternate-space rows
with the ASIs both know: primary, no-fault, their little-endian twins, short floating point, block transfer.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from integer_bodies import GUEST_GCC, MASK64, read_symbols

from csrc.isa.groups.memory import ROWS
from csrc.isa.table import Op

SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
EACH = int(os.environ.get("S4V_MEMORY_CASES", "24"))  # cases of every row and ASI
TOOLS = ("sparc64-linux-gnu-gcc", "qemu-sparc64")
BUFFER = 4096
SIZES = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "f32": 4, "u64": 8, "f64": 8, "pair": 8}
PRIMARY, PRIMARY_LE, NO_FAULT, NO_FAULT_LE = 0x80, 0x88, 0x82, 0x8A
SHORT = {0xD0: 1, 0xD2: 2, 0xD8: 1, 0xDA: 2}  # ASI_FL8_P, ASI_FL16_P and little-endian: bytes
BLOCK = (0xF0, 0xF8)
BASE_REG, INDEX_REG, COMPARE_REG, INT_RD, FP_RD = 9, 10, 11, 12, 4  # %o1 %o2 %o3 %o4 %f4

pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")

CASE = """  ldx [%l0], %o1; ldx [%l0+8], %o2; ldx [%l0+16], %o4; ldx [%l0+24], %o5; ldd [%l0+24], %f4
  add %o1, %l4, %o1; wr %g0, {asi}, %asi; {compare}; .word {word:#x}
  stx %o4, [%l1]; stx %o5, [%l1+8]; std %f4, [%l1+16]; add %l0, 32, %l0; add %l1, 24, %l1
"""
PROGRAM = """  .section .text
  .global _start, done, result
_start:
  setx input, %l2, %l0; setx output, %l2, %l1; setx buffer, %l2, %l4
{body}
done:
  mov 1, %o0; setx result, %l2, %o1; setx {size}, %l2, %o2; mov 4, %g1; ta 0x6d
  mov 0, %o0; mov 1, %g1; ta 0x6d
  .data
  .align 64
result:
buffer:
{memory}
output: .skip {output}
input:
{data}
"""


@dataclass(frozen=True)
class Case:
    """One word; ``index`` and ``base`` add up to an aligned offset in the buffer."""

    name: str
    word: int
    asi: int
    base: int
    index: int
    values: tuple[int, int]
    compare: str  # what fetches the compare value of a CAS


def row_asis(row: Op) -> tuple[int, ...]:
    """ASIs to try for a row; PRIMARY alone stands for a plain row."""
    if not row.body.endswith(" asi"):
        return (PRIMARY,)
    if row.body.startswith("load f64"):
        return (PRIMARY, PRIMARY_LE, NO_FAULT, *SHORT, *BLOCK)
    if row.body.startswith("store f64"):
        return (PRIMARY, PRIMARY_LE, *SHORT, *BLOCK)
    return (PRIMARY, PRIMARY_LE, NO_FAULT, NO_FAULT_LE) if "load" in row.flags else (PRIMARY, PRIMARY_LE)


def make_case(rng: random.Random, row: Op, asi: int) -> Case:
    """A random case of one row with one ASI."""
    kind = row.body.split()[1]
    size = 64 if asi in BLOCK else SHORT.get(asi, SIZES[kind])
    target = rng.randrange(0, BUFFER - 64 + 1, size)
    immediate = rng.random() < 0.5
    rd = 0 if asi in BLOCK else FP_RD if kind[0] == "f" else INT_RD
    word = row.match | BASE_REG << 14 | rd << 25
    index, compare = rng.getrandbits(64), "nop"
    if row.body.startswith("cas"):
        load = "ldxa" if kind == "u64" else "lduwa"
        compare = f"add %o1, %o2, %o1; {load} [%o1] {asi:#x}, %o3" if rng.random() < 0.5 else \
            "add %o1, %o2, %o1; mov %o5, %o3"
        word |= 0x2000 | COMPARE_REG if immediate else asi << 5 | COMPARE_REG
    elif immediate:
        field = rng.getrandbits(13)
        word |= 0x2000 | field
        index = field - (field >> 12 << 13) & MASK64
    else:
        word |= (asi << 5 if row.body.endswith(" asi") else 0) | INDEX_REG
    values = rng.getrandbits(64), rng.getrandbits(64)
    return Case(f"{row.name} {asi:#x}", word, asi, target - index & MASK64, index, values, compare)


def make_cases() -> list[Case]:
    """All rows with a memory type, each with all its ASIs."""
    print(f"S4V_TEST_SEED={SEED} S4V_MEMORY_CASES={EACH}")
    rng = random.Random(SEED)
    rows = [row for row in ROWS if len(row.body.split()) > 1 and row.body.split()[1] in SIZES]
    cases = [make_case(rng, row, asi) for row in rows for asi in row_asis(row) for _ in range(EACH)]
    rng.shuffle(cases)  # stores then feed later loads
    return cases


def build(cases: list[Case], directory: Path) -> Path:
    """The program; ``result`` begins with the buffer, the registers of the cases follow."""
    rng = random.Random(SEED + 1)
    body = "".join(CASE.format(word=c.word, asi=c.asi, compare=c.compare) for c in cases)
    memory = "\n".join(f"  .xword {rng.getrandbits(64)}" for _ in range(BUFFER // 8))
    data = "\n".join(f"  .xword {c.base}, {c.index}, {c.values[0]}, {c.values[1]}" for c in cases)
    text = PROGRAM.format(body=body, memory=memory, data=data, output=24 * len(cases), size=BUFFER + 24 * len(cases))
    source, program = directory / "memory.s", directory / "memory"
    source.write_text(text)
    subprocess.run([*GUEST_GCC, "-o", str(program), str(source)], check=True)
    return program


def run_engine(program: Path, size: int, slice_insns: int | None) -> bytes:
    """``result`` after the program ran on the engine, in one run or in slices."""
    emulator = pytest.importorskip("emulator", reason="needs the C core (make)", exc_type=ImportError)
    symbols = read_symbols(program)
    insns = (symbols["done"] - symbols["_start"]) // 4
    step = slice_insns or insns
    with emulator.Machine("16M", deterministic=True) as machine:
        machine.boot(program)
        strand = machine.strands[0]
        strand["fprs"] = 4
        strand["pstate"] |= 0x10
        for done in range(0, insns, step):
            assert machine.run(min(step, insns - done)).reason is emulator.StopReason.BUDGET
        assert strand["pc"] == symbols["done"]
        return bytes(machine.memory.read(symbols["result"], size))


@pytest.mark.parametrize("slice_insns", [None, 1, 5])
def test_memory_rows_are_qemus(tmp_path: Path, slice_insns: int | None) -> None:
    cases = make_cases()
    program, size = build(cases, tmp_path), BUFFER + 24 * len(cases)
    reference = subprocess.run(["qemu-sparc64", str(program)], capture_output=True, check=True).stdout
    ours = run_engine(program, size, slice_insns)
    assert len(reference) == size
    for number, case in enumerate(cases):
        at = BUFFER + 24 * number
        assert ours[at:at + 24].hex(" ", 8) == reference[at:at + 24].hex(" ", 8), case
    assert ours[:BUFFER] == reference[:BUFFER]
