"""Words in no row: random words against objdump, and the C decoder against the rows."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

from isa_support import DECODER, SEED, bucket, core, mnemonic, needs_objdump, objdump

WORDS = int(os.environ.get("S4V_ISA_WORDS", "60000"))
CROWDED = (0x28, 0x2A, 0x2C, 0x2F, 0x30, 0x31, 0x32, 0x34, 0x35, 0x36, 0x37, 0x3A)  # op3 with many rows

# What objdump knows and no modelled chip has: V8 coprocessor branches, the floating-point queue, the dispatch
# control register, writes of read-only registers, and the M8's additions (OSA2017: masked loads and stores,
# Oracle Numbers, compare with shift, run-length decoding, SHA-3 and others).
NOT_OURS = re.compile(
    r"cb[0-9n]*(,a)? |rdpr %fq,|wrpr .*%(fq|ver)$|rd %(asr|dcr)|wr .*%(asr\d+|dcr|cfr)$"
    r"|(ld|st)m[sufwhx]|onadd|onsub|onmul|ondiv|dictunpack|fpcmp\w+shl|fps[lr][la]64x|revb|rle_|sha3"
)
# Bits objdump leaves unchecked, by (op, op2 or op3). All are reserved, and a word that sets one is illegal.
RESERVED = {
    (0, 1): 1 << 20,  # BPcc cc0
    (2, 0x2C): 0x7E0 | 1 << 11,  # MOVcc 10:5, cc0 of the integer codes
    (2, 0x2F): 0x3E0,  # MOVr 9:5
    (2, 0x30): 0x1FE0, (2, 0x32): 0x1FE0, (2, 0x33): 0x1FE0,  # WR, WRPR, WRHPR 12:5
    (2, 0x35): 0x38002000,  # FCMP rd 29:27, FMOVr bit 13
    (2, 0x36): 0x3E07C01F,  # unused register fields
    (2, 0x39): 0x3E000000,  # RETURN rd
    (2, 0x3A): 0x20000FE0,  # Tcc bit 29, cc0, 10:5
    (2, 0x3B): 0x3E000000,  # FLUSH rd
    (3, 0x00): 0x1FE0, (3, 0x20): 0x1FE0, (3, 0x21): 0x1FE0, (3, 0x2D): 0x1FE0,  # LD, LDF, LDFSR, PREFETCH
    (3, 0x3C): 0x1FE0, (3, 0x3E): 0x1FE0,  # CASA, CASXA with %asi
}
# A word sets the reserved bits of some of its fields; these are the combinations worth clearing together.
PARTS = (0xFFFFFFFF, 0x1FFF, 0xFFFFE000, 0xFDFFFFFF, 0x3E000000, 0x7C01F, 0x3E07C000, 0x7C000, 0x1F, 0x7E0,
         0x3E00001F)


def random_words(count: int) -> list[int]:
    """Seeded words: the crowded opcodes often, single fields cleared so that rows are met at all."""
    rng = random.Random(SEED)
    words = []
    for _ in range(count):
        word = rng.choice((0, 2, 2, 2, 2, 3, 3)) << 30 | rng.getrandbits(30)
        if rng.random() < 0.5:
            word &= ~(rng.getrandbits(32) & 0x1FE0)
        if rng.random() < 0.3:
            word &= ~(31 << rng.choice((0, 14, 25)))
        if word >> 30 == 2 and rng.random() < 0.4:
            word = word & ~(63 << 19) | rng.choice(CROWDED) << 19
        words.append(word)
    print(f"S4V_TEST_SEED={SEED} S4V_ISA_WORDS={count}")
    return words


def has_reserved_bit(word: int, name: str) -> bool:
    """Whether ``word`` is the instruction ``name`` but for bits of RESERVED."""
    mask = RESERVED.get(bucket(word), 0)
    if bucket(word) == (2, 0x3A) and word >> 13 & 1:
        mask = 0x20000F00  # the immediate form has its trap number in 7:0
    for cleared in {mask & part & word for part in PARTS} - {0}:
        row = DECODER.decode(word & ~cleared)
        if row is not None and name in (row.mnemonic, mnemonic(row, word & ~cleared)):
            return True
    return False


@needs_objdump
def test_random_words_are_illegal_where_objdump_says_so(tmp_path: Path) -> None:
    words = random_words(WORDS)
    wrong, known, unknown = [], 0, 0
    for word, text in zip(words, objdump(words, tmp_path), strict=True):
        ours, theirs = DECODER.decode(word), text != "unknown"
        known += ours is not None
        unknown += ours is None
        if ours is not None and not theirs and ours.name != "stqfa":
            wrong.append(f"{word:#010x} {ours.name}, objdump: {text}")
        name = text.split()[0].split(",")[0]
        if ours is None and theirs and not NOT_OURS.match(text) and not has_reserved_bit(word, name):
            wrong.append(f"{word:#010x} illegal, objdump: {text}")
    assert wrong == []
    assert min(known, unknown) > len(words) // 10, "the sample is one-sided"


def test_the_core_decodes_as_the_rows_say() -> None:
    c = core()
    names = [c.isa_name(row) for row in range(c.isa_count())]
    assert sorted(names) == sorted(DECODER.rows)
    for word in random_words(WORDS):
        row, number = DECODER.decode(word), c.isa_decode(word)
        assert (row and row.name) == (None if number is None else names[number]), f"{word:#010x}"


def test_illegal_words_disassemble_as_data() -> None:
    c = core()
    for word in random_words(2000):
        if DECODER.decode(word) is None:
            assert c.disasm(word, 0) == f".word 0x{word:08x}"
