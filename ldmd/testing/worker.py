"""A migration's worker as a thread of this process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable


class ThreadLife:
    """`ldmd.migrator.worker.Life` of a thread that serves a socket until its other end is gone."""

    def __init__(self, end: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._end = end
        self._thread = threading.Thread(target=self._run, args=(serve,), name="worker", daemon=True)
        self._thread.start()

    def _run(self, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            serve(self._end)

    def kill(self) -> None:
        """A thread ends when nobody is at the other end any more."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> None:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("worker", timeout or 0)
