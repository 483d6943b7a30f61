"""Domains that were made after the configuration was saved that a server comes up with."""

from __future__ import annotations

from domain_support import Room, guest, ready

from ldmd.manager import Manager
from ldmd.planner.invariants import problems


def powered_again(room: Room) -> list[str]:
    """The manager after a power cycle of the machine; what its log says."""
    room.machine.power_cycle()
    old, lines = room.manager, room.manager.log_lines  # type: ignore[attr-defined]
    room.manager = Manager(room.machine, old.store, clock=room.machine.clock, rng=old.rng, log=old.log)
    room.manager.start()
    return list(lines)


def test_what_was_given_up_and_given_again_is_no_contradiction() -> None:
    """The address of a network and the name of a service belong to what was saved; the domain made later yields."""
    room = ready()
    room.ok("add-vsw", vswitch="vsw0", domain="primary")
    guest(room, "a", upto="bound")
    room.ok("add-vnet", vnet="n0", vswitch="vsw0", domain="a")
    room.ok("add-spconfig", config="one")
    saved = room.domain("a").vnets[0].mac
    room.ok("remove-vnet", vnet="n0", domain="a")
    guest(room, "b")
    room.ok("add-vnet", vnet="n0", vswitch="vsw0", domain="b")
    room.ok("remove-vsw", vswitch="vsw0", force=True)
    room.ok("add-vsw", vswitch="vsw0", domain="b")
    b = room.domain("b")
    assert saved in (b.mac, b.vnets[0].mac, b.switches[0].mac)  # freed addresses come first
    lines = powered_again(room)
    assert problems(room.manager.configuration) == ()
    assert room.domain("a").vnets[0].mac == saved and room.state("a") == "active"
    assert room.domain("primary").switches[0].name == "vsw0" and room.domain("b").switches == ()
    assert room.domain("b").uuid == b.uuid and room.state("b") == "inactive"
    assert any("MAC address" in line and "takes its place" in line for line in lines)
    assert any("service vsw0 is another domain's" in line for line in lines)
    room.ok("set-variable", assignments=["boot-device=disk"], domain="a")
