"""A TLS link below the interpreter: Python's ssl makes the handshake, csrc/stream/records.c seals and opens records.

Python's ssl takes a call, the interpreter's lock and a system call or two for each record of 16 KiB; here a chunk of
256 KiB takes one of each. The keys come from where OpenSSL tells them to whoever wants to look at a connection of his
own (`keylog_filename`, RFC 9850), into a memfd of this connection alone. On the wire nothing differs: the other side
may have either.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import Iterator

from emulator._core_stream import Records, records_available

VARIABLE = "S4V_STREAM_RECORDS"
"""0 in the environment: Python's ssl does all of it."""
SUITES = {"TLS_AES_128_GCM_SHA256": 1, "TLS_AES_256_GCM_SHA384": 2, "TLS_CHACHA20_POLY1305_SHA256": 3}
PLAIN = 0
WAIT_MS = 100
"""For what must come, as the rest of a chunk, in the place of the interpreter."""
_SEND_SECONDS = 15.0
_SECRETS = ("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0")


def wanted() -> bool:
    """Can it be done here, and shall it?"""
    return os.environ.get(VARIABLE) != "0" and hasattr(ssl.SSLContext, "keylog_filename") and records_available()


@contextlib.contextmanager
def key_file(context: ssl.SSLContext) -> Iterator[int]:
    """Where the keys of the one connection are told that is made by this context."""
    fd = os.memfd_create("keys", os.MFD_CLOEXEC)
    try:
        context.keylog_filename = f"/proc/self/fd/{fd}"
        yield fd
    finally:
        context.keylog_filename = None  # type: ignore[assignment]
        os.ftruncate(fd, 0)
        os.close(fd)


def _secrets(fd: int) -> tuple[bytes, bytes] | None:
    """(client's, server's) first traffic secret, of the connection that this file is of."""
    lines = os.pread(fd, 1 << 14, 0).decode("ascii", "replace").splitlines()
    found = list[bytes]()
    for name in _SECRETS:
        words = [line.split() for line in lines if line.startswith(name + " ")]
        if len(words) != 1 or len(words[0]) != 3:
            return None
        found.append(bytes.fromhex(words[0][2]))
    return found[0], found[1]


def plain(sock: socket.socket) -> RecordLink:
    """A link without TLS, in the same way. Raises OSError."""
    records = Records.open(sock.fileno(), PLAIN, b"", b"")
    if records is None:
        raise OSError("the host has no memory for a link")
    return RecordLink(sock, records, b"plain")


def take_over(link: ssl.SSLSocket, keys: int, *, server: bool, bound: bytes, rekey_after: int = 0) -> RecordLink | None:
    """The link whose handshake is over and on which nothing was sent or received yet; None: it stays as it is."""
    suite, secrets = SUITES.get((link.cipher() or ("",))[0]), _secrets(keys)
    if suite is None or secrets is None or len(secrets[0]) != (48 if suite == SUITES["TLS_AES_256_GCM_SHA384"] else 32):
        return None
    mine, theirs = (secrets[1], secrets[0]) if server else secrets
    records = Records.open(link.fileno(), suite, mine, theirs, rekey_after=rekey_after)
    if records is None:
        return None
    timeout = link.gettimeout()
    sock = socket.socket(link.family, link.type, link.proto, fileno=link.detach())
    sock.settimeout(timeout)
    return RecordLink(sock, records, bound)


class RecordLink:
    """What a channel needs of a link, as ssl.SSLSocket has it. One thread at a time; any may `shutdown`."""

    def __init__(self, sock: socket.socket, records: Records, bound: bytes) -> None:
        self._sock, self.records, self.bound = sock, records, bound

    def fileno(self) -> int:
        """Of the socket."""
        return self._sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv_into` waits for the first byte, and `sendall` without progress."""
        self._sock.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """What `settimeout` or `setblocking` said; 0: nothing waits."""
        return self._sock.gettimeout()

    def setblocking(self, flag: bool) -> None:
        """`recv_into` waits for ever, or not at all."""
        self._sock.setblocking(flag)

    def pending(self) -> int:
        """Is there something to receive without a look at the socket?"""
        return self.records.pending()

    def sendall(self, data: bytes | memoryview) -> None:
        """Send. Raises OSError."""
        self._send(data, self._sock.gettimeout())

    def send(self, data: bytes | memoryview) -> int:
        """All of it, whatever `setblocking` says: a record that was begun must be sent."""
        self._send(data, None)
        return len(data)

    def _send(self, data: bytes | memoryview, seconds: float | None) -> None:
        self.records.send(data, int((seconds or _SEND_SECONDS) * 1000))

    def receive(self, buffer: memoryview, least: int) -> int:
        """As `recv_into`, but `least` bytes will come for certain: they are waited for, for a while."""
        count = self.records.receive(buffer, least=least, wait_ms=WAIT_MS)
        return self.recv_into(buffer) if count is None else count

    def waited_ns(self) -> int:
        """How long `receive` has waited for input, together."""
        return self.records.waited_ns()

    def recv_into(self, buffer: memoryview | bytearray) -> int:
        """Bytes that came, 0 at the end. Raises OSError: BlockingIOError where nothing came, by `setblocking`."""
        seconds = self._sock.gettimeout()
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            count = self.records.receive(buffer)
            if count is not None:
                return count
            left = None if until is None else until - time.monotonic()
            if seconds == 0:
                raise BlockingIOError("nothing has come")
            if left is not None and left <= 0:
                raise TimeoutError("nothing has come for too long")
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            poll.poll(None if left is None else max(1, int(left * 1000)))

    def shutdown(self, how: int) -> None:
        """The connection's end, without TLS's own goodbye."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Of both. Only the link's own thread may."""
        self.records.close()
        self._sock.close()
