"""One channel of a sender: its thread fetches pages, sends them, and has them acknowledged.

Every numbered chunk is kept until it is acknowledged, at most WINDOW of them; after a link was lost the target says how
far it has come, and the rest is sent again as it was, byte for byte.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from emulator._core_stream import FLOW_CHUNKS, Buffer, Chunk, ChunkError, Image, Outflow, Taken, seal
from emulator.errors import EmulatorError
from emulator.faults.injector import Injector
from emulator.hvctl.wire import WireError
from emulator.stream import chunks, links
from emulator.stream.bucket import Bucket
from emulator.stream.chunks import Algorithm, Type
from emulator.stream.codec import Chooser, Codec
from emulator.stream.inbox import Inbox
from emulator.stream.pushes import Pushes, pages_of_a_push
from emulator.stream.records import RecordLink

WINDOW = 16
PUSH_PAGES = 32
"""Of a chunk, where nobody waits behind it."""
URGENT_PAGES = 4
"""For one that is asked for: itself, and what will be asked for next."""
RETRY_SECONDS = 0.1
STRANGERS = 3
"""A wrong certificate so many times in a row is no damage on the way."""
_ANSWERS_BYTES = 1 << 18
_KINDS = {kind: kind.name.lower() for kind in Type}
_FLOW_NS = 10_000_000
"""After so long no further chunk is begun before a look at answers and the state of affairs."""


class RefusedByPeerError(EmulatorError):
    """The target will not have this. `code` is that of its answer."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class DamagedTwiceError(EmulatorError):
    """A chunk came damaged, and damaged again."""

    code = "integrity"


@dataclass
class Counters:
    """What a channel has done since it began; seconds are of its thread."""

    wire_bytes: int = 0
    acked_bytes: int = 0
    raw_bytes: int = 0
    pages: int = 0
    looked: int = 0
    resent_bytes: int = 0
    send_seconds: float = 0.0
    send_cpu_seconds: float = 0.0
    cap_seconds: float = 0.0
    window_seconds: float = 0.0
    peer_idle_seconds: float = 0.0


@dataclass
class Sent:
    """A numbered chunk that is not acknowledged. `buffer` is given back when it is."""

    sequence: int
    data: memoryview | bytes
    buffer: Buffer | None
    kind: str = ""
    tries: int = 0
    damaged: bool = False
    urgent: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """A chunk that is not pages: made when its turn comes."""

    type: Type
    round: int = 0
    argument: int = 0
    body: bytes = b""
    state: tuple[int, int] | None = None  # (descriptor, bytes) of a piece of the state at `argument`


class Engine(Protocol):
    """What a channel needs to know of its sender."""

    mid: int
    over: threading.Event
    image: Image
    chooser: Chooser
    bucket: Bucket
    round: int
    serving: bool
    faults: Injector

    def address(self) -> tuple[str, int]: ...  # noqa: D102
    def security(self) -> links.Security: ...  # noqa: D102
    def hello(self, channel: int, binding: bytes) -> bytes: ...  # noqa: D102
    def welcomed(self, body: chunks.Welcome, header: Chunk, binding: bytes) -> None: ...  # noqa: D102
    def background(self, channel: int) -> bool: ...  # noqa: D102
    def enter(self) -> bool: ...  # noqa: D102
    def leave(self) -> None: ...  # noqa: D102
    def link_up(self, channel: int) -> None: ...  # noqa: D102
    def link_lost(self, channel: int, why: str, *, refused: bool = False) -> None: ...  # noqa: D102
    def lost_too_long(self, channel: int) -> bool: ...  # noqa: D102
    def result(self, body: bytes) -> None: ...  # noqa: D102
    def fail(self, code: str, why: str) -> None: ...  # noqa: D102


