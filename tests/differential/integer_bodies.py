"""The bodies of the integer rows as C functions, without an engine, and the same words in a program for qemu.

Both take the cases of ``make_cases()`` and give (rd, Y, CCR) for each. The harness's condition codes are written here
from the V9 manual, so that a body is tested and not the engine's helpers.
"""

from __future__ import annotations

import ctypes
import random
import struct
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from csrc.isa.groups.integer import ROWS
from csrc.isa.table import Op

MASK64 = (1 << 64) - 1
# Registers a case may use: %g0, globals, outs, locals, ins; %o0 takes the second value where the operand is immediate.
POOL = (0, 1, 4, 5, 9, 10, 11, 12, 13, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)
UNUSED = 8
EDGES = (0, 1, 2, 3, 4, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF,
         0x8000000000000000, 0xFFFFFFFF80000000, 0xFFFFFFFF7FFFFFFF, MASK64 - 1, MASK64)
IMM_BITS = {"ri": 13, "ri11": 11, "ri10": 10}
SHIFT_BITS = {"shcnt32": 5, "shcnt64": 6}

HARNESS = """
#include <stdbool.h>
#include <stdint.h>
typedef uint8_t u8; typedef uint32_t u32; typedef uint64_t u64; typedef int32_t i32; typedef int64_t i64;
struct strand { u64 y, ccr, fsr; };
struct input { u64 a, b, old, y, ccr, fsr, word; };
struct output { u64 r, y, ccr, trap; };
static u8 flags(u64 r, bool v32, bool c32, bool v64, bool c64) {
  return (u8)((r >> 63 & 1) << 7 | (u64)(r == 0) << 6 | (u64)v64 << 5 | (u64)c64 << 4 |
              (r >> 31 & 1) << 3 | (u64)((u32)r == 0) << 2 | (u64)v32 << 1 | (u64)c32);
}
static u8 ccr_addc(u64 a, u64 b, u64 cin) {
  u64 r = a + b + cin, v = ~(a ^ b) & (a ^ r), c = (a & b) | ((a | b) & ~r);
  return flags(r, v >> 31 & 1, c >> 31 & 1, v >> 63, c >> 63);
}
static u8 ccr_subc(u64 a, u64 b, u64 cin) {
  u64 r = a - b - cin, v = (a ^ b) & (a ^ r), c = (~a & b) | ((~a | b) & r);
  return flags(r, v >> 31 & 1, c >> 31 & 1, v >> 63, c >> 63);
}
static bool cond(u64 cc, u32 n) {
  bool N = cc >> 3 & 1, Z = cc >> 2 & 1, V = cc >> 1 & 1, C = cc & 1;
  bool t[8] = {false, Z, Z || N != V, N != V, C || Z, C, N, V};
  return t[n & 7] != (n >> 3);
}
/* E L G U as bits 0..3; V9 table 38. */
static bool fcond(u32 fcc, u32 n) {
  static const u8 sets[16] = {0, 14, 6, 10, 2, 12, 4, 8, 15, 1, 9, 5, 13, 3, 11, 7};
  return sets[n] >> fcc & 1;
}
#define FCC(n) ((u32)(c->fsr >> ((n) == 0 ? 10 : 30 + 2 * (n)) & 3))
#define ICC_C (c->ccr & 1)
#define COND_ICC(n) cond(c->ccr & 15, n)
#define COND_XCC(n) cond(c->ccr >> 4, n)
#define COND_FCC(f, n) fcond(FCC(f), n)
#define SET_CCR(v) (c->ccr = (v))
#define TRAP(tt) do { out->trap = (tt); return; } while (0)
"""


