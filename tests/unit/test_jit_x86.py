"""The translator's assembler (csrc/jit/x86.h) against objdump: csrc/tests/x86_forms.c prints bytes and their text."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BuildC = Callable[..., Path]
RunC = Callable[..., str]


def _normal(text: str) -> str:
    text = re.sub(r"\s*(#|<).*", "", text.strip())
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\+riz\*1|\+0x0(?=])", "", text)


def _disassemble(code: bytes, folder: Path) -> dict[int, str]:
    """Address -> text of every instruction."""
    file = folder / "code.bin"
    file.write_bytes(code)
    done = subprocess.run(
        ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--insn-width=16", str(file)],
        capture_output=True, text=True, check=True)
    out = {}
    for line in done.stdout.splitlines():
        found = re.match(r"\s*([0-9a-f]+):\t([0-9a-f ]+)\t(.*)", line)
        if found:
            out[int(found[1], 16)] = found[3]
    return out


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an assembler for x86-64")
def test_every_form_is_what_objdump_reads(build_c: BuildC, run_c: RunC, tmp_path: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump")
    lines = [line.split("\t") for line in run_c(build_c("x86_forms", ("jit/x86.c",))).splitlines()]
    assert len(lines) > 10_000
    code, starts = b"", []
    for hexadecimal, _ in lines:
        starts.append(len(code))
        code += bytes.fromhex(hexadecimal)
    found = _disassemble(code, tmp_path)
    wrong = []
    for start, (hexadecimal, wanted) in zip(starts, lines, strict=True):
        text = _normal(found.get(start, "not an instruction's start"))
        jump = re.fullmatch(r"(j\w+|call) 0x([0-9a-f]+)", wanted)
        if jump and start + int(jump[2], 16) == int(text.split("0x")[-1], 16) and text.split()[0] == jump[1]:
            continue
        if text != _normal(wanted):
            wrong.append((hexadecimal, wanted, text))
    assert wrong[:10] == []
