"""The worker process: requests of the manager in, a transfer, its events out (worker.md).

`python -m emulator.stream.worker FD`; or `serve(sock)` in a thread.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Protocol

from emulator.errors import EmulatorError
from emulator.hvctl import wire
from emulator.stream import codec, requests
from emulator.stream.looker import Looker
from emulator.stream.receiver import Receiver
from emulator.stream.requests import RequestError
from emulator.stream.sender import Sender


class Transfer(Protocol):
    """One side of a migration under way. None of these block for long; `stop` ends every thread and link."""

    def barrier(self, number: int) -> None:
        """The machine has passed its barrier."""

    def stands(self) -> None:
        """The guest is suspended: send the rest."""

    def final(self, request: requests.Final) -> None:
        """Send the rest, and the state."""

    def audit(self) -> None:
        """Hash all memory again."""

    def state(self, fd: int) -> None:
        """The buffer for the state."""

    def presence(self, fd: int, bell: int) -> None:
        """Where the machine says what it misses."""

    def fail(self, code: str, why: str) -> None:
        """Give up, and tell."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""


class Worker:
    """One worker on one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._transfer: Transfer | None = None
        self._audit: threading.Thread | None = None

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
        self.tell("hello", version=list(requests.VERSION), pid=os.getpid(), algorithms=list(codec.available()))
        try:
            while self._next(receiver):
                pass
        except wire.EndError:
            self._go_on_alone()
        except (wire.WireError, OSError):
            pass  # the manager does not know how to speak
        finally:
            receiver.close()
            if isinstance(self._transfer, Looker):  # its memory goes only when nobody looks at it any more
                self._transfer.end()
                if self._audit is not None:
                    self._audit.join()
            if self._transfer is not None:
                self._transfer.stop()
            if self._audit is not None:
                self._audit.join()
        self.tell("stopped")

    def _go_on_alone(self) -> None:
        """The manager has gone. What a guest that runs elsewhere misses is only here: it goes there all the same."""
        if isinstance(self._transfer, Sender):
            self._transfer.serve_out()

    def _next(self, receiver: wire.Receiver) -> bool:
        """Serve one request. False: it was stop."""
        frame = receiver.receive()
        if frame is None:
            return True
        try:
            return self._handle(frame)
        except EmulatorError as error:
            self._failed("request" if error.code == "args" else error.code, str(error))
        except OSError as error:
            self._failed("memory", f"{type(error).__name__}: {error}")
        finally:
            frame.close()
        return True

    def _failed(self, code: str, why: str) -> None:
        if self._transfer is not None:
            self._transfer.fail(code, why)
        else:
            self.tell("failed", code=code, why=why)

    def _handle(self, frame: wire.Frame) -> bool:
        message, op = frame.message, frame.message.get("op")
        if op == "stop":
            return False
        if op in ("begin", "receive", "look"):
            self._start(frame, op)
            return True
        if self._transfer is None:
            raise RequestError(f"{str(op)[:80]!r}: begin or receive comes first")
        match op:
            case "barrier":
                self._transfer.barrier(requests.parse_barrier(message))
            case "stands":
                requests.parse_empty(message)
                self._transfer.stands()
            case "final":
                request = requests.parse_final(message, frame.fds)
                frame.fds = []
                self._transfer.final(request)
            case "state":
                fd = requests.parse_state(message, frame.fds)
                frame.fds = []
                self._transfer.state(fd)
            case "presence":
                file, bell = requests.parse_presence(message, frame.fds)
                frame.fds = []
                self._transfer.presence(file, bell)
            case "audit" if not isinstance(self._transfer, Looker):
                requests.parse_empty(message)
                self._begin_audit(self._transfer)
            case "digest" if isinstance(self._transfer, Looker):
                requests.parse_empty(message)
                self._begin_audit(self._transfer)
            case _:
                raise RequestError(f"unknown operation {str(op)[:80]!r}")
        return True

    def _start(self, frame: wire.Frame, op: str) -> None:
        if self._transfer is not None:
            raise RequestError("begin, receive, look: once only")
        if op == "begin":
            self._transfer = Sender(requests.parse_begin(frame.message, frame.fds), self.tell)
        elif op == "look":
            self._transfer = Looker(requests.parse_look(frame.message, frame.fds), self.tell)
        else:
            self._transfer = Receiver(requests.parse_receive(frame.message, frame.fds), self.tell)
        self._transfer.start()

    def _begin_audit(self, transfer: Transfer) -> None:
        if self._audit is not None and self._audit.is_alive():
            raise RequestError("audit: one is under way")

        def run() -> None:
            try:
                transfer.audit()
            except EmulatorError as error:
                transfer.fail(error.code, str(error))

        self._audit = threading.Thread(target=run, daemon=True)
        self._audit.start()


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal whose manager decides what it means
    serve(socket.socket(fileno=int(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
