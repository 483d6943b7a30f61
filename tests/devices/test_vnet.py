"""The switch's end of a virtual network, driven as Linux's sunvnet drives it."""

from __future__ import annotations

import random
import struct

import pytest
from driver_support import (
    ACK,
    ATTR,
    INFO,
    LINK,
    MCAST,
    NACK,
    PKT,
    RESET,
    RING,
    RING_DATA,
    RX_QCONF,
    RX_STATE,
    TX_QCONF,
    TX_STATE,
    TX_TAIL,
    V_CTRL,
    V_DATA,
    DriverGuest,
    NetDriver,
    message,
    tag,
)

from emulator.devices.switch import Port, Switch, mac_bytes
from emulator.devices.vnet import RING_ENTRIES, VnetPort
from emulator.errors import ConfigError

MACS = [0x0014_4FF8_0010, 0x0014_4FF8_0011]
SWITCH = 0x0014_4FFB_0001
OUTSIDE = bytes.fromhex("02 00 00 00 00 99")
BROADCAST = b"\xff" * 6


def frame(to: bytes | int, from_: bytes | int, payload: bytes = b"hello", kind: bytes = b"\x08\x00") -> bytes:
    to, from_ = (mac_bytes(each) if isinstance(each, int) else each for each in (to, from_))
    return (to + from_ + kind + payload).ljust(60, b"\0")


class Net:
    """A switch with a port of its own, and guests on machines of their own or on one."""

    def __init__(self, count: int = 1, *, together: bool = False, mtu: int = 1518) -> None:
        self.switch = Switch()
        self.outside = self.switch.add(Port("outside"))
        self.drivers: list[NetDriver] = []
        self.servers: list[VnetPort] = []
        guest = DriverGuest()
        for n in range(count):
            guest = guest if together or n == 0 else DriverGuest()
            port = self.switch.add(Port(f"vnet{n}"))
            server = VnetPort(f"vnet{n}", n + 1, port, address=SWITCH, mtu=mtu)
            guest.machine.attach(server)
            self.servers.append(server)
            self.drivers.append(NetDriver(guest, n + 1, MACS[n]))

    def up(self, **options: object) -> NetDriver:
        for driver in self.drivers:
            driver.bring_up(**options)  # type: ignore[arg-type]
        return self.drivers[0]

    def to_guest(self, *frames: bytes) -> list[bytes]:
        for each in frames:
            self.outside.send(each)
        self.servers[0].poll()
        return self.drivers[0].receive()

    def out(self) -> list[bytes]:
        found = []
        while (each := self.outside.take()) is not None:
            found.append(each)
        return found


# -- handshake


@pytest.mark.parametrize(
    ("asked", "given", "mode", "mtu", "agreed"),
    [
        ((1, 8), (1, 6), 4, 65553, 1518), ((1, 6), (1, 6), 5, 1514, 1514), ((1, 4), (1, 4), 4, 9000, 1518),
        ((1, 3), (1, 3), 4, 1518, 1518), ((1, 2), (1, 2), 4, 1514, 1514), ((1, 0), (1, 0), 3, 1514, 1514),
    ],
)  # fmt: skip
def test_handshake(asked: tuple[int, int], given: tuple[int, int], mode: int, mtu: int, agreed: int) -> None:
    net = Net()
    driver = net.up(version=asked, mode=mode, mtu=mtu)
    assert driver.version == given
    assert driver.mtu == agreed
    assert driver.peer_mac == SWITCH
    assert net.servers[0].running
    assert net.switch.where(mac_bytes(MACS[0])) is net.servers[0].port, "known before it sends"


