"""The port at which other managers connect: TLS, the greeting, the judgement; then the link is somebody else's.

A peer that is not let in costs a thread for `greeting_seconds` at most, of which there are MOST; what it says is
bounded, and nothing is written because of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable

from emulator.hvctl.wire import WireError
from ldmd.log import Log
from ldmd.migrator import greeting
from ldmd.migrator.greeting import Join, Welcome
from ldmd.migrator.link import Identity, Link, LinkError, Pace, accept

ROOM_SECONDS = 1.0
"""In which a greeting that was ended gives its place back."""
MOST = 16
"""Connections in their greeting at one time."""

Judge = Callable[[Join, str, str], Welcome | str]
"""(join, the client's certificate as PEM, its address) -> a welcome, or a key of greeting.WHY."""


class Listener:
    """`arrived(join, pem, link)` gets each link that was let in, not started yet; in a thread of the listener."""

    def __init__(self, address: tuple[str, int], *, identity: Identity, judge: Judge,
                 arrived: Callable[[Join, str, Link], None], log: Log, pace: Pace) -> None:
        """Raises OSError where the address cannot be had."""
        self._identity, self._judge, self._arrived, self._log, self._pace = identity, judge, arrived, log, pace
        self._socket = socket.create_server(address, backlog=MOST)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._room = threading.BoundedSemaphore(MOST)
        self._closed = False
        self._guard = threading.Lock()
        self._greeting: dict[socket.socket, str] = {}  # and from where; the oldest first
        self._thread = threading.Thread(target=self._accept, name="migration-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more connections; those in their greeting end."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._guard:
            open_ones = tuple(self._greeting)
        for sock in open_ones:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, peer = self._socket.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False) and not (
                    self._make_room(str(peer[0])) and self._room.acquire(timeout=ROOM_SECONDS)):
                sock.close()
                continue
            threading.Thread(target=self._greet, args=(sock, str(peer[0])), name="migration-greeting",
                             daemon=True).start()

    def _make_room(self, address: str) -> bool:
        """All places are taken: who has the most of them gives his oldest to one who has none or few."""
        with self._guard:
            if not self._greeting:
                return False
            counts = Counter(self._greeting.values())
            greedy, count = counts.most_common(1)[0]
            if count <= counts[address] + 1:
                return False
            oldest = next(sock for sock, each in self._greeting.items() if each == greedy)
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        return True

    def _greet(self, raw: socket.socket, peer: str) -> None:
        with self._guard:
            self._greeting[raw] = peer
        try:
            self._let_in(raw, peer)
        except (LinkError, WireError, OSError) as error:
            self._log.debug(f"migration: {peer}: {error!s:.200}")
        finally:
            with self._guard:
                self._greeting.pop(raw, None)
            raw.close()  # a socket that TLS has taken over has another descriptor
            self._room.release()

    def _let_in(self, raw: socket.socket, peer: str) -> None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock, pem = accept(raw, identity=self._identity, seconds=self._pace.greeting_seconds)
        try:
            join = greeting.receive(sock, seconds=self._pace.greeting_seconds,
                                    judge=lambda said: self._judge(said, pem, peer))
        except BaseException:
            sock.close()
            raise
        if join is None or self._closed:
            sock.close()
            return
        self._arrived(join, pem, Link(sock, pace=self._pace))
