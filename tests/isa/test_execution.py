"""Which words execute: illegal words, modes, features and the FPU, for every row, on the engine."""

from __future__ import annotations

import os
import random
import re
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from isa_support import DECODER, SEED, core

from csrc.isa.groups import ALL
from csrc.isa.table import Op

ROOT = Path(__file__).resolve().parents[2]
WORDS = int(os.environ.get("S4V_ISA_RUN_WORDS", "20000"))
MASS_WORDS = int(os.environ.get("S4V_ISA_MASS_WORDS", "1000000"))
CHUNK = 1 << 18  # words placed in memory at once
CODE, TABLE, MEMORY = 0x4000, 0x8000, 0x20000
NOP = bytes.fromhex("01000000")
ILLEGAL, PRIVILEGED, FP_DISABLED, FP_OTHER = 0x10, 0x11, 0x20, 0x22
PEF, PRIV = 0x10, 0x04
ALL_FEATURES = (1 << 64) - 1
# Rows that raise illegal_instruction by themselves: ILLTRAP, quad loads and stores, which no chip has, and the M8's
# %entropy, which is not modelled.
ALWAYS_ILLEGAL = {"illtrap", "ldqf", "ldqfa", "stqf", "stqfa", "rdentropy"}
# Whether there is a %cfr is a number of its own in the config; quad FPops have a test of their own.
ROWS = [row for row in ALL if row.name != "rdcfr" and "quad" not in row.flags]


def feature_bits() -> dict[str, int]:
    """Feature word -> bit number."""
    text = (ROOT / "csrc/isa/feature.def").read_text()
    return {name: int(bit) for bit, name in re.findall(r'^FEATURE\(\s*(\d+),\s*"([^"]+)"', text, re.MULTILINE)}


