"""What has happened: numbered events, of which the last ones are kept for who comes late."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

RING = 4096
"""Events that are kept."""
Event = dict[str, Any]
Listener = Callable[[Event], None]


class Events:
    """Numbered events, from 1 on. Safe from any thread; a listener is called in order, by whichever thread emits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque(maxlen=RING)
        self._seq = 0
        self._listeners: list[Listener] = []
        self.requests: Iterator[int] = itertools.count(1)
        """Numbers of requests to guests whose answers are events: no two of a power-on are alike."""

    @property
    def seq(self) -> int:
        """Number of the last event; 0: there was none."""
        return self._seq

    def emit(self, kind: str, **fields: Any) -> int:
        """An event has happened. A listener must be quick and must not emit."""
        with self._lock:
            self._seq += 1
            event: Event = {"event": kind, "seq": self._seq, "time": self._clock(), **fields}
            self._ring.append(event)
            for listener in self._listeners:
                listener(event)
            return self._seq

    def subscribe(self, listener: Listener, since: int | None = None) -> tuple[int, bool]:
        """Call `listener` with the kept events after `since` (None: with none of them), then with each that happens.

        Returns the number of the last event so far, and whether some after `since` are not kept any more. A `since` of
        the future, as from another power-on, counts as 0.
        """
        with self._lock:
            lost = False
            if since is not None:
                since = 0 if since > self._seq else since
                lost = bool(self._ring) and self._ring[0]["seq"] > since + 1
                for event in self._ring:
                    if event["seq"] > since:
                        listener(event)
            self._listeners.append(listener)
            return self._seq, lost

    def unsubscribe(self, listener: Listener) -> None:
        """No more calls of `listener`; one that was not there is fine."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
