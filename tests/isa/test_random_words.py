"""The C decoder and disassembler over random words, under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from isa_support import SEED

from csrc.isa import generate, generate_disasm

ROOT = Path(__file__).resolve().parents[2]
WORDS = int(os.environ.get("S4V_ISA_C_WORDS", "2000000"))
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SOURCES = ("csrc/tests/isa_words.c", "csrc/isa/isa.c", "csrc/isa/disasm.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    directory = tmp_path_factory.mktemp("words")
    generated = [*generate.generate(directory), *generate_disasm.generate(directory)]
    table = next(path for path in generated if path.name == "isa_table.c")
    target = directory / "isa_words"
    sources = [ROOT / name for name in SOURCES]
    command = ["gcc", *FLAGS, f"-I{ROOT / 'csrc'}", f"-I{directory}", *sources, table, "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.nosan
@pytest.mark.parametrize("words", [WORDS, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_random_words_in_c(program: Path, words: int) -> None:
    print(f"S4V_TEST_SEED={SEED} words={words}")
    done = subprocess.run([program, str(SEED), str(words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    total, legal = map(int, done.stdout.split())
    assert total == words
    assert words // 10 < legal < words
