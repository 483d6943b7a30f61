"""Where clients come in: a TCP port of this host, or a unix socket. Who may come is who may use the machine.

The protocol knows no passwords. A TCP client on this host is let in by its user, whom the kernel's table of connections
tells; one from another host by the address that is listened on, or not.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import ConfigError

LOOPBACK, PORT = "127.0.0.1", 1234
_ESTABLISHED = "01"
_TABLES = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}


@dataclass(frozen=True)
class Address:
    """`path` of a unix socket, or host and port."""

    host: str = LOOPBACK
    port: int = PORT
    path: str = ""

    @property
    def local(self) -> bool:
        """Is it only to be reached from this host?"""
        return bool(self.path) or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """ADDRESS:PORT, [ADDRESS]:PORT, PORT, or unix:PATH. Raises ConfigError."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(path=text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise ConfigError(f"{text}: ADDRESS:PORT with a numeric address, or unix:PATH, is wanted")
    return Address(host, number)


def is_address(text: str) -> bool:
    """Would `parse_address` take it?"""
    try:
        parse_address(text)
    except ConfigError:
        return False
    return True


class Door:
    """A socket that listens. Raises ConfigError where it cannot."""

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._path = Path(address.path) if address.path else None
        try:
            if self._path is not None:
                self._bind_path(self._path)
            else:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind((address.host, address.port))
            self._socket.listen(8)
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"{address}: {error.strerror or error}") from None
        self.address = address if self._path else Address(address.host, self._socket.getsockname()[1])

    def _bind_path(self, path: Path) -> None:
        if path.is_socket():
            path.unlink()  # left behind
        mask = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(mask)

    def fileno(self) -> int:
        """Readable when a client waits."""
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """The next client; None: it went away, or may not come in."""
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return None
        if allowed(sock):
            return sock
        sock.close()
        return None

    def close(self) -> None:
        """No more clients."""
        self._socket.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


def allowed(sock: socket.socket) -> bool:
    """Is the client of this host root, or who runs this? One of another host was let in by the address."""
    if sock.family == socket.AF_UNIX:
        return True  # the socket's mode has said so
    peer = sock.getpeername()
    if not ipaddress.ip_address(peer[0]).is_loopback:
        return True
    user = peer_user(sock)
    return user in (0, os.geteuid())


def peer_user(sock: socket.socket) -> int | None:
    """User of a TCP connection's other end on this host, by /proc/net/tcp; None: it has gone, or is not told."""
    peer, own = _in_table(sock.getpeername()[:2]), _in_table(sock.getsockname()[:2])
    with contextlib.suppress(OSError):
        for line in Path(_TABLES[sock.family]).read_text().splitlines()[1:]:
            words = line.split()
            if words[1:4] == [peer, own, _ESTABLISHED]:  # of one that was closed the user is not told any more
                return int(words[7])
    return None


def _in_table(address: tuple[str, int]) -> str:
    """As the kernel prints it: 32-bit words in the host's order."""
    raw = ipaddress.ip_address(address[0]).packed
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    return "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words) + f":{address[1]:04X}"
