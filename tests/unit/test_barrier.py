"""A harvester beside running strands loses nothing (csrc/tests/barrier.c; docs/internals/memory.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine_drivers import DEPTH, ROOT, driver, numbers, run_driver

SUPPRESSIONS = f"suppressions={ROOT}/tests/tsan.supp:history_size=7"
KINDS = [
    pytest.param("", id="plain"),
    pytest.param("thread", id="tsan", marks=[pytest.mark.slow, pytest.mark.nosan]),
]
pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")


@pytest.fixture(params=KINDS)
def barrier(request: pytest.FixtureRequest) -> tuple[Path, int]:
    """The driver, and how many rounds it plays."""
    kind: str = request.param
    if kind:
        return driver("barrier", sanitizers=kind, sanitize=True), 200 * DEPTH
    return driver("barrier"), 2000 * DEPTH


@pytest.mark.parametrize(("mode", "strands"), [("thread", 1), ("thread", 3), ("process", 1), ("process", 2)])
def test_no_store_is_lost(barrier: tuple[Path, int], mode: str, strands: int) -> None:
    program, rounds = barrier
    stores, pages, lost = numbers(run_driver(program, mode, strands, rounds, TSAN_OPTIONS=SUPPRESSIONS))
    assert lost == 0
    assert stores > 10_000 and pages > rounds


@pytest.mark.serial
def test_without_the_barrier_stores_are_lost() -> None:
    """Or the test above proves nothing."""
    _, _, lost = numbers(run_driver(driver("barrier"), "none", 2, 1000))
    assert lost > 0


@pytest.mark.parametrize("strands", [1, 3])
def test_dirty_pages_keep_to_a_limit(strands: int) -> None:
    """However fast or slow the host: the bound is by the time that passed."""
    run_driver(driver("barrier"), "limit", strands, 0)
