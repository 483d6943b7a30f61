"""A cap on bytes a second, for all channels together."""

from __future__ import annotations

import threading
from collections.abc import Callable

BURST_SECONDS = 0.02


class Bucket:
    """Tokens of bytes. Who sends may go into debt by one chunk, and waits until it is paid."""

    def __init__(self, bytes_per_second: int | None, clock: Callable[[], float]) -> None:
        self.rate = self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens, self._last = 0.0, clock()

    def spend(self, count: int) -> float:
        """Seconds to wait before the next chunk; count bytes are being sent. Who is urgent does not wait: those that
        come after it pay."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            self._tokens = min(self._tokens + (now - self._last) * self._rate, self._rate * BURST_SECONDS)
            self._last = now
            self._tokens -= count
            return max(0.0, -self._tokens / self._rate)
