"""Properties of the engine over random programs (csrc/tests/engine_guest.h), in C for their number.

SUN4V_TEST_SEED gives other programs, SUN4V_ENGINE_DEPTH more of them; a failure prints its seed, and
`engine_lockstep find SEED` the first instruction that differs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_drivers import DEPTH, SEED, driver, numbers, run_driver

from csrc.isa.groups import load_rows

pytestmark = pytest.mark.nosan


def test_blocks_against_stepper() -> None:
    """Specialised handlers, cut at random, leave the state that the out-of-line bodies leave."""
    output = run_driver(driver("engine_lockstep"), SEED, 1200 * DEPTH)
    programs, insns, wrong = numbers(output)
    assert (programs, wrong) == (1200 * DEPTH, 0)
    assert insns > 2000 * programs


@pytest.mark.parametrize(
    ("what", "machines", "work"),
    [
        ("cuts", 200, 3_000_000), ("restore", 200, 300_000), ("moved", 80, 100_000), ("harvest", 200, 3000),
        ("mutate", 100, 100), ("hostile", 100, 100),
    ],
)
def test_two_machines(what: str, machines: int, work: int) -> None:
    """1 to 16 strands with timers, yields, mondos and pokes; see csrc/tests/engine_replay.c."""
    count, done, wrong = numbers(run_driver(driver("engine_replay"), what, SEED, machines * DEPTH))
    assert (count, wrong) == (machines * DEPTH, 0)
    assert done > work


@pytest.mark.parametrize("seed", range(4))
def test_state_goes_on_in_another_process(tmp_path: Path, seed: int) -> None:
    program = driver("engine_replay")
    image = tmp_path / "state"
    expected = run_driver(program, "save", SEED * 1000 + seed, image)
    assert run_driver(program, "resume", SEED * 1000 + seed, image) == expected
    assert len(expected.strip()) == 64


def test_every_store_marks_its_page_and_no_other() -> None:
    """All encodings with a memory address, all ASIs, through blocks and stepper; twice, with a harvest between."""
    marking = set(run_driver(driver("engine_stores")).split())
    writing = {row.name for row in load_rows() if row.flags & {"store", "atomic"}}
    assert marking == writing
