"""bind-domain, unbind-domain: all or nothing, and what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest
from domain_support import Room, guest, ready

from ldmd.jobs import Outcome
from ldmd.model import DiskServer, Vcc, Vcons, Vdisk, Vdpcc, Vdpcs, Vhba, Vnet, Volume, Vsan, Vsw
from ldmd.operations.context import HypervisorError
from ldmd.planner.channels import settle


@pytest.fixture
def room() -> Room:
    return ready()


def change(room: Room, name: str, **fields: Any) -> None:
    """What the operations on devices and services would do."""
    room.manager.commit(settle(room.manager.configuration.with_domain(room.domain(name).but(**fields))))


def warnings(outcome: Outcome) -> list[str]:
    return [text for kind, text in outcome.lines if kind == "warn"]


def port(room: Room, name: str) -> int | None:
    return room.binding(name).console_port


def test_states(room: Room) -> None:
    guest(room, "a", upto="bound")
    assert room.state("a") == "bound" and room.number("a") == 1
    assert room.refused("bind-domain", domain="a") == "bind.not-inactive"
    assert room.refused("bind-domain", domain="primary") == "bind.not-inactive"
    room.ok("start-domain", domains=["a"])
    assert room.refused("unbind-domain", domain="a") == "unbind.not-bound"
    room.ok("stop-domain", domains=["a"], force=True)
    room.ok("unbind-domain", domain="a")
    assert room.state("a") == "inactive" and room.domain("a").binding is None
    assert room.refused("unbind-domain", domain="a") == "unbind.not-bound"
    assert 1 not in room.machine.guests


def test_a_console_avoids_ports_that_another_program_has(room: Room) -> None:
    room.manager.listening = lambda: {5000, 5002}
    for name in ("a", "b"):
        guest(room, name, upto="inactive")
        assert warnings(room.ok("bind-domain", domain=name)) == []
    assert (port(room, "a"), port(room, "b")) == (5001, 5003)
    room.ok("unbind-domain", domain="b")
    room.ok("set-vconsole", domain="b", port="5002")
    said = warnings(room.ok("bind-domain", domain="b"))
    assert port(room, "b") == 5002 and len(said) == 1
    assert "port 5002 of this host is in use by another program: the console of LDom b" in said[0]
    assert "`ldm set-vconsole port=N b` chooses another" in said[0]


def test_a_console_has_a_port_where_all_are_taken(room: Room) -> None:
    room.manager.listening = lambda: range(5000, 5200)
    guest(room, "a", upto="inactive")
    assert "port 5000 of this host" in warnings(room.ok("bind-domain", domain="a"))[0]
    guest(room, "b", upto="inactive")
    room.ok("set-vconsole", domain="b", group="a")
    assert warnings(room.ok("bind-domain", domain="b")) == [] and port(room, "b") == 5000  # vntsd's own by now


def test_a_domain_without_cpus_or_memory(room: Room) -> None:
    room.ok("add-domain", domains=["a"])
    assert room.refused("bind-domain", domain="a") == "bind.no-vcpus"
    room.ok("set-vcpu", count="1", domain="a")
    assert room.refused("bind-domain", domain="a") == "bind.no-memory"


def test_ids_are_the_lowest_free(room: Room) -> None:
    for name in ("a", "b", "c"):
        guest(room, name, upto="bound")
    room.ok("unbind-domain", domain="b")
    guest(room, "d", upto="bound")
    assert [room.number(name) for name in ("a", "c", "d")] == [1, 3, 2]


@pytest.mark.parametrize(("fields", "code", "word"), [
    ({"vdisks": (Vdisk(name="d", volume="v", service="s"),)}, "bind.no-vds", "s"),
    ({"vdisks": (Vdisk(name="d", volume="v", service="vds0"),)}, "bind.no-volume", "v@vds0"),
    ({"vnets": (Vnet(name="n", service="sw", mac=0x00144FFC0007),)}, "bind.no-vsw", "sw"),
    ({"vhbas": (Vhba(name="h", vsan="san"),)}, "bind.no-vsan", "san"),
    ({"vdpccs": (Vdpcc(name="c", service="dp"),)}, "bind.no-vdpcs", "dp"),
    ({"io": ("pci_0",)}, "bind.io-taken", "pci_0"),
    ({"vcons": Vcons(service="vcc9")}, "console.unknown-service", "vcc9"),
    ({"vcons": Vcons(port=6000)}, "console.port-range", "6000"),
])
def test_what_is_missing_is_named(room: Room, fields: dict[str, Any], code: str, word: str) -> None:
    change(room, "primary", disk_servers=(DiskServer(name="vds0", volumes=(Volume(name="x", backend="/x"),)),))
    guest(room, "a")
    change(room, "a", **fields)
    outcome = room.run("bind-domain", domain="a")
    assert outcome.error is not None and outcome.error.code == code and word in str(outcome.error)
    assert room.state("a") == "inactive" and room.machine.guests.keys() == {0}


def test_devices_get_numbers_and_channels(room: Room) -> None:
    change(room, "primary", disk_servers=(DiskServer(name="vds0", volumes=(Volume(name="x", backend="/x"),)),),
           switches=(Vsw(name="sw", mac=0x00144FFC0001),), vsans=(Vsan(name="san", iport="/i"),),
           vdpcss=(Vdpcs(name="dp"),))
    guest(room, "a")
    change(room, "a", vdisks=(Vdisk(name="d", volume="x", service="vds0"),), vhbas=(Vhba(name="h", vsan="san"),),
           vnets=(Vnet(name="n", service="sw", mac=0x00144FFC0007),), vdpccs=(Vdpcc(name="c", service="dp"),))
    room.ok("bind-domain", domain="a")
    assert [(each.kind, each.number, each.channels) for each in room.binding("a").devices] == [
        ("disk", 0, (1,)), ("network", 0, (2,)), ("vhba", 0, (3,)), ("vdpcc", 0, (4,))]
    spec = room.machine.guests[1].spec
    assert spec["disks"][0]["channels"] == [1] and spec["nets"][0]["channel"] == 2


def test_console_ports(room: Room) -> None:
    change(room, "primary", vccs=(Vcc(name="vcc0", first_port=5000, last_port=5001),
                                  Vcc(name="vcc1", first_port=5001, last_port=5002)))
    for name in ("a", "b", "c"):
        guest(room, name, upto="bound")
    assert [port(room, name) for name in ("a", "b", "c")] == [5000, 5001, 5002]
    assert room.binding("c").console_service == "vcc1" and room.binding("a").console_group == "a"
    guest(room, "d")
    assert room.refused("bind-domain", domain="d") == "console.no-port"
    change(room, "d", vcons=Vcons(group="b"))
    room.ok("bind-domain", domain="d")
    assert port(room, "d") == 5001, "a group has one port"
    guest(room, "e")
    change(room, "e", vcons=Vcons(group="b", port=5000))
    assert room.refused("bind-domain", domain="e") == "console.group-port"
    change(room, "e", vcons=Vcons(port=5000))
    assert room.refused("bind-domain", domain="e") == "console.port-taken"
    room.ok("unbind-domain", domain="a")
    room.ok("bind-domain", domain="e")
    assert port(room, "e") == 5000


def test_without_a_concentrator_no_guest_is_bound() -> None:
    room = Room()
    room.ok("start-reconf", domain="primary")
    room.ok("set-vcpu", count="8", domain="primary")
    room.ok("set-memory", size="4G", domain="primary")
    room.ok("stop-domain", domains=["primary"], reboot=True)
    guest(room, "a")
    assert room.refused("bind-domain", domain="a") == "console.no-service"


def test_a_service_domain_is_not_unbound_under_its_clients(room: Room) -> None:
    guest(room, "svc", upto="bound")
    change(room, "svc", disk_servers=(DiskServer(name="vds0", volumes=(Volume(name="x", backend="/x"),)),))
    guest(room, "a")
    change(room, "a", vdisks=(Vdisk(name="d", volume="x", service="vds0"),))
    room.ok("bind-domain", domain="a")
    outcome = room.run("unbind-domain", domain="svc")
    assert outcome.error is not None and outcome.error.code == "bind.services-used" and "a" in outcome.error.cause
    room.ok("unbind-domain", domain="a")
    room.ok("unbind-domain", domain="svc")
    assert room.refused("remove-domain", domains=["svc"]) == "domain.used"


def test_no_more_domains_than_the_platform_has() -> None:
    room = Room("netra-t2000", "16G")
    room.ok("set-crypto", count="0", domain="primary")
    room.ok("set-vcpu", count="1", domain="primary")
    room.ok("set-memory", size="4G", domain="primary", auto_adj=True)
    change(room, "primary", vccs=(Vcc(name="vcc0", first_port=5000, last_port=5900),))
    for number in range(1, 32):
        guest(room, f"g{number}", vcpus=1, size="64M", upto="bound")
    guest(room, "last", vcpus=1, size="64M")
    assert room.refused("bind-domain", domain="last") == "bind.too-many"
    room.ok("unbind-domain", domain="g7")
    room.ok("bind-domain", domain="last")
    assert room.number("last") == 7


def test_the_machine_refuses_and_nothing_is_bound(room: Room) -> None:
    guest(room, "a")
    room.machine.refuse["guest.configure"] = lambda arguments: \
        HypervisorError("config", "no") if arguments["spec"]["id"] == 1 else None
    assert room.refused("bind-domain", domain="a") == "machine.refused"
    assert room.state("a") == "inactive"
