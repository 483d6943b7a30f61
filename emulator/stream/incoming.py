"""One connection of a receiver: who it is, then its chunks, each checked before anything is done.

Nothing that comes before the proof costs more than a thread, a buffer of 512 KiB and ten seconds. After it, what breaks
the protocol in a chunk that came undamaged ends the transfer: such a peer is no source of ours. What came damaged is
asked for again, once.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import select
import socket
import ssl
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from emulator._core_stream import RAW_BYTES, Buffer, Chunk, ChunkError, Inflow, seal
from emulator.errors import EmulatorError
from emulator.hvctl.wire import WireError
from emulator.stream import chunks, codec, links
from emulator.stream.chunks import Type
from emulator.stream.codec import Codec
from emulator.stream.inbox import Inbox
from emulator.stream.records import RecordLink

if TYPE_CHECKING:
    from emulator.stream.receiver import Receiver

ACK_EVERY = 4
ALIVE_SECONDS = 2.0
ATTACH_SECONDS = 10.0
REFUSED_SECONDS = 2.0
"""How long a source that was refused has to read why, and to hang up."""
_GREETING_BYTES = 1 << 18
_DATA_BYTES = 1 << 20
_POLL_MS = 500
_SOON_MS = 10
_FLOW_NS = 50_000_000
_FLOW_WAIT_MS = 100
"""How long a look at the state of affairs can wait while chunks come, and where none does."""
_MORE_MS = 2
"""Within so long more comes, in a round: one acknowledgement is enough for several chunks."""
MOST_AGAIN = 4096
"""Threads of a machine that wait: each for one page."""


class ViolationError(EmulatorError):
    """A chunk that came undamaged and that no source of ours sends."""

    code = "peer"


class IntegrityError(EmulatorError):
    """What is here is not what was sent."""

    code = "integrity"


class SupersededError(EmulatorError):
    """The source has made another connection for the channel, or the transfer is over."""

    code = "superseded"


@dataclass
class ChannelState:
    """What outlives a connection: chunks applied, barriers arrived at. `serving`: held by the connection that is it."""

    applied: int = 0
    arrived: int = 0
    damaged: int = 0
    connection: Incoming | None = None
    serving: Lock = field(default_factory=Lock)


class Incoming:
    """A connection; `run` is its thread."""

    def __init__(self, receiver: Receiver, sock: socket.socket) -> None:
        self._receiver = receiver
        self._socket = sock
        self._link: links.Link = sock
        self.deadline = time.monotonic() + links.HANDSHAKE_SECONDS
        self.authenticated = False
        self._dead = False
        self._channel = 0
        self._idle_ns = 0
        self._unanswered = 0

    def hang_up(self) -> None:
        """End it at once, from any thread."""
        self._dead = True
        links.hang_up(self._link)

    def run(self) -> None:
        """Until its link is gone, or the transfer is over."""
        try:
            self._link = self._receiver.security.wrap(self._socket)
            state = self._greeted()
            if state is not None:
                self._attached(state)
        except (OSError, WireError, ChunkError, SupersededError, links.StrangerError) as error:
            if self.authenticated:
                self._receiver.link_lost(self, str(error)[:300] or type(error).__name__)
        except EmulatorError as error:
            self._refuse(error.code, str(error))
            self._receiver.fail(error.code, str(error))
        except Exception as error:
            self._receiver.fail("internal", f"{type(error).__name__}: {error}")
        finally:
            self._link.close()
            self._receiver.ended(self)

    # -- greeting

    def _greeted(self) -> ChannelState | None:
        """Read HELLO. None: it was refused, and told so."""
        inbox = Inbox(_GREETING_BYTES * 2)
        while (chunk := inbox.chunk()) is None:
            inbox.fill(self._link)
        if chunk.type != Type.HELLO or chunk.wire_bytes > chunks.MAX_BODY or not inbox.intact():
            raise ChunkError("HELLO is wanted")
        if chunk.major != chunks.VERSION[0]:
            self._refuse("peer", f"this side speaks version {chunks.VERSION[0]} of the stream, not {chunk.major}")
            return None
        bound = links.binding(self._link)
        hello = chunks.parse_hello(bytes(inbox.payload()))
        receiver = self._receiver
        wanted = chunks.proof(receiver.secret, "source", chunk, bound)
        if chunk.mid != receiver.mid or not hmac.compare_digest(wanted, hello.proof):
            raise ChunkError("not the source of this migration")
        self.authenticated = True
        self._channel = chunk.channel
        why = receiver.objection(hello, chunk.channel)
        if why:
            self._refuse("peer", why)
            raise ViolationError(f"the source was refused: {why}")
        self._features = tuple(sorted(chunks.FEATURES & {*hello.required, *hello.optional}))
        self._minor, self._bound = min(chunks.VERSION[1], chunk.minor), bound
        return receiver.channel(chunk.channel)

    def _refuse(self, code: str, text: str) -> None:
        """Tell why, and let it be read: to close a socket on which more has come would take back what was sent."""
        until = time.monotonic() + REFUSED_SECONDS
        rest = bytearray(1 << 16)
        try:
            self._send(Type.REFUSE, body=chunks.pack({"code": code, "text": text[:900]}))
            while not self._dead and (left := until - time.monotonic()) > 0:
                self._link.settimeout(left)
                if self._link.recv_into(rest) == 0:
                    return
        except (OSError, WireError):
            return

    def _welcome(self, state: ChannelState) -> None:
        header = Chunk(type=Type.WELCOME, mid=self._receiver.mid, channel=self._channel)
        proof = chunks.proof(self._receiver.secret, "target", header, self._bound)
        self._send(Type.WELCOME, body=chunks.pack({
            "proof": proof, "applied": state.applied, "algorithms": list(codec.available()),
            "features": list(self._features), "minor": self._minor,
        }))  # fmt: skip

    def _attached(self, state: ChannelState) -> None:
        """Be the channel, after the connection that was it has ended."""
        old = state.connection
        state.connection = self
        if old is not None:
            old.hang_up()
            self._receiver.nudge()
        if not state.serving.acquire(timeout=ATTACH_SECONDS):
            raise SupersededError("the channel's last connection does not end")
        try:
            if state.connection is not self or self._dead:
                raise SupersededError("another connection came")
            self._welcome(state)
            self._receiver.link_up(self)
            if self._channel == 0 and self._receiver.result is not None:
                self._send(Type.RESULT, body=self._receiver.result)
            self._serve(state)
        finally:
            state.serving.release()

    # -- chunks

    def _serve(self, state: ChannelState) -> None:
        self._inbox, self._raw, self._scratch = Inbox(_DATA_BYTES), Buffer(), Buffer()
        self._codec = Codec()
        self._flow = self._inflow()
        self._link.setblocking(False)
        poll = select.poll()
        poll.register(self._link.fileno(), select.POLLIN)
        bell: int | None = None
        while not self._dead:
            if bell is None and (bell := self._receiver.urgent(self._channel)) is not None:
                poll.register(bell, select.POLLIN)
                self._ask(again=True)
            if bell is None and self._flowed(state):
                continue
            chunk = self._inbox.chunk()
            if chunk is not None:
                self._take(state, chunk)
                self._inbox.done()
                if self._unanswered >= ACK_EVERY:
                    self._acknowledge(state)
                continue
            try:
                self._inbox.fill(self._link)
                continue
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            begun = time.monotonic_ns()
            ready = poll.poll(_MORE_MS) if self._unanswered else []
            if self._unanswered and not ready:
                self._acknowledge(state)
            if not ready:
                ready = poll.poll(_POLL_MS if bell is not None or not self._receiver.finishing else _SOON_MS)
            self._idle_ns += time.monotonic_ns() - begun
            if bell is not None and any(fd == bell for fd, _ in ready):
                self._ask(again=False)

    def _inflow(self) -> Inflow | None:
        if not isinstance(self._link, RecordLink):
            return None
        like = Chunk(Type.DATA, self._receiver.mid, self._channel)
        return Inflow(self._receiver.image, self._link.records, like, answer_every=ACK_EVERY, soon_ms=_MORE_MS)

    def _flowed(self, state: ChannelState) -> bool:
        """Have pages received, put into memory, acknowledged for a while. False: what comes next is to be looked at."""
        flow = self._flow
        if flow is None or self._receiver.finishing:
            return False
        flow.applied, flow.unanswered, flow.pages = state.applied, self._unanswered, 0
        try:
            return self._inbox.flow(
                flow, round=state.arrived, idle_ns=self._idle_ns, most_ns=_FLOW_NS, wait_ms=_FLOW_WAIT_MS
            )
        finally:
            state.applied, self._unanswered = flow.applied, flow.unanswered
            if flow.pages:
                self._receiver.counted(flow.pages, flow.wire_bytes)

    def _ask(self, *, again: bool) -> None:
        """Have the pages sent that the machine waits for; `again`: on a new link."""
        presence = self._receiver.urgent(self._channel)
        if presence is not None and not again:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(presence)
        most = MOST_AGAIN if again else chunks.MAX_ASKED
        while numbers := self._receiver.image.asked(most, again=again):
            for at in range(0, len(numbers), chunks.MAX_ASKED):
                self._send(Type.REQ, body=chunks.pack_numbers(numbers[at : at + chunks.MAX_ASKED]))
            if again:
                return

    def _take(self, state: ChannelState, chunk: Chunk) -> None:
        if chunk.mid != self._receiver.mid or chunk.channel != self._channel or not 1 <= chunk.type <= Type.MISSING:
            raise ViolationError(f"a chunk of type {chunk.type}, migration {chunk.mid}, channel {chunk.channel}")
        if chunk.sequence <= state.applied:
            self._unanswered += 1
            return  # sent again, and was here
        if not self._inbox.intact():
            self._damaged(state, chunk)
            return
        if chunk.sequence != state.applied + 1:
            if state.damaged == state.applied + 1:
                return  # comes again, behind the one that was damaged
            raise ViolationError(f"chunk {chunk.sequence} after {state.applied}")
        self._apply(state, chunk)
        state.applied = chunk.sequence
        self._unanswered += 1
        if self._channel == 0 and self._receiver.complete():  # only there it is said again on a new link
            self._send(Type.RESULT, body=self._receiver.result or b"")

    def _damaged(self, state: ChannelState, chunk: Chunk) -> None:
        if chunk.sequence != state.applied + 1:
            return
        if state.damaged == chunk.sequence:
            raise IntegrityError(f"chunk {chunk.sequence} of channel {self._channel} came damaged twice")
        state.damaged = chunk.sequence
        self._send(Type.NACK, sequence=chunk.sequence)

    def _apply(self, state: ChannelState, chunk: Chunk) -> None:
        try:
            if chunk.type == Type.DATA:
                self._apply_data(state, chunk)
            elif chunk.type == Type.BARRIER:
                body = chunks.body_fields(bytes(self._inbox.payload()), "BARRIER")
                self._barrier(state, chunk.round, chunks.octets(body, "digest", chunks.DIGEST_BYTES))
            elif self._channel != 0:
                raise ViolationError("the state goes through channel 0")
            elif chunk.type == Type.MISSING:
                if self._receiver.finishing or chunks.POSTCOPY not in self._features:
                    raise ViolationError("MISSING now")
                ranges = chunks.parse_numbers(
                    bytes(self._inbox.payload()), "MISSING", most=2 * chunks.MISSING_RANGES, pairs=True
                )
                self._receiver.begin_missing()
                self._wait(state, self._receiver.presence_ready)
                self._receiver.image.missing(ranges)
            elif chunk.type == Type.FINAL:
                self._receiver.begin_state(bytes(self._inbox.payload()), self._receiver.rounds)
                self._wait(state, self._receiver.state_ready)
            else:
                self._receiver.state_piece(chunk.argument, self._inbox.payload())
            if self._receiver.all_here():
                self._wait(state, self._receiver.verified)
        except ChunkError as error:
            raise ViolationError(str(error)) from None

    def _apply_data(self, state: ChannelState, chunk: Chunk) -> None:
        if chunk.round != state.arrived or self._receiver.finishing:
            raise ViolationError(f"pages of round {chunk.round} in round {state.arrived}")
        if chunk.algorithm:
            raw = self._codec.expand(chunk.algorithm, self._inbox.payload(), chunk.raw_bytes)
            assert len(raw) <= RAW_BYTES
            self._raw.payload[: len(raw)] = raw
            self._inbox.apply_raw(self._receiver.image, self._raw, self._scratch)
        else:
            self._inbox.apply(self._receiver.image, self._scratch)
        self._receiver.counted(chunk.pages + chunk.zeros, chunk.wire_bytes)

    def _barrier(self, state: ChannelState, number: int, digest: bytes) -> None:
        """Wait until all channels have come so far; then memory must be what the source says."""
        if number == state.arrived and not self._receiver.finishing:
            state.arrived += 1
        elif number + 1 != state.arrived:
            raise ViolationError(f"barrier {number} after {state.arrived}")
        self._receiver.arrived(number, digest)
        self._wait(state, lambda: self._receiver.rounds > number)

    def _wait(self, state: ChannelState, ready: object) -> None:
        """Until it is so; the source hears that this side lives."""
        assert callable(ready)
        while not self._receiver.wait(lambda: ready() or self._dead, ALIVE_SECONDS) or self._dead:
            if self._dead or state.connection is not self:
                raise SupersededError("the channel has another connection")
            self._acknowledge(state)

    # -- answers

    def _acknowledge(self, state: ChannelState) -> None:
        self._unanswered = 0
        waited = self._link.waited_ns() if isinstance(self._link, RecordLink) else 0
        self._send(Type.ACK, sequence=state.applied, argument=self._idle_ns + waited)

    def _send(self, kind: Type, *, sequence: int = 0, argument: int = 0, body: bytes = b"") -> None:
        header = Chunk(type=kind, mid=self._receiver.mid, channel=self._channel, sequence=sequence, argument=argument)
        data = memoryview(seal(header, body))
        until = time.monotonic() + links.DEAD_SECONDS
        poll = select.poll()
        poll.register(self._link.fileno(), select.POLLOUT)
        while data:
            try:
                data = data[self._link.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if self._dead or time.monotonic() > until:
                    raise TimeoutError("the source does not read") from None
                poll.poll(_POLL_MS)
