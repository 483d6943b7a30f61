"""A connection between two managers: TLS 1.3 with both certificates, bounded frames, a thread that owns the socket.

Before TLS the client sends its certificate in clear (`PREAMBLE`): certificates are not secret, and so the server can
ask TLS for the proof that the client has the key of exactly this one. Which certificates have which rights is decided
afterwards (`greeting`). The client knows which certificate the server must have before it says anything.

A frame is 4 bytes of length, big-endian, and a msgpack map (`emulator.hvctl.wire`). A link that has been silent for
`dead_seconds` is gone; who has nothing to say sends a ping.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.hvctl.wire import HEADER_BYTES, WireError, decode, encode
from ldmd.migrator.peers import CERTIFICATE_BYTES, fingerprint

PREAMBLE = b"S4VM"
GREETING_BYTES = 16 << 10
"""Longest frame before the other side is known."""
FRAME_BYTES = 4 << 20
OUTBOX_BYTES = 16 << 20
READ_BYTES = 64 << 10
Frame = Mapping[str, Any]


class LinkError(Exception):
    """The connection cannot be made, or the other side broke the rules."""


class PinError(LinkError):
    """The server has another certificate than it must have. `found`: the fingerprint it has."""

    def __init__(self, found: str) -> None:
        super().__init__(f"its certificate has the fingerprint {found}")
        self.found = found


@dataclass(frozen=True)
class Pace:
    """Seconds: a ping when nothing was sent for so long; gone when nothing came for so long; a greeting's time."""

    ping_seconds: float = 5.0
    dead_seconds: float = 20.0
    greeting_seconds: float = 20.0


@dataclass(frozen=True)
class Identity:
    """This server's certificate and key (`ldmd.security`), as files."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        """The certificate as it travels."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii"))


# -- making connections


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def connect(address: str, port: int, pins: frozenset[str], *, identity: Identity, seconds: float) -> ssl.SSLSocket:
    """A connection to a server that has one of these certificates. Raises LinkError, PinError, OSError."""
    raw = socket.create_connection((address, port), timeout=seconds)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        der = identity.der
        raw.sendall(PREAMBLE + len(der).to_bytes(2, "big") + der)
        # which certificate it must be is compared below: there is no authority
        sock = _context(ssl.PROTOCOL_TLS_CLIENT, identity).wrap_socket(raw)
    except BaseException:
        raw.close()
        raise
    found = fingerprint(sock.getpeercert(binary_form=True) or b"")
    if found not in pins:
        sock.close()
        raise PinError(found)
    return sock


def accept(raw: socket.socket, *, identity: Identity, seconds: float) -> tuple[ssl.SSLSocket, str]:
    """TLS with a client; its socket, and its certificate as PEM, whose key it has. Raises LinkError, OSError."""
    deadline = time.monotonic() + seconds
    raw.settimeout(seconds)
    head = _exactly(raw, len(PREAMBLE) + 2, deadline)
    length = int.from_bytes(head[-2:], "big")
    if not head.startswith(PREAMBLE) or not 1 <= length <= CERTIFICATE_BYTES:
        raise LinkError("no manager's preamble")
    der = _exactly(raw, length, deadline)
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # no session is ever resumed
    try:
        pem = ssl.DER_cert_to_PEM_cert(der)
        context.load_verify_locations(cadata=pem)
        raw.settimeout(max(0.1, deadline - time.monotonic()))
        sock = context.wrap_socket(raw, server_side=True)
    except (ssl.SSLError, ValueError) as error:
        raise LinkError(f"TLS: {error}") from error
    if sock.getpeercert(binary_form=True) != der:
        sock.close()
        raise LinkError("another certificate than was announced")
    return sock, pem


