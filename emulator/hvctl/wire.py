"""Frames on a unix socket: length, msgpack map, and descriptors that go with them.

A frame is a length of 4 bytes, big-endian, and so many bytes of msgpack: one map with texts as keys. Descriptors
travel with the frame's first byte (SCM_RIGHTS). Both sides use this; the other side is never trusted: lengths, counts,
depth and types are bounded before anything is made of them, and what breaks the rules is a WireError.

`Receiver` takes exactly one frame at a time from the socket: the kernel may join bytes of several frames, but tells
only of a whole read that descriptors came with it (unix(7)).
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgpack

from emulator.errors import EmulatorError

MAX_FRAME = 16 << 20
"""Bytes of msgpack in a frame."""
MAX_REQUEST = 1 << 20
"""The same, of what a server takes: a megabyte of msgpack can become a hundred of Python objects."""
MAX_FDS = 253
"""Descriptors with one frame: Linux sends no more at once (SCM_MAX_FD)."""
MAX_DEPTH = 16
HEADER_BYTES = 4
_READ_BYTES = 1 << 18
_INT = array.array("i").itemsize

Message = dict[str, object]


class WireError(EmulatorError):
    """The other side broke the rules of the protocol, or this one was about to."""

    code = "wire"


class EndError(WireError):
    """The other side has closed the connection."""

    code = "wire.end"


@dataclass
class Frame:
    """A message and the descriptors that came with it; they are the receiver's to close."""

    message: Message
    fds: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Close the descriptors that nobody has taken."""
        close_all(self.fds)
        self.fds = []


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


# -- messages


def encode(message: Mapping[str, object], *, max_bytes: int = MAX_FRAME) -> bytes:
    """The frame of a message. Raises WireError for what msgpack cannot say, and one that is too long."""
    try:
        body: bytes = msgpack.packb(message, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"a message that cannot be sent: {error}") from error
    if len(body) > max_bytes:
        raise WireError(f"a message of {len(body)} bytes: {max_bytes} at most")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode(body: bytes | bytearray) -> Message:
    """The message of a frame without its length. Raises WireError."""
    limit = len(body)
    try:
        found = msgpack.unpackb(
            body, raw=False, strict_map_key=True, ext_hook=_no_extension, max_str_len=limit, max_bin_len=limit,
            max_array_len=limit, max_map_len=limit, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise WireError("a message that is no map")
    _check_shape(found)
    return found


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension {code}")


def _check_shape(message: Message) -> None:
    """Keys are texts, and nothing is nested deeper than MAX_DEPTH."""
    level: list[object] = [message]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                if not all(isinstance(key, str) for key in each):
                    raise WireError("a key that is no text")
                below += [value for value in each.values() if isinstance(value, dict | list)]
            elif isinstance(each, list):
                below += [value for value in each if isinstance(value, dict | list)]
        if not below:
            return
        level = below
    raise WireError(f"a message nested deeper than {MAX_DEPTH}")


# -- receiving


class Receiver:
    """Takes frames from a socket, blocking or not.

    `max_fds` is how many descriptors a frame may bring; with 0 the kernel throws away what is sent.
    """

    def __init__(self, sock: socket.socket, *, max_bytes: int = MAX_FRAME, max_fds: int = 0) -> None:
        self._sock = sock
        self._max_bytes = max_bytes
        self._max_fds = max_fds
        self._header = bytearray()
        self._body = bytearray()
        self._fds: list[int] = []

    def close(self) -> None:
        """Close the descriptors of a frame that was not complete. The socket is the caller's."""
        close_all(self._fds)
        self._fds = []

    def receive(self) -> Frame | None:
        """The next frame. None: it is not complete yet, and the socket does not block.

        Raises EndError at the end, WireError where the rules are broken (there is no way to go on then), OSError (of a
        socket with a timeout TimeoutError: what has come is kept).
        """
        try:
            return self._receive()
        except (BlockingIOError, InterruptedError):
            return None
        except ConnectionError:
            raise EndError("the connection was broken off") from None

    def _receive(self) -> Frame:
        while len(self._header) < HEADER_BYTES:
            self._header += self._read_header(HEADER_BYTES - len(self._header))
        length = int.from_bytes(self._header, "big")
        if not 1 <= length <= self._max_bytes:
            raise WireError(f"a frame of {length} bytes: 1 to {self._max_bytes}")
        while len(self._body) < length:
            data = self._sock.recv(min(length - len(self._body), _READ_BYTES))
            if not data:
                raise EndError("the connection ended in the middle of a frame")
            self._body += data
        body, self._header, self._body = self._body, bytearray(), bytearray()
        frame = Frame(decode(body), self._fds)
        self._fds = []
        return frame

    def _read_header(self, length: int) -> bytes:
        if self._max_fds == 0:
            data, flags = self._sock.recv(length), 0
        else:
            room = socket.CMSG_SPACE(self._max_fds * _INT)
            data, ancillary, flags, _ = self._sock.recvmsg(length, room, socket.MSG_CMSG_CLOEXEC)
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i", payload[: len(payload) // _INT * _INT])
                    self._fds += numbers.tolist()
        if flags & socket.MSG_CTRUNC or len(self._fds) > self._max_fds:
            raise WireError(f"more than {self._max_fds} descriptors with a frame")
        if not data:
            raise EndError("the connection was closed" if not self._header else "the connection ended in a frame")
        return data


# -- sending


def send(sock: socket.socket, message: Mapping[str, object], fds: Sequence[int] = ()) -> None:
    """Send a frame on a socket that blocks, or has a timeout (after which the socket is of no use).

    The descriptors stay the caller's. Raises WireError, OSError.
    """
    data = memoryview(encode(message))
    sent = _send_some(sock, data, fds)
    if sent < len(data):  # to send nothing to one that has read all and gone would be an error
        sock.sendall(data[sent:])


def _send_some(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    if not fds:
        return sock.send(data)
    if len(fds) > MAX_FDS:
        raise WireError(f"{len(fds)} descriptors with a frame: {MAX_FDS} at most")
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


class Outbox:
    """Frames that wait for a socket that does not block; at most `max_bytes` of them."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self._queue: deque[tuple[memoryview, list[int]]] = deque()

    def put(self, frame: bytes, fds: Sequence[int] = ()) -> bool:
        """Append a frame; its descriptors are the outbox's from now on. False: no room, and nothing is appended.

        A frame that finds the outbox empty has room whatever its length.
        """
        if self._queue and self.waiting_bytes + len(frame) > self.max_bytes:
            close_all(fds)
            return False
        self._queue.append((memoryview(frame), list(fds)))
        self.waiting_bytes += len(frame)
        return True

    def flush(self, sock: socket.socket) -> bool:
        """Send what the socket takes. True: nothing waits any more. Raises OSError where it is broken."""
        while self._queue:
            data, fds = self._queue[0]
            try:
                sent = _send_some(sock, data, fds)
            except (BlockingIOError, InterruptedError):
                return False
            close_all(fds)
            self.waiting_bytes -= sent
            if sent == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = (data[sent:], [])
        return True

    def close(self) -> None:
        """Throw away what waits."""
        for _, fds in self._queue:
            close_all(fds)
        self._queue.clear()
        self.waiting_bytes = 0
