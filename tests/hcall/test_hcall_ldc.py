"""LDC_*: queues, states, packets, interrupts, map tables and copies (UltraSPARC VM Specification 3.0)."""

from __future__ import annotations

import random

import pytest
from asm_support import asm, ta
from guest_support import (
    CODE,
    EBADALIGN,
    EBADPGSZ,
    EBADTRAP,
    EINVAL,
    ENOMAP,
    ENORADDR,
    EOK,
    IE,
    MORE,
    PRIV,
    Guest,
)

from emulator import Channel, StopReason
from emulator.errors import AddressError, ChannelError

TX_QCONF, TX_QINFO, TX_STATE, TX_TAIL, RX_QCONF, RX_QINFO, RX_STATE, RX_HEAD = range(0xE0, 0xE8)
SET_MAP, GET_MAP, COPY = 0xEA, 0xEB, 0xEC
ECHANNEL, ENOACCESS = 16, 10
DOWN, UP, RESET = 0, 1, 2
HANDLE = 0x200
V_COOKIE, V_VALID, V_STATE, V_TARGET = 0xA8, 0xAA, 0xAC, 0xAE
TX, RX, TABLE = MORE, MORE + 0x10000, MORE + 0x20000  # of endpoint n: + 0x1000 * n
MONDOS = MORE + 0x80000
PAGES = 0x200000  # memory that is exported
ENTRIES = 8
MASK64 = (1 << 64) - 1
OUTSIDE = 1 << 40
CPR, CPW = 1 << 9, 1 << 10


def packet(number: int) -> bytes:
    return bytes([number & 0xFF]) * 64


def guest_with_ldom(**options: object) -> Guest:
    guest = Guest(**options)  # type: ignore[arg-type]
    assert guest.hcall(0, 0x101, 1, 9, trap=0xFF)[:2] == (EOK, 1)
    return guest


def call(guest: Guest, function: int, *args: int) -> tuple[int, ...]:
    return guest.hcall(function, *args)


def configure(guest: Guest, channel: int, entries: int = ENTRIES) -> None:
    assert call(guest, TX_QCONF, channel, TX + 0x1000 * channel, entries)[0] == EOK
    assert call(guest, RX_QCONF, channel, RX + 0x1000 * channel, entries)[0] == EOK


def host(number: int = 1, *, up: bool = True, entries: int = ENTRIES) -> tuple[Guest, Channel]:
    guest = guest_with_ldom()
    channel = guest.machine.add_channel(number)
    channel.up = up
    if entries:
        configure(guest, number, entries)
    return guest, channel


def pair(entries: int = ENTRIES) -> Guest:
    """Channels 2 and 3 of one guest, connected, both configured and past their RESET."""
    guest = guest_with_ldom()
    guest.machine.connect_channels(2, 3)
    for channel in (2, 3):
        configure(guest, channel, entries)
    for channel in (2, 3):
        call(guest, RX_STATE, channel)
        assert call(guest, TX_STATE, channel)[3] == UP
    return guest


def send(guest: Guest, channel: int, *packets: bytes, entries: int = ENTRIES) -> int:
    """Put packets at the tail of a transmit queue; the status of LDC_TX_SET_QTAIL."""
    tail = call(guest, TX_STATE, channel)[2]
    for one in packets:
        guest.memory.write(TX + 0x1000 * channel + tail, one)
        tail = (tail + 64) % (64 * entries)
    return call(guest, TX_TAIL, channel, tail)[0]


def receive(guest: Guest, channel: int, most: int = 100, *, entries: int = ENTRIES) -> list[bytes]:
    """Take packets from a receive queue."""
    status, head, tail, *_ = call(guest, RX_STATE, channel)
    assert status == EOK
    found = []
    while head != tail and len(found) < most:
        found.append(guest.memory.read(RX + 0x1000 * channel + head, 64))
        head = (head + 64) % (64 * entries)
    assert call(guest, RX_HEAD, channel, head)[0] == EOK
    return found


