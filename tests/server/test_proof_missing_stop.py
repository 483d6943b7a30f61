"""A guest that waits for a page which does not come is stopped, and its server powered off, all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from test_missing_pages import DEADLINE, STEPS, Moving, pair
from test_moving import MS, Pair

from emulator.hvctl import wire
from emulator.hvctl.local import RefusedError

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


def test_who_may_wait_for_a_page_is_not_suspended(pair: Pair) -> None:
    """It is said at once, with the way out."""
    moving = Moving(pair, bps=200_000)
    missing = moving.switch()
    with pytest.raises(RefusedError, match=r"\d+ pages of the guest's memory have not come yet; it can be stopped"):
        pair.room.call("guest.suspend", guest=1)
    with pytest.raises(RefusedError, match="missing"):
        pair.room.call("memory.presence", guest=1, what="end")
    assert missing > 0
    moving.end()
    pair.room.call("guest.stop", guest=1)


def test_an_image_that_never_ran_is_stopped_and_starts_anew(pair: Pair) -> None:
    """What lost its pages before it could run is a guest all the same, whose memory is its own and empty."""
    source, target = pair.rooms[0].client, pair.rooms[1].client
    target.call("guest.receive", spec=source.call("guest.spec", guest=1))
    _, fds = target.call_fds("memory.presence", guest=1, what="begin")
    wire.close_all(fds)
    target.call("guest.stop", guest=1)
    assert target.call("guest.status", guest=1)["state"] == "defined"
    source.call("guest.stop", guest=1)
    target.call("guest.start", guest=1)
    assert target.call("memory.presence", guest=1) == {"missing": 0}
    target.call("memory.presence", guest=1, what="end")  # without effect where nothing was missing
    target.call("guest.stop", guest=1)
