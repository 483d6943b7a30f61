"""The target's side: what all its connections share."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable

from emulator._core_stream import Image
from emulator.errors import EmulatorError
from emulator.stream import chunks, links
from emulator.stream.chunks import FinalBody, state_digest
from emulator.stream.incoming import ChannelState, Incoming, IntegrityError, ViolationError
from emulator.stream.requests import MAX_STATE_BYTES, Final, Receive, RequestError

STRANGERS = 8
"""Connections that have not yet said who they are: the oldest goes when there are more."""
PROGRESS_SECONDS = 0.25
_POLL_MS = 100
Tell = Callable[..., None]


class _State:
    """The guest's state as it comes."""

    def __init__(self, body: FinalBody) -> None:
        self.body = body
        self.fd: int | None = None
        self.received = 0
        self.checking = False
        self.right = False


class _Presence:
    """What the machine misses, and where it says so."""

    def __init__(self, fd: int, bell: int) -> None:
        self.fd, self.bell = fd, bell

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.bell)


class Receiver:
    """One migration's target. `tell(event, **fields)` is the way to the manager."""

    def __init__(self, request: Receive, tell: Tell) -> None:
        """Raises EmulatorError. The request's descriptors stay the caller's."""
        self._request, self._tell = request, tell
        self.mid, self.secret = request.mid, request.credentials.secret
        self.security = links.Security(request.credentials, plain=request.options.plain, server=True)
        self.image = Image(request.blocks, chunks.hash_key(self.secret, self.mid), marks=False)
        self.over = threading.Event()
        self.rounds = 0
        self.result: bytes | None = None
        self._changed = threading.Condition()
        self._channels: list[ChannelState] = []
        self._wanted = 0
        self._state: _State | None = None
        self._presence: _Presence | None = None
        self._presence_asked = self._whole = False
        self._failed = self._told_result = False
        self._connections: dict[Incoming, threading.Thread] = {}
        self._up: set[int] = set()
        self._ever_up = False
        self._down_since: float | None = None
        self._pages = self._bytes = 0
        self._told = self._measured = time.monotonic()
        self._last_bytes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._checker: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    # -- requests

    def state(self, fd: int) -> None:
        """The buffer for the state; the descriptor is this one's."""
        with self._changed:
            if self._state is None or self._state.fd is not None:
                os.close(fd)
                raise RequestError("state: not wanted now")
            if os.fstat(fd).st_size < self._state.body.state_bytes:
                os.close(fd)
                raise RequestError(f"state: a buffer of {self._state.body.state_bytes} bytes is wanted")
            self._state.fd = fd
            self._changed.notify_all()

    def presence(self, fd: int, bell: int) -> None:
        """The machine's file of pages that are missing, and its bell; the descriptors are this one's."""
        with self._changed:
            if not self._presence_asked or self._presence is not None:
                os.close(fd)
                os.close(bell)
                raise RequestError("presence: not wanted now")
            self._presence = _Presence(fd, bell)
            self.image.presence(fd)
            self._changed.notify_all()

    def barrier(self, number: int) -> None:
        """A target has none."""
        raise RequestError(f"barrier {number}: only a source asks for one")

    def stands(self) -> None:
        """A target has no guest that could."""
        raise RequestError("stands: only a source is told")

    def final(self, request: Final) -> None:
        """A target is given no state."""
        os.close(request.fd)
        raise RequestError("final: only a source is given the state")

    def audit(self) -> None:
        """A target verifies by itself."""
        raise RequestError("audit: only a source has something to compare with")

    def stop(self) -> None:
        """End everything, and wait for it."""
        self._end()
        if self._thread.is_alive():
            self._thread.join()
        for thread in list(self._connections.values()):
            thread.join()
        if self._checker is not None:
            self._checker.join()
        self.image.close()
        if self._state is not None and self._state.fd is not None:
            os.close(self._state.fd)
        if self._presence is not None:
            self._presence.close()

    def _end(self) -> None:
        self.over.set()
        with self._changed:
            connections = list(self._connections)
            self._changed.notify_all()
        for connection in connections:
            connection.hang_up()

    def fail(self, code: str, why: str) -> None:
        """Give up, once."""
        with self._changed:
            if self._failed or self.all_done() or self.over.is_set():
                return
            self._failed = True
        self._end()
        self._tell("failed", code=code, why=why[:1000])

    # -- the listener's thread

    def _run(self) -> None:
        try:
            self.image.wipe()
            with links.listen(self._request.host, self._request.port) as listener:
                self._down_since = time.monotonic()
                self._tell("listening", port=listener.getsockname()[1])
                listener.setblocking(False)
                poll = select.poll()
                poll.register(listener, select.POLLIN)
                while not self.over.is_set():
                    if poll.poll(_POLL_MS):
                        self._accept(listener)
                    self._watch()
        except OSError as error:
            self.fail("link", f"cannot listen at {self._request.host or 'any address'}: {error.strerror}")
        except EmulatorError as error:
            self.fail(error.code, str(error))

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # gone again, or no descriptor is left: the source comes again
        connection = Incoming(self, sock)
        thread = threading.Thread(target=connection.run, daemon=True)
        with self._changed:
            strangers = [each for each in self._connections if not each.authenticated]
            self._connections[connection] = thread
        for stranger in strangers[: max(0, len(strangers) - STRANGERS + 1)]:
            stranger.hang_up()
        thread.start()

    def _watch(self) -> None:
        now = time.monotonic()
        with self._changed:
            late = [each for each in self._connections if not each.authenticated and now > each.deadline]
            since = self._down_since
        for each in late:
            each.hang_up()
        if since is not None and now - since > self._request.options.reconnect_seconds and not self.all_done():
            self.fail("link", "no link from the source for too long")
        if self._ever_up and now - self._told >= PROGRESS_SECONDS and not self.all_done():
            self._progress(now)

    def _progress(self, now: float) -> None:
        rate = (self._bytes - self._last_bytes) / max(1e-3, now - self._told)
        self._told, self._last_bytes = now, self._bytes
        self._tell("progress", phase="final" if self._state else "copy", round=self.rounds, pages=self._pages,
                   bytes=self._bytes, total_bytes=0, remaining=0, dirty_rate=0, wire_rate=int(rate), ratio=1.0,
                   predicted_downtime_ms=0.0, percent=0.0, limited_by="nothing")  # fmt: skip

    # -- from the connections

    def objection(self, hello: chunks.Hello, channel: int) -> str:
        """Why this source cannot be served, or nothing."""
        unknown = set(hello.required) - chunks.FEATURES
        if unknown:
            return f"this side does not have what the source requires: {', '.join(sorted(unknown)[:5])}"
        if not channel < hello.channels <= self._request.channels:
            return f"{hello.channels} channels: this side takes up to {self._request.channels}"
        mine = chunks.joined([(block.ra, block.size) for block in self._request.blocks])
        if hello.ranges != mine:
            return "the source's memory is not at the same real addresses"
        with self._changed:
            if self._wanted not in (0, hello.channels):
                return f"{self._wanted} channels were said first, now {hello.channels}"
            if not self._wanted:
                self._wanted = hello.channels
                self._channels = [ChannelState() for _ in range(hello.channels)]
        return ""

    def channel(self, number: int) -> ChannelState:
        """What outlives the channel's connections."""
        return self._channels[number]

    def link_up(self, connection: Incoming) -> None:
        """A connection is a channel now."""
        with self._changed:
            self._up = {n for n, state in enumerate(self._channels) if state.connection in self._connections}
            whole = len(self._up) == self._wanted and self._down_since is not None
            if whole:
                self._down_since, self._ever_up = None, True
        if whole:
            self._tell("connected")

    def link_lost(self, connection: Incoming, why: str) -> None:
        """A connection that was a channel is gone."""
        with self._changed:
            if not any(state.connection is connection for state in self._channels):
                return
            first = self._down_since is None
            if first:
                self._down_since = time.monotonic()
        if first and not self.over.is_set() and not self.all_done():
            self._tell("lost", why=why)

    def ended(self, connection: Incoming) -> None:
        """A connection's thread ends."""
        with self._changed:
            if not self.over.is_set():
                self._connections.pop(connection, None)
            for state in self._channels:
                if state.connection is connection:
                    state.connection = None

    def counted(self, pages: int, size: int) -> None:
        """So many pages are in memory, of so many bytes on the wire."""
        with self._changed:
            self._pages += pages
            self._bytes += size

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Is it so, or will it be within this time? Raises ViolationError where the transfer is over."""
        with self._changed:
            self._changed.wait_for(lambda: ready() or self.over.is_set(), seconds)
            if self.over.is_set():
                raise links.StrangerError("the transfer is over")
            return ready()

    def nudge(self) -> None:
        """Whoever waits looks again."""
        with self._changed:
            self._changed.notify_all()

    def arrived(self, number: int, digest: bytes) -> None:
        """A channel has come to a barrier. The last one compares: no chunk is being put into memory then."""
        with self._changed:
            if self.rounds > number:
                return
            if any(state.arrived != number + 1 for state in self._channels):
                return
            if self.image.digest() != digest:
                raise IntegrityError(f"memory is not what was sent (digests differ after round {number})")
            if self.pushing and self.image.left():
                raise ViolationError(f"{self.image.left()} pages were missing, and did not come")
            self.rounds = number + 1
            whole, self._whole = self.pushing and not self._whole, self._whole or self.pushing
            self._changed.notify_all()
        if whole:
            self._tell("whole", pages=self._pages)

    # -- the end

    @property
    def finishing(self) -> bool:
        """No pages come any more."""
        return self._state is not None and not self.pushing

    @property
    def pushing(self) -> bool:
        """The guest may run: what was missing comes."""
        return self._state is not None and self._state.right and self._state.body.missing and not self._whole

    def begin_missing(self) -> None:
        """Pages will come later: the machine must know which."""
        with self._changed:
            first, self._presence_asked = not self._presence_asked, True
        if first:
            self._tell("presence_wanted")

    def presence_ready(self) -> bool:
        """Is it there?"""
        return self._presence is not None

    def urgent(self, channel: int) -> int | None:
        """The bell, for the channel that asks for pages."""
        presence = self._presence
        return presence.bell if presence is not None and channel == self._wanted - 1 else None

    def begin_state(self, data: bytes, rounds: int) -> None:
        """FINAL: memory is complete. Idempotent, since a connection may end while it is dealt with."""
        body = chunks.parse_final(data, MAX_STATE_BYTES)
        with self._changed:
            if self._state is not None:
                if self._state.body != body:
                    raise ViolationError("another FINAL")
                return
            if rounds == 0 or any(state.arrived != rounds for state in self._channels):
                raise ViolationError("FINAL before the last barrier")
            self.image.complete()
            if self.image.digest() != body.digest:
                raise IntegrityError("memory is not what was sent (digests differ)")
            self._state = _State(body)
        if body.state_bytes:
            self._tell("state_wanted", bytes=body.state_bytes)

    def state_ready(self) -> bool:
        """Is there a buffer?"""
        return self._state is not None and (self._state.fd is not None or self._state.body.state_bytes == 0)

    def state_piece(self, at: int, data: memoryview) -> None:
        """A piece of the state: in order, whole."""
        state = self._state
        if state is not None and at + len(data) == state.received:
            return  # the connection ended before this was acknowledged
        if state is None or state.fd is None or at != state.received or at + len(data) > state.body.state_bytes:
            raise ViolationError("a piece of the state out of order")
        left = data
        while left:
            left = left[os.pwrite(state.fd, left, at + len(data) - len(left)) :]
        state.received += len(data)

    def all_here(self) -> bool:
        """Memory and state have come: now they are verified, by a thread of its own. True once that has begun."""
        state = self._state
        if state is None or state.received < state.body.state_bytes:
            return False
        with self._changed:
            if not state.checking:
                state.checking = True
                self._checker = threading.Thread(target=self._check, args=(state,), daemon=True)
                self._checker.start()
        return True

    def verified(self) -> bool:
        """Is everything right?"""
        return self._state is not None and self._state.right

    def all_done(self) -> bool:
        """Nothing more is to come."""
        return self.result is not None and (self._whole or self._state is None or not self._state.body.missing)

    def _check(self, state: _State) -> None:
        try:
            if state.fd is not None and state_digest(state.fd, state.body.state_bytes) != state.body.sha256:
                raise IntegrityError("the state is not what was sent (SHA-256 differs)")
            if state.body.missing and self._presence is None:
                raise ViolationError("FINAL with pages missing, and none was named")
            self._tell("state", sha256=state.body.sha256)
            if self._strict(state) and (found := self.image.audit(self.over.is_set)).mismatches:
                raise IntegrityError(f"{found.mismatches} pages of memory are not what was written to them")
        except (EmulatorError, OSError) as error:
            self.fail(getattr(error, "code", "memory"), str(error))
            return
        missing = self.image.left()
        with self._changed:
            if state.body.missing:
                self.image.serve()
            state.right = True
            self.result = chunks.pack({"digest": state.body.digest})
            self._changed.notify_all()
        self._tell("received", digest=state.body.digest.hex(), sha256=state.body.sha256,
                   state_bytes=state.body.state_bytes, pages=self._pages, strict=self._strict(state),
                   missing=missing)  # fmt: skip

    def _strict(self, state: _State) -> bool:
        return state.body.strict or self._request.options.verify == "strict"

    def complete(self) -> bool:
        """True once: the answer is to be sent."""
        if self.result is None or self._told_result:
            return False
        self._told_result = True
        return True
