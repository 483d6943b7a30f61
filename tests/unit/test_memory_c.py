"""Guest memory (csrc/mem): the C tests, built with and without sanitizers, and the lost-mark litmus."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

BuildC = Callable[..., Path]
RunC = Callable[..., str]
MEM = ("mem/*.c",)


def _litmus(output: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"rounds (\d+) old (\d+) lost (\d+)\n", output)
    assert found is not None, output
    rounds, old, lost = map(int, found.groups())
    print(f"litmus: {rounds} rounds, copy old in {old}, lost {lost}")
    return rounds, old, lost


def test_memory_cases(build_c: BuildC, run_c: RunC, flags: tuple[str, ...]) -> None:
    """Blocks, segments, copies, pins, harvest, populated extents; case by case."""
    assert run_c(build_c("mem_test", MEM, flags)) == "ok\n"


def test_no_mark_is_lost_with_the_barrier(build_c: BuildC, run_c: RunC) -> None:
    """Shipped mark against shipped harvest with membarrier: a page is copied new, or stays marked."""
    rounds, _, lost = _litmus(run_c(build_c("mem_litmus", MEM), "barrier", 200_000))
    assert (rounds, lost) == (200_000, 0)


def test_litmus_sees_marks_lost_without_the_barrier(build_c: BuildC, run_c: RunC) -> None:
    """The same program with the barrier taken out finds a lost mark, or the test above proves nothing."""
    _, _, lost = _litmus(run_c(build_c("mem_litmus", MEM), "none", 10_000_000))
    assert lost > 0
