"""The crypto rows against the GNU assembler: encodings, operand fields, feature words."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from crypto_support import crypto_rows

AS, OBJDUMP = "sparc64-linux-gnu-as", "sparc64-linux-gnu-objdump"
FEATURES = {"aes", "des", "kasumi", "camellia", "md5", "sha1", "sha256", "sha512", "crc32c", "mpmul", "mont",
            "xmpmul", "xmont"}
FP_FIELD = {"fd1": 14, "fd2": 0, "fd3": 9, "fdd": 25}
REGISTERS = {"fd1": 34, "fd2": 4, "fd3": 62, "fdd": 40}


def test_features() -> None:
    assert {row.feature for row in crypto_rows().ROWS} == FEATURES


def test_all_of_them_need_the_fpu() -> None:
    assert all("fpu" in row.flags for row in crypto_rows().ROWS)


def test_sha3_is_not_there() -> None:
    for row in crypto_rows().ROWS:
        assert all(0x81B02880 & mask != match for match, mask, _ in row.forms())


def test_no_two_rows_match_the_same_word() -> None:
    forms = [form[:2] for row in crypto_rows().ROWS for form in row.forms()]
    for i, (match, mask) in enumerate(forms):
        for other_match, other_mask in forms[:i]:
            assert (match ^ other_match) & mask & other_mask, f"{match:#x} and {other_match:#x}"


def encode_double(number: int) -> int:
    """%d number: bit 5 of the number goes to bit 0 of the field."""
    return number & 0x1E | number >> 5


def encoded(row: object, immediate: int) -> int:
    word = row.match  # type: ignore[attr-defined]
    for token in row.tokens():  # type: ignore[attr-defined]
        if token in FP_FIELD:
            word |= encode_double(REGISTERS[token]) << FP_FIELD[token]
        else:
            word |= immediate << {"imm5": 9, "imm5lo": 0}[token]
    return word


@pytest.mark.skipif(not (shutil.which(AS) and shutil.which(OBJDUMP)), reason="no SPARC binutils")
@pytest.mark.parametrize("immediate", [0, 5, 31])
def test_encodings_are_the_assemblers(tmp_path: Path, immediate: int) -> None:
    lines, expected = [], []
    for row in crypto_rows().ROWS:
        operands = [f"%f{REGISTERS[t]}" if t in FP_FIELD else str(immediate) for t in row.tokens()]
        lines.append(f"{row.name} {', '.join(operands)}\n")
        expected.append(f"{encoded(row, immediate):08x}")
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text("".join(lines))
    subprocess.run([AS, "-Av9m8", "-o", output, source], check=True)
    dump = subprocess.run([OBJDUMP, "-d", output], check=True, capture_output=True, text=True).stdout
    words = re.findall(r"^\s+[0-9a-f]+:\s+((?:[0-9a-f]{2} ){4})", dump, re.MULTILINE)
    assert [word.replace(" ", "") for word in words] == expected
