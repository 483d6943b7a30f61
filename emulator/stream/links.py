"""Connections between two workers: TLS 1.3 with the one certificate that is accepted, or plain in a lab.

The proof in HELLO and WELCOME is bound to the connection: with TLS to the client's Finished message of its handshake
(`tls-unique`: this Python has no exporter), which differs for each connection and which only its two ends know.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator

from emulator.errors import EmulatorError
from emulator.stream import records
from emulator.stream.records import RecordLink
from emulator.stream.requests import Credentials

HANDSHAKE_SECONDS = 10.0
DEAD_SECONDS = 15
"""A link on which nothing is acknowledged for so long is gone."""
PLAIN_VARIABLE = "S4V_STREAM_PLAIN"
Link = socket.socket | ssl.SSLSocket | RecordLink


class CredentialsError(EmulatorError, ValueError):
    """A certificate or key of the request cannot be used."""

    code = "request"


class StrangerError(EmulatorError):
    """The peer is not whom the manager named."""

    code = "peer"


class Security:
    """How links are protected; made once for a migration."""

    def __init__(self, credentials: Credentials, *, plain: bool, server: bool) -> None:
        """Raises CredentialsError."""
        self._credentials, self._plain, self._server = credentials, plain, server
        self._records = not plain and records.wanted()
        self._peer = b""
        if plain:
            if os.environ.get(PLAIN_VARIABLE) != "1":
                raise CredentialsError(f"plain: only where the worker's environment has {PLAIN_VARIABLE}=1")
            return
        try:
            self._peer = ssl.PEM_cert_to_DER_cert(credentials.peer_certificate.strip())
            self._context = _context(credentials, server=server)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise CredentialsError(f"certificate, key or peer_certificate cannot be used: {error}") from None

    def wrap(self, sock: socket.socket) -> Link:
        """The link over a connected socket, which is this one's from now on. Raises OSError, StrangerError."""
        tune(sock)
        sock.settimeout(HANDSHAKE_SECONDS)
        if self._plain:
            return records.plain(sock)
        if not self._records:
            return self._handshake(self._context, sock)
        context = _context(self._credentials, server=self._server)  # its own: the keys of others are not in its file
        with records.key_file(context) as keys:
            link = self._handshake(context, sock)
            return records.take_over(link, keys, server=self._server, bound=_finished(link)) or link

    def _handshake(self, context: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
        link = context.wrap_socket(sock, server_side=self._server)
        if link.getpeercert(binary_form=True) != self._peer:
            link.close()
            raise StrangerError("the peer has another certificate than the one it should have")
        return link


def binding(link: Link) -> bytes:
    """What only the two ends of this connection know."""
    if isinstance(link, RecordLink):
        return link.bound
    return _finished(link) if isinstance(link, ssl.SSLSocket) else b""


def _finished(link: ssl.SSLSocket) -> bytes:
    return link.get_channel_binding("tls-unique") or b""


def _context(credentials: Credentials, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate itself is what is trusted
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=credentials.peer_certificate)
    if server:
        context.num_tickets = 0
    with _file(credentials.certificate) as certificate, _file(credentials.key) as key:
        context.load_cert_chain(certificate, key, password=lambda: "")
    return context


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A path for what may stand on no disk: the library takes files only."""
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(fd, text.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def tune(sock: socket.socket) -> None:
    """A link that is dead is noticed also while nothing is sent."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_SECONDS * 1000)


def hang_up(link: Link | None) -> None:
    """End a connection at once: whoever waits in it wakes up. The socket is closed by its thread."""
    with contextlib.suppress(OSError):
        if isinstance(link, RecordLink):
            link.shutdown(socket.SHUT_RDWR)
        elif link is not None:
            socket.socket.shutdown(link, socket.SHUT_RDWR)  # without TLS's own goodbye


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; host "": all addresses, of IPv6 too where the host has it. Raises OSError."""
    if host:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=32)
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=32)
    return socket.create_server(("0.0.0.0", port), backlog=32)
