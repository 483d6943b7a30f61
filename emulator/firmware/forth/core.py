"""The built-in words of Forth itself, in one table."""

from __future__ import annotations

from emulator.firmware.forth import (
    arithmeticwords,
    controlwords,
    definingwords,
    memorywords,
    outputwords,
    stackwords,
    stringwords,
)
from emulator.firmware.forth.words import Builtin

CORE_WORDS: tuple[Builtin, ...] = tuple(
    row
    for table in (
        stackwords.words, arithmeticwords.words, memorywords.words, outputwords.words, outputwords.radix,
        stringwords.words, controlwords.words, definingwords.words,
    )
    for row in table.rows
)  # fmt: skip
