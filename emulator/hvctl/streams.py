"""Consoles as stream sockets: bytes both ways, any number of them, moved by one thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

from emulator.server.console import GuestConsole

PENDING_BYTES = 256 << 10
"""Output that waits for a reader; of a reader that is slower the oldest is lost."""
_CHUNK_BYTES = 16 << 10


class _Stream:
    """One console that is open."""

    def __init__(self, streams: Streams, console: GuestConsole, end: socket.socket) -> None:
        self.streams, self.console, self.end = streams, console, end
        self.pending = bytearray()
        self.lock = threading.Lock()
        self.closed = False

    def write(self, data: bytes) -> None:
        """Output of the guest, from its thread: never blocks."""
        with self.lock:
            if self.closed:
                return
            self.pending += data
            if len(self.pending) > PENDING_BYTES:
                del self.pending[: len(self.pending) - PENDING_BYTES]
            waits = self._send()
        if waits:
            self.streams.change(self)

    def _send(self) -> bool:
        """Send what goes. True: some has to wait."""
        while self.pending:
            try:
                del self.pending[: self.end.send(self.pending[:_CHUNK_BYTES])]
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                self.pending.clear()  # the reader has gone: the thread will find out
                return False
        return False

    def flush(self) -> bool:
        """As `_send`, when there is room again."""
        with self.lock:
            return not self.closed and self._send()

    def read(self) -> bool:
        """Input of the client, for the guest. False: the client has closed its end."""
        try:
            data = self.end.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        if data:
            self.console.type(data)
        return bool(data)

    def close(self) -> None:
        """No more output."""
        self.console.detach(self.write)
        with self.lock:
            self.closed = True
            self.end.close()


class Streams:
    """All consoles that are open. Safe from any thread; a context manager."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._changes: list[_Stream] = []
        self._streams: set[_Stream] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="consoles", daemon=True)
        self._thread.start()

    def open(self, console: GuestConsole, *, replay: bool) -> socket.socket:
        """Open a console; returns the client's end, which is the caller's."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stream = _Stream(self, console, ours)
        self.change(stream)
        console.attach(stream.write, replay=replay)
        return theirs

    def change(self, stream: _Stream) -> None:
        """A stream is new, or waits for room."""
        with self._lock:
            self._changes.append(stream)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it will wake anyway
            self._wake_out.send(b"\0")

    def close(self) -> None:
        """Close all of them."""
        self._closed = True
        self._wake()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._closed:
            for key, events in self._selector.select():
                if key.data is None:
                    self._take_changes()
                else:
                    self._serve(key.data, events)
        for stream in list(self._streams):
            self._drop(stream)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _take_changes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_in.recv(4096)
        with self._lock:
            changes, self._changes = self._changes, []
        for stream in changes:
            if stream in self._streams:
                self._watch(stream, writing=True)
            elif not stream.closed:
                self._streams.add(stream)
                self._selector.register(stream.end, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)

    def _watch(self, stream: _Stream, *, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(stream.end, events, stream)

    def _serve(self, stream: _Stream, events: int) -> None:
        if events & selectors.EVENT_READ and not stream.read():
            self._drop(stream)
        elif events & selectors.EVENT_WRITE and not stream.flush():
            self._watch(stream, writing=False)

    def _drop(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        self._selector.unregister(stream.end)
        stream.close()
