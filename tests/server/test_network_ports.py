"""A guest's place in the network: announced, withdrawn, recorded, with links that go down and come up; live changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from network_support import Tap, frame, mac
from server_support import Room, labos_spec

from emulator.devices.rarp import announcement
from emulator.devices.vnet import VnetPort
from emulator.hvctl.local import RefusedError

MAC, OTHER = 0x0014_4FF8_1001, 0x0014_4FF8_2001


def net(**changes: Any) -> dict[str, Any]:
    return {"name": "n0", "number": 0, "channel": 11, "mac": MAC, "switch": "vsw0"} | changes


def device(room: Room) -> VnetPort:
    machine = room.server.guest(1).machine
    assert machine is not None
    found = machine.devices["net n0"]
    assert isinstance(found, VnetPort)
    return found


def room_with(**changes: Any) -> tuple[Room, Tap]:
    """A room with one guest, whose switch has an uplink with something behind it."""
    room = Room()
    room.call("service.configure", switches=[{"name": "vsw0", "net_dev": "net0"}])
    tap = Tap("outside")
    room.server.networks.segment("net0").add(tap)
    room.add(labos_spec(1, nets=[net(**changes)]))
    return room, tap


def test_a_guest_announces_its_addresses_and_is_withdrawn() -> None:
    room, tap = room_with(vids=[7], alt_macs=[OTHER])
    with room:
        guest = room.server.guest(1)
        assert guest.plugs is not None
        guest.plugs.announce()
        packed = [number.to_bytes(6, "big") for number in (MAC, OTHER)]
        assert tap.got == [announcement(each, vlan=vlan) for each in packed for vlan in (0, 7)]
        found = room.server.switches.find("vsw0")
        assert found is not None
        switch = found[1]
        assert [switch.where(each) is device(room).port for each in packed] == [True, True]
        tap.receive(announcement(packed[0]))
        assert switch.where(packed[0]) is device(room).port, "an address of a guest here is its own"
        guest.plugs.withdraw()
        tap.receive(announcement(packed[0]))
        uplink = room.server.switches.uplink("vsw0")
        assert switch.where(packed[0]) is uplink, "it is elsewhere now"
        guest.plugs.announce()
        assert switch.where(packed[0]) is device(room).port, "and back"


@pytest.mark.parametrize(("linkprop", "follows"), [("phys-state", True), ("", False)])
def test_the_link_of_a_network_follows_the_device(linkprop: str, follows: bool) -> None:
    room, _ = room_with(linkprop=linkprop)
    with room:
        assert device(room).link_is_up
        room.call("network.plug", device="net0", outlet="none")
        assert device(room).link_is_up is not follows
        assert room.events[-1]["event"] == "machine.links" and room.events[-1]["devices"] == {"net0": False}
        (switch,) = room.call("service.list")["switches"]
        assert switch["link_up"] is False
        room.call("network.plug", device="net0", outlet="net0")
        assert device(room).link_is_up
        with pytest.raises(RefusedError, match="virtual time"):
            room.call("network.plug", device="net0", outlet="tap:x")


def test_recording_is_switched_on_and_off_while_the_guest_runs(tmp_path: Path) -> None:
    room, tap = room_with()
    with room:
        to_guest = lambda text: tap.receive(frame(MAC.to_bytes(6, "big"), mac(5), text=text))  # noqa: E731
        to_guest(b"before")
        room.call("network.record", guest=1, net="n0", path=str(tmp_path / "a"))
        to_guest(b"while")
        room.call("network.record", guest=1, net="n0", path=str(tmp_path / "b"))
        to_guest(b"then")
        room.call("network.record", guest=1, net="n0")
        to_guest(b"after")
        said = [(tmp_path / name).read_bytes() for name in "ab"]
        for number, text in enumerate((b"while", b"then")):
            assert [text in each for each in said] == [number == 0, number == 1]
        assert not any(b"before" in each or b"after" in each for each in said)
        with pytest.raises(RefusedError, match="there are: n0"):
            room.call("network.record", guest=1, net="n1", path=str(tmp_path / "c"))
        with pytest.raises(RefusedError, match="No such file"):
            room.call("network.record", guest=1, net="n0", path=str(tmp_path / "no" / "c"))


def test_what_changes_on_a_network_without_a_reset() -> None:
    room, tap = room_with()
    with room:
        before = device(room)
        spec = room.call("guest.spec", guest=1)
        spec["nets"][0] |= {"pvid": 5, "vids": [6], "maxbw_bps": 10**6, "cos": 3, "pvlan": [9, 1],
                            "protection": ["mac-nospoof"]}  # fmt: skip
        room.call("guest.configure", spec=spec)
        assert device(room) is before
        port = before.port
        port.send(frame(b"\xff" * 6, mac(6)))
        assert tap.got == [] and port.counters.refused == 1
        said = frame(b"\xff" * 6, MAC.to_bytes(6, "big"))
        port.send(said)
        assert tap.got == [said[:12] + b"\x81\x00" + (3 << 13 | 9).to_bytes(2, "big") + said[12:]]
        assert room.call("guest.spec", guest=1)["nets"][0]["pvlan"] == [9, 1]
        (switch,) = room.call("service.list")["switches"]
        assert {row["vlan"]: row["frames"] for row in switch["vlans"]} == {5: 1}
        port.limit(8)
        for _ in range(2000):
            port.send(said)
        assert port.counters.limited > 0
