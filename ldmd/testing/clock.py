"""The managers' time in a room: virtual time, and beside it the host's, so that no wait can last for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from ldmd.clock import Bell

POLL_SECONDS = 0.005


class RoomClock:
    """Wall-clock time is virtual. Waits end when the bell rings, or when virtual and host's time together are over.

    Managers wait for guests (virtual time passes then), and for each other (the host's does). Guests see neither.
    """

    def __init__(self, virtual: Callable[[], float]) -> None:
        """`virtual`: seconds since the epoch, as guests see them."""
        self._virtual = virtual
        self._begin = time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, virtual."""
        return self._virtual()

    def monotonic(self) -> float:
        """Seconds that never jump back."""
        return self._virtual() + (time.monotonic() - self._begin)

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        """Until the bell rings again, or so many seconds are over."""
        deadline = self.monotonic() + seconds
        while bell.rings == heard and (left := deadline - self.monotonic()) > 0:
            bell.wait(heard, min(left, POLL_SECONDS))
