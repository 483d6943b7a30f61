"""The bodies of the integer rows as C functions, without an engine, and the same words in a program for qemu.

Both take the cases of ``make_cases()`` and give (rd, Y, CCR) for each. The harness's condition codes are written here
from the V9 manual, so that a body is tested and not the engine's helpers.
"""

from __future__ import annotations

import ctypes
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from csrc.isa.groups.integer import ROWS
from csrc.isa.table import Op

MASK64 = (1 << 64) - 1
RS1, RS2, RD = 9, 10, 11  # %o1, %o2, %o3
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
    """One instruction word with the state before it. ``row`` indexes ``plain_rows()``."""

    row: int
    word: int
    a: int
    b: int
    old: int
    y: int
    ccr: int
    fsr: int


def plain_rows() -> list[Op]:
    """The integer rows whose bodies are C."""
    return [row for row in ROWS if "special" not in row.flags]


def operand2(row: Op) -> str | None:
    """The token of operand 2."""
    return next((t for t in row.tokens() if t in IMM_BITS or t in SHIFT_BITS), None)


def make_case(rng: random.Random, number: int, row: Op) -> Case:
    """A random case of one row, with a liking for edge values."""

    def value() -> int:
        pick = rng.random()
        if pick < 0.5:
            return rng.choice(EDGES)
        return rng.getrandbits(64) if pick < 0.8 else rng.getrandbits(32)

    token, word, b = operand2(row), row.match, value()
    word |= RS1 << 14 if "rs1" in row.tokens() else 0
    word |= RD << 25
    if token and rng.random() < 0.4:
        bits = IMM_BITS.get(token) or SHIFT_BITS[token]
        field = rng.choice((0, 1, (1 << bits) - 1, 1 << bits - 1, rng.getrandbits(bits)))
        word |= 0x2000 | field
        b = field | (-(field >> bits - 1) << bits) & MASK64 if token in IMM_BITS else field
    elif token:
        word |= RS2
    if "imm22" in row.tokens():
        word |= rng.getrandbits(22)
    if "mfcc" in row.tokens():
        word |= rng.getrandbits(2) << 11
    fsr = rng.getrandbits(2) << 10 | rng.getrandbits(6) << 32
    y = rng.choice((0, 0, 1, 0xFFFFFFFF, 0x7FFFFFFF, rng.getrandbits(32)))
    return Case(number, word, value(), b, value(), y, rng.getrandbits(8), fsr)


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
        results.append((out[0], out[1], out[2], out[3]))
    return results


GUEST_CASE = """  ldx [%l0], %o1; ldx [%l0+8], %o2; ldx [%l0+16], %o3; ldx [%l0+24], %l2; ldx [%l0+32], %l3
  ldx [%l0+40], %fsr; wr %l2, 0, %y; wr %l3, 0, %ccr; .word {word:#x}
  stx %o3, [%l1]; rd %y, %l2; stx %l2, [%l1+8]; rd %ccr, %l3; stx %l3, [%l1+16]
  add %l0, 48, %l0; add %l1, 24, %l1
"""
GUEST_GCC = ("sparc64-linux-gnu-gcc", "-nostdlib", "-static", "-fno-pie", "-no-pie")
GUEST = """  .section .text
  .global _start
_start:
  setx input, %l2, %l0; setx output, %l2, %l1
{body}
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


def run_qemu(cases: list[Case], directory: Path) -> list[tuple[int, int, int]]:
    """(rd, Y, CCR) of every case as qemu-sparc64 has it. No case may trap."""
    body = "".join(GUEST_CASE.format(word=case.word) for case in cases)
    rows = (f"  .xword {c.a}, {c.b}, {c.old}, {c.y}, {c.ccr}, {c.fsr}" for c in cases)
    source, program = directory / "cases.s", directory / "cases"
    source.write_text(GUEST.format(body=body, data="\n".join(rows), size=24 * len(cases)))
    subprocess.run([*GUEST_GCC, "-o", str(program), str(source)], check=True)
    out = subprocess.run(["qemu-sparc64", str(program)], capture_output=True, check=True).stdout
    return list(struct.iter_unpack(">3Q", out))
