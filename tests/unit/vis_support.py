"""Runs the VIS rows of the instruction table as C, without an engine.

Every row's body is wrapped in a function that works on arrays of states, compiled with ``csrc/vis/*.c`` and
loaded. So the tests see the operand roles of the row and not only the functions it calls.
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
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEED = int(os.environ.get("S4V_SEED", "20170411"))
SAMPLES = int(os.environ.get("S4V_VIS_SAMPLES", "500"))  # random states per row, on top of the edge values

HARNESS = """
#include "vis.h"
struct in { u64 rs1, rs2, f1, f2, f3, old, imm, gsr, ccr, am; };
struct out { u64 value, gsr, ccr; };
#define GSR (o->gsr)
#define XCC_C ((u64)(s->ccr >> 4 & 1))
#define SET_CCR(ccr_bits) (o->ccr = (ccr_bits))
#define ADDR_MASK (s->am ? (u64)0xffffffffu : ~(u64)0)
"""

# operand token -> declaration of its variable
VARIABLES = {
    "rs1": "u64 a = s->rs1;", "rs2": "u64 b = s->rs2;", "ri": "u64 b = s->rs2;",
    "fs1": "u32 sa = (u32)s->f1;", "fs2": "u32 sb = (u32)s->f2;",
    "fd1": "u64 da = s->f1;", "fd2": "u64 db = s->f2;", "fd3": "u64 dc = s->f3;",
    "imm3": "u32 imm = (u32)s->imm;",
}
RESULTS = {"rd": ("u64", "r"), "fdd": ("u64", "dr"), "fsd": ("u32", "sr")}


class InState(ctypes.Structure):
    """The harness's ``struct in``; field names as in ``vis_model.In``."""

    _fields_ = [
        (name, ctypes.c_uint64) for name in ("rs1", "rs2", "f1", "f2", "f3", "old", "imm", "gsr", "ccr", "am")
    ]


class OutState(ctypes.Structure):
    """The harness's ``struct out``."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("value", "gsr", "ccr")]


@functools.cache
def vis_group() -> ModuleType:
    """The module ``csrc/isa/groups/vis.py``."""
    if str(ROOT / "csrc") not in sys.path:
        sys.path.insert(0, str(ROOT / "csrc"))
    from isa.groups import vis

    return vis


@functools.cache
def rows() -> dict[str, Any]:
    """The rows by name."""
    table = {row.name: row for row in vis_group().ROWS}
    assert len(table) == len(vis_group().ROWS), "two rows have one name"
    return table


def _wrapper(row: Any) -> str:
    declarations = [VARIABLES[token] for token in row.sources]
    finish = ""
    if row.dest:
        kind, variable = RESULTS[row.dest.rstrip("+")]
        old = f" = ({kind})s->old" if row.dest.endswith("+") else ""
        declarations.append(f"{kind} {variable}{old};")
        finish = f"o->value = {variable};"
    return f"""void row_{row.name}(const struct in *s, struct out *o, unsigned n) {{
  for (; n--; s++, o++) {{ o->gsr = s->gsr; o->ccr = s->ccr; {" ".join(declarations)} {row.body} {finish} }}
}}"""


@functools.cache
def library() -> ctypes.CDLL:
    """Compiles and loads the rows; skips the test where there is no C compiler."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler")
    with tempfile.TemporaryDirectory(prefix="vis") as directory:
        source, output = Path(directory) / "rows.c", Path(directory) / "vis.so"
        source.write_text("\n".join([HARNESS, *map(_wrapper, rows().values()), ""]))
        flags = shlex.split("-std=gnu11 -O2 -fPIC -shared -Wall -Wextra -Wconversion -Wshadow -Werror")
        flags += shlex.split(os.environ.get("S4V_VIS_CFLAGS", ""))
        sources = [str(source), *map(str, sorted((ROOT / "csrc" / "vis").glob("*.c")))]
        flags += [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'csrc' / 'vis'}"]
        subprocess.run([*compiler, *flags, *sources, "-o", str(output)], check=True)
        return ctypes.CDLL(str(output))


def execute(name: str, states: list[Any]) -> list[OutState]:
    """Runs row ``name`` on states (``vis_model.In``), in C."""
    inputs, outputs = (InState * len(states))(), (OutState * len(states))()
    for slot, state in zip(inputs, states, strict=True):
        for attribute, _ in InState._fields_:
            setattr(slot, attribute, getattr(state, attribute))
    library()[f"row_{name}"](inputs, outputs, len(states))
    return list(outputs)


SPECIAL = [
    0, 1, (1 << 64) - 1, 1 << 63, (1 << 63) - 1, 0x8000000080000000, 0x7FFFFFFF7FFFFFFF, 0x8000800080008000,
    0x7FFF7FFF7FFF7FFF, 0x8080808080808080, 0x7F7F7F7F7F7F7F7F, 0x0001FFFF00010000, 0xFFFF0001FFFE0002,
    0x00FF00FF01000100, 0x0123456789ABCDEF, 0xFFFFFFFF00000000, 0x00000000FFFFFFFF,
]


def random_word(rng: random.Random) -> int:
    """A register value: uniform, or lanes at and near their extremes, or a small number."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.getrandbits(64)
    if kind == 1:
        pool = (0, 1, 0x7F, 0x80, 0x81, 0xFE, 0xFF, rng.getrandbits(8))
        return int.from_bytes(bytes(rng.choice(pool) for _ in range(8)), "big")
    if kind == 2:
        return rng.choice(SPECIAL) ^ (1 << rng.randrange(64))
    return rng.getrandbits(rng.randrange(1, 65))
