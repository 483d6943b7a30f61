"""The link protocol by itself: bytes of the handshake, sequence numbers, fragments, acknowledgements."""

from __future__ import annotations

import struct

import pytest

from emulator.devices.ldc_link import MAX_MESSAGE, WINDOW, Event, Link, LinkState, Lost, Message, Mode, Up
from emulator.devices.state import pack, unpack
from emulator.errors import ChannelError, StateError

VERS_1_0 = bytes.fromhex("01010100 00000000 00010000")


def packet(text: str) -> bytes:
    return bytes.fromhex(text).ljust(64, b"\0")


def packets(data: bytes) -> list[bytes]:
    assert len(data) % 64 == 0
    return [data[at : at + 64] for at in range(0, len(data), 64)]


def up(mode: Mode = Mode.UNRELIABLE) -> Link:
    """A link that a peer like Linux has brought up: its RDX had number 1."""
    link = Link(mode)
    assert link.start(present=True) == []
    link.receive(packet("01010100 00000000 00010000"))
    link.receive(packet(f"010102{mode:02x} 00000000"))
    assert link.receive(packet("01010400 00000001")) == [Up()]
    link.take(100)
    return link


def initiated() -> Link:
    link = Link(Mode.STREAM, initiator=True)
    link.start(present=True)
    link.take(9)
    link.receive(packet("01020100 00000000 00010000"))
    link.take(9)
    assert link.receive(packet("01010303 00000000")) == [Up()]
    return link


def data(seq: int, payload: bytes, *, env: int = 0xC0, stype: int = 1, at: int = 8, ackid: int = 0) -> bytes:
    head = struct.pack(">BBBBI", 2, stype, 0, env | len(payload), seq)
    return (head + (struct.pack(">II", 0, ackid) if at == 16 else b"") + payload).ljust(64, b"\0")


# -- handshake


def test_answers_to_a_peer_that_starts() -> None:
    link = Link(Mode.UNRELIABLE)
    assert link.take(9) == b""
    link.receive(packet("01010100 00000000 00010000"))
    assert link.take(9) == packet("01020100 00000000 00010000")
    link.receive(packet("01010201 00000000"))
    assert link.take(9) == packet("01010301 00000000"), "RTR in the same mode, number 0"
    assert link.receive(packet("01010400 00000001")) == [Up()]
    assert link.take(9) == b""
    assert link.receive(data(2, b"x")) == [Message(b"x")], "the first data of Linux has number 2"
    link.send(b"y")
    assert link.take(9) == data(1, b"y"), "and it waits for our number 1"


def test_packets_of_the_end_that_starts() -> None:
    link = Link(Mode.STREAM, initiator=True)
    assert link.start(present=False) == []
    assert link.take(9) == b""
    link.start(present=True)
    assert link.take(9) == packet("01010100 00000000 00010000")
    link.receive(packet("01020100 00000000 00010000"))
    assert link.take(9) == packet("01010203 00000000"), "RTS"
    assert link.receive(packet("01010303 00000000")) == [Up()]
    assert link.take(9) == packet("01010400 00000001"), "RDX has number 1"
    link.send(b"hello")
    assert link.take(9) == data(2, b"hello", at=16)
    assert link.receive(data(1, b"hi", at=16)) == [Message(b"hi")]
    assert link.take(9) == data(3, b"", env=0, stype=2, at=16, ackid=1)


@pytest.mark.parametrize(("offered", "answer"), [
    ("00020000", "01040100 00000000 00010000"), ("ffffffff", "01040100 00000000 00010000"),
    ("00000000", "01040100 00000000 00000000"), ("00010007", "01020100 00000000 00010000"),
])  # fmt: skip
def test_versions(offered: str, answer: str) -> None:
    link = Link(Mode.UNRELIABLE)
    link.receive(packet("01010100 00000000 " + offered))
    assert link.take(9) == packet(answer)


@pytest.mark.parametrize("answer", ["01040100 00000000 00000000", "01040100 00000000 00020000",
                                    "01020100 00000000 00020000"])  # fmt: skip
