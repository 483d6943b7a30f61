"""A relay in front of a port, which a test can cut, hold up, or have damage one byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from random import Random

PIECE = 1 << 16
PATIENCE = 30.0


class Relay:
    """Listens at `port` and passes bytes on to port `to`, which may change. Its faults last until `heal`."""

    def __init__(self, rng: Random, to: int = 0) -> None:
        self._rng = rng
        self.to = to
        self._change = threading.Condition()
        self._held: set[int] = set()
        self._damage: set[int] = set()
        self._ended = False
        self.damaged = 0
        self._sockets: list[socket.socket] = []  # that stand
        self._all: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    # -- faults; directions: 0 to the port, 1 back

    def cut(self) -> None:
        """End all connections; what is on its way is lost."""
        with self._change:
            self._cut()

    def stall(self, *directions: int) -> None:
        """Pass nothing on, and end nothing: neither side is told."""
        with self._change:
            self._held |= set(directions)

    def damage(self, direction: int) -> None:
        """Flip one bit of the next piece."""
        with self._change:
            self._damage.add(direction)

    def heal(self) -> None:
        """Pass on what was held up, and all that comes."""
        with self._change:
            self._held.clear()
            self._damage.clear()
            self._change.notify_all()

    def close(self) -> None:
        """For ever."""
        with self._change:
            self._ended = True
            self._cut()
            self._change.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in self._all:
            sock.close()

    # -- its threads

    def _start(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, name="relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _cut(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._sockets = []
        self._change.notify_all()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._all.append(near)
            try:
                far = socket.create_connection(("127.0.0.1", self.to), timeout=5)
            except OSError:
                near.close()
                continue
            self._all.append(far)
            far.settimeout(None)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._change:
                self._sockets += [near, far]
            self._start(self._pump, near, far, 0)
            self._start(self._pump, far, near, 1)

    def _pump(self, near: socket.socket, far: socket.socket, direction: int) -> None:
        def free() -> bool:
            return direction not in self._held or near not in self._sockets

        with contextlib.suppress(OSError):
            while data := near.recv(PIECE):
                with self._change:
                    self._change.wait_for(free)
                    if near not in self._sockets:
                        break  # it was cut meanwhile
                    data = self._changed(data, direction)
                far.sendall(data)
        for each in (near, far):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _changed(self, data: bytes, direction: int) -> bytes:
        if direction not in self._damage:
            return data
        self._damage.discard(direction)
        self.damaged += 1
        place = self._rng.randrange(len(data))
        return data[:place] + bytes((data[place] ^ 1 << self._rng.randrange(8),)) + data[place + 1:]
