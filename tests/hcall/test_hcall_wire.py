"""Channels between two machines: packets, states, LDC_COPY of the other one's exports, ends that come and go."""

from __future__ import annotations

import random
import threading

import pytest
from guest_support import EBADPGSZ, EINVAL, ENOMAP, ENORADDR, EOK, Guest
from test_hcall_ldc import (
    COPY,
    CPR,
    CPW,
    DOWN,
    ENOACCESS,
    ENTRIES,
    MASK64,
    OUTSIDE,
    PAGES,
    RESET,
    RX_HEAD,
    RX_STATE,
    SET_MAP,
    TABLE,
    TX_QCONF,
    TX_STATE,
    UP,
    call,
    configure,
    guest_with_ldom,
    idle,
    interrupts_on,
    mondos,
    packet,
    receive,
    send,
)

from emulator.channel import Wire
from emulator.errors import ChannelError

RX_QCONF = 0xE4
MAPIN, ENOTSUPPORTED = 0xED, 13
HERE, THERE = 5, 9  # the endpoints' numbers in the one and in the other machine


class Pair:
    """Two machines with a wire between them, both configured and past their RESET."""

    def __init__(self, *, entries: int = ENTRIES, plugged: bool = True) -> None:
        self.one, self.other = guest_with_ldom(), guest_with_ldom()
        self.one.machine.add_wire_channel(HERE)
        self.other.machine.add_wire_channel(THERE)
        self.wire = Wire()
        configure(self.one, HERE, entries)
        configure(self.other, THERE, entries)
        if plugged:
            self.plug()
            for guest, channel in ((self.one, HERE), (self.other, THERE)):
                assert [call(guest, RX_STATE, channel)[3] for _ in range(2)] == [RESET, UP]

    def plug(self) -> None:
        self.one.machine.plug_wire(HERE, self.wire, 0)
        self.other.machine.plug_wire(THERE, self.wire, 1)

    def export(self, index: int, ra: int, rights: int) -> None:
        """A page of the other machine, in its map table."""
        if not self.other.memory.load(TABLE):
            assert call(self.other, SET_MAP, THERE, TABLE, 16)[0] == EOK
            self.other.memory.store(TABLE, 1 << 11)  # no rights: taken
        self.other.memory.store(TABLE + 16 * index, ra | rights)


def test_packets_go_both_ways_in_order_and_wait_for_room() -> None:
    pair = Pair()
    sent = [packet(n) for n in range(7)]
    assert send(pair.one, HERE, *sent) == EOK
    assert send(pair.other, THERE, packet(99)) == EOK
    assert receive(pair.one, HERE) == [packet(99)]
    assert receive(pair.other, THERE, 3) == sent[:3]
    assert send(pair.one, HERE, packet(7), packet(8)) == EOK
    assert receive(pair.other, THERE) == [*sent[3:], packet(7), packet(8)]


def test_what_finds_no_room_anywhere_stays_with_the_sender_and_comes_when_there_is() -> None:
    pair = Pair()
    numbers = iter(range(100_000))
    sent = []
    while True:  # the receiver's queue, the wire, the sender's own queue
        head, tail = call(pair.one, TX_STATE, HERE)[1:3]
        if (tail + 64) % (64 * ENTRIES) == head:
            break
        sent.append(next(numbers))
        assert send(pair.one, HERE, packet(sent[-1])) == EOK
    got: list[bytes] = []
    while some := receive(pair.other, THERE):
        got += some
        call(pair.one, TX_STATE, HERE)  # the sender's machine runs
    assert got == [packet(n) for n in sent]
    assert len(sent) > 2 * ENTRIES


def test_an_interrupt_tells_the_receiver() -> None:
    pair = Pair()
    interrupts_on(pair.other, THERE)
    assert mondos(pair.other) == []
    assert send(pair.one, HERE, packet(1)) == EOK
    pair.other.strand.run(1)
    assert mondos(pair.other) == [2 * THERE + 1]
    assert receive(pair.other, THERE) == [packet(1)]
    idle(pair.other, 2 * THERE + 1)
    assert send(pair.one, HERE, packet(2)) == EOK
    pair.other.strand.run(1)
    assert mondos(pair.other) == [2 * THERE + 1] * 2


def test_states() -> None:
    pair = Pair(plugged=False)
    assert call(pair.one, RX_STATE, HERE)[3] == DOWN
    pair.one.machine.plug_wire(HERE, pair.wire, 0)
    assert call(pair.one, RX_STATE, HERE)[3] == DOWN, "nobody is at the other end"
    assert send(pair.one, HERE, packet(1)) == EOK
    pair.other.machine.plug_wire(THERE, pair.wire, 1)
    assert [call(pair.one, RX_STATE, HERE)[3] for _ in range(2)] == [RESET, UP]
    assert [call(pair.other, TX_STATE, THERE)[3] for _ in range(2)] == [RESET, UP]
    assert receive(pair.other, THERE) == [packet(1)], "what waited"
    configure(pair.one, HERE)
    assert [call(pair.other, RX_STATE, THERE)[3] for _ in range(2)] == [RESET, UP]
    assert call(pair.one, RX_QCONF, HERE, 0, 0)[0] == EOK
    assert call(pair.other, RX_STATE, THERE)[3] == DOWN
    configure(pair.one, HERE)
    call(pair.other, RX_STATE, THERE)
    pair.other.machine.reset()
    assert call(pair.one, RX_STATE, HERE)[3] == DOWN


