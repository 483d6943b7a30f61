"""Tests of the tests: with a mark, a barrier or a rule taken out something must fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import mutate
import pytest
from mutants import MUTANTS, Mutant

SAMPLE = [mutant for mutant in MUTANTS if mutant.sample]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_code(mutant: Mutant) -> None:
    text = (mutate.ROOT / mutant.file).read_text()
    assert text.count(mutant.old) == 1, f"{mutant.name}: its lines are not in {mutant.file}: write the mutant anew"
    assert mutant.new != mutant.old
    for test in mutant.tests:
        assert (mutate.ROOT / test).exists()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (mutate.ROOT / ".git").exists():
        pytest.skip("needs git's list of files: this tree is none of git's")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    mutate.prepare()
    return mutate.COPY


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: mutant.name)
def test_a_sample_is_noticed(copy: Path, mutant: Mutant) -> None:
    assert mutate.notice(mutant).startswith("FAILED"), f"no test of {mutant.tests} fails without it: {mutant.name}"