@pytest.mark.parametrize(
    ("version", "mode", "kind", "mtu"),
    [((1, 0), 3, 1, 1500), ((1, 3), 4, 1, 1514), ((1, 6), 2, 1, 1518), ((1, 6), 0, 1, 1518), ((1, 6), 4, 2, 1518),
     ((1, 6), 4, 1, 20), ((1, 0), 4, 1, 1514)],
)  # fmt: skip
def test_attributes_that_are_refused(version: tuple[int, int], mode: int, kind: int, mtu: int) -> None:
    net = Net()
    driver = net.drivers[0]
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(1, struct.pack(">HHB", *version, 1))
    driver.answers()
    driver.control(ATTR, struct.pack(">BBHBBHQQ", mode, kind, 0, 0, 1, 0, MACS[0], mtu))
    (answer,) = driver.answers()
    assert tag(answer)[:3] == (V_CTRL, NACK, ATTR)
    driver.handshake((1, 8), mode=4, mtu=65553)


@pytest.mark.parametrize(("size", "options", "status"), [(24, 1, NACK), (48, 2, NACK), (48, 4, NACK), (56, 1, ACK)])
def test_rings(size: int, options: int, status: int) -> None:
    net = Net()
    driver = net.drivers[0]
    driver.ldc.bind()
    driver.ldc.connect()
    driver.control(1, struct.pack(">HHB", 1, 6, 1))
    driver.answers()
    driver.control(ATTR, struct.pack(">BBHBBHQQ", 4, 1, 0, 0, 1, 0, MACS[0], 1518))
    driver.answers()
    driver.control(RING, struct.pack(">QIIHHIQQ", 0, 16, size, options, 0, 1, 0, 8192))
    assert tag(driver.answers()[-1])[:3] == (V_CTRL, status, RING)


def test_a_guest_that_refuses_the_switch_starts_anew() -> None:
    net = Net()
    driver = net.up()
    for what in (ATTR, RING):
        driver.ldc.send(message(V_CTRL, NACK, what, driver.sid))
        assert driver.ldc.call(RX_STATE)[3] == RESET
        assert not net.servers[0].running
        driver.rx_seq = 0
        driver.bring_up()
    assert net.to_guest(frame(MACS[0], OUTSIDE)) == [frame(MACS[0], OUTSIDE)]


def test_sizes_of_frames_must_be_possible() -> None:
    for mtu in (1500, 70000):
        with pytest.raises(ConfigError):
            VnetPort("x", 1, Port("x"), address=SWITCH, mtu=mtu)


# -- frames


def test_frames_both_ways() -> None:
    net = Net()
    driver = net.up()
    chance = random.Random(20130326)
    for turn in range(60):
        out = [frame(OUTSIDE, MACS[0], chance.randbytes(chance.randint(1, 1500))) for _ in range(chance.randint(1, 9))]
        assert driver.send(*out) == []
        assert net.out() == out
        into = [frame(MACS[0], OUTSIDE, chance.randbytes(chance.randint(1, 1500))) for _ in range(chance.randint(1, 9))]
        assert net.to_guest(*into) == into, turn


def test_short_frames_are_filled_up_and_long_ones_dropped() -> None:
    net = Net()
    driver = net.up()
    short = mac_bytes(MACS[0]) + OUTSIDE + b"\x08\x06abc"
    assert net.to_guest(short) == [short.ljust(60, b"\0")]
    assert net.to_guest(frame(MACS[0], OUTSIDE, bytes(1600))) == []
    driver.send(frame(OUTSIDE, MACS[0], bytes(1504)))
    assert len(net.out()) == 1
    driver.send(frame(OUTSIDE, MACS[0], bytes(1505)), frame(OUTSIDE, MACS[0]))
    assert net.out() == [frame(OUTSIDE, MACS[0])], "what follows a bad frame arrives"
    assert net.servers[0].port.counters.dropped == 2


def test_jumbo_frames() -> None:
    net = Net(mtu=9018)
    driver = net.up()
    assert driver.mtu == 9018
    big = frame(MACS[0], OUTSIDE, random.Random(1).randbytes(4000))  # half a page of the driver's scratch
    assert net.to_guest(big) == [big]


