"""Encodings and texts against the GNU assembler and disassembler, for every row over its operand ranges."""

from __future__ import annotations

import re
from pathlib import Path

from isa_support import BASE, all_samples, assemble, core, mnemonic, needs_as, needs_objdump, objdump

# objdump shows a branch target as a bare number at the end; so do we.
TARGET = re.compile(r"^(f?b|c[wx]b|call |iprefetch )[^\[+]*?(0x[0-9a-f]+)$")


def is_quirk(name: str, text: str, word: int) -> bool:
    """Words whose text objdump 2.40 gets wrong."""
    immediate = word >> 13 & 1
    if name == "stqfa":  # knows no immediate ASI but 0
        return not immediate and text == "unknown"
    if name == "illtrap":  # const22 printed as a signed number
        return word >> 21 & 1 == 1 and text.startswith("illtrap 0xff")
    if name.endswith("_xcc") and name.startswith("t"):  # cc bits printed as part of the trap number
        return immediate == 1 and text.split()[1] == "%xcc,"
    if name[:3] in ("cwb", "cxb"):  # simm5 printed unsigned
        return immediate == 1 and word >> 4 & 1 == 1
    if name == "jmpl":  # `ret` and `retl` whatever register the address goes to
        return text in ("ret", "retl") and word >> 25 & 31 != 0
    return name == "faligndatai"  # the integer register printed as an FP register, opf bits as an operand


@needs_objdump
def test_objdump_knows_every_row_by_our_name(tmp_path: Path) -> None:
    samples = all_samples()
    for (row, word), text in zip(samples, objdump([word for _, word in samples], tmp_path), strict=True):
        seen = text.split()[0].split(",")[0]
        if not is_quirk(row.name, text, word):
            assert seen == mnemonic(row, word), f"{word:#010x} {row.name}: {text}"


@needs_objdump
def test_disassembly_is_objdumps(tmp_path: Path) -> None:
    disasm = core().disasm
    samples, quirks = all_samples(1), 0
    texts = objdump([word for _, word in samples], tmp_path)
    for n, ((row, word), text) in enumerate(zip(samples, texts, strict=True)):
        if is_quirk(row.name, text, word):
            quirks += 1
        else:
            assert disasm(word, BASE + 4 * n) == text, f"{word:#010x} {row.name}"
    assert quirks < len(samples) // 20, "the exceptions must not grow into a way to hide differences"


@needs_as
def test_the_assembler_takes_our_text_back(tmp_path: Path) -> None:
    """Our text assembles to the word, or to another word of the same text (two forms of a zero operand)."""
    disasm = core().disasm
    samples = [(row, word) for row, word in all_samples(2) if row.name != "faligndatai"]
    lines = []
    for _, word in samples:
        text = disasm(word, 0)
        target = TARGET.match(text)
        if target:
            distance = (int(target[2], 16) + (1 << 63)) % (1 << 64) - (1 << 63)
            text = f"{text[:target.start(2)]}.+({distance})"
        lines.append(text)
    words, messages = assemble(lines, tmp_path)
    assert len(words) == len(samples), messages[:2000]
    for (row, word), back in zip(samples, words, strict=True):
        assert back == word or disasm(back, 0) == disasm(word, 0), f"{word:#010x} {row.name}: {back:#010x}"