def test_ends_that_go_and_come() -> None:
    pair = Pair()
    assert pair.one.machine.channel(HERE).info.wired
    assert send(pair.one, HERE, packet(1), packet(2)) == EOK
    pair.one.machine.unplug_wire(HERE)
    pair.one.machine.unplug_wire(HERE)  # twice is fine
    assert not pair.one.machine.channel(HERE).info.wired
    assert call(pair.one, RX_STATE, HERE)[3] == DOWN
    assert call(pair.other, RX_STATE, THERE)[3] == DOWN
    assert send(pair.one, HERE, packet(3)) == EOK
    pair.one.machine.plug_wire(HERE, pair.wire, 0)
    assert [call(pair.other, RX_STATE, THERE)[3] for _ in range(2)] == [RESET, UP]
    call(pair.one, TX_STATE, HERE)  # it runs
    assert receive(pair.other, THERE) == [packet(3)], "what was under way is lost, what had not been sent is not"
    pair.one.machine.remove_channel(HERE)
    assert call(pair.other, RX_STATE, THERE)[3] == DOWN
    pair.other.machine.close()
    wire = Wire()
    del wire


def test_a_machine_that_is_closed_leaves_its_wires() -> None:
    pair = Pair()
    pair.other.machine.close()
    assert call(pair.one, RX_STATE, HERE)[3] == DOWN
    assert send(pair.one, HERE, packet(1)) == EOK
    assert call(pair.one, COPY, HERE, 0, 8192, PAGES, 8)[0] == ENOMAP


def test_what_is_taken_is_refused() -> None:
    pair = Pair()
    third = guest_with_ldom()
    third.machine.add_wire_channel(1)
    with pytest.raises(ChannelError):
        third.machine.plug_wire(1, pair.wire, 0)
    with pytest.raises(ChannelError):
        pair.one.machine.plug_wire(HERE, Wire(), 0)
    with pytest.raises(ChannelError):
        third.machine.plug_wire(1, Wire(), 2)
    with pytest.raises(ChannelError):
        third.machine.plug_wire(2, Wire(), 0)
    with pytest.raises(ChannelError):
        third.machine.add_wire_channel(1)
    assert call(pair.one, MAPIN, HERE, 8192)[0] in (ENOTSUPPORTED, 7)


def test_copies_of_what_the_other_exports_and_of_nothing_else() -> None:
    pair = Pair()
    pair.export(1, PAGES, CPR | CPW)
    pair.export(2, PAGES + 0x4000, CPR)
    pair.export(3, PAGES + 0x8000, CPW)
    pair.export(4, OUTSIDE, CPR | CPW)
    text = bytes(range(256)) * 64
    pair.other.memory.write(PAGES, text[:8192])
    pair.other.memory.write(PAGES + 0x4000, text[::-1][:8192])
    local = PAGES + 0x10000
    assert call(pair.one, COPY, HERE, 0, 8192 + 16, local, 8192)[:2] == (EOK, 8192), "over the end of a page"
    assert pair.one.memory.read(local, 8192) == text[16:8192] + text[::-1][:16]
    pair.one.memory.write(local, b"written " * 8)
    assert call(pair.one, COPY, HERE, 1, 8192 + 64, local, 64)[:2] == (EOK, 64)
    assert pair.other.memory.read(PAGES + 64, 64) == b"written " * 8
    for out, cookie, status in (
        (0, 0, ENOMAP), (1, 2 * 8192, ENOACCESS), (0, 3 * 8192, ENOACCESS), (0, 4 * 8192, ENORADDR),
        (1, 4 * 8192, ENORADDR), (0, 5 * 8192, ENOMAP), (0, 16 * 8192, ENOMAP), (0, (1 << 59), ENOMAP),
        (0, 1 << 60 | 8192, ENOMAP), (0, 15 << 60, EBADPGSZ),
    ):  # fmt: skip
        assert call(pair.one, COPY, HERE, out, cookie, local, 8)[0] == status, (out, hex(cookie))
    assert call(pair.one, COPY, HERE, 1, 8192, local, 16384)[:2] == (EOK, 8192), "as far as the rights go"
    assert call(pair.one, COPY, HERE, 0, 8192, OUTSIDE, 8)[0] == ENORADDR
    assert call(pair.one, COPY, HERE, 0, 8192, local, 0)[:2] == (EOK, 0)
    assert call(pair.other, COPY, THERE, 0, 8192, local, 8)[0] == ENOMAP, "the other way nothing is exported"
    assert call(pair.other, SET_MAP, THERE, 0, 0)[0] == EOK
    assert call(pair.one, COPY, HERE, 0, 8192, local, 8)[0] == ENOMAP, "taken back"


