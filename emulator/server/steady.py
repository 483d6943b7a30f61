"""What a guest may say as often as it likes, and a manager has to write down: told no more often than that can bear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BURST = 128
"""Told at once: what an operating system sets and registers when it comes up is less."""
PER_SECOND = 32.0
"""Told in the long run; of what has changed several times meanwhile only the last."""


class Steady:
    """Events of one guest. `emit` takes the kind and its members; `ticks` gives seconds that only grow."""

    def __init__(self, emit: Callable[..., None], ticks: Callable[[], float]) -> None:
        self._emit, self._ticks = emit, ticks
        self._left, self._at = float(BURST), ticks()
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}

    def say(self, kind: str, key: str, **fields: Any) -> None:
        """Tell it now, or later; something else said of the same `kind` and `key` until then takes its place."""
        self._waiting.pop((kind, key), None)
        self._waiting[kind, key] = fields
        self.flush()

    def flush(self, *, everything: bool = False) -> None:
        """Tell what is due, oldest first."""
        now = self._ticks()
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND)
        self._at = now
        while self._waiting and (everything or self._left >= 1):
            (kind, _), fields = next(iter(self._waiting.items()))
            del self._waiting[next(iter(self._waiting))]
            self._left = max(0.0, self._left - 1)
            self._emit(kind, **fields)

    def patience(self) -> float | None:
        """Seconds until something is due; None: nothing waits."""
        return max(0.0, (1 - self._left) / PER_SECOND) if self._waiting else None
