"""A client of the Network Block Device protocol over a unix socket: one request at a time, every length checked.

Fixed newstyle handshake, NBD_OPT_GO, simple replies; reads, writes and flushes.
Source: the NBD protocol specification (proto.md), "Fixed newstyle negotiation" and "Transmission phase".
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from contextlib import suppress

from emulator.backends.file import BLOCK, MAX_BYTES, check_range
from emulator.errors import ConfigError

MAX_REQUEST = 1 << 20
MAX_REPLY = 1 << 16
"""Bytes of an answer in the handshake; real ones have a few dozen."""
MAX_REPLIES = 64
_HELLO, _OPTION, _REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_FIXED, _NO_ZEROES = 1, 2
_OPT_GO, _REP_ACK, _REP_INFO, _INFO_EXPORT = 7, 1, 3, 0
_REP_ERROR = 1 << 31
_HAS_FLAGS, _READ_ONLY, _HAS_FLUSH = 1, 2, 4
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
_READ, _WRITE, _END, _FLUSH = 0, 1, 2, 3
_KNOWN_ERRORS = (errno.EPERM, errno.EIO, errno.ENOMEM, errno.EINVAL, errno.ENOSPC, errno.EOVERFLOW, errno.ENOTSUP,
                 errno.ESHUTDOWN)  # fmt: skip


class NbdDisk:
    """A disk that an NBD server exports. Safe from several threads.

    An answer that is none, and an end of the connection, are the end of it: every later call raises EIO.
    Raises ConfigError where the server does not export `export`; OSError where it does not answer.
    """

    fd = None
    base = 0

    def __init__(self, connection: socket.socket, export: str, *, read_only: bool = False) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._handle = 0
        self.trouble = ""
        self.size_bytes, flags = _negotiate(connection, export)
        if not 0 < self.size_bytes <= MAX_BYTES or self.size_bytes % BLOCK:
            raise ConfigError(f"a disk cannot have {self.size_bytes} bytes")
        if flags & _READ_ONLY and not read_only:
            raise ConfigError("the disk can only be read: export it with options=ro")
        self.read_only = read_only
        self._can_flush = bool(flags & _HAS_FLUSH)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self.size_bytes, offset, length)
        steps = range(offset, offset + length, MAX_REQUEST)
        return b"".join(self._request(_READ, at, min(MAX_REQUEST, offset + length - at)) for at in steps)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        check_range(self.size_bytes, offset, len(data))
        if self.read_only:
            raise OSError(errno.EROFS, "the disk is read-only")
        for at in range(0, len(data), MAX_REQUEST):
            part = data[at : at + MAX_REQUEST]
            self._request(_WRITE, offset + at, len(part), part)

    def flush(self) -> None:
        """NBD_CMD_FLUSH: returns when all writes that were answered are on stable storage."""
        if self._can_flush and not self.read_only:
            self._request(_FLUSH, 0, 0)

    def close(self) -> None:
        """Say good-bye and hang up."""
        with self._lock:
            if self._socket.fileno() >= 0:
                with suppress(OSError):  # it may have gone already
                    self._socket.sendall(struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, _END, 0, 0, 0))
                self._socket.close()

    def _request(self, command: int, offset: int, length: int, data: bytes = b"") -> bytes:
        with self._lock:
            if self.trouble or self._socket.fileno() < 0:
                raise OSError(errno.EIO, self.trouble or "the disk is closed")
            self._handle += 1
            head = struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, command, self._handle, offset, length)
            try:
                self._socket.sendall(head + data)
                magic, status, handle = struct.unpack(">IIQ", _receive(self._socket, 16))
                if (magic, handle) != (_ANSWER_MAGIC, self._handle):
                    raise OSError(errno.EPROTO, "an answer that was not asked for")
                if status:
                    known = status if status in _KNOWN_ERRORS else errno.EIO
                    raise _RefusedError(known, os.strerror(known))
                return _receive(self._socket, length) if command == _READ else b""
            except _RefusedError as error:
                raise OSError(error.errno, error.strerror) from None
            except OSError as error:
                self.trouble = f"the disk's server is gone: {error.strerror or error}"
                self._socket.close()
                raise OSError(errno.EIO, self.trouble) from None


class _RefusedError(OSError):
    """The server's answer to a request is an error; the connection is as good as before."""


def _receive(connection: socket.socket, length: int) -> bytes:
    """Exactly so many bytes. Raises OSError."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise OSError(errno.ECONNRESET, "the connection has ended")
        view = view[count:]
    return bytes(data)


def _negotiate(connection: socket.socket, export: str) -> tuple[int, int]:
    """Size and transmission flags of an export."""
    hello, option, flags = struct.unpack(">QQH", _receive(connection, 18))
    if (hello, option) != (_HELLO, _OPTION) or not flags & _FIXED:
        raise ConfigError("the server does not speak NBD's fixed newstyle handshake")
    name = export.encode()
    body = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
    go = struct.pack(">QII", _OPTION, _OPT_GO, len(body)) + body
    connection.sendall(struct.pack(">I", _FIXED | (flags & _NO_ZEROES)) + go)
    found: tuple[int, int] | None = None
    for _ in range(MAX_REPLIES):
        magic, asked, kind, length = struct.unpack(">QIII", _receive(connection, 20))
        if magic != _REPLY or asked != _OPT_GO or length > MAX_REPLY:
            raise ConfigError("the server breaks the NBD handshake")
        data = _receive(connection, length)
        if kind == _REP_ACK and found is not None:
            return found
        if kind & _REP_ERROR:
            text = data.decode("utf-8", "replace") or f"error {kind:#x}"
            raise ConfigError(f"the server does not export the disk: {text}")
        if kind == _REP_INFO and length >= 12 and data[:2] == _INFO_EXPORT.to_bytes(2, "big"):
            size, transmission = struct.unpack(">QH", data[2:12])
            found = (size, transmission if transmission & _HAS_FLAGS else 0)
    raise ConfigError("the server does not end the NBD handshake")
