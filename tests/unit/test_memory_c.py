"""Guest memory (csrc/mem): the C tests, built with and without sanitizers, and the lost-mark litmus."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

BuildC = Callable[..., Path]
RunC = Callable[..., str]
MEM = ("mem/*.c",)
DEPTH = int(os.environ.get("SUN4V_MEM_DEPTH", "1"))  # multiplies the seeds and epochs
SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))


def _litmus(output: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"rounds (\d+) old (\d+) lost (\d+)\n", output)
    assert found is not None, output
    rounds, old, lost = map(int, found.groups())
    print(f"litmus: {rounds} rounds, copy old in {old}, lost {lost}")
    return rounds, old, lost


def test_memory_cases(build_c: BuildC, run_c: RunC, flags: tuple[str, ...]) -> None:
    """Blocks, segments, copies, pins, harvest, populated extents; case by case."""
    assert run_c(build_c("mem_test", MEM, flags)) == "ok\n"


def test_memory_against_model(build_c: BuildC, run_c: RunC, flags: tuple[str, ...]) -> None:
    """Random operations with hostile arguments against a model that knows single pages only."""
    print(f"seeds {SEED} to {SEED + 60 * DEPTH - 1}")
    assert run_c(build_c("mem_fuzz", MEM, flags), SEED, 60 * DEPTH, 2000) == "ok\n"


def test_copy_kept_by_harvest_is_the_memory(build_c: BuildC, run_c: RunC) -> None:
    """A writer runs free while a harvester copies; after every epoch memory, copy and maps are audited."""
    output = run_c(build_c("mem_torture", MEM), 20_000 * DEPTH, SEED)
    print(output, end="")
    found = re.fullmatch(r"epochs (\d+) rounds \d+ pages (\d+) wrong (\d+)\n", output)
    assert found is not None
    epochs, pages, wrong = map(int, found.groups())
    assert epochs == 20_000 * DEPTH
    assert pages > 0
    assert wrong == 0


def test_no_mark_is_lost_with_the_barrier(build_c: BuildC, run_c: RunC) -> None:
    """Shipped mark against shipped harvest with membarrier: a page is copied new, or stays marked."""
    rounds, _, lost = _litmus(run_c(build_c("mem_litmus", MEM), "barrier", 200_000))
    assert (rounds, lost) == (200_000, 0)


def test_litmus_sees_marks_lost_without_the_barrier(build_c: BuildC, run_c: RunC) -> None:
    """The same program with the barrier taken out finds a lost mark, or the test above proves nothing."""
    _, _, lost = _litmus(run_c(build_c("mem_litmus", MEM), "none", 10_000_000))
    assert lost > 0