@dataclass(frozen=True)
class Case:
    """One instruction word with the state before it.

    ``row`` indexes ``plain_rows()``. ``registers`` are loaded with ``values`` in order: rd, rs1, rs2; where two are the
    same register the later value counts. ``old``, ``a`` and ``b`` are what the instruction then sees.
    """

    row: int
    word: int
    registers: tuple[int, int, int]
    values: tuple[int, int, int]
    b: int
    y: int
    ccr: int
    fsr: int

    def contents(self, register: int) -> int:
        """What a register holds before the instruction."""
        held = 0
        for number, value in zip(self.registers, self.values, strict=True):
            if number == register != 0:
                held = value
        return held

    @property
    def old(self) -> int:
        """rd before the instruction."""
        return self.contents(self.registers[0])

    @property
    def a(self) -> int:
        """Operand 1."""
        return self.contents(self.registers[1])


def plain_rows() -> list[Op]:
    """The integer rows whose bodies are C."""
    return [row for row in ROWS if "special" not in row.flags]


def operand2(row: Op) -> str | None:
    """The token of operand 2."""
    return next((t for t in row.tokens() if t in IMM_BITS or t in SHIFT_BITS), None)


def _value(rng: random.Random) -> int:
    pick = rng.random()
    if pick < 0.5:
        return rng.choice(EDGES)
    return rng.getrandbits(64) if pick < 0.8 else rng.getrandbits(32)


def _immediate(rng: random.Random, token: str) -> tuple[int, int]:
    """A field value for operand 2 and the operand it stands for."""
    bits = IMM_BITS.get(token) or SHIFT_BITS[token]
    field = rng.choice((0, 1, (1 << bits) - 1, 1 << bits - 1, rng.getrandbits(bits)))
    if token in SHIFT_BITS:
        return field, field
    return field, field - (field >> bits - 1 << bits) & MASK64


def make_case(rng: random.Random, number: int, row: Op) -> Case:
    """A random case of one row, with a liking for edge values."""
    rd, rs1, rs2 = (rng.choice(POOL) for _ in range(3))
    values = _value(rng), _value(rng), _value(rng)
    token, b = operand2(row), None
    word = row.match | rd << 25 | (rs1 << 14 if "rs1" in row.tokens() else 0)
    if token is None or rng.random() < 0.4:
        rs2 = UNUSED
    if token and rs2 == UNUSED:
        field, b = _immediate(rng, token)
        word |= 0x2000 | field
    elif token:
        word |= rs2
    if "imm22" in row.tokens():
        word |= rng.getrandbits(22)
    if "mfcc" in row.tokens():
        word |= rng.getrandbits(2) << 11
    fsr = rng.getrandbits(2) << 10 | rng.getrandbits(6) << 32
    y = rng.choice((0, 0, 1, 0xFFFFFFFF, 0x7FFFFFFF, rng.getrandbits(32)))
    case = Case(number, word, (rd, rs1, rs2), values, 0, y, rng.getrandbits(8), fsr)
    return replace(case, b=case.contents(rs2) if b is None else b)


def make_cases(seed: int, each: int) -> list[Case]:
    """``each`` cases of every plain row."""
    rng = random.Random(seed)
    return [make_case(rng, n, row) for n, row in enumerate(plain_rows()) for _ in range(each)]


def _function(number: int, row: Op) -> str:
    """One row as a C function, with the variables table.py promises."""
    lines = ["u64 a = in->a, b = in->b, r = in->old; u32 insn = (u32)in->word;",
             "u32 imm = insn & 0x3fffff, n = insn >> 11 & 3;", "(void)a, (void)b, (void)imm, (void)n, (void)c;"]
    token = operand2(row)
    if token in SHIFT_BITS:
        lines.append(f"b &= {(1 << SHIFT_BITS[token]) - 1};")
    lines.append(row.body)
    if "cc_add" in row.flags:
        lines.append("SET_CCR(ccr_addc(a, b, 0));")
    if "cc_sub" in row.flags:
        lines.append("SET_CCR(ccr_subc(a, b, 0));")
    if "cc_logic" in row.flags:
        lines.append("SET_CCR(flags(r, 0, 0, 0, 0));")
    body = "\n  ".join([*lines, "out->r = r;"])
    return (f"static void row_{number}(struct strand *c, const struct input *in, struct output *out) "
            f"{{\n  {body}\n}}  /* {row.name} */\n")


