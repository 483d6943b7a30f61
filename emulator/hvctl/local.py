"""hvctl within one process: the same requests, answers and events, without a socket."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from emulator.errors import EmulatorError
from emulator.hvctl.operations import VERSION, Answer, Station, error_answer, leave, perform
from emulator.hvctl.streams import Streams
from emulator.hvctl.wire import close_all, decode, encode
from emulator.server.events import Event
from emulator.server.guest import Guest
from emulator.server.server import Server

CALL_SECONDS = 60.0


class RefusedError(EmulatorError):
    """The machine refuses a request: `code` of protocol.md, and a text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class LocalHvctl:
    """A client of a server in this process. What it is told and tells goes through msgpack, as over the socket.

    `refuse` makes the exception of a request that is refused, of code and text.
    """

    def __init__(self, server: Server, *, refuse: Callable[[str, str], Exception] = RefusedError) -> None:
        self.server, self.greeted = server, False
        self.debugging: set[int] = set()
        self._refuse = refuse
        self._station = Station(os.getpid())
        self._streams = Streams()
        self._listener: Callable[[Mapping[str, Any]], None] | None = None
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.hello: Mapping[str, Any] = self.call("hello", version=list(VERSION), client="local")

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request; its result. Raises what `refuse` makes."""
        result, fds = self.call_fds(op, **arguments)
        close_all(fds)
        return result

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request; its result, and descriptors, which are the caller's to close."""
        return self.call_with(op, (), **arguments)

    def call_with(self, op: str, with_fds: Sequence[int], /, **arguments: Any) -> tuple[Any, list[int]]:
        """The same, with descriptors that go along; they stay the caller's."""
        try:
            request = decode(encode({"op": op, "args": arguments})[4:])
            result = perform(self.server, self, self._station, request, [os.dup(fd) for fd in with_fds])
            if isinstance(result, Future):
                result = result.result(CALL_SECONDS)
            fds = result.fds if isinstance(result, Answer) else []
            plain = result.result if isinstance(result, Answer) else result
            return decode(encode({"result": plain})[4:])["result"], fds
        except Exception as error:
            answer = error_answer(error)
            raise self._refuse(answer["code"], answer["text"]) from error

    def listen(self, listener: Callable[[Mapping[str, Any]], None], since: int | None = None) -> None:
        """Call `listener` with every event, in a thread of their own: it may make requests."""
        self._listener = listener
        self._thread = threading.Thread(target=self._deliver, args=(listener,), name="events", daemon=True)
        self._thread.start()
        self.subscribe(since)

    def _deliver(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        while (event := self._events.get()) is not None:
            listener(decode(encode(event)[4:]))

    def close(self) -> None:
        """End; the server goes on."""
        self.unsubscribe()
        leave(self.server, self)
        self._streams.close()
        self._events.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def __enter__(self) -> LocalHvctl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- emulator.hvctl.operations.Session

    def open_console(self, guest: Guest, *, replay: bool) -> socket.socket:
        """A console; the client's end of it."""
        return self._streams.open(guest.console, replay=replay)

    def subscribe(self, since: int | None) -> tuple[int, bool]:
        """Events go to the listener."""
        self.unsubscribe()
        return self.server.events.subscribe(self._events.put, since)

    def unsubscribe(self) -> None:
        """No more events."""
        self.server.events.unsubscribe(self._events.put)
