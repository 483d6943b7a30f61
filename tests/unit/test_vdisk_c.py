"""The data path of virtual disks (csrc/vio, docs/internals/vio.md): csrc/tests/vdisk.c, plain and under sanitizers.

The driver has file calls of its own that wait at a gate, fail and are cut short, so that every order of events is made
and none is hoped for. Chance is seeded and printed. SUN4V_TEST_DEPTH multiplies the rounds.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_drivers import DEPTH, ROOT, SEED, driver, numbers, run_driver

KINDS = [
    pytest.param("", id="plain"),
    pytest.param("address,undefined", id="asan", marks=[pytest.mark.slow, pytest.mark.nosan]),
    pytest.param("thread", id="tsan", marks=[pytest.mark.slow, pytest.mark.nosan]),
]
SUPPRESSIONS = f"suppressions={ROOT}/tests/tsan.supp"


@pytest.fixture(params=KINDS)
def vdisk(request: pytest.FixtureRequest) -> Path:
    kind: str = request.param
    return driver("vdisk", sanitizers=kind, sanitize=True) if kind else driver("vdisk")


def run(vdisk: Path, *arguments: object) -> str:
    return run_driver(vdisk, *arguments, TSAN_OPTIONS=SUPPRESSIONS)


def test_every_contract_of_the_data_path(vdisk: Path) -> None:
    """Statuses, pieces, barriers, order; sessions, memory and machines that go while requests are on their way."""
    assert run(vdisk, "cases") == "ok\n"


def test_plain_requests_are_served_inside_the_guests_call(vdisk: Path) -> None:
    """Strands in turn, and on threads: answers at once and later, no room for them, what is left for the client."""
    assert run(vdisk, "lane") == "ok\n"


def test_contents_against_a_model(vdisk: Path) -> None:
    """Random requests, many at once; what is read, and the file at the end, is what was written."""
    requests, deepest = numbers(run(vdisk, "stress", SEED, 3000 * DEPTH))
    assert requests > 3000 * DEPTH
    assert deepest > 8


def test_hostile_rings_cookies_and_tables(vdisk: Path) -> None:
    assert run(vdisk, "hostile", SEED, 20_000 * DEPTH) == "ok\n"
