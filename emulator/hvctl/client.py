"""A plain client of hvctl: one request at a time, and events. What `sun4v` itself uses."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emulator.errors import EmulatorError
from emulator.hvctl.wire import MAX_FDS, Receiver, WireError, close_all, send

VERSION = [1, 0]
CALL_SECONDS = 60.0


class HvctlError(EmulatorError):
    """The machine refuses a request (`code` as in protocol.md), or cannot be reached (code ``unreachable``)."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Hvctl:
    """A connection that has said hello (`hello`: the answer). A context manager. Raises HvctlError."""

    def __init__(self, path: Path, *, client: str = "sun4v", seconds: float = CALL_SECONDS) -> None:
        self._path, self._seconds, self._number = path, seconds, 0
        self._events: deque[dict[str, Any]] = deque()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._receiver = Receiver(self._sock, max_fds=MAX_FDS)
        try:
            self._sock.settimeout(seconds)
            self._sock.connect(str(path))
            self.hello: dict[str, Any] = self.call("hello", version=VERSION, client=client)
        except OSError as error:
            self.close()
            raise HvctlError("unreachable", f"{path}: {error.strerror or error}") from None
        except HvctlError:
            self.close()
            raise

    def fileno(self) -> int:
        """Readable when something has come: an event, or the end."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the connection."""
        self._receiver.close()
        self._sock.close()

    def __enter__(self) -> Hvctl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request; its result."""
        result, fds = self.call_fds(op, **arguments)
        close_all(fds)
        return result

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request; its result, and descriptors, which are the caller's to close."""
        self._number += 1
        self._sock.settimeout(self._seconds)
        try:
            send(self._sock, {"id": self._number, "op": op, "args": arguments})
            while True:
                message, fds = self._receive()
                if "event" in message:
                    self._events.append(message)
                elif message.get("id") == self._number:
                    break
                close_all(fds)
        except (OSError, WireError) as error:
            raise HvctlError("unreachable", f"{self._path}: {error}") from None
        error_ = message.get("error")
        if isinstance(error_, dict):
            close_all(fds)
            raise HvctlError(str(error_.get("code")), str(error_.get("text")))
        return message.get("result"), fds

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        frame = self._receiver.receive()
        if frame is None:
            raise WireError("no answer in time")
        return frame.message, frame.fds

    def events(self, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """Events that were subscribed to, as they come; ends after `seconds` without one (None: never), or at the end
        of the connection.
        """
        while True:
            if self._events:
                yield self._events.popleft()
                continue
            self._sock.settimeout(seconds)
            try:
                message, fds = self._receive()
            except (OSError, WireError):
                return
            close_all(fds)
            if "event" in message:
                self._events.append(message)

    def pending(self) -> list[dict[str, Any]]:
        """Events that have come beside answers."""
        found = list(self._events)
        self._events.clear()
        return found
