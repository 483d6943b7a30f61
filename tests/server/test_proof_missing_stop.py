"""A guest that waits for a page which does not come is stopped, and its server powered off, all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from test_missing_pages import DEADLINE, STEPS, Moving, pair
from test_moving import MS, Pair

__all__ = ["pair"]

ENDS: dict[str, Callable[[Pair], object]] = {
    "stop": lambda pair: pair.room.call("guest.stop", guest=1),
    "power-off": lambda pair: pair.room.call("machine.power_off"),
}


@pytest.mark.parametrize("end", ENDS)
def test_who_waits_for_a_page_can_be_stopped(pair: Pair, end: str) -> None:
    """Its source is gone, nobody has given it up yet: the turn that waits ends, and with it the guest."""
    moving = Moving(pair, bps=200_000)
    moving.switch()
    moving.source.stop()
    said = len(pair.text)
    running = threading.Thread(target=lambda: pair.advance(STEPS * MS), daemon=True)
    running.start()
    running.join(0.5)  # it waits by now, or will: either way it has to end
    assert pair.room.call("memory.presence", guest=1)["missing"] > 0
    ending = threading.Thread(target=lambda: ENDS[end](pair), daemon=True)
    ending.start()
    ending.join(DEADLINE)
    assert not ending.is_alive(), "it cannot be stopped"
    running.join(DEADLINE)
    assert not running.is_alive(), "it still waits for a page"
    assert " 0 wrong" not in pair.text[said:]
    moving.end()
