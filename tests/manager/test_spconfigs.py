"""Configurations on the service processor."""

from __future__ import annotations

import pytest
from domain_support import Room, guest, ready

from ldmd.planner.invariants import problems


@pytest.fixture
def room() -> Room:
    return ready()


def listed(room: Room) -> list[tuple[str, bool, bool]]:
    return [(each["name"], each["current"], each["next_poweron"])
            for each in room.ok("list-spconfig").result["configs"]]


def test_add_set_remove_list(room: Room) -> None:
    assert listed(room) == [("factory-default", True, True)]
    room.ok("add-spconfig", config="one")
    room.ok("add-spconfig", config="two")
    assert listed(room) == [("factory-default", False, False), ("one", False, False), ("two", True, True)]
    room.ok("set-spconfig", config="one")
    assert listed(room)[1:] == [("one", False, True), ("two", True, False)]
    assert room.refused("remove-spconfig", config="one") == "spconfig.in-use"
    room.ok("set-spconfig", config="factory-default")
    room.ok("remove-spconfig", config="one")
    for command, code in (("set-spconfig", "spconfig.not-found"), ("remove-spconfig", "spconfig.not-found")):
        assert room.refused(command, config="one") == code
    assert room.refused("add-spconfig", config="two") == "spconfig.exists"
    assert room.refused("remove-spconfig", config="factory-default") == "spconfig.reserved"
    for name in ("factory-default", "@post-migration"):
        assert room.refused("add-spconfig", config=name) == "spconfig.reserved"
    for name in ("a b", "x" * 65, "../etc", "-r"):
        assert room.refused("add-spconfig", config=name) == "spconfig.name"


def test_there_is_room_for_eight(room: Room) -> None:
    for number in range(7):
        room.ok("add-spconfig", config=f"c{number}")
    assert room.refused("add-spconfig", config="c8") == "spconfig.full"


def test_what_is_pending_is_saved_as_it_will_be(room: Room) -> None:
    guest(room, "a", upto="active")
    guest(room, "b", upto="bound")
    room.ok("start-reconf", domain="primary")
    room.ok("set-memory", size="8G", domain="primary")
    room.ok("add-spconfig", config="soon")
    saved = room.manager.spconfigs.load("soon")
    assert saved is not None and problems(saved) == () and saved.pending == ()
    assert saved.primary.memory.size_bytes == 8 << 30 and saved.spconfig == "soon"
    assert [str(domain.state) for domain in saved.domains] == ["active", "active", "bound"]


def test_a_power_cycle_loads_the_one_for_the_next_power_on(room: Room) -> None:
    guest(room, "a", upto="active")
    room.ok("add-spconfig", config="one")
    guest(room, "b", upto="bound")
    room.machine.power_cycle()
    room.manager.again()
    assert [(each.name, str(each.state)) for each in room.manager.configuration.domains] == [
        ("primary", "active"), ("a", "active"), ("b", "inactive")]
    assert room.ok("list-spconfig", autosave=True).result == {"autosaves": [{"name": "one", "newer": True}]}
    assert room.refused("add-spconfig", restore="two") == "spconfig.autosave-not-found"
    room.ok("add-spconfig", restore="one", new_config="with-b")
    saved = room.manager.spconfigs.load("with-b")
    assert saved is not None and [domain.name for domain in saved.domains] == ["primary", "a", "b"]
    assert room.refused("remove-spconfig", config="one", autosave=True) == "spconfig.autosave-not-found"