def build_bodies(directory: Path) -> ctypes.CDLL:
    """Compile the bodies; the library has ``run(row, input, output)``."""
    rows = plain_rows()
    names = ", ".join(f"row_{n}" for n in range(len(rows)))
    text = HARNESS + "".join(_function(n, row) for n, row in enumerate(rows)) + f"""
static void (*const rows[])(struct strand *, const struct input *, struct output *) = {{{names}}};
void run(u32 row, const struct input *in, struct output *out) {{
  struct strand c = {{in->y, in->ccr, in->fsr}};
  out->trap = 0;
  rows[row](&c, in, out);
  out->y = (u32)c.y, out->ccr = c.ccr;
}}
"""
    source, library = directory / "bodies.c", directory / "bodies.so"
    source.write_text(text)
    flags = ["-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsanitize=undefined",
             "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", "-std=gnu11", *flags, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def run_bodies(library: ctypes.CDLL, cases: list[Case]) -> list[tuple[int, int, int, int]]:
    """(rd, Y, CCR, trap type or 0) of every case."""
    out = (ctypes.c_uint64 * 4)()
    results = []
    for case in cases:
        data = (ctypes.c_uint64 * 7)(case.a, case.b, case.old, case.y, case.ccr, case.fsr, case.word)
        library.run(case.row, data, out)
        results.append((out[0] if case.word >> 25 & 31 else 0, out[1], out[2], out[3]))
    return results


GUEST_CASE = """  ldx [%l0], {rd}; ldx [%l0+8], {rs1}; ldx [%l0+16], {rs2}; ldx [%l0+24], %l2; ldx [%l0+32], %l3
  ldx [%l0+40], %fsr; wr %l2, 0, %y; wr %l3, 0, %ccr; .word {word:#x}
  stx {rd}, [%l1]; rd %y, %l2; stx %l2, [%l1+8]; rd %ccr, %l3; stx %l3, [%l1+16]
  add %l0, 48, %l0; add %l1, 24, %l1
"""
GUEST_GCC = ("sparc64-linux-gnu-gcc", "-nostdlib", "-static", "-fno-pie", "-no-pie")
GUEST = """  .section .text
  .global _start, done, output
_start:
  setx input, %l2, %l0; setx output, %l2, %l1
{body}
done:
  mov 1, %o0; setx output, %l2, %o1; setx {size}, %l2, %o2; mov 4, %g1; ta 0x6d
  mov 0, %o0; mov 1, %g1; ta 0x6d
  .data
  .align 8
input:
{data}
  .bss
  .align 8
output: .skip {size}
"""


def build_guest(cases: list[Case], directory: Path) -> Path:
    """A program that runs every case and, under Linux, writes (rd, Y, CCR) of each; it is straight-line code."""
    bodies = []
    for case in cases:
        rd, rs1, rs2 = (f"%{'goli'[n >> 3]}{n & 7}" for n in case.registers)
        bodies.append(GUEST_CASE.format(rd=rd, rs1=rs1, rs2=rs2, word=case.word))
    data = (f"  .xword {', '.join(map(str, (*c.values, c.y, c.ccr, c.fsr)))}" for c in cases)
    source, program = directory / "cases.s", directory / "cases"
    source.write_text(GUEST.format(body="".join(bodies), data="\n".join(data), size=24 * len(cases)))
    subprocess.run([*GUEST_GCC, "-o", str(program), str(source)], check=True)
    return program


def run_qemu(program: Path) -> list[tuple[int, int, int]]:
    """(rd, Y, CCR) of every case as qemu-sparc64 has it. No case may trap."""
    out = subprocess.run(["qemu-sparc64", str(program)], capture_output=True, check=True).stdout
    return list(struct.iter_unpack(">3Q", out))


def read_symbols(program: Path) -> dict[str, int]:
    """Addresses of the program's global symbols."""
    out = subprocess.run(["sparc64-linux-gnu-nm", str(program)], capture_output=True, text=True, check=True).stdout
    return {name: int(address, 16) for address, _, name in map(str.split, out.splitlines())}
