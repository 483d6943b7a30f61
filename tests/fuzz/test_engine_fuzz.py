"""Hostile guests under AddressSanitizer and UBSan: random words, random modes, random hypercalls.

Half a minute in all; SUN4V_ENGINE_DEPTH=20 is a deep run.
"""

from __future__ import annotations

import pytest
from engine_drivers import DEPTH, SEED, driver, numbers, run_driver

pytestmark = pytest.mark.nosan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "count", "least"),
    [("flow", 300, 1_000_000), ("single", 1_000_000, 1_000_000), ("calls", 400_000, 10_000)],
)
def test_hostile_code(what: str, count: int, least: int) -> None:
    program = driver("engine_fuzz", sanitize=True)
    total, done = numbers(run_driver(program, what, SEED, count * DEPTH))
    assert total == count * DEPTH
    assert done > least  # instructions completed; calls that succeeded


@pytest.mark.parametrize("kind", ["mutate", "hostile"])
def test_damaged_state_images(kind: str) -> None:
    """Refused or loaded, never worse; a good image is taken afterwards. Whole ones, and those of a guest that moves."""
    count, loaded, wrong = numbers(run_driver(driver("engine_replay", sanitize=True), kind, SEED, 60 * DEPTH))
    assert (count, wrong) == (60 * DEPTH, 0)
    assert 0 < loaded < 12 * count


def test_blocks_against_stepper_in_the_loop_build() -> None:
    """The sanitized core dispatches by a loop instead of tail calls: the same equality."""
    programs, _, wrong = numbers(run_driver(driver("engine_lockstep", sanitize=True), SEED, 150 * DEPTH))
    assert (programs, wrong) == (150 * DEPTH, 0)
