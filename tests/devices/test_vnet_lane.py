"""Virtual networks in real time, where C serves their rings: all that holds for the others, and flows between ports."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import pytest
import test_vnet
from driver_support import DriverGuest, NetDriver
from test_vnet import *  # noqa: F403 - every test of it, on machines in real time
from test_vnet import BROADCAST, MACS, OUTSIDE, Net, frame, mac_bytes

from emulator.devices.capture import Capture
from emulator.devices.guard import Guard


@pytest.fixture(autouse=True)
def real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_vnet, "DriverGuest", partial(DriverGuest, deterministic=False))


def lent(net: Net) -> bool:
    return all(server._path is not None and server._path.lent for server in net.servers)


def test_state_in_the_middle() -> None:
    """Its twin of the deterministic tests compares images, for which two machines must have been made alike."""
    net = Net()
    driver = net.up()
    for n in range(3):
        net.outside.send(frame(MACS[0], BROADCAST[:5] + b"\0", bytes([n])))
    driver.guest.step()  # what waits in a port is lost
    machine = driver.guest.machine
    machine.load(machine.save())
    assert [each[14] for each in driver.receive()] == [0, 1, 2]
    driver.send(frame(BROADCAST, MACS[0]))
    assert net.out() == [frame(BROADCAST, MACS[0])]


def two() -> Net:
    net = Net(2)
    net.up()
    for driver, mac in zip(net.drivers, MACS, strict=True):
        driver.receive(driver.send(frame(BROADCAST, mac)))  # each is known by then
    net.out()
    for driver in net.drivers:
        driver.receive()
    assert lent(net)
    return net


def test_a_flow_needs_no_switch_and_everything_is_counted() -> None:
    net = two()
    one, other = net.drivers
    asked: list[bytes] = []
    forward = net.switch.forward
    net.switch.forward = lambda port, data, hops: (asked.append(data), forward(port, data, hops))  # type: ignore
    before = net.servers[0].port.counters.received, net.servers[1].port.counters.sent
    frames = [frame(MACS[1], MACS[0], bytes([n])) for n in range(10)]
    for each in frames:
        one.send(each)
    assert other.receive() == frames, "in order"
    assert asked == frames[:1], "the first one is decided about"
    assert net.servers[0].port.counters.received == before[0] + 10
    assert net.servers[1].port.counters.sent == before[1] + 10
    net.switch.collect()
    assert net.switch.vlans[1][0] >= 10


@pytest.mark.parametrize("change", ["capture", "limit", "vlan", "guard", "address", "unplug", "mtu"])
def test_what_changes_at_a_port_or_in_the_switch_ends_a_flow(change: str, tmp_path: Path) -> None:
    net = two()
    one, other = net.drivers
    ports = [server.port for server in net.servers]
    for n in range(2):
        one.send(frame(MACS[1], MACS[0], bytes([n])))
    assert len(other.receive()) == 2
    capture = Capture(tmp_path / "c.pcapng")
    {
        "capture": lambda: ports[1].record(capture), "limit": lambda: ports[1].limit(8), "mtu": lambda: None,
        "vlan": lambda: (ports[1].set_vlans(7, ()), net.switch.settle()), "unplug": lambda: net.switch.remove(ports[1]),
        "guard": lambda: (setattr(ports[0], "guard", Guard.of([b"\x02" * 6], ("mac-nospoof",))), ports[0].changed()),
        "address": lambda: net.switch.assign(net.outside, [mac_bytes(MACS[1])]),
    }[change]()  # fmt: skip
    if change == "limit":
        ports[1].outbound.take(10**6, 0)  # type: ignore[union-attr]
        for _ in range(100):
            one.send(frame(MACS[1], MACS[0], bytes(1400)))
        assert ports[1].counters.limited > 0
        return
    if change == "mtu":
        net.switch.most = 100
        net.switch.forget_flows()
        one.send(frame(MACS[1], MACS[0], bytes(200)))
        assert other.receive() == [] and net.switch.oversized == 1
        return
    last = frame(MACS[1], MACS[0], b"last")
    one.send(last)
    got = other.receive()
    capture.flush()
    assert got == ([last] if change == "capture" else [])
    assert (last in (tmp_path / "c.pcapng").read_bytes()) is (change == "capture")
    assert net.out() == ([last] if change in ("address", "unplug", "vlan") else [])


def test_frames_of_more_than_a_batch_come_all_and_in_order() -> None:
    """More descriptors than C keeps for the switch at once."""
    net = Net()
    guest = net.drivers[0].guest
    driver = net.drivers[0] = NetDriver(guest, 1, MACS[0], entries=300)
    driver.ring = guest.pages(2)
    net.up()
    frames = [frame(OUTSIDE, MACS[0], n.to_bytes(2, "big")) for n in range(299)]
    for each in frames:
        driver.put(each)
    driver.trigger(0)
    assert net.out() == frames
    (answer,) = driver.answers()
    assert struct.unpack_from(">IIB", answer, 24) == (0, 298, 2)


def test_tags_and_groups_are_for_the_switch() -> None:
    net = two()
    one, other = net.drivers
    for _ in range(2):
        one.send(frame(MACS[1], MACS[0], b"plain"))
    other.receive()
    tagged = frame(MACS[1], MACS[0], b"\0\x05\x08\0tagged", b"\x81\0")
    one.send(tagged)
    assert other.receive() == [], "it is in no VLAN 5"
    one.send(frame(BROADCAST, MACS[0], b"all"))
    assert [each[14:17] for each in other.receive()] == [b"all"]