def _exactly(sock: socket.socket, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LinkError("too slow")
        sock.settimeout(left)
        more = sock.recv(length - len(data))
        if not more:
            raise LinkError("the connection ended")
        data += more
    return data


def send_frame(sock: socket.socket, frame: Frame) -> None:
    """One frame, while nobody else has the socket. Raises OSError, WireError."""
    sock.sendall(encode(frame, max_bytes=FRAME_BYTES))


def read_frame(sock: socket.socket, deadline: float, *, max_bytes: int = GREETING_BYTES) -> dict[str, Any]:
    """One frame of the greeting. Raises LinkError, OSError."""
    length = int.from_bytes(_exactly(sock, HEADER_BYTES, deadline), "big")
    if not 1 <= length <= max_bytes:
        raise LinkError(f"a frame of {length} bytes")
    try:
        return decode(_exactly(sock, length, deadline))
    except WireError as error:
        raise LinkError(str(error)) from error


# -- a connection that stands


class Link:
    """One connection. `on_frame` and `on_end` are called by its thread, `on_end` once, with why."""

    def __init__(self, sock: ssl.SSLSocket, *, pace: Pace = Pace(), max_bytes: int = FRAME_BYTES) -> None:
        self._sock, self._pace, self._max_bytes = sock, pace, max_bytes
        self._lock = threading.Lock()
        self._outbox: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._closing = self._killed = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._inbox = bytearray()
        self._thread: threading.Thread | None = None

    def start(self, on_frame: Callable[[dict[str, Any]], None], on_end: Callable[[str], None]) -> None:
        """From now on frames come. One that was closed already ends at once."""
        self._on_frame, self._on_end = on_frame, on_end
        with self._lock:
            closed = self._closing
            if not closed:
                self._sock.setblocking(False)
                self._thread = threading.Thread(target=self._run, name="migration-link", daemon=True)
                self._thread.start()
        if closed:
            on_end("closed here")

    def send(self, frame: Frame) -> bool:
        """Give a frame to the link. False: it is closing, or the other side does not read."""
        data = memoryview(encode(frame, max_bytes=self._max_bytes))
        with self._lock:
            if self._closing or self._killed or self._waiting_bytes + len(data) > OUTBOX_BYTES:
                return False
            self._outbox.append(data)
            self._waiting_bytes += len(data)
        self._ring()
        return True

    def close(self, *, at_once: bool = False) -> None:
        """End it; what was given to it goes out before, unless `at_once`."""
        with self._lock:
            self._closing = True
            self._killed = self._killed or at_once
            unused = self._thread is None and self._wake >= 0
            if unused:  # it never began: nobody else gives back what it has
                os.close(self._wake)
                self._wake = -1
        if unused:
            with contextlib.suppress(OSError):
                self._sock.close()
        self._ring()

    def join(self, seconds: float = 5.0) -> None:
        """Wait for its end."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _ring(self) -> None:
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # -- its thread

    def _run(self) -> None:
        why = ""
        try:
            why = self._serve()
        except (OSError, LinkError, WireError) as error:
            why = str(error) or type(error).__name__
        finally:
            with self._lock:
                self._killed = self._closing = True
                self._outbox.clear()
                os.close(self._wake)
                self._wake = -1  # its number may be another descriptor's at once
            with contextlib.suppress(OSError):
                self._sock.close()
            self._on_end(why)

    def _serve(self) -> str:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        heard = said = time.monotonic()
        wants_write = False
        self._receive()  # what the greeting's reads have left in TLS
        while True:
            now = time.monotonic()
            if now - heard > self._pace.dead_seconds:
                return "it has been silent"
            if now - said > self._pace.ping_seconds:
                self.send({"type": "ping"})
                said = now
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if wants_write else 0))
            poll.poll(max(1, int(1000 * min(self._pace.ping_seconds, self._pace.dead_seconds) / 2)))
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            if self._killed:
                return "closed here"
            if self._receive():
                heard = time.monotonic()
            before = self._waiting_bytes
            wants_write = not self._flush()
            if self._waiting_bytes != before:
                said = time.monotonic()
            if self._closing and not self._waiting_bytes:
                with contextlib.suppress(OSError, ValueError):
                    self._sock.unwrap()
                return "closed here"

    def _receive(self) -> bool:
        """Take what has come, and hand on whole frames. Raises LinkError at the end of the connection."""
        got = False
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return got
            if not data:
                raise LinkError("the other side closed it")
            got = True
            self._inbox += data
            self._take()

    def _take(self) -> None:
        while len(self._inbox) >= HEADER_BYTES:
            length = int.from_bytes(self._inbox[:HEADER_BYTES], "big")
            if not 1 <= length <= self._max_bytes:
                raise LinkError(f"a frame of {length} bytes")
            if len(self._inbox) < HEADER_BYTES + length:
                return
            body = bytes(self._inbox[HEADER_BYTES: HEADER_BYTES + length])
            del self._inbox[: HEADER_BYTES + length]
            frame = decode(body)
            if frame.get("type") != "ping":
                self._on_frame(frame)

    def _flush(self) -> bool:
        """Send what the socket takes. True: nothing waits."""
        while True:
            with self._lock:
                if not self._outbox:
                    return True
                data = self._outbox[0]
            try:
                sent = self._sock.send(data)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            with self._lock:
                self._waiting_bytes -= sent
                if sent == len(data):
                    self._outbox.popleft()
                else:
                    self._outbox[0] = data[sent:]
