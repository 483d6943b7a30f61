"""The client's end of the RPC."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from emulator.hvctl.wire import EndError, Receiver, WireError, send
from ldmd.messages import RefusedError, message

OnLine = Callable[[str, Any], None]
CONNECT_SECONDS = 10
"""How long to wait until ldmd takes the connection, and a request."""
EVENTS_KEPT = 4096


class Client:
    """One connection to ldmd. Not for several threads. Raises RefusedError rpc.connect where there is none."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._last = 0
        self._events: deque[Mapping[str, Any]] = deque(maxlen=EVENTS_KEPT)
        try:
            # not settimeout: connect(2) would fail at once where many clients wait to be accepted
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_SECONDS, 0))
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise message("rpc.connect", path=self._path, problem=error.strerror or error) from error
        self._receiver = Receiver(self._socket)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. What it asked for goes on in ldmd."""
        self._receiver.close()
        self._socket.close()

    def call(self, command: str, arguments: Mapping[str, Any] | None = None, *, on_line: OnLine | None = None,
             line: str = "") -> Any:
        """Carry out a command; its result. Raises RefusedError.

        `on_line` is called with ("say", text), ("warn", text), ("progress", {"percent", "text"}) as they come; `line`
        is the command as it was typed, for the history.
        """
        self._last += 1
        number = self._last
        self._send({"id": number, "command": command, "arguments": dict(arguments or {}), "line": line})
        while True:
            answer = self._receive()
            if "event" in answer:
                self._events.append(answer)
            if answer.get("id") != number:
                continue  # an event, or an answer to what was given up
            if "status" in answer:
                return _result(answer)
            for kind in ("say", "warn", "progress"):
                if kind in answer and on_line is not None:
                    on_line(kind, answer[kind])

    def watch(self) -> Iterator[Mapping[str, Any]]:
        """Events from now on, as they happen, until the connection ends."""
        self.subscribe()
        return self.events()

    def subscribe(self) -> None:
        """Have events sent from now on; `events` gives them, with none missing."""
        self.call("watch")

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Events since `subscribe`, those that came during a call as well, until the connection ends."""
        while True:
            while self._events:
                yield self._events.popleft()
            try:
                answer = self._receive()
            except RefusedError:
                return
            if "event" in answer:
                self._events.append(answer)

    def _send(self, request: Mapping[str, Any]) -> None:
        try:
            send(self._socket, request)
        except WireError as error:
            raise message("rpc.request", problem=error) from error
        except OSError:
            # an answer may say why it was closed (too many connections); the receive below tells
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _receive(self) -> Mapping[str, Any]:
        try:
            frame = self._receiver.receive()
        except EndError as error:
            raise message("rpc.ended") from error
        except (WireError, OSError) as error:
            raise message("rpc.broken", problem=error) from error
        if frame is None:
            raise message("rpc.ended")
        if frame.message.get("id", 0) is None:  # about the connection itself
            _result(frame.message)
        return frame.message


def _result(answer: Mapping[str, Any]) -> Any:
    error = answer.get("error")
    if answer.get("status") == 0:
        return answer.get("result")
    if not isinstance(error, dict):
        raise message("rpc.broken", problem="an answer without an error")
    raise RefusedError(str(error.get("code", "")), str(error.get("text", "")), cause=str(error.get("cause", "")),
                       remedy=str(error.get("remedy", "")))