def test_no_version_in_common(answer: str) -> None:
    link = Link(Mode.STREAM, initiator=True)
    link.start(present=True)
    (event,) = link.receive(packet(answer))
    assert isinstance(event, Lost)
    assert event.mistake
    assert link.state is LinkState.DOWN


def test_both_ends_start() -> None:
    ends = [Link(Mode.STREAM, initiator=True) for _ in range(2)]
    for link in ends:
        link.start(present=True)
    events: list[list[Event]] = [[], []]
    for _ in range(6):
        sent = [packets(link.take(9)) for link in ends]
        for n in (0, 1):
            for one in sent[1 - n]:
                events[n] += ends[n].receive(one)
    assert events == [[Up()], [Up()]]
    ends[0].send(b"a")
    (one,) = packets(ends[0].take(1))
    assert ends[1].receive(one) == [Message(b"a")]


@pytest.mark.parametrize("bad", [
    "01010203 00000000", "01020201 00000000", "01010301 00000000", "01010400 00000001", "01010500 00000000",
    "01040200 00000000",
])  # fmt: skip
def test_mistakes_in_the_handshake(bad: str) -> None:
    link = Link(Mode.UNRELIABLE)
    link.receive(packet("01010100 00000000 00010000"))
    (event,) = link.receive(packet(bad))
    assert isinstance(event, Lost)
    assert event.mistake
    assert link.take(9) == b"", "what was to be sent is forgotten"
    assert link.receive(packet("01010201 00000000")) == [], "until the peer starts anew"
    link.receive(packet("01010100 00000000 00010000"))
    assert link.take(9)[:4] == bytes.fromhex("01020100")


# -- data


