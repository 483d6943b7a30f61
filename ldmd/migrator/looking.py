"""A worker that only looks: it hashes a guest's memory, before and after it was handed over (worker.md, "Looking")."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

from ldmd.migrator.means import Means
from ldmd.migrator.worker import ENDED, Worker

SECONDS = 600.0


class Looking:
    """From one thread; `stop` from any. Raises OSError where the worker cannot do it."""

    def __init__(self, means: Means, blocks: Sequence[Any], fds: Sequence[int], *, mid: int, secret: bytes) -> None:
        """The descriptors stay the caller's."""
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._worker = Worker(self._events.put, start=means.start_worker)
        self._worker.request("look", fds, mid=mid, blocks=list(blocks), secret=secret)
        self.populated_bytes = int(self._wait("looking")["bytes"])

    def digest(self) -> str:
        """Of the memory as it is now: 32 hexadecimal digits."""
        self._worker.request("digest")
        return str(self._wait("digest")["digest"])

    def _wait(self, wanted: str) -> dict[str, Any]:
        while True:
            try:
                event = self._events.get(timeout=SECONDS)
            except queue.Empty:
                raise OSError("the worker that looks at the memory does not answer") from None
            if event["event"] == wanted:
                return event
            if event["event"] in ("failed", ENDED):
                raise OSError(f"the memory cannot be looked at: {event.get('why', '')}")

    def stop(self) -> None:
        """End the worker."""
        self._worker.stop()
