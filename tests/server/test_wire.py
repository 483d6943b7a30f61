"""Frames: what goes in comes out, descriptors too; whatever a peer sends, the answer is a frame or a WireError."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.hvctl import wire
from emulator.hvctl.wire import EndError, Outbox, Receiver, WireError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(width=64)
TREES = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)


@given(st.dictionaries(st.text(), TREES, max_size=5))
def test_round_trip(message: dict[str, object]) -> None:
    assert repr(wire.decode(wire.encode(message)[4:])) == repr(message)  # repr: NaN is not equal to itself


def test_frames_in_pieces(pair: Pair) -> None:
    one, other = pair
    other.setblocking(False)
    receiver = Receiver(other)
    found = []
    for byte in wire.encode({"n": 1}) + wire.encode({"n": 2}):
        one.send(bytes([byte]))
        while frame := receiver.receive():
            found.append(frame.message["n"])
    assert found == [1, 2]
    one.close()
    with pytest.raises(EndError, match="closed"):
        receiver.receive()


def test_descriptors_come_with_their_frame(pair: Pair) -> None:
    one, other = pair
    reads, writes = os.pipe()
    wire.send(one, {"n": 1})
    wire.send(one, {"n": 2}, [writes, reads])
    wire.send(one, {"n": 3})
    os.close(writes)
    os.close(reads)
    receiver = Receiver(other, max_fds=2)
    frames = [receiver.receive() for _ in range(3)]
    assert [(frame.message["n"], len(frame.fds)) for frame in frames if frame] == [(1, 0), (2, 2), (3, 0)]
    assert frames[1] is not None
    os.write(frames[1].fds[0], b"x")
    assert os.read(frames[1].fds[1], 5) == b"x"
    assert not os.get_inheritable(frames[1].fds[0])
    frames[1].close()


def test_descriptors_nobody_asked_for_are_closed(pair: Pair) -> None:
    one, other = pair
    reads, writes = os.pipe()
    wire.send(one, {}, [writes])
    wire.send(one, {}, [writes] * 3)
    os.close(writes)
    frame = Receiver(other).receive()
    assert frame is not None and frame.fds == []
    limited = Receiver(other, max_fds=1)
    with pytest.raises(WireError, match="more than 1"):
        limited.receive()
    limited.close()
    assert os.read(reads, 1) == b""  # nobody holds the writing end any more
    os.close(reads)


@pytest.mark.parametrize(
    "body",
    [
        b"\x01", b"\x80\x80", b"\xc1", b"\x81\x01\x01", b"\x81\xa1", b"\x81\xa1a\xc7\x00\xff",
        b"\x81\xa1a\xd4\x05a", b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xdd\xff\xff\xff\xff", b"\x81\xa1a" * 20 + b"\x80",
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x90", b"\x81\xc4\x01a\x01", b"\x81\xa1a\x81\xc4\x01a\x01",
    ],
)  # fmt: skip
def test_bad_bodies(body: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode(body)


def test_depth_has_a_limit() -> None:
    def nested(depth: int) -> dict[str, object]:
        return {"a": nested(depth - 1)} if depth > 1 else {}

    wire.decode(wire.encode(nested(wire.MAX_DEPTH))[4:])
    with pytest.raises(WireError, match="deeper"):
        wire.decode(wire.encode(nested(wire.MAX_DEPTH + 1))[4:])


@pytest.mark.parametrize("length", [0, wire.MAX_REQUEST + 1, 0xFFFF_FFFF])
def test_bad_lengths_are_refused_before_the_body(pair: Pair, length: int) -> None:
    one, other = pair
    one.send(length.to_bytes(4, "big"))
    with pytest.raises(WireError, match="a frame of"):
        Receiver(other, max_bytes=wire.MAX_REQUEST).receive()


@pytest.mark.parametrize("message", [{"a": 1 << 64}, {"a": object()}, {"a": b"x" * 100}])
def test_what_cannot_be_sent(message: dict[str, object]) -> None:
    with pytest.raises(WireError):
        wire.encode(message, max_bytes=50)


def test_end_in_a_frame(pair: Pair) -> None:
    one, other = pair
    one.send(wire.encode({"a": 1})[:-1])
    one.close()
    with pytest.raises(EndError, match="middle"):
        Receiver(other).receive()


def test_fuzz() -> None:
    seed = 4
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = wire.encode({"id": 5, "op": "guest.start", "args": {"guest": 1, "list": [1, [2, {"x": None}]]}})[4:]
    passed = 0
    for _ in range(100_000):
        body = bytearray(good if chance.random() < 0.7 else chance.randbytes(chance.randrange(1, 60)))
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            message = wire.decode(body)
        except WireError:
            continue
        passed += 1
        assert isinstance(message, dict) and msgpack.packb(message)
    assert passed > 1000


def test_outbox(pair: Pair) -> None:
    one, other = pair
    one.setblocking(False)
    outbox = Outbox(1 << 20)
    frames = 0
    while outbox.flush(one):
        assert outbox.put(wire.encode({"data": b"x" * 10_000}))
        frames += 1
    reads, writes = os.pipe()
    assert outbox.put(wire.encode({"last": True}), [writes])
    assert not outbox.put(b"y" * (1 << 20), [os.dup(reads)])
    receiver = Receiver(other, max_fds=1)
    other.settimeout(20)
    for _ in range(frames):
        outbox.flush(one)
        assert receiver.receive() is not None
    assert outbox.flush(one) and outbox.waiting_bytes == 0
    last = receiver.receive()
    assert last is not None and last.message == {"last": True}
    os.write(last.fds[0], b"z")
    assert os.read(reads, 2) == b"z"
    last.close()
    assert os.read(reads, 1) == b""
    os.close(reads)
