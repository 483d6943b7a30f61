"""The manager's end of hvctl: requests and events over the machine's unix socket (emulator/hvctl/protocol.md).

A `Link` says hello, matches answers to requests, hands events to one listener in a thread of their own (a listener may
make requests), and connects again by itself when the machine's process went and came back.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.hvctl.wire import Frame, Receiver, WireError, close_all, send
from ldmd.operations.context import HypervisorError

VERSION = (1, 1)
CALL_SECONDS = 60.0
CONNECT_SECONDS = 10.0
AGAIN_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between attempts to connect; the last one is repeated."""
FDS = 128
"""Descriptors that one answer may bring: two for each block of a guest's memory."""

Event = Mapping[str, Any]


@dataclass
class _Waiting:
    """A request under way."""

    done: threading.Event = field(default_factory=threading.Event)
    frame: Frame | None = None


class Link:
    """A connection to one machine that outlives the machine's process. From any thread."""

    def __init__(self, path: Path, *, client: str = "ldmd", call_seconds: float = CALL_SECONDS,
                 on_again: Callable[[], None] = lambda: None, on_lost: Callable[[], None] = lambda: None) -> None:
        """`on_again` is called, in the thread of events, each time the connection is back or events were lost.

        `on_lost`: in a thread that must not wait, each time it is gone, and while it stays so now and then.
        """
        self._path, self._client, self._call_seconds, self._on_again = path, client, call_seconds, on_again
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._socket: socket.socket | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0
        self._hello: dict[str, Any] = {}
        self._listener: Callable[[Event], None] | None = None
        self._seen = 0
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- life

    def connect(self) -> Mapping[str, Any]:
        """Connect and say hello; returns its answer. Raises HypervisorError "unreachable", "version"."""
        self._connect()
        for target, name in ((self._keep_connected, "hvctl"), (self._deliver, "hvctl-events")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self._hello

    def close(self) -> None:
        """End the connection; requests under way fail."""
        self._closed.set()
        self._events.put(None)
        self._drop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(str(self._path))
            receiver = Receiver(sock, max_fds=FDS)
            send(sock, {"id": 0, "op": "hello", "args": {"version": list(VERSION), "client": self._client}})
            self._hello = _result(_next(receiver).message)
            sock.settimeout(None)
        except (OSError, WireError) as error:
            sock.close()
            raise HypervisorError("unreachable", f"{self._path}: {error}") from error
        except HypervisorError:
            sock.close()
            raise
        with self._lock:
            self._socket, self._receiver = sock, receiver

    def _drop(self, which: socket.socket | None = None) -> None:
        """The connection (that one, if it still is) is of no use any more."""
        with self._lock:
            if which is not None and which is not self._socket:
                return
            sock, self._socket = self._socket, None
            waiting, self._waiting = self._waiting, {}
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for each in waiting.values():
            each.done.set()

    # -- requests

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request; its result. Raises HypervisorError."""
        result, fds = self.call_fds(op, **arguments)
        close_all(fds)
        return result

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request; its result and the descriptors that came with it, which are the caller's to close."""
        return self.call_with(op, (), **arguments)

    def call_with(self, op: str, with_fds: Sequence[int], /, **arguments: Any) -> tuple[Any, list[int]]:
        """The same, with descriptors that go along; they stay the caller's."""
        if op == "hello":
            return self._hello, []
        waiting = _Waiting()
        with self._lock:
            sock = self._socket
            if sock is None:
                raise HypervisorError("unreachable", f"{self._path}: not connected")
            self._last += 1
            number = self._last
            self._waiting[number] = waiting
        try:
            with self._sending:
                send(sock, {"id": number, "op": op, "args": arguments}, with_fds)
        except WireError as error:
            self._forget(number)
            raise HypervisorError("args", str(error)) from error
        except OSError as error:
            self._forget(number)
            raise HypervisorError("unreachable", f"{op}: {error}") from error
        if not waiting.done.wait(self._call_seconds):
            self._forget(number)
            self._drop(sock)  # nobody knows what the machine will still do: connect anew, and agree anew
            raise HypervisorError("timeout", f"no answer to {op} within {self._call_seconds:g} seconds")
        if waiting.frame is None:
            raise HypervisorError("unreachable", f"the connection ended before {op} was answered")
        fds, waiting.frame.fds = waiting.frame.fds, []
        try:
            return _result(waiting.frame.message), fds
        except HypervisorError:
            close_all(fds)
            raise

    def _forget(self, number: int) -> None:
        with self._lock:
            self._waiting.pop(number, None)

    # -- events

    def listen(self, on_event: Callable[[Event], None]) -> None:
        """Have a function called with every event from now on. Raises HypervisorError."""
        self._listener = on_event
        self._seen = int(self.call("events.subscribe")["seq"])

    def _deliver(self) -> None:
        while (event := self._events.get()) is not None:
            if event.get("event") == AGAIN:
                self._subscribe_again()
            elif self._listener is not None:
                self._listener(event)

    def _subscribe_again(self) -> None:
        try:
            if self._listener is not None:
                self._seen = int(self.call("events.subscribe")["seq"])
            self._on_again()
        except HypervisorError:
            return  # gone again: the next connection brings another AGAIN

    # -- the thread that reads

    def _keep_connected(self) -> None:
        while not self._closed.is_set():
            self._read()
            self._drop()
            attempts = 0
            while not self._closed.wait(AGAIN_SECONDS[min(attempts, len(AGAIN_SECONDS) - 1)]):
                attempts += 1
                try:
                    self._connect()
                except HypervisorError:
                    self._on_lost()
                    continue
                self._events.put({"event": AGAIN})
                break

    def _read(self) -> None:
        """Frames until the connection ends."""
        with self._lock:
            if self._socket is None:
                return
            receiver = self._receiver
        try:
            while True:
                self._take(_next(receiver))
        except (WireError, OSError):
            receiver.close()

    def _take(self, frame: Frame) -> None:
        number = frame.message.get("id")
        if "event" in frame.message:
            self._events.put(frame.message)
            frame.close()
            return
        with self._lock:
            waiting = self._waiting.pop(number, None) if isinstance(number, int) else None
        if waiting is None:  # its caller has given up
            frame.close()
            return
        waiting.frame = frame
        waiting.done.set()


AGAIN = "link.again"
"""An event of our own: the connection is a new one."""


def _next(receiver: Receiver) -> Frame:
    frame = receiver.receive()
    if frame is None:
        raise WireError("no frame in time")
    return frame


def _result(message: Mapping[str, Any]) -> Any:
    error = message.get("error")
    if error is not None:
        if not isinstance(error, dict):
            raise HypervisorError("internal", "an error that is no map")
        raise HypervisorError(str(error.get("code", "internal")), str(error.get("text", "")))
    return message.get("result")
