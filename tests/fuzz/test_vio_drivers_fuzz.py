"""The data paths in C against hostile guests, clients and files: csrc/tests/net_fuzz.c, overlay_fuzz.c, wire_fuzz.c.

Each against a model or with memory that nothing may reach, plain, under AddressSanitizer and UBSan, and where there are
threads under ThreadSanitizer. SUN4V_ENGINE_DEPTH multiplies the rounds, SUN4V_TEST_SEED gives others.
"""

from __future__ import annotations

import pytest
from engine_drivers import DEPTH, ROOT, SEED, driver, numbers, run_driver

pytestmark = pytest.mark.nosan
SUPPRESSIONS = f"suppressions={ROOT}/tests/tsan.supp"
KINDS = pytest.mark.parametrize(
    "checks", ["", pytest.param("address,undefined", marks=pytest.mark.slow)], ids=["plain", "asan"]
)
THREADS = pytest.mark.parametrize(
    "checks",
    ["", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("address,undefined", "thread"))],
    ids=["plain", "asan", "tsan"],
)


def run(name: str, checks: str, *arguments: object) -> list[int]:
    program = driver(name, sanitizers=checks, sanitize=True) if checks else driver(name)
    return numbers(run_driver(program, *arguments, TSAN_OPTIONS=SUPPRESSIONS))


@KINDS
def test_hostile_rings_and_messages_of_a_network(checks: str) -> None:
    """What is not exported stays as it was; frames pass by flows, and to the client; new sessions work."""
    passed, client, told = run("net_fuzz", checks, "guest", SEED, 3000 * DEPTH)
    assert min(passed, client, told) > 200 * DEPTH


@KINDS
def test_ports_against_a_model(checks: str) -> None:
    assert run("net_fuzz", checks, "ports", SEED, 20_000 * DEPTH)[0] > 1000 * DEPTH


@THREADS
def test_two_threads_at_a_port(checks: str) -> None:
    assert run("net_fuzz", checks, "threads", SEED, 5000 * DEPTH)[0] > 0


@KINDS
def test_images_against_a_model(checks: str) -> None:
    """Overlays upon overlays, files and the client's disks; file calls that are cut short, interrupted and fail."""
    reads, writes, failed, opened, placed = run("overlay_fuzz", checks, SEED, 2000 * DEPTH)
    assert min(reads, writes) > 300 * DEPTH
    assert failed > 5 * DEPTH
    assert min(opened, placed) > 20 * DEPTH


@KINDS
def test_hostile_guests_at_both_ends_of_a_wire(checks: str) -> None:
    """One after the other: packets whole and in order, copies where the tables allow them, and nothing else."""
    packets, copied = run("wire_fuzz", checks, "one", SEED, 2000 * DEPTH)
    assert packets > 1000 * DEPTH
    assert copied > 1 << 20


@THREADS
def test_hostile_guests_on_threads_at_both_ends_of_a_wire(checks: str) -> None:
    packets, copied = run("wire_fuzz", checks, "two", SEED, 1000 * DEPTH)
    assert packets == 10  # those of the session after it
    assert copied > 1 << 18