def test_frames_that_come_while_the_guest_is_busy() -> None:
    """Announced once; the rest follows the guest's answer. More than the ring holds waits in the switch."""
    net = Net()
    driver = net.up()
    frames = [frame(MACS[0], OUTSIDE, n.to_bytes(2, "big")) for n in range(3 * RING_ENTRIES)]
    net.outside.send(frames[0])
    net.servers[0].poll()
    (first,) = driver.answers()
    for each in frames[1:]:
        net.outside.send(each)
    net.servers[0].poll()
    assert driver.answers() == [], "one announcement at a time"
    got = driver.receive([first])
    while more := driver.receive():
        got += more
    assert got == frames


def test_a_guest_that_never_answers_costs_no_memory() -> None:
    net = Net()
    net.up()
    for _ in range(5000):
        net.outside.send(frame(MACS[0], OUTSIDE))
        net.servers[0].poll()
    port = net.servers[0].port
    assert port.waiting <= 1024
    assert port.counters.sent + port.counters.dropped == 5000


def test_stopped_answers_that_make_no_sense() -> None:
    net = Net()
    driver = net.up()
    net.outside.send(frame(MACS[0], OUTSIDE))
    net.servers[0].poll()
    (said,) = driver.answers()
    for end, state in ((RING_ENTRIES, 2), (5, 1), (0xFFFFFFFE, 2), (5, 7)):
        driver.ldc.send(message(V_DATA, ACK, RING_DATA, driver.sid, struct.pack(">QQIIB", 1, 0x99, 0, end, state)))
    assert driver.answers() == []
    assert driver.receive([said]) == [frame(MACS[0], OUTSIDE)]
    driver.ldc.send(message(V_DATA, ACK, RING_DATA, driver.sid, struct.pack(">QQIIB", 1, 0x99, 0, 0, 2)))
    assert driver.answers() == [], "nothing was pending: no endless talk"
    assert net.to_guest(frame(MACS[0], OUTSIDE, b"2")) == [frame(MACS[0], OUTSIDE, b"2")]


def test_linux_repeats_a_lost_answer_with_an_open_end() -> None:
    net = Net()
    driver = net.up()
    net.outside.send(frame(MACS[0], OUTSIDE))
    net.servers[0].poll()
    driver.answers()
    driver.ldc.send(message(V_DATA, ACK, RING_DATA, driver.sid, struct.pack(">QQIIB", 1, 0x99, 0, 0xFFFFFFFF, 2)))
    driver.rx_seq = 1
    assert net.to_guest(frame(MACS[0], OUTSIDE, b"2")) == [frame(MACS[0], OUTSIDE, b"2")]


def test_packets_in_band() -> None:
    net = Net()
    driver = net.up(mode=1)
    out = frame(OUTSIDE, MACS[0], random.Random(3).randbytes(1000))
    driver.ldc.send(message(V_DATA, INFO, PKT, driver.sid, bytes(8) + out))
    assert net.out() == [out]
    frames = [frame(MACS[0], OUTSIDE, bytes([n]) * 300) for n in range(9)]
    for each in frames:
        net.outside.send(each)
    net.servers[0].poll()
    answers = driver.answers()
    assert [(tag(each)[:3], each[8:16], each[16:]) for each in answers] == [
        ((V_DATA, INFO, PKT), (n + 1).to_bytes(8, "big"), each) for n, each in enumerate(frames)
    ]


def test_more_packets_in_band_than_the_queue_holds() -> None:
    net = Net()
    driver = net.up(mode=1)
    frames = [frame(MACS[0], OUTSIDE, bytes([n]) * 1400) for n in range(20)]  # 26 packets each, 127 fit
    for each in frames:
        net.outside.send(each)
    net.servers[0].poll()
    got: list[bytes] = []
    partial = b""
    for _ in range(40):
        for packet in driver.ldc.get():
            driver.ldc._sequence(packet)
            partial += packet[8 : 8 + (packet[3] & 0x3F)]
            if packet[3] & 0x80:
                got.append(partial[16:])
                partial = b""
        net.servers[0].poll()
    assert got == frames