def interrupts_on(guest: Guest, channel: int) -> None:
    """Cookies and sources as Linux sets them; mondos at MONDOS."""
    assert call(guest, 0x14, 0x3D, MONDOS, 64)[0] == EOK
    for devino in (2 * channel, 2 * channel + 1):
        for function, value in ((V_COOKIE, MASK64 - devino), (V_TARGET, 0), (V_STATE, 0), (V_VALID, 1)):
            assert call(guest, function, HANDLE, devino, value)[0] == EOK


def mondos(guest: Guest) -> list[int]:
    """Devinos of the mondos that came so far."""
    words = [guest.memory.load(MONDOS + 64 * n) for n in range(64)]
    return [MASK64 - word for word in words if word]


def idle(guest: Guest, devino: int) -> None:
    assert call(guest, V_STATE, HANDLE, devino, 0)[0] == EOK


# -- numbers, queues


def test_the_group_is_negotiated() -> None:
    guest = Guest()
    guest.machine.add_channel(1)
    assert call(guest, TX_QINFO, 1)[0] == EBADTRAP
    assert guest.hcall(0, 0x101, 1, 0, trap=0xFF)[:2] == (EOK, 0)
    assert call(guest, TX_QINFO, 1)[:3] == (EOK, 0, 0)
    for function in (0xE8, 0xE9, 0xED, 0xEE, 0xEF):
        assert call(guest, function, 1)[0] == EBADTRAP


@pytest.mark.parametrize("channel", [0, 2, 4079, 4080, 1 << 32 | 1, MASK64])
def test_channels_that_are_not_there(channel: int) -> None:
    guest, _ = host()
    for function in (*range(0xE0, 0xE8), SET_MAP, GET_MAP, COPY):
        assert call(guest, function, channel, 0, 0, 0, 0)[0] == ECHANNEL


@pytest.mark.parametrize("conf", [TX_QCONF, RX_QCONF])
@pytest.mark.parametrize(("base", "entries", "status"), [
    (TX, 1, EINVAL), (TX, 3, EINVAL), (TX, 1 << 19, EINVAL), (0, MASK64, EINVAL), (0, 1 << 63, EINVAL),
    (TX + 64, 2, EBADALIGN), (TX + 0x100, 8, EBADALIGN), (OUTSIDE, 2, ENORADDR), (MASK64 - 127, 2, ENORADDR),
    (0, 1 << 18, ENORADDR),
])  # fmt: skip
def test_queue_errors(conf: int, base: int, entries: int, status: int) -> None:
    guest, _ = host(entries=0)
    assert call(guest, conf, 1, TX, 4)[0] == EOK
    assert call(guest, conf, 1, base, entries)[0] == status
    assert call(guest, conf + 1, 1)[:3] == (EOK, TX, 4), "as it was"
    assert call(guest, conf, 1, 0x1234, 0)[0] == EOK
    assert call(guest, conf + 1, 1)[:3] == (EOK, 0, 0)
    for function in (conf + 2, conf + 3):
        assert call(guest, function, 1, 0)[0] == EINVAL, "no queue"


