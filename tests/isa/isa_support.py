"""The instruction table for tests: a decoder in Python, sample words, and the GNU binutils."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

from csrc.isa.groups import ALL
from csrc.isa.groups.aliases import ALIASES, Alias, register_aliases
from csrc.isa.table import FIELDS, Op

AS, OBJCOPY, OBJDUMP = (f"sparc64-linux-gnu-{tool}" for tool in ("as", "objcopy", "objdump"))
SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
SAMPLES = int(os.environ.get("S4V_ISA_SAMPLES", "12"))  # words tried of every form
BASE = 0x10000  # virtual address of the first word shown to objdump

needs_objdump = pytest.mark.skipif(shutil.which(OBJDUMP) is None, reason=f"needs {OBJDUMP}")
needs_as = pytest.mark.skipif(shutil.which(AS) is None, reason=f"needs {AS}")


def bucket(word: int) -> tuple[int, int]:
    """op, and op2 or op3."""
    major = word >> 30
    if major == 1:
        return 1, 0
    return major, word >> 22 & 7 if major == 0 else word >> 19 & 63


class Decoder:
    """Rows by word, from ``Op.forms()`` alone."""

    def __init__(self, rows: Iterable[Op]) -> None:
        self.rows = {row.name: row for row in rows}
        self._forms: dict[tuple[int, int], list[tuple[int, int, Op]]] = defaultdict(list)
        for row in self.rows.values():
            for match, mask, _ in row.forms():
                self._forms[bucket(match)].append((match, mask, row))

    def decode(self, word: int) -> Op | None:
        """The row of a word, None where it is illegal."""
        for match, mask, row in self._forms[bucket(word)]:
            if word & mask == match:
                return row
        return None


DECODER = Decoder(ALL)
_ALIASES: dict[str, list[Alias]] = defaultdict(list)
for _alias in ALIASES + register_aliases(ALL):
    _ALIASES[_alias.row].append(_alias)


def mnemonic(row: Op, word: int) -> str:
    """What the assembler calls ``word``, a word of ``row``, without completers."""
    return next((a.mnemonic for a in _ALIASES[row.name] if a.matches(word)), row.mnemonic)


def operand_bits(row: Op, mask: int) -> int:
    """The operand fields, without the bit that is zero in a quad register's number."""
    free = ~mask & 0xFFFFFFFF
    for token in row.tokens():
        if token.startswith("fq"):
            free &= ~(2 << FIELDS[token][0][0])
    return free


def sample_words(row: Op, match: int, mask: int, rng: random.Random) -> list[int]:
    """Words of one form: all operands zero, all one, the others random with a liking for telling values."""
    free = operand_bits(row, mask)
    words = {match, match | free}
    for _ in range(SAMPLES - 2):
        word = rng.getrandbits(32)
        for low in (0, 14, 25):
            if rng.random() < 0.4:
                word = word & ~(31 << low) | rng.choice((0, 1, 2, 8, 15, 31)) << low
        if rng.random() < 0.3:
            word = word & ~0x1FFF | rng.choice((0, 1, 4, 8, 9, 10, 0xFFF, 0x1000, 0x1FFF))
        elif rng.random() < 0.1:
            word = word & ~0x1FE0 | rng.choice((0x22, 0x26, 0x80, 0x88, 0xF0)) << 5
        words.add(match | word & free)
    return sorted(words)


def all_samples(salt: int = 0) -> list[tuple[Op, int]]:
    """Sample words of every form of every row."""
    rng = random.Random(f"{SEED}.{salt}")
    print(f"S4V_TEST_SEED={SEED} S4V_ISA_SAMPLES={SAMPLES}")
    forms = [(row, match, mask) for row in ALL for match, mask, _ in row.forms()]
    return [(row, word) for row, match, mask in forms for word in sample_words(row, match, mask, rng)]


def objdump(words: list[int], directory: Path) -> list[str]:
    """objdump's text of words at BASE onwards, blanks folded, without the comment it adds after SETHI."""
    image = directory / "words.bin"
    image.write_bytes(struct.pack(f">{len(words)}I", *words))
    machine = ["-b", "binary", "-m", "sparc:v9m8", "-EB", f"--adjust-vma={BASE:#x}"]
    command = [OBJDUMP, "-D", "-z", *machine, str(image)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^ *[0-9a-f]+:\t[0-9a-f ]{11,12}\t(.*)$", out, re.MULTILINE)
    assert len(lines) == len(words)
    return [re.sub(r"\s*!.*", "", " ".join(line.split())) for line in lines]


def assemble(lines: list[str], directory: Path) -> tuple[list[int], str]:
    """The words of assembler lines, one a line, and what the assembler said."""
    source, target = directory / "words.s", directory / "words.o"
    source.write_text("".join(f" {line}\n" for line in lines))
    command = [AS, "-Av9m8", "-64", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [], done.stderr
    image = directory / "words.text"
    subprocess.run([OBJCOPY, "-O", "binary", "-j", ".text", str(target), str(image)], check=True)
    data = image.read_bytes()
    return list(struct.unpack(f">{len(data) // 4}I", data)), done.stderr


def core() -> ModuleType:
    """The C core; the test is skipped where it is not built."""
    return pytest.importorskip("emulator._core", reason="needs the C core (make)", exc_type=ImportError)