def test_descriptors_that_cannot_be_read_are_dropped_and_done() -> None:
    net = Net()
    driver = net.up()
    memory, at = driver.guest.memory, driver.ring
    for n, (size, count, cookie, room) in enumerate(
        [(60, 1, 1 << 59, 72), (60, 0, 0, 0), (60, 3, 0, 72), (60, 1 << 31, 0, 72), (13, 1, 0, 72), (60, 1, 0, 65),
         (1 << 31, 1, 0, 1 << 31)]
    ):  # fmt: skip
        memory.write(at + 48 * n, struct.pack(">BB6xIIQQ", 2, 0, size, count, cookie, room))
    driver.produced = 7
    driver.put(frame(OUTSIDE, MACS[0]))
    driver.trigger(0)
    (answer,) = driver.answers()
    assert struct.unpack_from(">IIB", answer, 24) == (0, 7, 2)
    assert net.out() == [frame(OUTSIDE, MACS[0])]
    assert net.servers[0].port.counters.dropped == 7


@pytest.mark.parametrize(("ident", "start"), [(7, 0), (None, 16), (None, 0xFFFFFFFF)])
def test_announcements_of_no_descriptors(ident: int | None, start: int) -> None:
    net = Net()
    driver = net.up()
    driver.ident = ident or driver.ident
    body = struct.pack(">QQIIB", 1, driver.ident, start, 0xFFFFFFFF, 0)
    driver.ldc.send(message(V_DATA, INFO, RING_DATA, driver.sid, body))
    (answer,) = driver.answers()
    assert tag(answer)[:3] == (V_DATA, NACK, RING_DATA)


def test_a_ring_that_is_all_ready_goes_round_once() -> None:
    net = Net()
    driver = net.up()
    for n in range(16):
        driver.put(frame(OUTSIDE, MACS[0], bytes([n])))
    driver.trigger(3)
    (answer,) = driver.answers()
    assert struct.unpack_from(">IIB", answer, 24) == (3, 2, 2)
    assert len(net.out()) == 16
    driver.trigger(5)
    (answer,) = driver.answers()
    assert struct.unpack_from(">IIB", answer, 24) == (5, 4, 2), "nothing is ready"


# -- groups, link state


def test_groups() -> None:
    net = Net()
    driver = net.up()
    group, other = bytes.fromhex("01005e000001"), bytes.fromhex("333300000001")
    assert net.to_guest(frame(group, OUTSIDE)) == []
    driver.control(MCAST, struct.pack(">BB", 1, 2) + group + other)
    assert tag(driver.answers()[0])[:3] == (V_CTRL, ACK, MCAST)
    assert net.to_guest(frame(group, OUTSIDE), frame(other, OUTSIDE)) == [frame(group, OUTSIDE), frame(other, OUTSIDE)]
    driver.control(MCAST, struct.pack(">BB", 0, 1) + group)
    driver.answers()
    assert net.to_guest(frame(group, OUTSIDE), frame(other, OUTSIDE)) == [frame(other, OUTSIDE)]
    for count, address in ((8, group), (1, mac_bytes(MACS[0]))):
        driver.control(MCAST, struct.pack(">BB", 1, count) + address * 7)
        assert tag(driver.answers()[0])[:3] == (V_CTRL, NACK, MCAST)
    for n in range(1024):
        driver.control(MCAST, struct.pack(">BB", 1, 1) + b"\x01" + n.to_bytes(5, "big"))
        last = driver.answers()[0]
    assert tag(last)[:3] == (V_CTRL, NACK, MCAST), "a guest cannot register without end"