def test_a_copy_marks_the_other_machines_page() -> None:
    pair = Pair()
    pair.export(1, PAGES, CPR | CPW)
    machine = pair.other.machine
    machine.dirty_harvest()
    assert PAGES // 8192 not in machine.dirty_harvest()
    assert call(pair.one, COPY, HERE, 1, 8192, PAGES, 8)[:2] == (EOK, 8)
    assert PAGES // 8192 in machine.dirty_harvest()


def test_memory_that_goes_is_not_there_for_the_other_either() -> None:
    pair = Pair()
    pair.export(1, PAGES, CPR | CPW)
    assert call(pair.one, COPY, HERE, 0, 8192, PAGES, 8)[0] == EOK
    pair.other.machine.remove_memory(PAGES, 8192)
    assert call(pair.one, COPY, HERE, 0, 8192, PAGES, 8)[0] == ENORADDR
    assert call(pair.one, COPY, HERE, 1, 8192, PAGES, 8)[0] == ENORADDR


def test_a_saved_machine_comes_back_without_its_wires() -> None:
    pair = Pair()
    state = pair.one.machine.save()
    pair.one.machine.load(state)
    assert pair.one.machine.channel(HERE).info.wire and not pair.one.machine.channel(HERE).info.wired
    assert call(pair.other, RX_STATE, THERE)[3] == DOWN
    pair.one.machine.plug_wire(HERE, pair.wire, 0)
    assert [call(pair.one, RX_STATE, HERE)[3] for _ in range(2)] == [RESET, UP]


def test_nothing_that_two_guests_do_reaches_further_than_their_exports() -> None:
    """Random calls of both, with ends that come and go: memory that is not exported for writing never changes."""
    seed = 20261126
    print("seed", seed)
    chance = random.Random(seed)
    pair = Pair(entries=4)
    pair.export(1, PAGES, CPR | CPW)
    pair.export(2, PAGES + 0x2000, CPR)
    secret = chance.randbytes(8192)
    pair.other.memory.write(PAGES + 0x2000, secret)
    pair.other.memory.write(PAGES + 0x6000, secret)
    functions = [*range(0xE0, 0xE8), SET_MAP, 0xEB, COPY, COPY, COPY, 0xED, 0xEE, 0xEF]
    words = [0, 1, 8, 64, 128, 256, 8192, 16384, 8192 * 2, PAGES, TABLE, OUTSIDE, MASK64, 1 << 60, 4]
    for _ in range(1500):
        function = chance.choice(functions)
        pair.one.hcall(function, HERE, *(chance.choice(words) for _ in range(4)))
        if chance.random() < 0.05:
            theirs = chance.choice([TX_QCONF, RX_QCONF, RX_HEAD])
            pair.other.hcall(theirs, THERE, *(chance.choice(words) for _ in range(2)))
        if chance.random() < 0.02:
            pair.one.machine.unplug_wire(HERE)
            pair.one.machine.plug_wire(HERE, pair.wire, 0)
    assert pair.other.memory.read(PAGES + 0x2000, 8192) == secret
    assert pair.other.memory.read(PAGES + 0x6000, 8192) == secret


def test_both_machines_at_work_on_threads_of_their_own() -> None:
    """Copies both ways, packets both ways, plugs and memory that come and go: nothing is lost or torn, nobody hangs."""
    pair = Pair()
    pair.export(1, PAGES, CPR | CPW)
    assert call(pair.one, SET_MAP, HERE, TABLE, 16)[0] == EOK
    pair.one.memory.store(TABLE + 16, PAGES | CPR | CPW)
    wrong: list[object] = []

    def work(guest: Guest, channel: int, side: int) -> None:
        try:
            for turn in range(300):
                local = PAGES + 0x4000
                guest.memory.write(local, bytes([turn & 0xFF]) * 1024)
                for out in (1, 0):
                    status = call(guest, COPY, channel, out, 8192 + 1024 * side, local, 1024)[0]
                    assert status in (EOK, ENOMAP), status
                send(guest, channel, packet(turn)) if turn % 8 == 0 else receive(guest, channel)
                if turn % 50 == 17:
                    guest.machine.unplug_wire(channel)
                    guest.machine.plug_wire(channel, pair.wire, side)
                if turn % 40 == 3:
                    guest.machine.remove_memory(PAGES + 0x8000, 8192)
                    guest.machine.add_memory(PAGES + 0x8000, PAGES + 0x8000, 8192)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=args) for args in ((pair.one, HERE, 0), (pair.other, THERE, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert wrong == []


def test_einval_of_a_queue_that_is_not_there() -> None:
    guest = guest_with_ldom()
    guest.machine.add_wire_channel(HERE)
    assert call(guest, RX_STATE, HERE)[0] == EINVAL
    assert call(guest, COPY, HERE, 0, 0, PAGES, 8)[0] == ENOMAP
