"""Many chunks a call: what flows out of one memory flows into the other; all else is left to whoever called."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stream_support import PAGE, Memory, fill
from test_stream_core import KEY, blocks, walk

from emulator._core_stream import (
    FLOW_CHUNKS,
    HEADER_BYTES,
    Buffer,
    Chunk,
    ChunkError,
    Image,
    Inflow,
    Outflow,
    OutRun,
    Records,
    StreamMemoryError,
    seal,
)
from emulator.hvctl.wire import EndError
from emulator.stream import chunks
from emulator.stream.chunks import Type
from emulator.stream.inbox import Inbox
from emulator.stream.incoming import ChannelState, Incoming
from emulator.stream.records import PLAIN, RecordLink, plain
from emulator.stream.requests import Block

RANGES = [(0, 500 * PAGE), (1 << 32, 300 * PAGE)]
DEADLINE = 60
LONG_NS = 60_000_000_000
MID = 7


@dataclass
class Ends:
    """Two memories, and a link between them."""

    source: Memory
    target: Memory
    one: Image
    other: Image
    out: socket.socket
    link: RecordLink
    outflow: Outflow
    inflow: Inflow
    inbox: Inbox
    runs: list[OutRun] = field(default_factory=list)
    thread: threading.Thread | None = None

    def send(self, sequence: int, count: int = FLOW_CHUNKS, most_ns: int = LONG_NS) -> OutRun:
        """Chunks of round 1 from this number on."""
        header = Chunk(Type.DATA, MID, 2, 1, sequence)
        return self.outflow.send(header, [Buffer() for _ in range(count)], most_ns)

    def sending(self, *counts: int, behind: bytes = b"", most_ns: int = LONG_NS) -> None:
        """Meanwhile: calls of so many chunks, in `runs` when they are over; then other bytes."""

        def run() -> None:
            sequence = 1
            for count in counts:
                self.runs.append(self.send(sequence, count, most_ns))
                sequence += self.runs[-1].fetched
            if behind:
                self.out.sendall(behind)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def join(self) -> list[OutRun]:
        """What was sent, once it was."""
        assert self.thread is not None
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
        return self.runs

    def receive_until(self, applied: int) -> None:
        """That many chunks are in memory and acknowledged."""
        while self.inflow.applied < applied or self.inflow.unanswered:
            assert self.receive(wait_ms=1000)

    def receive(self, *, wait_ms: int = 0, most_ns: int = LONG_NS) -> bool:
        """What is there."""
        return self.inbox.flow(self.inflow, round=1, idle_ns=5, most_ns=most_ns, wait_ms=wait_ms)

    def answers(self) -> list[Chunk]:
        """What has been acknowledged."""
        found, inbox = [], Inbox(1 << 16)
        self.out.setblocking(False)
        try:
            while True:
                inbox.fill(self.out)
        except BlockingIOError:
            while (answer := inbox.chunk()) is not None:
                found.append(answer)
                inbox.done()
        return found


@pytest.fixture
def ends() -> Iterator[Ends]:
    source, target = Memory(RANGES), Memory(RANGES)
    one, other = Image(blocks(source), KEY, marks=True), Image(blocks(target), KEY, marks=False)
    fill(source, random.Random(8), populated=0.9)
    walk(one)
    out, into = socket.socketpair()
    records, link = Records.open(out.fileno(), PLAIN, b"", b""), plain(into)
    assert records is not None
    link.setblocking(False)
    inflow = Inflow(other, link.records, Chunk(Type.DATA, MID, 2), answer_every=4, soon_ms=1)
    made = Ends(source, target, one, other, out, link, Outflow(one, records), inflow, Inbox())
    yield made
    link.shutdown(socket.SHUT_RDWR)
    if made.thread is not None:
        made.join()
    records.close()
    link.close()
    out.close()
    one.close()
    other.close()
    source.close()
    target.close()


def test_what_flows_out_flows_in(ends: Ends) -> None:
    barrier = seal(Chunk(Type.BARRIER, MID, 2, 1))
    ends.sending(3, *(FLOW_CHUNKS,) * 3, behind=barrier)
    pages, more = 0, True
    while more:
        more = ends.receive(wait_ms=1000)
        pages += ends.inflow.pages
    first, *_, last = ends.join()
    assert (first.fetched, first.sent, first.error) == (3, 3, None)
    assert (last.fetched, last.looked, ends.one.pending()) == (0, 0, 0)
    assert ends.inflow.applied == sum(run.sent for run in ends.runs) > FLOW_CHUNKS
    assert pages == sum(run.pages for run in ends.runs) > 400
    assert ends.source.content() == ends.target.content()
    assert ends.one.digest() == ends.other.digest() != bytes(16)


def test_each_fourth_is_acknowledged(ends: Ends) -> None:
    like = Chunk(Type.DATA, MID, 2)
    ends.inflow = Inflow(ends.other, ends.link.records, like, answer_every=4, soon_ms=DEADLINE * 1000)
    ends.sending(8)
    while ends.inflow.applied < 8:
        assert ends.receive(wait_ms=1000)
    ends.join()
    answers = ends.answers()
    assert [answer.sequence for answer in answers] == [4, 8]
    assert all((answer.type, answer.mid, answer.channel) == (Type.ACK, MID, 2) for answer in answers)
    assert all(answer.argument >= 5 for answer in answers)


def test_what_came_is_acknowledged_when_nothing_more_comes(ends: Ends) -> None:
    ends.sending(1)
    ends.receive_until(1)
    ends.join()
    assert [answer.sequence for answer in ends.answers()] == [1]


def test_when_the_time_is_over_no_chunk_is_begun(ends: Ends) -> None:
    ends.sending(8, 8, 8, most_ns=0)
    seen = []
    while ends.inflow.applied < 3:
        ends.receive(most_ns=0, wait_ms=1000)
        seen.append(ends.inflow.applied)
    assert seen[0] <= 1 and {1, 2, 3} <= set(seen)  # one at a time
    assert [run.sent for run in ends.join()] == [1, 1, 1]


def test_a_chunk_that_could_not_be_sent_has_its_number(ends: Ends) -> None:
    pending = ends.one.pending()
    ends.link.shutdown(socket.SHUT_RDWR)
    run = ends.send(1)
    assert (run.fetched, run.sent) == (1, 0)
    assert isinstance(run.error, OSError) and run.error.errno == errno.EPIPE
    assert ends.one.pending() == pending - run.looked  # it is the caller's now


def test_memory_that_cannot_be_read_is_an_error() -> None:
    fd = os.memfd_create("shrinks", os.MFD_CLOEXEC)
    os.pwrite(fd, b"x" * 4 * PAGE, 0)
    block = Block(ra=0, size=4 * PAGE, memory=fd, map=fd, memory_offset=0, page_map_offset=0, region_map_offset=0)
    image, (near, far) = Image([block], KEY, marks=False), socket.socketpair()
    records = Records.open(near.fileno(), PLAIN, b"", b"")
    assert records is not None and walk(image) == 4
    os.ftruncate(fd, PAGE)
    run = Outflow(image, records).send(Chunk(Type.DATA, MID), [Buffer()], LONG_NS)
    assert run.fetched == 0 and isinstance(run.error, StreamMemoryError)
    records.close()
    image.close()
    near.close()
    far.close()
    os.close(fd)


@pytest.mark.parametrize(
    "other",
    [
        Chunk(Type.BARRIER, MID, 2, 1, 3),
        Chunk(Type.DATA, MID, 2, 2, 3, pages=0, zeros=1, raw_bytes=8),
        Chunk(Type.DATA, MID, 2, 1, 4, pages=0, zeros=1, raw_bytes=8),
        Chunk(Type.DATA, MID, 2, 1, 2, pages=0, zeros=1, raw_bytes=8),
        Chunk(Type.DATA, MID, 1, 1, 3, pages=0, zeros=1, raw_bytes=8),
        Chunk(Type.DATA, 8, 2, 1, 3, pages=0, zeros=1, raw_bytes=8),
    ],
    ids=("another type", "another round", "a gap", "sent again", "another channel", "another migration"),
)
def test_another_chunk_is_left_where_it_is(ends: Ends, other: Chunk) -> None:
    ends.sending(2, behind=seal(other, bytes(other.raw_bytes)))
    while ends.receive(wait_ms=1000):
        pass
    assert ends.inflow.applied == 2
    ends.join()
    while (found := ends.inbox.chunk()) is None:
        ends.inbox.fill(ends.link)
    assert (found.type, found.sequence, found.round) == (other.type, other.sequence, other.round)


def test_damage_is_left_where_it_is(ends: Ends) -> None:
    data = bytearray(seal(Chunk(Type.DATA, MID, 2, 1, 1, zeros=1), bytes(8)))
    data[HEADER_BYTES] ^= 1
    ends.out.sendall(data)
    assert not ends.receive()
    while ends.inbox.chunk() is None:
        ends.inbox.fill(ends.link)
    assert not ends.inbox.intact()
    ends.inbox.done()
    ends.out.sendall(b"?" * HEADER_BYTES)
    assert not ends.receive()
    with pytest.raises(ChunkError):
        ends.inbox.chunk()
    assert ends.inflow.applied == 0


def test_memory_that_was_compared_takes_nothing_any_more(ends: Ends) -> None:
    ends.sending(2)
    ends.other.complete()
    assert not ends.receive(wait_ms=1000)
    assert ends.inflow.applied == 0 and ends.other.digest() == bytes(16)


def test_the_end_of_the_link_is_seen(ends: Ends) -> None:
    ends.sending(2)
    ends.receive_until(2)
    ends.out.shutdown(socket.SHUT_WR)
    while ends.receive():
        pass
    assert ends.inflow.applied == 2 and ends.inbox.chunk() is None
    with pytest.raises(EndError):
        ends.inbox.fill(ends.link)


@pytest.mark.parametrize("channel", [0, 1])
def test_only_channel_0_brings_the_result(channel: int) -> None:
    """A barrier that another channel is late with must not take it: on that one it is not said again after a cut."""
    near, far = socket.socketpair()
    receiver = SimpleNamespace(
        mid=MID, rounds=1, finishing=False, result=b"", arrived=lambda number, digest: None, all_here=lambda: True,
        verified=lambda: True, wait=lambda ready, seconds: ready(), complete=lambda: True,
    )  # fmt: skip
    incoming = Incoming(cast("Any", receiver), near)
    incoming._channel = channel
    incoming._inbox = Inbox()
    far.sendall(seal(Chunk(Type.BARRIER, MID, channel, 0, 1), chunks.pack({"digest": bytes(16)})))
    while (barrier := incoming._inbox.chunk()) is None:
        incoming._inbox.fill(near)
    state = ChannelState()
    incoming._take(state, barrier)
    assert state.applied == 1
    far.setblocking(False)
    if channel == 0:
        answers = Inbox()
        answers.fill(far)
        answer = answers.chunk()
        assert answer is not None and answer.type == Type.RESULT
    else:
        with pytest.raises(BlockingIOError):
            far.recv(1)
    near.close()
    far.close()
