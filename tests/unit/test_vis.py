"""Every VIS row against the model written from the manuals."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from vis_model import MODELS, In, run_model
from vis_support import SAMPLES, SEED, SPECIAL, execute, random_word, rows

NAMES = sorted(rows())
# Rows the strand must hold; a family that disappears from the table is noticed.
COUNTS = {"vis": 74, "vis2": 9, "vis3": 39, "sparc5": 29, "ima": 2, "popc": 1}


def states(name: str) -> list[In]:
    """Edge values in both sources, then random ones; GSR, CCR, AM and the old destination always vary."""
    rng = random.Random(f"{SEED} {name}")
    print(f"seed {SEED}, {SAMPLES} random states")
    pairs = [(x, y) for x in SPECIAL for y in SPECIAL]
    # Neighbouring addresses, so that edges within one doubleword and across 4 GB are met.
    pairs += [(x, (x + delta) % 2 ** 64) for x in SPECIAL for delta in (*range(8), 1 << 32, (1 << 32) + 3)]
    pairs += [(random_word(rng), random_word(rng)) for _ in range(SAMPLES)]
    return [In(rs1=x, rs2=y, f1=x, f2=y, f3=random_word(rng), old=random_word(rng), imm=rng.randrange(8),
               gsr=rng.getrandbits(64), ccr=rng.getrandbits(8), am=rng.getrandbits(1)) for x, y in pairs]


def test_every_row_has_a_model_and_every_model_a_row() -> None:
    assert set(rows()) == set(MODELS)


def test_number_of_rows_per_feature() -> None:
    found = {feature: sum(row.feature == feature for row in rows().values()) for feature in COUNTS}
    assert found == COUNTS
    assert sum(found.values()) == len(rows())


@pytest.mark.parametrize("name", NAMES)
def test_row_does_what_the_manual_says(name: str) -> None:
    samples = states(name)
    for state, result in zip(samples, execute(name, samples), strict=True):
        expected = run_model(name, state)
        got = (None if expected.value is None else result.value, result.gsr, result.ccr)
        assert got == (expected.value, expected.gsr, expected.ccr), f"{name} {state}"


@pytest.mark.parametrize("name", NAMES)
def test_only_gsr_users_and_fp_rows_need_the_fpu(name: str) -> None:
    row = rows()[name]
    fp_operands = any(token.startswith("f") for token in row.tokens())
    assert ("fpu" in row.flags) == ("GSR" in row.body and not fp_operands)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_cc_edges_set_ccr_by_flag(name: str) -> None:
    assert ("cc_sub" in rows()[name].flags) == (name.startswith("edge") and name.endswith("cc"))
    assert ("SET_CCR" in rows()[name].body) == (name in ("addxccc", "subxccc"))


def test_encodings_are_distinct() -> None:
    encodings = [(match, mask, row.name) for row in rows().values() for match, mask, _ in row.forms()]
    for index, (match, mask, name) in enumerate(encodings):
        for other, other_mask, other_name in encodings[index + 1:]:
            assert (match ^ other) & mask & other_mask, f"{name} and {other_name} overlap"


@pytest.mark.skipif(shutil.which("sparc64-linux-gnu-as") is None, reason="no sparc64-linux-gnu-as")
def test_binutils_names_every_base_word_alike(tmp_path: Path) -> None:
    words = {name: row.forms()[0][0] for name, row in rows().items()}
    (tmp_path / "words.s").write_text("".join(f".word {word:#x}\n" for word in words.values()))
    subprocess.run(["sparc64-linux-gnu-as", "-Av9m8", "words.s", "-o", "words.o"], cwd=tmp_path, check=True)
    dump = subprocess.run(["sparc64-linux-gnu-objdump", "-d", "-m", "sparc:v9m8", "words.o"], cwd=tmp_path,
                          check=True, capture_output=True, text=True).stdout
    names = [line.split("\t")[2].split()[0] for line in dump.splitlines() if line.count("\t") >= 2]
    assert names == ["faligndata" if name == "faligndatai" else name for name in words]
