"""hvctl on a unix socket: several clients, none of which can hold up the machine or another one.

One thread moves all frames. Requests are handed to the guests' turns; answers and events come back through a queue and
wait, bounded, for a client that reads slowly. A client that breaks the rules, or lets too much wait, is disconnected.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from emulator.descriptors import exhausted
from emulator.errors import EmulatorError
from emulator.hvctl import operations
from emulator.hvctl.operations import Answer, Station, error_answer
from emulator.hvctl.streams import Streams
from emulator.hvctl.wire import MAX_FDS, MAX_REQUEST, EndError, Outbox, Receiver, WireError, close_all, encode
from emulator.server.errors import ArgumentError
from emulator.server.events import Event
from emulator.server.guest import Guest
from emulator.server.server import Server

LOG = logging.getLogger("sun4v.machine")
OUTBOX_BYTES = 32 << 20
MAX_CLIENTS = 64
MAX_WAITING = 256
"""Requests of one client under way; beyond that nothing is read from it."""
FRAMES_A_TURN = 32
"""Frames of one client before the others have their turn."""
MAX_NUMBER = (1 << 63) - 1
_CREDENTIALS = struct.Struct("iII")


class Client:
    """One connection. Its methods are for the server's thread, but those of `operations.Session`, which are called
    there as well, and `deliver`.
    """

    def __init__(self, hvctl: HvctlServer, sock: socket.socket) -> None:
        self.hvctl, self.sock = hvctl, sock
        self.greeted = False
        self.debugging: set[int] = set()
        self.receiver = Receiver(sock, max_bytes=MAX_REQUEST, max_fds=MAX_FDS)
        self.outbox = Outbox(OUTBOX_BYTES)
        self.waiting = 0
        self.open = True
        self.events = selectors.EVENT_READ
        self._kept_ones = False  # subscribing: events of before are coming

    # -- requests

    def read(self) -> None:
        """Take requests. Raises WireError and OSError at the connection's end."""
        for _ in range(FRAMES_A_TURN):
            if self.waiting >= MAX_WAITING:
                return
            frame = self.receiver.receive()
            if frame is None:
                return
            fds, frame.fds = frame.fds, []
            self.request(frame.message, fds)

    def request(self, message: dict[str, object], fds: list[int]) -> None:
        """Answer a request, now or when its guest has had its turn. The descriptors are this function's."""
        number = message.get("id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_NUMBER:
            close_all(fds)
            error = {"code": "request", "text": f"id: a number from 0 to {MAX_NUMBER} is wanted"}
            self.put({"id": None, "error": error})
            return
        try:
            unknown = message.keys() - {"id", "op", "args"}
            if unknown:
                close_all(fds)
                raise ArgumentError(f"unknown: {', '.join(sorted(unknown))[:80]}")
            result = operations.perform(self.hvctl.server, self, self.hvctl.station, message, fds)
        except Exception as error:
            self.refuse(number, error)
            return
        if isinstance(result, Future):
            self.waiting += 1
            result.add_done_callback(lambda future: self.hvctl.later(lambda: self._finish(number, future)))
        else:
            self.answer(number, result)

    def _finish(self, number: int, future: Future[Any]) -> None:
        self.waiting -= 1
        error = future.exception()
        if error is not None:
            self.refuse(number, error)
        else:
            self.answer(number, future.result())

    def answer(self, number: int, result: Any) -> None:
        """A result."""
        answer = result if isinstance(result, Answer) else Answer(result)
        self.put({"id": number, "result": answer.result}, answer.fds)

    def refuse(self, number: int, error: BaseException) -> None:
        """An error."""
        if not isinstance(error, EmulatorError):
            LOG.error("hvctl: a request failed", exc_info=error)
        self.put({"id": number, "error": error_answer(error)})

    def put(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        """Send a message when the client takes it; too many of them, and it is disconnected."""
        if not self.open:
            close_all(fds or [])
            return
        try:
            frame = encode(message)
        except WireError as error:
            close_all(fds or [])
            frame = encode({"id": message.get("id"), "error": {"code": "internal", "text": str(error)}})
            fds = None
        if not self.outbox.put(frame, fds or []):
            LOG.warning("hvctl: a client does not read; it is disconnected")
            self.hvctl.drop(self)
            return
        self.hvctl.update(self)

    # -- operations.Session

    def open_console(self, guest: Guest, *, replay: bool) -> socket.socket:
        """A console; the client's end of it. It outlives the connection."""
        return self.hvctl.streams.open(guest.console, replay=replay)

    def subscribe(self, since: int | None) -> tuple[int, bool]:
        """Events from now on; those that are kept come before the answer."""
        self.unsubscribe()
        self._kept_ones = True
        try:
            return self.hvctl.server.events.subscribe(self.deliver, since)
        finally:
            self._kept_ones = False

    def unsubscribe(self) -> None:
        """No more events."""
        self.hvctl.server.events.unsubscribe(self.deliver)

    def deliver(self, event: Event) -> None:
        """An event, from any thread."""
        if self._kept_ones and self.hvctl.here():
            self.put(event)
        else:
            self.hvctl.later(lambda: self.put(event))


class HvctlServer:
    """Listens at a path. `start` makes its thread; `close` ends it and removes the socket.

    Raises OSError where the path cannot be bound. `backlog` of events and answers waits in memory, bounded by client.
    """

    def __init__(self, server: Server, path: Path, *, station: Station | None = None) -> None:
        self.server, self.path = server, path
        self.station = station or Station(os.getpid())
        self.streams = Streams()
        self._selector = selectors.DefaultSelector()
        self._clients: set[Client] = set()
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._closing = False
        self._spare = _spare()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="hvctl", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def close(self) -> None:
        """Send what waits, as far as clients take it at once; disconnect them."""
        self.later(self._stop)
        self._thread.join(timeout=30)
        self.streams.close()

    def _stop(self) -> None:
        self._closing = True

    def later(self, job: Callable[[], None]) -> None:
        """Have something done in the server's thread. From any thread."""
        self._jobs.append(job)
        with contextlib.suppress(OSError):  # full: it will wake anyway
            self._wake_out.send(b"\0")

    def here(self) -> bool:
        """Is this the server's thread?"""
        return threading.current_thread() is self._thread

    # -- the thread

    def _run(self) -> None:
        while not self._closing:
            for key, events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_in:
                    self._work()
                else:
                    self._serve(key.data, events)
        for client in list(self._clients):
            self._flush(client)
            self.drop(client)
        self._selector.close()
        for end in (self._listener, self._wake_in, self._wake_out, self._spare):
            end.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _work(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_in.recv(4096)
        while self._jobs:
            self._jobs.popleft()()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if exhausted(error):
                self._turn_away()
            return  # or it is gone again
        if len(self._clients) >= MAX_CLIENTS or not _allowed(sock):
            sock.close()
            return
        sock.setblocking(False)
        client = Client(self, sock)
        self._clients.add(client)
        self._selector.register(sock, client.events, client)

    def _turn_away(self) -> None:
        """No descriptor is left: with the one that is kept for it a client is accepted, and disconnected."""
        self._spare.close()
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        self._spare = _spare()

    def _serve(self, client: Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(client)
        if not client.open or not events & selectors.EVENT_READ:
            return
        try:
            client.read()
        except EndError:
            self.drop(client)
        except (WireError, OSError) as error:
            LOG.warning("hvctl: a client is disconnected: %s", error)
            self._flush(client)  # the answers to what was right
            self.drop(client)
        self.update(client)

    def _flush(self, client: Client) -> None:
        if not client.open:
            return
        try:
            client.outbox.flush(client.sock)
        except OSError:
            self.drop(client)
            return
        self.update(client)

    def update(self, client: Client) -> None:
        """What to wait for: requests as long as not too many are under way, room where something is to be sent."""
        if not client.open:
            return
        events = selectors.EVENT_READ if client.waiting < MAX_WAITING else 0
        events |= selectors.EVENT_WRITE if client.outbox.waiting_bytes else 0
        if events == client.events:
            return
        if events == 0:
            self._selector.unregister(client.sock)
        elif client.events == 0:
            self._selector.register(client.sock, events, client)
        else:
            self._selector.modify(client.sock, events, client)
        client.events = events

    def drop(self, client: Client) -> None:
        """Disconnect a client. What it asked for is done all the same."""
        if not client.open:
            return
        client.open = False
        client.unsubscribe()
        operations.leave(self.server, client)
        self._clients.discard(client)
        if client.events:
            self._selector.unregister(client.sock)
        client.receiver.close()
        client.outbox.close()
        client.sock.close()


def _spare() -> IO[bytes]:
    """A descriptor to give up when there is no other."""
    return open(os.devnull, "rb")


def _listen(path: Path) -> socket.socket:
    """A socket nobody but its owner can connect to: its mode is right before it listens."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # left behind: the caller holds the machine's process file
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(16)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _allowed(sock: socket.socket) -> bool:
    """Is the peer root, or who runs the machine?"""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid in (0, os.geteuid()):
        return True
    LOG.warning("hvctl: user %d is not the machine's; disconnected", uid)
    return False
