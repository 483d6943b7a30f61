"""The log of a console: everything its guest prints, in files that are rotated."""

from __future__ import annotations

import logging
import os
from pathlib import Path

LIMIT_BYTES = 4 << 20
KEPT = 4
"""Older files that are kept: console-log.0 is the latest of them."""

log = logging.getLogger("vntsd")


class ConsoleLog:
    """``<folder>/console-log``. A disk that is full costs lines of the log, never the console."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = folder / "console-log"
        self._limit = limit_bytes
        self._fd: int | None = None
        self._size = 0
        self._failing = False

    def write(self, data: bytes) -> None:
        """Append what the guest printed."""
        try:
            if self._fd is None:
                self._open()
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
            assert self._fd is not None
            self._size += os.write(self._fd, data)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("%s: %s; what this console prints is not logged until it can be written", self.path, error)
            self._failing = True

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(KEPT - 1, 0, -1):
            older = self.path.with_name(f"console-log.{number - 1}")
            if older.exists():
                older.replace(self.path.with_name(f"console-log.{number}"))
        self.path.replace(self.path.with_name("console-log.0"))
        self._open()

    def close(self) -> None:
        """Close the file; the next `write` opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
