"""The shipped workers (emulator.stream.worker) in threads, with a relay in the link of each pair."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable
from random import Random

from relay import Relay

from emulator.hvctl.wire import Frame
from emulator.stream.worker import Worker


class _Relayed(Worker):
    """One whose `listening` names the relay's port."""

    def __init__(self, sock: socket.socket, workers: RealWorkers) -> None:
        super().__init__(sock)
        self._workers = workers
        self.killed = False

    def _go_on_alone(self) -> None:
        if not self.killed:  # a process that was killed does nothing more
            super()._go_on_alone()

    def _start(self, frame: Frame, op: str) -> None:
        if op == "begin" and self._workers.partial:
            frame.message["options"]["max_rounds"] = 1
        super()._start(frame, op)

    def tell(self, event: str, **fields: object) -> None:
        if event == "listening":
            port = fields["port"]
            assert isinstance(port, int)
            self._workers.on_listening(port)
            fields["port"] = self._workers.relayed(port)
        self._workers.on_event(event)
        super().tell(event, **fields)


class _Life:
    """What started it may do to it."""

    def __init__(self, end: socket.socket, workers: RealWorkers) -> None:
        self._end, self._worker = end, _Relayed(end, workers)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._worker.serve()
        finally:
            self._end.close()

    def kill(self) -> None:
        self._worker.killed = True
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("worker", timeout or 0)


class RealWorkers:
    """`start` is what `Means.start_worker` wants."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self.relays: list[Relay] = []
        self.partial = False  # copying does not converge, so pages follow where that is wanted
        self.on_event: Callable[[str], None] = lambda event: None
        """Called before each event that a worker tells."""
        self.on_listening: Callable[[int], object] = lambda port: None

    def start(self, end: socket.socket) -> _Life:
        return _Life(end.dup(), self)

    def relayed(self, port: int) -> int:
        relay = Relay(self._rng, port)
        with self._lock:
            self.relays.append(relay)
        return relay.port

    def close(self) -> None:
        for relay in self.relays:
            relay.close()