@dataclass
class Outgoing:
    """A channel; `run` is its thread."""

    engine: Engine
    number: int
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._items: deque[Item] = deque()
        self._unacked: deque[Sent] = deque()
        self._free: list[Buffer] = []
        self._raw = Buffer()
        self._codec = Codec()
        self._next = 1
        self._link: links.Link | None = None
        self._resend: deque[Sent] = deque()
        self._wanted: deque[int] = deque()  # pages that the target's guest waits for
        self._pushes: Pushes | None = None
        self.asked = 0
        self._strangers = 0
        self.rtt_seconds = 0.0

    # -- from other threads

    def put(self, *items: Item) -> None:
        """Send these after what was fetched before."""
        self._items.extend(items)
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        os.eventfd_write(self._wake, 1)

    def in_flight(self) -> int:
        """Bytes that are not acknowledged."""
        return self.counters.wire_bytes - self.counters.acked_bytes

    def quiet(self) -> bool:
        """All that it was given was acknowledged."""
        return not self._items and not self._unacked

    def hang_up(self) -> None:
        """End the link at once."""
        links.hang_up(self._link)
        self.wake()

    def close(self) -> None:
        """After the thread has ended."""
        os.close(self._wake)

    # -- the thread

    def run(self) -> None:
        """Until the transfer is over."""
        try:
            while not self.engine.over.is_set() and self._attempt():
                pass
        except EmulatorError as error:
            self.engine.fail(error.code, str(error))
        except Exception as error:
            self.engine.fail("internal", f"channel {self.number}: {type(error).__name__}: {error}")

    def _attempt(self) -> bool:
        """One connection from its beginning to its end. False: there will be none any more."""
        link: links.Link | None = None
        try:
            link = self._connect()
            self._transfer(link)
        except ssl.SSLCertVerificationError as error:
            self._stranger(str(error))
        except links.StrangerError as error:
            self._stranger(str(error))
        except (OSError, WireError, ChunkError) as error:
            self.engine.link_lost(self.number, _why(error), refused=isinstance(error, ConnectionRefusedError))
        finally:
            self._link = None
            if link is not None:
                link.close()
        if self.engine.over.wait(RETRY_SECONDS):
            return False
        if self.engine.lost_too_long(self.number):
            self.engine.fail("link", "no link to the target for too long")
            return False
        return True

    def _stranger(self, why: str) -> None:
        self._strangers += 1
        if self._strangers >= STRANGERS:
            raise links.StrangerError(f"the target is not whom it should be: {why}")
        self.engine.link_lost(self.number, why)

    def _connect(self) -> links.Link:
        sock = socket.create_connection(self.engine.address(), timeout=links.HANDSHAKE_SECONDS)
        self._link = sock
        try:
            link = self._link = self.engine.security().wrap(sock)
        except BaseException:
            sock.close()
            raise
        try:
            self._greet(link)
        except BaseException:
            link.close()
            raise
        self._strangers = 0
        return link

    def _greet(self, link: links.Link) -> None:
        bound = links.binding(link)
        begun = time.monotonic()
        body = self.engine.hello(self.number, bound)
        link.sendall(seal(Chunk(type=Type.HELLO, mid=self.engine.mid, channel=self.number), body))
        self._inbox = Inbox(_ANSWERS_BYTES * 2)
        while (answer := self._inbox.chunk()) is None:
            self._inbox.fill(link)
        took = time.monotonic() - begun
        self.rtt_seconds = min(took, self.rtt_seconds or took)  # who has waited for its forerunner's end took longer
        if not self._inbox.intact():
            raise ChunkError("a damaged answer")
        data = bytes(self._inbox.payload())
        if answer.type == Type.REFUSE:
            raise RefusedByPeerError(*chunks.parse_text(data))
        if answer.type != Type.WELCOME or answer.mid != self.engine.mid or answer.channel != self.number:
            raise ChunkError(f"WELCOME is wanted, not type {answer.type}")
        welcome = chunks.parse_welcome(data)
        self.engine.welcomed(welcome, answer, bound)
        self._inbox.done()
        self._acknowledged(welcome.applied)
        if welcome.applied >= self._next:
            raise RefusedByPeerError("peer", "the target has chunks that were never sent")
        self._resend = deque(self._unacked)
        self._heard = time.monotonic()
        self.engine.link_up(self.number)

    def _transfer(self, link: links.Link) -> None:
        link.settimeout(links.DEAD_SECONDS)
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        waiting = select.poll()
        waiting.register(link.fileno(), select.POLLIN)
        waiting.register(self._wake, select.POLLIN)
        self._flow = Outflow(self.engine.image, link.records) if isinstance(link, RecordLink) else None
        self._read_answers(link, poll, 0)
        while not self.engine.over.is_set():
            if len(self._unacked) > WINDOW // 2 or self._resend or self.engine.serving:  # then somebody may ask
                self._read_answers(link, poll, 0)
            if self._flowed():
                continue
            sent = self._resend.popleft() if self._resend else self._prepare()
            if sent is not None:
                self._send(link, sent)
                continue
            begun = time.monotonic()
            self._read_answers(link, waiting, 500)
            if len(self._unacked) >= WINDOW:
                self.counters.window_seconds += time.monotonic() - begun
            if self._unacked and time.monotonic() - self._heard > links.DEAD_SECONDS:
                raise TimeoutError("the target does not acknowledge any more")

    def _send(self, link: links.Link, sent: Sent) -> None:
        size = len(sent.data)
        wait = self.engine.bucket.spend(size)
        if wait > 0 and not sent.urgent:
            self.engine.over.wait(wait)
            self.counters.cap_seconds += wait
        wall, cpu = time.perf_counter(), time.thread_time()
        link.sendall(self._struck(sent) if self.engine.faults.armed else sent.data)
        self.counters.send_seconds += time.perf_counter() - wall
        self.counters.send_cpu_seconds += time.thread_time() - cpu
        if sent.tries:
            self.counters.resent_bytes += size
        else:
            self.counters.wire_bytes += size
        sent.tries += 1

    def _struck(self, sent: Sent) -> memoryview | bytes:
        """What goes out in the place of a chunk. Raises OSError."""
        rule = self.engine.faults.fire("stream.chunk", kind=sent.kind, channel=self.number)
        match rule.action if rule is not None else "":
            case "lose":
                return b""
            case "corrupt":
                return bytes(sent.data[:-1]) + bytes([sent.data[-1] ^ 1])
            case "cut":
                raise ConnectionResetError("fault stream.chunk: the connection was cut")
            case "delay":
                assert rule is not None
                self.engine.over.wait(rule.value("ms") / 1000)
        return sent.data

    # -- what is sent

    def _plain_sailing(self) -> bool:
        """Nothing has to be decided for a chunk: pages as they are, which nobody waits for, without a cap or faults."""
        engine = self.engine
        return not (
            self._flow is None or self._items or self._resend or self._wanted or engine.serving or engine.faults.armed
            or engine.bucket.rate is not None or engine.chooser.current()
        )  # fmt: skip

    def _flowed(self) -> bool:
        """Fetch and send several chunks by one call. False: there was nothing, or it must be done one by one."""
        room = WINDOW - len(self._unacked)
        if room <= 0 or not self._plain_sailing() or not self.engine.enter():
            return False
        try:
            return not self._items and self._send_run(min(room, FLOW_CHUNKS))
        finally:
            self.engine.leave()

    def _send_run(self, count: int) -> bool:
        assert self._flow is not None
        counters, buffers = self.counters, [self._free.pop() if self._free else Buffer() for _ in range(count)]
        header = Chunk(Type.DATA, self.engine.mid, self.number, self.engine.round, self._next)
        run = self._flow.send(header, buffers, _FLOW_NS)
        counters.looked += run.looked
        counters.pages += run.pages
        counters.raw_bytes += run.raw_bytes
        counters.send_seconds += run.blocked_ns / 1e9
        for buffer in buffers[: run.fetched]:
            sent = self._numbered(buffer.wire(), buffer, Type.DATA)
            if sent.sequence - header.sequence < run.sent:
                sent.tries = 1
                counters.wire_bytes += buffer.length
        self._free.extend(buffers[run.fetched :])
        if run.error is not None:
            raise run.error
        return run.fetched > 0

    def _prepare(self) -> Sent | None:
        """The next chunk; None: nothing to send now."""
        if len(self._unacked) >= WINDOW:
            return None
        if self._items:
            return self._make_item(self._items.popleft())
        if not self._wanted and not self.engine.background(self.number):
            return None
        if not self.engine.enter():
            return None
        try:
            if self._items:  # a round has ended, and another begun, since the look above: its end goes first
                return self._make_item(self._items.popleft())
            return self._fetch_wanted() or (self._push() if self.engine.background(self.number) else None)
        finally:
            self.engine.leave()

    def _make_item(self, item: Item) -> Sent:
        body = item.body
        if item.state is not None:
            fd, size = item.state
            body = os.pread(fd, size, item.argument)
            if len(body) != size:
                raise RefusedByPeerError("memory", "the state is shorter than it was said to be")
        chunk = Chunk(
            type=item.type, mid=self.engine.mid, channel=self.number, round=item.round, sequence=self._next,
            argument=item.argument,
        )  # fmt: skip
        return self._numbered(seal(chunk, body), None, item.type)

    def _fetch_wanted(self) -> Sent | None:
        """Pages that are asked for, and those behind them: few, since somebody waits."""
        while self._wanted:
            buffer = self._free.pop() if self._free else Buffer()
            taken = self.engine.image.take_at(buffer, self._wanted.popleft(), URGENT_PAGES)
            if taken.pages or taken.zeros:
                sent = self._sealed(buffer, taken, Algorithm.NONE, taken.raw_bytes)
                sent.urgent = True
                return sent
            self._free.append(buffer)  # it is on its way already
        return None

    def _push(self) -> Sent | None:
        """Pages that nobody has asked for; under a cap few of a guest that may ask for others meanwhile."""
        most = pages_of_a_push(self.engine.bucket.rate, PUSH_PAGES) if self.engine.serving else PUSH_PAGES
        if most == PUSH_PAGES:
            return self._fetch()
        self._pushes = self._pushes or Pushes(self.engine.image)
        buffer = self._free.pop() if self._free else Buffer()
        taken = self._pushes.take(buffer, most)
        if taken is None:
            self._free.append(buffer)
            return None
        return self._sealed(buffer, taken, Algorithm.NONE, taken.raw_bytes)

    def _fetch(self) -> Sent | None:
        buffer = self._free.pop() if self._free else Buffer()
        algorithm = self.engine.chooser.current()
        source = self._raw if algorithm else buffer
        header = Chunk(Type.DATA, self.engine.mid, self.number, self.engine.round, self._next)
        while True:
            apart = algorithm or self.engine.faults.armed  # fetched here, and sealed by us
            taken = self.engine.image.take(source) if apart else self.engine.image.fetch(buffer, header)
            self.counters.looked += taken.looked
            if taken.raw_bytes:
                break
            if not taken.looked:
                self._free.append(buffer)
                return None
        if algorithm:
            return self._packed(buffer, taken, algorithm)
        return self._sealed(buffer, taken, algorithm, taken.raw_bytes) if apart else self._counted(buffer, taken)

    def _packed(self, buffer: Buffer, taken: Taken, algorithm: int) -> Sent:
        size = taken.raw_bytes
        packed = self._codec.compress(algorithm, self._raw.payload[:size])
        if self.engine.chooser.tried(size, len(packed)):
            size = len(packed)
            buffer.payload[:size] = packed
        else:
            algorithm = Algorithm.NONE
            self._raw, buffer = buffer, self._raw
        return self._sealed(buffer, taken, algorithm, size)

    def _sealed(self, buffer: Buffer, taken: Taken, algorithm: int, size: int) -> Sent:
        if self.engine.faults.armed and size and self.engine.faults.fire("stream.page", channel=self.number):
            buffer.payload[0] ^= 1
        buffer.seal(
            Chunk(
                type=Type.DATA, mid=self.engine.mid, channel=self.number, round=self.engine.round, sequence=self._next,
                pages=taken.pages, zeros=taken.zeros, algorithm=algorithm, raw_bytes=taken.raw_bytes, wire_bytes=size,
            )
        )  # fmt: skip
        return self._counted(buffer, taken)

    def _counted(self, buffer: Buffer, taken: Taken) -> Sent:
        self.counters.pages += taken.pages + taken.zeros
        self.counters.raw_bytes += taken.raw_bytes
        return self._numbered(buffer.wire(), buffer, Type.DATA)

    def _numbered(self, data: memoryview | bytes, buffer: Buffer | None, kind: Type) -> Sent:
        sent = Sent(self._next, data, buffer, _KINDS[kind])
        self._next += 1
        self._unacked.append(sent)
        return sent

    # -- what the target answers

    def _read_answers(self, link: links.Link, poll: select.poll, timeout_ms: int) -> None:
        pending = link.pending() if isinstance(link, ssl.SSLSocket | RecordLink) else 0
        ready = [fd for fd, _ in poll.poll(0 if pending else timeout_ms)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if pending or link.fileno() in ready:
            self._inbox.fill(link)
        while (answer := self._inbox.chunk()) is not None:  # some may have come with the last ones
            self._answer(answer)
            self._inbox.done()

    def _answer(self, answer: Chunk) -> None:
        if not self._inbox.intact() or answer.mid != self.engine.mid or answer.channel != self.number:
            raise ChunkError("a damaged answer")
        if answer.type == Type.ACK:
            self.counters.peer_idle_seconds = answer.argument / 1e9
            self._acknowledged(answer.sequence)
        elif answer.type == Type.NACK:
            self._again(answer.sequence)
        elif answer.type == Type.REQ:
            numbers = chunks.parse_numbers(bytes(self._inbox.payload()), "REQ", most=chunks.MAX_ASKED)
            self._wanted.extend(numbers)
            self.asked += len(numbers)
        elif answer.type == Type.RESULT:
            self.engine.result(bytes(self._inbox.payload()))
        elif answer.type == Type.REFUSE:
            raise RefusedByPeerError(*chunks.parse_text(bytes(self._inbox.payload())))
        else:
            raise ChunkError(f"an answer of type {answer.type}")

    def _acknowledged(self, sequence: int) -> None:
        self._heard = time.monotonic()
        while self._unacked and self._unacked[0].sequence <= sequence:
            sent = self._unacked.popleft()
            self.counters.acked_bytes += len(sent.data) if sent.tries else 0
            if self._resend and self._resend[0] is sent:
                self._resend.popleft()
            if sent.buffer is not None:
                self._free.append(sent.buffer)

    def _again(self, sequence: int) -> None:
        """From this chunk on, once more: the target passes over what came after it."""
        found = [sent for sent in self._unacked if sent.sequence >= sequence]
        if not found or found[0].sequence != sequence:
            raise ChunkError("a NACK of a chunk that is not on its way")
        if found[0].damaged:
            raise DamagedTwiceError(f"chunk {sequence} of channel {self.number} came damaged twice")
        found[0].damaged = True
        self._resend = deque(found)


def _why(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:300]