@pytest.mark.parametrize(("tail", "status"), [
    (0, EOK), (7 * 64, EOK), (8 * 64, EINVAL), (32, EBADALIGN), (MASK64, EBADALIGN), (1 << 63, EINVAL),
])  # fmt: skip
def test_tail(tail: int, status: int) -> None:
    guest, channel = host()
    assert call(guest, TX_TAIL, 1, tail)[0] == status
    assert call(guest, TX_STATE, 1)[1:3] == (0, tail if status == EOK else 0)
    assert channel.info.tx_packets == (tail // 64 if status == EOK else 0)


def test_tail_must_not_pass_head_nor_head_tail() -> None:
    guest, channel = host()
    assert call(guest, TX_TAIL, 1, 0x80)[0] == EOK
    assert call(guest, TX_TAIL, 1, 0x40)[0] == EINVAL
    assert len(channel.receive(1)) == 1
    assert call(guest, TX_TAIL, 1, 0x00)[0] == EOK, "one was taken: seven fit"
    assert call(guest, RX_HEAD, 1, 0x40)[0] == EINVAL
    assert channel.send(packet(1) * 2) == 2
    assert call(guest, RX_HEAD, 1, 0xC0)[0] == EINVAL
    assert call(guest, RX_HEAD, 1, 0x41)[0] == EBADALIGN
    assert call(guest, RX_HEAD, 1, 0x40)[0] == EOK
    assert call(guest, RX_HEAD, 1, 0x00)[0] == EINVAL, "not back"


# -- with the client


def test_packets_to_and_from_the_client() -> None:
    guest, channel = host()
    for turn in range(5):  # round the ring
        assert send(guest, 1, packet(turn), packet(turn + 100), packet(7)) == EOK
        assert channel.info.tx_packets == 3
        assert channel.receive() == [packet(turn), packet(turn + 100), packet(7)]
        assert channel.send(packet(turn) + packet(turn + 50)) == 2
        assert receive(guest, 1) == [packet(turn), packet(turn + 50)]
    assert channel.receive() == []
    with pytest.raises(ChannelError, match="64"):
        channel.send(b"abc")


def test_a_run_stops_for_the_client() -> None:
    guest, channel = host()
    guest.set(o5=TX_TAIL, o0=1, o1=64)
    guest.load(ta(0x80), asm("or", "g0", 1, "l0"))
    stop = guest.machine.run(100)
    assert (stop.reason, stop.channel, guest["o0"]) == (StopReason.CHANNEL, 1, EOK)
    assert len(channel.receive()) == 1
    assert guest.machine.run(100).reason is StopReason.BUDGET
    assert guest["l0"] == 1
    channel.up = False
    guest.set(o5=TX_TAIL, o0=1, o1=128)
    guest.load(ta(0x80))
    assert guest.machine.run(100).reason is StopReason.BUDGET, "nobody is there"


def test_the_client_hears_of_room_it_lacked() -> None:
    guest, channel = host(entries=4)
    assert channel.send(b"".join(map(packet, range(5)))) == 3
    assert channel.info.rx_room == 0
    guest.set(o5=RX_HEAD, o0=1, o1=64)
    guest.load(ta(0x80))
    assert guest.machine.run(100).reason is StopReason.CHANNEL
    assert channel.send(packet(3)) == 1
    guest.set(o5=RX_HEAD, o0=1, o1=128)
    guest.load(ta(0x80))
    assert guest.machine.run(100).reason is StopReason.BUDGET, "nothing was lacking"
    assert receive(guest, 1, entries=4) == [packet(2), packet(3)]


def test_states_of_a_channel_to_the_client() -> None:
    guest, channel = host(up=False)
    assert call(guest, RX_STATE, 1)[3] == DOWN
    assert channel.send(packet(1)) == 0
    assert send(guest, 1, packet(9)) == EOK
    channel.up = True
    assert [call(guest, RX_STATE, 1)[3] for _ in range(2)] == [UP, UP]
    assert channel.receive() == [packet(9)]
    channel.reset()
    assert [call(guest, TX_STATE, 1)[3] for _ in range(2)] == [RESET, UP]
    channel.up = False
    assert call(guest, TX_STATE, 1)[3] == DOWN
    before = channel.info.resets
    configure(guest, 1)
    assert channel.info.resets == before + 1


def test_reconfiguring_drops_what_waits() -> None:
    guest, channel = host()
    channel.send(packet(1))
    send(guest, 1, packet(2))
    configure(guest, 1)
    assert (receive(guest, 1), channel.receive()) == ([], [])


def test_interrupt_of_a_receive_queue() -> None:
    guest, channel = host(5)
    interrupts_on(guest, 5)
    assert mondos(guest) == [11], "the channel has come up"
    call(guest, RX_STATE, 5)
    idle(guest, 11)
    before = mondos(guest)
    channel.send(packet(1) * 3)
    assert mondos(guest) == [*before, 11]
    channel.send(packet(1))
    assert mondos(guest) == [*before, 11]
    assert len(receive(guest, 5, 3)) == 3
    idle(guest, 11)
    assert mondos(guest) == [*before, 11, 11], "one packet is left"
    assert len(receive(guest, 5)) == 1
    idle(guest, 11)
    assert mondos(guest) == [*before, 11, 11]
    for event in (channel.reset, lambda: setattr(channel, "up", False)):
        before = mondos(guest)
        event()
        assert mondos(guest) == [*before, 11], "a change of state"
        call(guest, RX_STATE, 5)
        idle(guest, 11)
        assert mondos(guest) == [*before, 11]


def test_interrupt_of_a_transmit_queue_that_was_full() -> None:
    guest, channel = host(5)
    interrupts_on(guest, 5)
    call(guest, RX_STATE, 5)
    idle(guest, 11)
    before = mondos(guest)
    send(guest, 5, *[packet(1)] * 6)
    channel.receive(1)
    assert mondos(guest) == before, "there was room"
    send(guest, 5, *[packet(1)] * 2)
    channel.receive(1)
    assert mondos(guest) == [*before, 10]
    call(guest, TX_STATE, 5)
    idle(guest, 10)
    assert mondos(guest) == [*before, 10]


def test_packet_interrupts_a_guest_that_sleeps() -> None:
    guest, channel = host(5)
    interrupts_on(guest, 5)
    call(guest, RX_STATE, 5)
    idle(guest, 11)
    call(guest, 0x14, 0x3D, MONDOS, 64)
    guest.set(o5=0x12, pstate=PRIV | IE).load(ta(0x80))
    assert guest.machine.run(100).reason is StopReason.IDLE
    channel.send(packet(1))
    guest.machine.run(10)
    assert guest["tt1"] == 0x7D


# -- two endpoints of one guest


def sampled(guest: Guest, channel: int) -> tuple[int, int]:
    """What RX_STATE and TX_STATE say."""
    return call(guest, RX_STATE, channel)[3], call(guest, TX_STATE, channel)[3]


@pytest.mark.parametrize("kind", ["client", "pair"])
def test_a_change_is_told_where_its_interrupt_is_handled(kind: str) -> None:
    """Linux's driver reads packets with the source disabled (NAPI), and notices changes in its RX handler alone: what
    it is told anywhere else is lost on it, and it takes a channel that is DOWN for one that is connected, for ever."""
    guest, channel = (pair(), None) if kind == "pair" else host(2)
    interrupts_on(guest, 2)
    for devino in (4, 5):
        idle(guest, devino)
    assert call(guest, RX_STATE, 2)[0] == EOK
    if kind == "pair":
        assert send(guest, 3, packet(7)) == EOK
    assert call(guest, V_VALID, HANDLE, 5, 0)[0] == EOK  # the handler hands over to NAPI
    idle(guest, 5)
    before = len(mondos(guest))

    def down() -> None:
        if channel is not None:
            channel.up = False
        else:
            assert call(guest, RX_QCONF, 3, 0, 0)[0] == EOK

    down()
    assert sampled(guest, 2) == (UP, UP)  # what it was told last, though it has asked
    assert send(guest, 2, packet(8)) == EOK
    assert call(guest, V_VALID, HANDLE, 5, 1)[0] == EOK
    assert mondos(guest)[before:] == [5], "the change is not announced any more"
    assert call(guest, TX_STATE, 2)[3] == UP
    assert sampled(guest, 2) == (DOWN, DOWN)
    idle(guest, 5)
    if channel is not None:
        channel.up = True
        channel.reset()
    else:
        assert call(guest, RX_QCONF, 3, RX + 0x3000, ENTRIES)[0] == EOK
    assert [call(guest, RX_STATE, 2)[3] for _ in range(3)] == [RESET, UP, UP]


def test_states_of_a_pair() -> None:
    guest = guest_with_ldom()
    guest.machine.connect_channels(2, 3)
    assert call(guest, TX_QCONF, 2, TX, ENTRIES)[0] == EOK
    assert call(guest, TX_STATE, 2)[3] == DOWN
    assert call(guest, RX_QCONF, 3, RX, ENTRIES)[0] == EOK
    assert [call(guest, TX_STATE, 2)[3] for _ in range(3)] == [RESET, UP, UP]
    assert call(guest, RX_QCONF, 3, RX, ENTRIES)[0] == EOK
    assert [call(guest, TX_STATE, 2)[3] for _ in range(2)] == [RESET, UP]
    assert call(guest, RX_QCONF, 3, 0, 0)[0] == EOK
    assert call(guest, TX_STATE, 2)[3] == DOWN


def test_packets_between_two_endpoints_with_backpressure() -> None:
    guest = pair()
    seed = random.Random(20240611)
    sent: list[bytes] = []
    got: list[bytes] = []
    for _ in range(200):
        status, head, tail, _state, _ = call(guest, TX_STATE, 2)
        assert status == EOK
        room = 7 - (tail - head) % 512 // 64
        fresh = [seed.randbytes(64) for _ in range(seed.randrange(room + 1))]
        assert send(guest, 2, *fresh) == EOK
        sent += fresh
        got += receive(guest, 3, seed.randrange(8))
    for _ in range(3):
        got += receive(guest, 3)
    assert got == sent
    assert len(sent) > 300
    assert receive(guest, 2) == []


def test_what_finds_no_room_waits_in_the_transmit_queue() -> None:
    guest = pair()
    interrupts_on(guest, 2)
    idle(guest, 5)
    before = mondos(guest)
    assert send(guest, 2, *map(packet, range(7))) == EOK
    assert call(guest, TX_STATE, 2)[1] == 7 * 64, "all delivered"
    assert send(guest, 2, *map(packet, range(7, 12))) == EOK
    assert call(guest, TX_STATE, 2)[1] == 7 * 64
    assert mondos(guest) == before
    assert receive(guest, 3, 2) == [packet(0), packet(1)]
    assert call(guest, RX_STATE, 3)[2] == 64, "two more have come"
    assert mondos(guest) == [*before, 4], "the sender hears of room"


def test_packets_wait_for_a_receiver() -> None:
    guest = guest_with_ldom()
    guest.machine.connect_channels(2, 3)
    assert call(guest, TX_QCONF, 2, TX + 0x2000, ENTRIES)[0] == EOK
    assert send(guest, 2, packet(1), packet(2)) == EOK
    configure(guest, 3)
    assert receive(guest, 3) == [packet(1), packet(2)]


def test_reset_of_the_domain_and_removal() -> None:
    guest = pair()
    guest.machine.reset()
    guest.strand.start(CODE)
    assert guest.hcall(0, 0x101, 1, 0, trap=0xFF)[0] == EOK
    assert call(guest, TX_QINFO, 2)[:3] == (EOK, 0, 0)
    assert guest.hcall(0xA0, HANDLE, 7)[:2] == (EOK, 0x207)
    guest.machine.remove_channel(2)
    for channel in (2, 3):
        assert call(guest, TX_QINFO, channel)[0] == ECHANNEL
    assert guest.hcall(0xA0, HANDLE, 7)[0] == EINVAL
    guest.machine.connect_channels(3, 2)


# -- the client's mistakes


def test_numbers_that_are_taken_or_missing() -> None:
    machine = pair().machine
    for add in (lambda: machine.add_channel(2), lambda: machine.add_channel(4080),
                lambda: machine.connect_channels(5, 5), lambda: machine.connect_channels(4, 3),
                lambda: machine.channel(9), lambda: machine.remove_channel(9)):
        with pytest.raises(ChannelError):
            add()
    channel = machine.channel(2)
    assert (channel.info.host, channel.info.peer) == (False, 3)
    for use in (channel.reset, channel.receive, lambda: channel.send(b""), lambda: channel.read(0, 8)):
        with pytest.raises(ChannelError):
            use()


# -- map tables and copies


def export(guest: Guest, channel: int, *entries: int, size: int = 8) -> None:
    """A table of `size` entries; those not given are invalid."""
    at = TABLE + 0x1000 * channel
    guest.memory.write(at, bytes(16 * size))
    for n, entry in enumerate(entries):
        guest.memory.store(at + 16 * n, entry)
    assert call(guest, SET_MAP, channel, at, size)[0] == EOK
    assert call(guest, GET_MAP, channel)[:3] == (EOK, at, size)


@pytest.mark.parametrize(("base", "entries", "status"), [
    (TABLE, 1, EINVAL), (TABLE, 3, EINVAL), (0, 1 << 25, EINVAL), (0, MASK64, EINVAL), (TABLE + 16, 8, EBADALIGN),
    (OUTSIDE, 8, ENORADDR), (0, 1 << 20, ENORADDR),
])  # fmt: skip
def test_map_table_errors(base: int, entries: int, status: int) -> None:
    guest = pair()
    export(guest, 2)
    assert call(guest, SET_MAP, 2, base, entries)[0] == status
    assert call(guest, GET_MAP, 2)[:3] == (EOK, TABLE + 0x2000, 8)
    assert call(guest, SET_MAP, 2, 4, 0)[0] == EOK
    assert call(guest, GET_MAP, 2)[:3] == (EOK, 0, 0)


def fill(guest: Guest, pages: int = 8) -> bytes:
    data = random.Random(5).randbytes(8192 * pages)
    guest.memory.write(PAGES, data)
    return data


def test_copy_in_and_out_over_page_ends() -> None:
    """Pages of the exporter lie in another order in memory; the local range begins in the middle of a page."""
    guest = pair()
    data = fill(guest)
    order = [3, 1, 2, 0]
    export(guest, 3, *[PAGES + 8192 * page | CPR | CPW for page in order])
    seen = b"".join(data[8192 * page : 8192 * page + 8192] for page in order)
    local = PAGES + 0x20000 + 0x1F38
    for cookie, length in ((0, 8), (8184, 16), (40, 8192), (8, 4 * 8192 - 8), (8192 - 8, 8192 + 16), (0x2000, 0)):
        guest.memory.write(local, bytes(length + 8))
        assert call(guest, COPY, 2, 0, cookie, local, length)[:2] == (EOK, length)
        assert guest.memory.read(local, length + 8) == seen[cookie : cookie + length] + bytes(8)
    guest.memory.write(local, b"\xaa" * 16384)
    assert call(guest, COPY, 2, 1, 8192 - 16, local, 8192 + 32)[:2] == (EOK, 8192 + 32)
    assert guest.memory.read(PAGES + 3 * 8192, 8192) == seen[: 8192 - 16] + b"\xaa" * 16
    assert guest.memory.read(PAGES + 8192, 8192) == b"\xaa" * 8192
    assert guest.memory.read(PAGES + 2 * 8192, 24) == b"\xaa" * 16 + data[2 * 8192 + 16 : 2 * 8192 + 24]
    assert guest.machine.dirty_harvest()


def test_copy_stops_where_the_rest_is_not_allowed() -> None:
    guest = pair()
    data = fill(guest)
    export(guest, 3, PAGES | CPR, PAGES + 8192 | CPW)
    local = PAGES + 0x20000
    assert call(guest, COPY, 2, 0, 8000, local, 400)[:2] == (EOK, 192)
    assert guest.memory.read(local, 200) == data[8000:8192] + bytes(8)
    assert call(guest, COPY, 2, 0, 8192, local, 8)[0] == ENOACCESS
    assert call(guest, COPY, 2, 1, 0, local, 8)[0] == ENOACCESS
    assert call(guest, COPY, 2, 1, 8192, local, 8)[0] == EOK


def test_copy_of_a_large_page() -> None:
    guest = pair()
    data = fill(guest)
    export(guest, 3, 0, PAGES + 0x4000 | CPR | 1)  # 64 KiB: the low bits of the RA do not count
    cookie = 1 << 60 | 0x10000 | 0x2008
    assert call(guest, COPY, 2, 0, cookie, PAGES + 0x20000, 16384)[:2] == (EOK, 16384)
    assert guest.memory.read(PAGES + 0x20000, 16384) == data[0x2008 : 0x2008 + 16384]


@pytest.mark.parametrize(("direction", "cookie", "local", "length", "status"), [
    (2, 0, PAGES, 8, EINVAL), (MASK64, 0, PAGES, 8, EINVAL), (0, 4, PAGES, 8, EBADALIGN),
    (0, 0, PAGES + 1, 8, EBADALIGN), (0, 0, PAGES, 9, EBADALIGN), (0, 0, OUTSIDE, 8, ENORADDR),
    (0, 0, 0x400000 - 8, 16, ENORADDR),
    (0, 0, MASK64 - 7, 16, ENORADDR), (0, 0x4000, PAGES, 8, ENOMAP), (0, 8 << 13, PAGES, 8, ENOMAP),
    (0, (1 << 60) - 8, PAGES, 8, ENOMAP), (0, 1 << 60, PAGES, 8, EBADPGSZ), (0, 8 << 60, PAGES, 8, EBADPGSZ),
    (0, 15 << 60, PAGES, 8, EBADPGSZ), (0, 0x2000, PAGES, 8, ENORADDR), (1, 0x2000, PAGES, 8, ENORADDR),
])  # fmt: skip
def test_copy_errors(direction: int, cookie: int, local: int, length: int, status: int) -> None:
    guest = pair()
    export(guest, 3, PAGES | CPR | CPW, OUTSIDE | CPR | CPW)
    assert call(guest, COPY, 2, direction, cookie, local, length)[0] == status
    assert call(guest, COPY, 3, 0, 0, PAGES, 8)[0] == ENOMAP, "the other end has no table"


def test_the_client_reads_and_writes_what_the_guest_exports() -> None:
    guest, channel = host()
    data = fill(guest)
    export(guest, 1, PAGES + 8192 | CPR | CPW, PAGES | CPR)
    assert channel.read(8190, 5) == data[16382:16384] + data[:3]
    channel.write(3, b"hello")
    assert guest.memory.read(PAGES + 8192 + 3, 5) == b"hello"
    with pytest.raises(ChannelError, match="allow"):
        channel.write(8192, b"x")
    with pytest.raises(AddressError):
        channel.read(3 << 13, 1)
    assert call(guest, COPY, 1, 0, 0, PAGES, 8)[0] == ENOMAP, "the client exports nothing"


def test_the_guest_copies_what_the_client_exports() -> None:
    guest, channel = host()
    data = random.Random(6).randbytes(16384)
    channel.export(16384)
    assert channel.exported(0, 16384) == bytes(16384)
    channel.set_exported(0, data)
    assert call(guest, COPY, 1, 0, 8000, PAGES + 8, 8384)[:2] == (EOK, 8384)
    assert guest.memory.read(PAGES, 8400) == bytes(8) + data[8000:16384] + bytes(8)
    assert call(guest, COPY, 1, 0, 16376, PAGES, 16)[:2] == (EOK, 8), "as much as there is"
    guest.memory.write(PAGES, b"\x55" * 16)
    assert call(guest, COPY, 1, 1, 8, PAGES, 16)[:2] == (EOK, 16)
    assert channel.exported(0, 32) == data[:8] + b"\x55" * 16 + data[24:32]
    for cookie, status in ((16384, ENOMAP), ((1 << 60) - 8, ENOMAP), (1 << 60, EBADPGSZ), (4, EBADALIGN)):
        assert call(guest, COPY, 1, 0, cookie, PAGES, 8)[0] == status
    assert call(guest, COPY, 1, 0, 0, OUTSIDE, 8)[0] == ENORADDR
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.channel(1).exported(0, 16384) == channel.exported(0, 16384)
    assert other.machine.digest() == guest.machine.digest()
    channel.set_exported(16383, b"\0" if data[-1] else b"\1")
    assert other.machine.digest() != guest.machine.digest()
    other.machine.load(guest.machine.save())
    other.machine.remove_channel(1)
    channel.export(0)
    assert call(guest, COPY, 1, 0, 0, PAGES, 8)[0] == ENOMAP


def test_exports_out_of_range() -> None:
    _, channel = host()
    channel.export(8192)
    for size in (1, 8191, -8192, (16 << 20) + 8192):
        with pytest.raises(ChannelError, match="8K"):
            channel.export(size)
    for offset, length in ((0, 8193), (8192, 1), ((1 << 64) - 1, 2)):
        with pytest.raises(AddressError):
            channel.exported(offset, length)
    with pytest.raises(AddressError):
        channel.set_exported(8191, b"ab")
    assert channel.exported(8192, 0) == b""