class Bench:
    """One strand that is put before one instruction again and again."""

    def __init__(self, features: int = ALL_FEATURES, memory: int = MEMORY) -> None:
        self._module: Any = core()
        values = {"memory_bytes": memory, "strands": 1, "features": features, "stick_hz": 10**9, "tick_hz": 10**9,
                  "va_bits": 52, "page_sizes": 0x2B, "max_tsbs": 4, "quantum": 1000, "ra_limit": 1 << 40}  # fmt: skip
        names = [field.name for field in fields(self._module.CoreConfig)]
        self.core = self._module.Core(self._module.CoreConfig(**{name: values.get(name, 1) for name in names}))
        self.core.mem_write(0, NOP * (memory // 4))
        self.core.strand_start(0, CODE, rtba=TABLE, arg=0)
        self._index: dict[str, int] = {}

    def register(self, name: str) -> int:
        """A register's value."""
        return int(self.core.reg_get(0, self._number(name)))

    def place(self, state: dict[str, int]) -> None:
        """Set registers in the order given."""
        for name, value in state.items():
            self.core.reg_set(0, self._number(name), value)

    def _number(self, name: str) -> int:
        if name not in self._index:
            self._index[name] = self._module.reg_find(name)
        return self._index[name]

    def trap(self, word: int, *, user: bool = False, fpu: bool = True) -> int:
        """Execute one word at TL 1 (TL 0 in user mode); the trap it raised, 0 for none."""
        level = 0 if user else 1
        state = {"pstate": (PEF if fpu else 0) | (0 if user else PRIV), "fprs": 4 if fpu else 0, "tl": level,
                 "pc": CODE, "npc": CODE + 4, "tba": TABLE, "gl": level, "cwp": 0, "cansave": 6, "canrestore": 0,
                 "otherwin": 0, "cleanwin": 7, "wstate": 0, "fsr": 0, "pil": 15, "asi": 0x80, "g1": 0}
        self.core.mem_write(CODE, word.to_bytes(4, "big"))
        self.place(state)
        self.core.run(1)
        after = level + 1
        taken = TABLE <= self.register("pc") < TABLE + 0x8000 and self.register("tl") == after
        return self.register(f"tt{after}") if taken else 0


def base_words(row: Op) -> list[int]:
    """The forms of a row with every operand zero, but for the ASI: #ASI_P, as ASI 0 does not exist."""
    asi = 0x80 << 5 if {"asiaddr", "casasi"} & set(row.tokens()) else 0
    return [match | (0 if i else asi) for match, _, i in row.forms()]


def test_words_in_no_row_are_illegal() -> None:
    bench, rng, seen = Bench(), random.Random(SEED), 0
    print(f"S4V_TEST_SEED={SEED} S4V_ISA_RUN_WORDS={WORDS}")
    while seen < WORDS:
        word = rng.choice((0, 2, 2, 3)) << 30 | rng.getrandbits(30)
        if DECODER.decode(word) is None:
            seen += 1
            assert bench.trap(word, user=bool(seen & 1), fpu=bool(seen & 2)) == ILLEGAL, f"{word:#010x}"


def illegal_words(rng: random.Random, count: int, decode: Any) -> list[int]:
    """Random words the core's decoder knows nothing of; test_illegal.py proves it equal to the rows."""
    found: list[int] = []
    while len(found) < count:
        block = struct.unpack("=65536I", rng.randbytes(1 << 18))
        found += [word for word in block if decode(word) is None]
    return found[:count]


@pytest.mark.parametrize("words", [MASS_WORDS, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_every_illegal_word_traps_once(words: int) -> None:
    """Straight-line runs over illegal words: the handler of trap 0x10 counts in %g1, all others in %g2."""
    print(f"S4V_TEST_SEED={SEED} S4V_ISA_MASS_WORDS={words}")
    bench, rng = Bench(memory=TABLE + 0x8000 + 4 * CHUNK + 0x2000), random.Random(SEED)
    start, other, counter = TABLE + 0x8000, bytes.fromhex("8400a00181f00000"), bytes.fromhex("8200600181f00000")
    for number in range(512):
        bench.core.mem_write(TABLE + 32 * number, counter if number == ILLEGAL else other)
    for done in range(0, words, CHUNK):
        count = min(CHUNK, words - done)
        block = illegal_words(rng, count, core().isa_decode)
        bench.core.mem_write(start, struct.pack(f">{count}I", *block) + NOP)
        bench.place({"pstate": PEF | PRIV, "tl": 0, "gl": 1, "g1": 0, "g2": 0})
        bench.place({"gl": 0, "pc": start, "npc": start + 4, "tba": TABLE, "fprs": 4})
        bench.core.run(2 * count)  # two instructions of the handler for each word
        assert bench.register("pc") == start + 4 * count
        bench.place({"gl": 1})
        assert (bench.register("g1"), bench.register("g2")) == (count, 0)


def test_rows_execute_with_all_features() -> None:
    bench = Bench()
    for row in ROWS:
        illegal = "hpriv" in row.flags or row.name in ALWAYS_ILLEGAL
        for word in base_words(row):
            assert (bench.trap(word) == ILLEGAL) == illegal, f"{row.name} {word:#010x}"


def test_modes() -> None:
    bench = Bench()
    for row in ROWS:
        for word in base_words(row):
            trap = bench.trap(word, user=True)
            if ("hpriv" in row.flags and "priv" not in row.flags) or row.name in ALWAYS_ILLEGAL:
                assert trap == ILLEGAL, row.name
            else:
                assert (trap == PRIVILEGED) == ("priv" in row.flags), (row.name, hex(trap))


def needs_fpu(row: Op) -> bool:
    """FP operands, or the flag, make an instruction need the FPU."""
    if "nofpu" in row.flags or row.name in ALWAYS_ILLEGAL:
        return False
    return bool(row.flags & {"fpu", "ieee", "fop"}) or any(
        re.match(r"f[sdq][123d]$", token) for token in row.tokens())


def test_fp_disabled() -> None:
    bench = Bench()
    for row in ROWS:
        for word in base_words(row):
            trap = bench.trap(word, fpu=False)
            assert (trap == FP_DISABLED) == needs_fpu(row), (row.name, hex(word), hex(trap))


def test_quad_operations_are_left_to_the_kernel() -> None:
    """From the T2 on as illegal instructions; the T1, which has no POPC, calls them unimplemented FPops."""
    quads = [row for row in ALL if "quad" in row.flags]
    assert len(quads) > 60
    later, first = Bench(), Bench(ALL_FEATURES & ~(1 << feature_bits()["popc"]))
    for row in quads:
        for word in base_words(row):
            assert later.trap(word) == later.trap(word, fpu=False) == ILLEGAL, row.name
            assert later.register("fsr") == 0, row.name
            assert first.trap(word, fpu=False) == FP_DISABLED, row.name
            assert first.trap(word) == FP_OTHER, row.name
            assert first.register("fsr") >> 14 & 7 == 3, row.name


@pytest.mark.parametrize("name", sorted({row.feature for row in ROWS} - {"v9", "sparc6"}))
def test_a_feature_is_its_rows(name: str) -> None:
    """Without its bit every row of a feature is illegal, with only that bit it is not; base V9 needs no bit."""
    bit = 1 << feature_bits()[name]
    without, alone = Bench(ALL_FEATURES & ~bit), Bench(bit)
    for row in ROWS:
        if "hpriv" in row.flags or row.name in ALWAYS_ILLEGAL:
            continue
        for word in base_words(row):
            assert (without.trap(word) == ILLEGAL) == (row.feature == name), row.name
            assert (alone.trap(word) == ILLEGAL) == (row.feature not in ("v9", name)), row.name
