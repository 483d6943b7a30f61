"""How a source comes to its target, again and again, until it is not needed any more."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ldmd.messages import RefusedError, message
from ldmd.migrator import greeting
from ldmd.migrator.greeting import Join, RefusedGreetingError, Welcome
from ldmd.migrator.link import Link, LinkError, PinError, connect
from ldmd.migrator.peers import Peer, find_peer, trusted

if TYPE_CHECKING:
    from ldmd.migrator.means import Means

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to connect; the last one is repeated."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One connection that was let in."""

    link: Link
    welcome: Welcome
    peer: Peer
    certificate: bytes  # of the target, DER


def visit(means: Means, host: str, join: Join, *, pin: str = "") -> Visit:
    """Connect once. `pin`: the fingerprint the target had before, of a session.

    Raises RefusedError migration.connect, migration.certificate, migration.authentication, migration.host.
    """
    peer = find_peer(host, means.directory)
    pins = frozenset({pin}) if pin else peer.fingerprints
    if join.how == greeting.CERTIFICATE:  # that a home is shared is no trust
        pins &= frozenset(trusted(means.directory).values())
        if not pins:
            raise message("migration.own-certificate", host=host)
    try:
        sock = connect(peer.address, peer.port, pins, identity=means.identity, seconds=means.pace.greeting_seconds)
    except PinError as error:
        code = "migration.certificate" if pins else "migration.certificate-unknown"
        raise message(code, host=host, found=error.found) from None
    except (LinkError, OSError) as error:
        raise unreachable(host, error) from None
    certificate = sock.getpeercert(binary_form=True) or b""
    try:
        welcome = greeting.introduce(sock, join, seconds=means.pace.greeting_seconds)
    except RefusedGreetingError as error:
        sock.close()
        if error.why == "authentication":
            raise _not_let_in(host, join) from None
        if error.why == "off":  # rule M02
            raise message("migration.disabled", side="target", machine=host, setting="incoming") from None
        raise message("migration.refused", host=host, problem=str(error)) from None
    except (LinkError, OSError) as error:
        sock.close()
        raise unreachable(host, error) from None
    return Visit(link=Link(sock, pace=means.pace), welcome=welcome, peer=peer, certificate=certificate)


def unreachable(host: str, error: Exception) -> RefusedError:
    """Why nothing came of a connection, in words."""
    if isinstance(error, socket.gaierror):
        return message("migration.connect", host=host, problem=f"no host is called {host}",
                       help="name a machine of this home (`sun4v machines`), a name of hosts.toml, or a host")
    problem = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError):
        problem = f"what listens there does not speak TLS 1.3 as a manager does ({error.reason or 'it broke off'})"
    elif isinstance(error, OSError) and error.strerror:
        problem = error.strerror
    return message("migration.connect", host=host, problem=problem,
                   help="is it on, and does its ldmd listen there? ([migration] in its ldmd.toml)")


def _not_let_in(host: str, join: Join) -> RefusedError:
    """What was shown is not enough there; more nobody is told."""
    if join.how == greeting.PASSWORD:
        return message("migration.authentication", host=host, who=f"user {join.user!r} with this password",
                       help=f"`sun4v passwd {host} {join.user}` there gives that user a password; many wrong ones in "
                            "a row keep everybody from this address waiting")
    return message("migration.authentication", host=host, who=f"the manager of {join.machine!r}",
                   help=f"its server.crt belongs into trust/{join.machine}.pem there")


class Connector:
    """The thread of one attempt that connects when `want` is set and no link stands."""

    def __init__(self, means: Means, host: str, join: Join, *, pin: Callable[[], str],
                 arrived: Callable[[Visit], None], refused: Callable[[RefusedError], None]) -> None:
        self._means, self._host, self._pin = means, host, pin
        self._join = replace(join, how=greeting.SESSION, password="")
        self._arrived, self._refused = arrived, refused
        self._condition = threading.Condition()
        self._wanted = self._standing = self._ended = False
        self._thread: threading.Thread | None = None

    def want(self, wanted: bool) -> None:
        """`Connect`, or `Disconnect`."""
        with self._condition:
            self._wanted = wanted
            if wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="migration-connector", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def standing(self, stands: bool) -> None:
        """A link stands, or is gone."""
        with self._condition:
            self._standing = stands
            self._condition.notify_all()

    def end(self) -> None:
        """For ever."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _run(self) -> None:
        tries = 0
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._ended or (self._wanted and not self._standing))
                if self._ended or self._means.dead:
                    return
            try:
                found = visit(self._means, self._host, self._join, pin=self._pin())
            except RefusedError as error:
                self._refused(error)
            else:
                tries = 0
                with self._condition:
                    if self._ended or not self._wanted or self._standing:
                        found.link.close(at_once=True)
                        continue
                    self._standing = True
                self._arrived(found)
                continue
            with self._condition:
                self._condition.wait_for(lambda: self._ended, timeout=PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
