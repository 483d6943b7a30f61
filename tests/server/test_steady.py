"""A guest that says things without end: the manager hears of the last of them, now and then."""

from __future__ import annotations

from typing import Any

from emulator.server.steady import BURST, PER_SECOND, Steady


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_told_at_once_and_then_the_last_of_each() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    clock = Clock()
    steady = Steady(lambda kind, **fields: told.append((kind, fields)), clock)
    for n in range(BURST):
        steady.say("v", f"n{n}", value=n)
    assert len(told) == BURST and steady.patience() is None
    for n in range(10_000):
        steady.say("v", f"n{n % 4}", value=n)
        steady.say("s", "", services=n)
    assert len(told) == BURST
    assert steady.patience() == 1 / PER_SECOND
    clock.now = 2 / PER_SECOND
    steady.flush()
    assert len(told) == BURST + 2
    clock.now = 60.0
    steady.flush()
    assert told[BURST:] == [
        ("v", {"value": 9996}), ("v", {"value": 9997}), ("v", {"value": 9998}), ("v", {"value": 9999}),
        ("s", {"services": 9999})]  # fmt: skip
    assert steady.patience() is None


def test_a_guest_that_ends_leaves_nothing_unsaid() -> None:
    told: list[str] = []
    steady = Steady(lambda kind, **_: told.append(kind), Clock())
    for n in range(BURST + 50):
        steady.say("v", str(n))
    steady.flush(everything=True)
    assert len(told) == BURST + 50
