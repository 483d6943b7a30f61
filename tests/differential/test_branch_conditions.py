"""The C conditions of compare-and-branch are those of SUBCC on the same operands; BPr and MOVr agree."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from integer_bodies import EDGES, HARNESS

from csrc.isa.groups.branch import ROWS
from csrc.isa.groups.integer import ICC_NAMES
from csrc.isa.table import Op

SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
CBCOND = [row for row in ROWS if row.feature == "cbcond"]
BPR = [row for row in ROWS if "disp16" in row.tokens()]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def build(rows: list[Op], directory: Path) -> ctypes.CDLL:
    """``ours(row, a, b)``: the row's condition; ``subcc(a, b, n, x)``: condition n of SUBCC, xcc where x."""
    cases = "\n".join(f"    case {n}: return {row.body};" for n, row in enumerate(rows))
    source, library = directory / "conditions.c", directory / "conditions.so"
    source.write_text(HARNESS + f"""
int ours(u32 row, u64 a, u64 b) {{
  (void)b;
  switch (row) {{
{cases}
  }}
  return -1;
}}
int subcc(u64 a, u64 b, u32 n, u32 x) {{ return cond((u64)ccr_subc(a, b, 0) >> (x ? 4 : 0), n); }}
u64 unused(u64 a, u64 b) {{ return (u64)ccr_addc(a, b, 0) + fcond(1, 2); }}
""")
    flags = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", "-std=gnu11", *flags, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.ours.argtypes = [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint64]
    loaded.subcc.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32]
    return loaded


def values() -> list[tuple[int, int]]:
    """Pairs of edge values and random ones."""
    rng = random.Random(SEED)
    print(f"S4V_TEST_SEED={SEED}")
    return [(a, b) for a in EDGES for b in EDGES] + [(rng.getrandbits(64), rng.getrandbits(64)) for _ in range(500)]


def test_compare_and_branch_is_subcc_and_branch(tmp_path: Path) -> None:
    library = build(CBCOND, tmp_path)
    assert len(CBCOND) == 28
    for n, row in enumerate(CBCOND):
        number, wide = ICC_NAMES.index(row.name[3:]), row.name[1] == "x"
        taken = 0
        for a, b in values():
            expected = library.subcc(a, b, number, wide)
            assert library.ours(n, a, b) == expected, (row.name, hex(a), hex(b))
            taken += expected
        assert 0 < taken < len(values()), row.name


def test_register_conditions(tmp_path: Path) -> None:
    library = build(BPR, tmp_path)
    meaning = {"z": lambda a: a == 0, "lez": lambda a: a <= 0, "lz": lambda a: a < 0, "nz": lambda a: a != 0,
               "gz": lambda a: a > 0, "gez": lambda a: a >= 0}
    assert sorted(row.name for row in BPR) == sorted("br" + name for name in meaning)
    for n, row in enumerate(BPR):
        for a, _ in values():
            signed = a - (a >> 63 << 64)
            assert library.ours(n, a, 0) == meaning[row.name[2:]](signed), (row.name, hex(a))
