"""Runs the crypto rows of the instruction table as C, without an engine.

``build()`` wraps the body of every row of ``csrc/isa/groups/crypto.py`` in a function, compiles them together
with ``csrc/crypto/*.c`` and loads the result. So the tests go through the bodies the generator uses, operand
roles included.
"""

from __future__ import annotations

import ctypes
import functools
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = 8
U64 = ctypes.c_uint64
MASK64 = (1 << 64) - 1

# A stand-in for the strand: what the bodies name, and a register file with real window overlap.
HARNESS = """
#define NEED_WINDOWS(behind) \\
  if (c->fill_traps && c->canrestore < (behind)) { c->fill_behind = (behind); return; }
#include "crypto/crypto.h"
#define UNUSED __attribute__((unused))
struct strand {
  u64 f[32]; u64 outs_locals[8][16]; u32 fcc[4]; u32 cwp, canrestore, fill_traps, fill_behind, fprs;
};
enum { FPRS_DL = 1, FPRS_DU = 2 };
static u64 *window_reg(void *ctx, unsigned back, unsigned reg) {
  struct strand *c = ctx;
  unsigned w = (c->cwp + 8 - back) % 8;
  return reg < 24 ? &c->outs_locals[w][reg - 8] : &c->outs_locals[(w + 7) % 8][reg - 24];
}
#define MONT_ACCESS (&(const struct window_access){window_reg, c, c->canrestore})
#define SET_FCC(n, v) (c->fcc[n] = (v))
"""


class Strand(ctypes.Structure):
    """The harness's ``struct strand``: FP doubles, windows (8 outs, 8 locals each), fcc0..3, CWP, CANRESTORE, FPRS.

    With ``fill_traps`` set, missing windows make a "trap": the instruction leaves, ``fill_behind`` says how
    many windows it wanted. Without it the instruction fails, as it does without an engine.
    """

    _fields_ = [("f", U64 * 32), ("outs_locals", U64 * 16 * WINDOWS), ("fcc", ctypes.c_uint32 * 4),
                ("cwp", ctypes.c_uint32), ("canrestore", ctypes.c_uint32),
                ("fill_traps", ctypes.c_uint32), ("fill_behind", ctypes.c_uint32),
                ("fprs", ctypes.c_uint32)]

    def contents(self) -> bytes:
        """All bytes, to compare states."""
        return bytes(self)


def crypto_rows() -> ModuleType:
    """The module ``csrc/isa/groups/crypto.py``."""
    if str(ROOT / "csrc") not in sys.path:
        sys.path.insert(0, str(ROOT / "csrc"))
    from isa.groups import crypto

    return crypto


VARIABLE = {"fd1": "u64 da", "fd2": "u64 db", "fd3": "u64 dc", "imm5": "u32 imm", "imm5lo": "u32 imm"}


def _wrapper(row: object) -> str:
    name, body, sources, dest = row.name, row.body, row.sources, row.dest  # type: ignore[attr-defined]
    parameters = ", ".join(["UNUSED struct strand *c"] + [VARIABLE[token] for token in sources])
    if dest == "fdd":
        return f"u64 row_{name}({parameters}) {{ u64 dr; {body} return dr; }}"
    return f"void row_{name}({parameters}) {{ {body} }}"


class Crypto:
    """The compiled rows and functions."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.rows = {row.name: row for row in crypto_rows().ROWS}

    def __call__(self, name: str, *operands: int, strand: Strand | None = None) -> int:
        """Executes row ``name``; operands are its sources in order. Returns the destination or 0."""
        row = self.rows[name]
        assert len(operands) == len(row.sources), f"{name} takes {row.sources}"
        function = self.library[f"row_{name}"]
        function.restype = U64 if row.dest else None
        types = [U64 if token.startswith("fd") else ctypes.c_uint32 for token in row.sources]
        pointer = ctypes.byref(strand) if strand is not None else None
        return function(pointer, *(t(v) for t, v in zip(types, operands, strict=True))) or 0


@functools.cache
def build() -> Crypto:
    """Compiles and loads the rows; skips the test where there is no C compiler."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler")
    directory = Path(tempfile.mkdtemp(prefix="crypto"))
    source = directory / "rows.c"
    wrappers = [_wrapper(row) for row in crypto_rows().ROWS]
    source.write_text("\n".join([HARNESS, *wrappers, ""]))
    library = directory / "crypto.so"
    sources = [*sorted(str(path) for path in (ROOT / "csrc" / "crypto").glob("*.c")), str(ROOT / "csrc/util/sha256.c")]
    flags = ["-std=c11", "-O1", "-g", "-fPIC", "-shared", f"-I{ROOT / 'csrc'}",
             "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    subprocess.run([*compiler, *flags, "-o", str(library), str(source), *sources], check=True)
    loaded = ctypes.CDLL(str(library))
    shutil.rmtree(directory)
    return Crypto(loaded)


def seeded(label: str) -> random.Random:
    """A generator whose seed is printed; set SUN4V_TEST_SEED for other samples."""
    seed = f"{label}/{os.environ.get('SUN4V_TEST_SEED', '1')}"
    print(f"seed {seed}")
    return random.Random(seed)


def samples(count: int) -> range:
    """``count`` rounds, times SUN4V_TEST_SCALE."""
    return range(count * int(os.environ.get("SUN4V_TEST_SCALE", "1")))


def doubles(data: bytes) -> list[int]:
    """Big-endian 64-bit words, as ldd would load them."""
    return [int.from_bytes(data[i:i + 8], "big") for i in range(0, len(data), 8)]


def to_bytes(words: list[int]) -> bytes:
    """The inverse of ``doubles()``."""
    return b"".join(word.to_bytes(8, "big") for word in words)


def little_words(number: int, count: int) -> list[int]:
    """``number`` as 64-bit words, least significant first."""
    return [number >> 64 * i & MASK64 for i in range(count)]


def from_little_words(words: list[int]) -> int:
    """The inverse of ``little_words()``."""
    return sum(word << 64 * i for i, word in enumerate(words))
