"""Duplicate MAC detection between managers: the bytes of the messages, and who answers what."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldmd.macprobe import (
    MAGIC,
    MESSAGE_BYTES,
    Address,
    Conversation,
    Discovery,
    Kind,
    Lookup,
    Multicast,
    Neighbours,
    pack,
    unpack,
)


class Wire:
    """A network of managers in memory, with a clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.members: list[Member] = []

    def clock(self) -> float:
        return self.now

    def join(self, *macs: int) -> Member:
        member = Member(self, set(macs), ("10.0.0.1", 40000 + len(self.members)))
        self.members.append(member)
        return member


class Member:
    def __init__(self, wire: Wire, macs: set[int], address: Address) -> None:
        self.wire, self.macs, self.address = wire, macs, address
        self.busy = False
        self.queue: list[tuple[bytes, Address]] = []
        identity = Discovery(Kind.DISCOVERED, "3.3.0.0", f"host{address[1]}", "10.0.0.1", 6482)
        self.conversation = Conversation(lambda: self.macs, identity)
        self.neighbours = Neighbours(self.conversation, self, wire.clock)

    def send(self, data: bytes) -> None:
        for member in self.wire.members:
            if member is not self:
                member.queue.append((data, self.address))

    def receive(self, seconds: float) -> tuple[bytes, Address] | None:
        self.busy = True
        for member in self.wire.members:
            if member.queue and not member.busy:
                member.neighbours.serve()
        self.busy = False
        if self.queue:
            return self.queue.pop(0)
        self.wire.now += seconds
        return None


def test_the_bytes_of_a_lookup() -> None:
    data = pack(Lookup(Kind.SEND, 0x00144FF81234, "10.1.2.3"))
    assert len(data) == MESSAGE_BYTES == 312
    assert data[:24] == bytes.fromhex(f"00000001 {92792004:08x} 00000000 00000000 0000 00144ff81234")
    assert data[24:32] == b"10.1.2.3"
    assert set(data[32:]) == {0}
    assert struct.unpack_from(">I", data, 4)[0] == MAGIC == 92792004


def test_the_bytes_of_a_discovery() -> None:
    data = pack(Discovery(Kind.DISCOVERED, "3.3", "alpha", "10.1.2.3", 6482))
    assert struct.unpack_from(">I", data, 8)[0] == 3
    assert data[16:20] == b"3.3\0" and data[48:54] == b"alpha\0"
    assert data[304:312] == bytes([10, 1, 2, 3]) + (6482).to_bytes(4, "big")


def test_text_that_is_too_long_is_cut_and_ended() -> None:
    read = unpack(pack(Discovery(Kind.DISCOVERED, "v" * 99, "h" * 999)))
    assert isinstance(read, Discovery) and (len(read.version), len(read.hostname)) == (31, 255)


@given(st.integers(0, 2**48 - 1), st.sampled_from([Kind.SEND, Kind.RESPONSE]))
def test_lookups_are_read_as_written(mac: int, kind: Kind) -> None:
    message = Lookup(kind, mac, "127.0.0.1")
    assert unpack(pack(message)) == message


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_ignored(data: bytes, headed: bool) -> None:
    read = unpack(pack(Discovery(Kind.DISCOVER))[:12] + data if headed else data)
    if isinstance(read, Discovery):
        assert read.hostname.isprintable()


@pytest.mark.parametrize("change", [(0, 2), (4, MAGIC + 1), (8, 4), (16, 0x00010000)])
def test_what_is_not_of_the_protocol_is_ignored(change: tuple[int, int]) -> None:
    data = bytearray(pack(Lookup(Kind.SEND, 5, "")))
    struct.pack_into(">I", data, *change)
    assert unpack(bytes(data)) is None


def test_the_owner_answers_and_nobody_else() -> None:
    wire = Wire()
    asker, _, _ = wire.join(1), wire.join(2), wire.join(3)
    assert asker.neighbours.taken([1, 2, 9]) == {2}  # 1 is our own device's


def test_one_second_is_waited_and_no_longer() -> None:
    wire = Wire()
    asker = wire.join()
    wire.join(2)
    assert asker.neighbours.taken([9, 10, 11]) == frozenset()
    assert wire.now == 101.0
    assert asker.neighbours.taken([2]) == {2}
    assert wire.now == 101.0  # decided by the answer


def test_two_that_ask_for_the_same_at_once_both_hear_of_it() -> None:
    wire = Wire()
    left, right = wire.join(), wire.join()
    for data in right.conversation.ask([7]):
        right.send(data)
    assert left.neighbours.taken([7]) == {7}
    right.neighbours.serve()
    assert right.conversation.end() == {7}


def test_an_answer_to_an_older_question_counts_for_nothing() -> None:
    wire = Wire()
    asker = wire.join()
    asker.queue.append((pack(Lookup(Kind.RESPONSE, 3, "")), ("10.0.0.9", 1)))
    assert asker.neighbours.taken([4]) == frozenset()


def test_discovery_finds_all_others() -> None:
    wire = Wire()
    asker, one, two = wire.join(), wire.join(), wire.join()
    found = asker.neighbours.discover()
    assert {address: each.hostname for address, each in found.items()} == {
        one.address: "host40001", two.address: "host40002"}  # fmt: skip
    assert all(each.port == 6482 and each.version == "3.3.0.0" for each in found.values())


def test_a_flood_does_not_hold_us() -> None:
    wire = Wire()
    asker = wire.join()

    class Flood(Member):
        def receive(self, seconds: float) -> tuple[bytes, Address]:
            self.wire.now += 0.25
            return b"\0" * 16, ("10.0.0.9", 1)

    neighbours = Neighbours(asker.conversation, Flood(wire, set(), ("10.0.0.9", 2)), wire.clock)
    assert neighbours.taken([1]) == frozenset()


def test_a_network_that_does_not_work_is_as_an_empty_one() -> None:
    wire = Wire()
    asker = wire.join()

    class Broken(Member):
        def send(self, data: bytes) -> None:
            raise OSError(101, "Network is unreachable")

    neighbours = Neighbours(asker.conversation, Broken(wire, set(), ("10.0.0.9", 2)), wire.clock)
    assert neighbours.taken([1]) == frozenset()
    assert neighbours.fault == "Network is unreachable"


def test_two_processes_on_loopback() -> None:
    """The real sockets: what one sends the other hears, and its own it does not."""
    try:
        left, right = Multicast(), Multicast()
    except OSError as error:
        pytest.skip(f"no multicast on the loopback interface: {error}")
    try:
        data = pack(Lookup(Kind.SEND, 5, "127.0.0.1"))
        left.send(data)
        heard = right.receive(30.0)
        assert heard is not None and heard[0] == data
        assert left.receive(0.0) is None
        assert left._sender.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 0
    finally:
        left.close()
        right.close()
