"""The instruction table from Python: rows, decoding, disassembly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from emulator import _core


@dataclass(frozen=True)
class Instruction:
    """One row of the table: mnemonic, feature bit, encodings as (match, mask)."""

    row: int
    name: str
    feature: str
    forms: tuple[tuple[int, int], ...]


@cache
def instructions() -> tuple[Instruction, ...]:
    """All rows; the index is what `decode` returns."""
    return tuple(
        Instruction(row, _core.isa_name(row), _core.isa_feature(row), tuple(_core.isa_forms(row)))
        for row in range(_core.isa_count())
    )


def decode(word: int) -> Instruction | None:
    """The row of an instruction word; None where no chip knows it (illegal_instruction)."""
    row = _core.isa_decode(word & 0xFFFFFFFF)
    return None if row is None else instructions()[row]


def disassemble(word: int, pc: int = 0) -> str:
    """Assembler text of one word at address `pc` (branch targets are absolute)."""
    return _core.disasm(word & 0xFFFFFFFF, pc)


def disassemble_range(data: bytes | memoryview, address: int = 0) -> Iterator[tuple[int, int, str]]:
    """(address, word, text) for each whole big-endian word of `data`, which starts at `address`."""
    for offset in range(0, len(data) - 3, 4):
        word = int.from_bytes(data[offset : offset + 4], "big")
        yield address + offset, word, disassemble(word, address + offset)


def listing(data: bytes | memoryview, address: int = 0) -> Iterator[str]:
    """The same as lines of text."""
    for where, word, text in disassemble_range(data, address):
        yield f"{where:16x}:  {word:08x}  {text}"