@pytest.mark.parametrize(("mode", "room"), [(Mode.UNRELIABLE, 56), (Mode.STREAM, 48)])
@pytest.mark.parametrize("size", [1, 48, 49, 56, 57, 112, 1000, MAX_MESSAGE])
def test_fragments(mode: Mode, room: int, size: int) -> None:
    sender, receiver = up(mode), up(mode)
    receiver._received = 0
    message = bytes(n * 7 & 0xFF for n in range(size))
    assert sender.send(message)
    sent = packets(sender.take(1000))
    assert len(sent) == -(-size // room)
    assert [bool(one[3] & 0x40) for one in sent] == [n == 0 for n in range(len(sent))]
    assert [bool(one[3] & 0x80) for one in sent] == [n == len(sent) - 1 for n in range(len(sent))]
    events = [event for one in sent for event in receiver.receive(one)]
    assert events == [Message(message)]


@pytest.mark.parametrize("bad", [
    data(3, b"x"), data(1, b"x"), data(0xFFFFFFFF, b"x"), data(2, b"x", stype=4), data(2, b"x", stype=0),
    data(2, b"x", env=0x80), data(2, b"x", env=0), packet("10010000 00000002"), packet("00"), packet("ff" * 64),
    packet("020100f9 00000002"),
])  # fmt: skip
def test_mistakes_in_data(bad: bytes) -> None:
    link = up()
    (event,) = link.receive(bad)
    assert isinstance(event, Lost)
    assert event.mistake
    assert not link.up
    assert not link.send(b"x"), "dropped"


def test_start_in_the_middle_and_messages_that_are_too_long() -> None:
    link = up()
    assert link.receive(data(2, b"x" * 56, env=0x40)) == []
    assert isinstance(link.receive(data(3, b"x", env=0x40))[0], Lost)
    link = up()
    link.receive(data(2, b"x" * 56, env=0x40))
    for seq in range(3, 200):
        events = link.receive(data(seq, b"x" * 56, env=0))
        if events:
            break
    assert isinstance(events[0], Lost)
    assert seq == 2 + MAX_MESSAGE // 56, "no more than a message is kept"


def test_sizes_of_messages() -> None:
    link = up()
    for size in (0, MAX_MESSAGE + 1):
        with pytest.raises(ChannelError):
            link.send(bytes(size))


def test_the_peer_starts_anew() -> None:
    link = up()
    link.send(b"x")
    (lost,) = link.receive(packet("01010100 00000000 00010000"))
    assert isinstance(lost, Lost)
    assert not lost.mistake
    assert link.take(9) == packet("01020100 00000000 00010000"), "what was to be sent is forgotten"
    link = up()
    assert [type(event) for event in link.start(present=True)] == [Lost]
    assert link.start(present=True) == []


def test_sequence_numbers_wrap() -> None:
    link = Link(Mode.UNRELIABLE)
    link.receive(packet("01010100 00000000 00010000"))
    link.receive(packet("01010201 fffffffe"))
    link.take(1)
    assert link.take(1)[4:8] == b"\xff\xff\xff\xfe"
    assert link.receive(packet("01010400 ffffffff")) == [Up()]
    assert link.receive(data(0, b"x")) == [Message(b"x")]
    link.send(b"a" * 60)
    assert [one[4:8].hex() for one in packets(link.take(9))] == ["ffffffff", "00000000"]


# -- acknowledgements


def test_messages_are_acknowledged_once_and_on_data_where_there_is_some() -> None:
    link = initiated()
    link.take(9)
    for seq in (1, 2):
        link.receive(data(seq, b"x", at=16))
    assert packets(link.take(9)) == [data(2, b"", env=0, stype=2, at=16, ackid=2)]
    assert link.take(9) == b""
    link.receive(data(3, b"y", at=16))
    link.send(b"z" * 50)
    first, second = packets(link.take(9))
    assert (first[1], first[12:16]) == (3, (3).to_bytes(4, "big"))
    assert (second[1], second[12:16]) == (1, bytes(4))
    link.receive(data(4, b"p" * 48, env=0x40, at=16))
    assert link.take(9) == b"", "half a message"
    assert link.receive(data(5, b"", env=0, stype=2, at=16, ackid=3)) == []
    assert link.take(9) == b"", "an acknowledgement is not acknowledged"


def test_a_peer_that_does_not_acknowledge_gets_no_more() -> None:
    link = initiated()
    for _ in range(WINDOW + 10):
        link.send(b"x")
    taken = packets(link.take(10000))
    assert len(taken) == WINDOW + 1, "RDX needs no acknowledgement"
    assert link.backlog == 10
    link.receive(data(1, b"m", at=16))
    (ack,) = packets(link.take(9))
    assert ack[1] == 2, "what is owed to the peer goes even so"
    link.receive(data(2, b"", env=0, stype=2, at=16, ackid=2 + 3))
    assert len(packets(link.take(10000))) == 4
    last = link._sent
    link.receive(data(3, b"", env=0, stype=2, at=16, ackid=last))
    assert len(packets(link.take(10000))) == 6


def test_acknowledgement_of_what_was_never_sent() -> None:
    link = initiated()
    link.take(9)
    (event,) = link.receive(data(1, b"", env=0, stype=2, at=16, ackid=2))
    assert isinstance(event, Lost)


def test_raw() -> None:
    link = Link(Mode.RAW)
    assert link.start(present=True) == [Up()]
    link.send(b"abc")
    assert link.take(9) == b"abc".ljust(64, b"\0")
    assert link.receive(packet("01")) == [Message(packet("01"))]


# -- state


@pytest.mark.parametrize("at", range(4))
def test_state(at: int) -> None:
    link = initiated()
    for seq in range(1, at + 1):
        link.receive(data(seq, b"x" * 48, env=0x40 if seq % 2 else 0x80, at=16))
        link.send(b"y" * 60)
    twin = Link(Mode.STREAM, initiator=True)
    twin.load(unpack(pack(link.save())))
    assert twin.save() == link.save()
    assert twin.take(2) == link.take(2)
    assert twin.take(100) == link.take(100)


@pytest.mark.parametrize("change", [
    {"state": "no"}, {"out": ["00"]}, {"out": ["zz"]}, {"sent": -1}, {"received": 1 << 32}, {"unacked": [-1]},
    {"partial": "0"}, {"ack_due": 1}, {"offered": "1.0"}, {"unacked": [0] * 1000}, {"partial": "00" * 5000},
])  # fmt: skip
def test_damaged_state(change: dict[str, object]) -> None:
    with pytest.raises(StateError):
        Link(Mode.STREAM).load(unpack(pack({**initiated().save(), **change})))  # type: ignore[dict-item]
