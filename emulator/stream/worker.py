"""The worker process: requests of the manager in, a transfer, its events out (worker.md).

`python -m emulator.stream.worker FD`; or `serve(sock)` in a thread.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Protocol

from emulator.errors import EmulatorError
from emulator.hvctl import wire
from emulator.stream import requests
from emulator.stream.requests import RequestError

ALGORITHMS = ("zlib",)


class Transfer(Protocol):
    """One side of a migration under way. None of these block for long; `stop` ends every thread and link."""

    def barrier(self, number: int) -> None:
        """The machine has passed its barrier."""

    def final(self, request: requests.Final) -> None:
        """Send the rest, and the state."""

    def audit(self) -> None:
        """Hash all memory again."""

    def state(self, fd: int) -> None:
        """The buffer for the state."""

    def stop(self) -> None:
        """End."""


class Worker:
    """One worker on one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._transfer: Transfer | None = None

    def tell(self, event: str, **fields: object) -> None:
        """Send an event; a manager that is gone hears nothing."""
        try:
            with self._lock:
                wire.send(self._sock, {"event": event, **fields})
        except OSError:
            self._shut()

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def serve(self) -> None:
        """Until the manager says stop, or goes."""
        receiver = wire.Receiver(self._sock, max_bytes=wire.MAX_REQUEST, max_fds=wire.MAX_FDS)
        self.tell("hello", version=list(requests.VERSION), pid=os.getpid(), algorithms=list(ALGORITHMS))
        try:
            while True:
                frame = receiver.receive()
                if frame is None:
                    continue
                try:
                    if not self._handle(frame):
                        break
                except EmulatorError as error:
                    frame.close()
                    self.tell("failed", code=error.code if error.code != "args" else "request", why=str(error))
        except (wire.WireError, OSError):
            pass  # the manager has gone, or does not know how to speak
        finally:
            receiver.close()
            if self._transfer is not None:
                self._transfer.stop()
        self.tell("stopped")

    def _handle(self, frame: wire.Frame) -> bool:
        match frame.message.get("op"):
            case "stop":
                return False
            case op:
                raise RequestError(f"unknown operation {str(op)[:80]!r}")


def serve(sock: socket.socket) -> None:
    """Be a worker on this socket until it is told to stop or the manager is gone; the socket is closed then."""
    try:
        Worker(sock).serve()
    finally:
        sock.close()


def main(arguments: Sequence[str]) -> int:
    """The process: FD is the number of an open unix stream socket."""
    if len(arguments) != 1 or not arguments[0].isdigit():
        print("usage: python -m emulator.stream.worker FD", file=sys.stderr)
        return 2
    serve(socket.socket(fileno=int(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
