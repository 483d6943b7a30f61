"""One client after the other: bytes of a stream to a session, and answers back.

A client that asks while another one debugs is told so in an answer that GDB shows, and disconnected.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from emulator.gdb.debuggee import DebugError, Debuggee, GoneError, Stopped
from emulator.gdb.session import Session
from emulator.gdb.wire import Mark, Reader, frame

CHUNK_BYTES = 1 << 16
SEND_SECONDS = 30.0
MOST_REPEATS = 16
"""So often in a row a client may ask for the same answer again."""


class Attachable(Debuggee, Protocol):
    """A guest that a debugger can be attached to and taken from."""

    def attach(self) -> Stopped:
        """Stop it. Raises DebugError where that cannot be."""

    def detach(self) -> None:
        """Let it run on as if nothing had been. Never raises; twice is fine."""

    def fileno(self) -> int:
        """Readable when `pump` has something to do."""

    def pump(self) -> None:
        """Take what has come, for `stopped`. Raises GoneError."""


class Stream(Protocol):
    """Bytes of a client."""

    def fileno(self) -> int:
        """To wait for."""

    def receive(self) -> bytes:
        """What has come; nothing: the client has closed it. Raises OSError."""

    def send(self, data: bytes) -> None:
        """All of it. Raises OSError."""


class SocketStream:
    """A connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(SEND_SECONDS)
        with contextlib.suppress(OSError):  # a unix socket has no such thing
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """To wait for."""
        return self._sock.fileno()

    def receive(self) -> bytes:
        """What has come."""
        return self._sock.recv(CHUNK_BYTES)

    def send(self, data: bytes) -> None:
        """All of it."""
        self._sock.sendall(data)


class PipeStream:
    """Standard input and output, as GDB starts it with ``target remote |``."""

    def __init__(self, read_fd: int = 0, write_fd: int = 1) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd

    def fileno(self) -> int:
        """To wait for."""
        return self._read_fd

    def receive(self) -> bytes:
        """What has come."""
        return os.read(self._read_fd, CHUNK_BYTES)

    def send(self, data: bytes) -> None:
        """All of it."""
        while data:
            data = data[os.write(self._write_fd, data) :]


class Connection:
    """A client from its first byte to its last, with the guest attached."""

    def __init__(self, stream: Stream, debuggee: Attachable, first: Stopped) -> None:
        self.stream, self.debuggee = stream, debuggee
        self.session = Session(debuggee, first)
        self._reader = Reader()
        self._last = b""
        self._repeats = 0

    def run(self, others: Sequence[tuple[int, Callable[[], None]]] = ()) -> None:
        """Until it leaves. `others`: descriptors to look at besides, and what to do when they are readable."""
        doors = dict(others)
        while not self.session.over:
            inputs = [self.stream.fileno(), self.debuggee.fileno(), *doors]
            ready, _, _ = select.select(inputs, [], [])
            for fd in ready:
                if fd in doors:
                    doors[fd]()
            if self.debuggee.fileno() in ready:
                self._pump()
            if self.stream.fileno() in ready and not self._receive():
                return
            self._send(self.session.look())

    def _pump(self) -> None:
        try:
            self.debuggee.pump()
        except GoneError as gone:
            self._send(self.session.gone(gone))

    def _receive(self) -> bool:
        """False: the client has gone."""
        data = self.stream.receive()
        if not data:
            return False
        items = list(self._reader.feed(data))
        for item, following in zip(items, [*items[1:], None], strict=True):
            if not isinstance(item, Mark):
                # sent again since nobody answered in time, as while this process was starting
                self._packet(item, again=self.session.client.ack and item == following)
            elif item is Mark.INTERRUPT:
                self.session.interrupt()
            elif item is Mark.NAK and self.session.client.ack and self._repeats < MOST_REPEATS:
                self._repeats += 1
                self.stream.send(self._last)
            elif item is Mark.DAMAGED and self.session.client.ack:
                self.stream.send(b"-")
            if self.session.over:
                break
        return True

    def _packet(self, payload: bytes, *, again: bool) -> None:
        if self.session.client.ack:
            self.stream.send(b"+")
        if not again:
            self._send(self.session.handle(payload))

    def _send(self, payloads: Sequence[bytes]) -> None:
        if payloads:
            self._last, self._repeats = b"".join(map(frame, payloads)), 0
            self.stream.send(self._last)


def serve(
    stream: Stream, debuggee: Attachable, others: Sequence[tuple[int, Callable[[], None]]] = ()
) -> DebugError | None:
    """One client: attach, serve, detach. Returns why the guest cannot be debugged any more, where that is so."""
    try:
        first = debuggee.attach()
    except DebugError as error:
        refuse(stream, str(error))
        return error
    try:
        with contextlib.suppress(OSError):
            Connection(stream, debuggee, first).run(others)
    finally:
        debuggee.detach()
    return None


def refuse(stream: Stream, why: str) -> None:
    """Tell a client why it is not served: an error in words as the answer to its first packet."""
    with contextlib.suppress(OSError):
        stream.send(b"+" + frame(b"E." + why.encode()))