def test_link_states_for_guests_that_ask_for_them() -> None:
    net = Net()
    driver = net.up(updates=1)
    (up,) = driver.early
    assert tag(up)[:3] == (V_CTRL, INFO, LINK)
    assert up[8:12] == (2).to_bytes(4, "big")
    net.servers[0].set_link(False)
    (down,) = driver.answers()
    assert down[8:12] == (1).to_bytes(4, "big")
    plain = Net()
    driver = plain.up()
    plain.servers[0].set_link(False)
    assert driver.answers() == [], "Linux would reset the connection"


# -- guests with each other


@pytest.mark.parametrize("together", [True, False])
def test_two_guests(together: bool) -> None:
    net = Net(2, together=together)
    net.up()
    one, two = net.drivers
    ask, answer = frame(BROADCAST, MACS[0], b"who has"), frame(MACS[0], MACS[1], b"I have")
    one.send(ask)
    two.guest.machine.run(0)
    assert two.receive() == [ask]
    others = two.send(answer)
    assert others == []
    one.guest.machine.run(0)
    assert one.receive() == [answer]
    assert net.out() == [ask], "nobody else sees the answer"


# -- resets and state


def test_the_guest_starts_anew_at_any_time() -> None:
    net = Net()
    driver, server = net.drivers[0], net.servers[0]
    for _ in range(3):
        driver.ldc.unbind()
        assert not server.running
        net.outside.send(frame(MACS[0], OUTSIDE))
        server.poll()
        driver.rx_seq = 0
        driver.bring_up()
        assert driver.receive() == [], "frames of before are gone"
        assert net.to_guest(frame(MACS[0], OUTSIDE)) == [frame(MACS[0], OUTSIDE)]


def test_state_in_the_middle() -> None:
    net, other = Net(), Net()
    driver = net.up()
    driver.control(MCAST, struct.pack(">BB", 1, 1) + b"\x01" * 6)
    driver.answers()
    for n in range(3):
        net.outside.send(frame(MACS[0], OUTSIDE, bytes([n])))
    net.servers[0].poll()
    machine, twin = driver.guest.machine, other.drivers[0].guest.machine
    twin.load(machine.save())
    assert twin.digest() == machine.digest()
    ldc = other.drivers[0].ldc
    ldc.__dict__.update({**driver.ldc.__dict__, "guest": other.drivers[0].guest})
    other.drivers[0].__dict__.update({**driver.__dict__, "guest": other.drivers[0].guest, "ldc": ldc})
    expected = [frame(MACS[0], OUTSIDE, bytes([n])) for n in range(3)]
    assert driver.receive() == expected
    assert other.drivers[0].receive() == expected
    assert other.to_guest(frame(b"\x01" * 6, OUTSIDE)) == [frame(b"\x01" * 6, OUTSIDE)]
    assert net.to_guest(frame(b"\x01" * 6, OUTSIDE)) == [frame(b"\x01" * 6, OUTSIDE)]
    assert twin.digest() == machine.digest()


def test_what_linux_sends_once_more_after_a_reset() -> None:
    """ldc_disconnect configures the queue anew and goes on at the old tail: the packets before it are stale ones."""
    net = Net()
    driver, server = net.up(), net.servers[0]
    ldc = driver.ldc
    tail = ldc.call(TX_STATE)[2]
    assert tail > 0
    for conf, base in ((TX_QCONF, ldc.tx), (RX_QCONF, ldc.rx)):
        ldc.call(conf, 0, 0)
        ldc.call(conf, base, 128)
    assert not server.running
    vers = ldc.control(INFO, 1, payload=struct.pack(">HH", 1, 0))
    driver.guest.memory.write(ldc.tx + tail, vers)
    ldc.call(TX_TAIL, (tail + 64) % (64 * 128))
    assert ldc.get() == [ldc.control(ACK, 1, payload=struct.pack(">HH", 1, 0))], "one answer, to the new one"
