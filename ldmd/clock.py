"""Time as the manager sees it, and the bell that wakes those who wait. Tests put a virtual clock in its place."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Bell:
    """Rings when something happened. Who waits names the ring he heard last, so that none is missed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it rang."""
        return self._rings

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Until it rings again, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != heard, timeout=seconds)


class Clock(Protocol):
    """What the manager needs of time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        """Until the bell rings again, or so many seconds are over."""


class HostClock:
    """The host's time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        """Until the bell rings again, or so many seconds are over."""
        bell.wait(heard, seconds)
