"""Variables: names, values, and firmware that holds them while the domain runs."""

from __future__ import annotations

import pytest
from domain_support import Room, guest, ready

from ldmd.operations.context import HypervisorError


@pytest.fixture
def room() -> Room:
    return ready()


def variables(room: Room, name: str) -> dict[str, str]:
    return dict(room.domain(name).variables)


def test_set_add_remove_list(room: Room) -> None:
    guest(room, "a")
    room.ok("set-variable", assignments=["auto-boot?=false", "boot-device=disk0 net=x", "nvramrc="], domain="a")
    assert variables(room, "a") == {"auto-boot?": "false", "boot-device": "disk0 net=x", "nvramrc": ""}
    assert room.refused("add-variable", assignments=["auto-boot?=true"], domain="a") == "variable.exists"
    room.ok("add-variable", assignments=["fresh=1"], domain="a")
    assert room.ok("list-variable", domain="a", names=["fresh"]).result == {"domain": "a", "variables": {"fresh": "1"}}
    assert len(room.ok("list-variable", domain="a").result["variables"]) == 4
    outcome = room.run("list-variable", domain="a", names=["gone"])
    assert outcome.status == 1 and "not found" in str(outcome.error)
    assert room.refused("remove-variable", names=["fresh", "gone"], domain="a") == "variable.not-found"
    room.ok("remove-variable", names=["fresh", "nvramrc"], domain="a")
    assert len(variables(room, "a")) == 2


@pytest.mark.parametrize(("text", "code"), [
    ("name", "variable.syntax"), ("=x", "variable.name"), ("a b=x", "variable.name"),
    ("n" * 64 + "=x", "variable.name"),
    ("ä=x", "variable.name"), ("x=" + "y" * 8193, "variable.value"), ("x=a\0b", "variable.value"),
    ("x=\u20ac", "variable.value")])
def test_what_firmware_cannot_keep(room: Room, text: str, code: str) -> None:
    guest(room, "a")
    assert room.refused("set-variable", assignments=[text], domain="a") == code
    assert room.refused("set-variable", assignments=["ok=1", text], domain="a") == code


def test_limits(room: Room) -> None:
    guest(room, "a")
    room.ok("set-variable", assignments=[f"v{n}=x" for n in range(256)], domain="a")
    assert room.refused("set-variable", assignments=["one-more=x"], domain="a") == "variable.many"
    assert room.refused("set-variable", assignments=["v1=x", "v1=y"], domain="a") == "variable.repeated"
    assert room.refused("set-variable", assignments=[], domain="a") == "variable.none"


def test_a_running_domain_changes_them_in_its_firmware(room: Room) -> None:
    guest(room, "a", upto="active")
    room.ok("set-variable", assignments=["boot-device=disk1"], domain="a")
    call = next(call for op, call in room.machine.calls if op == "guest.set_variables")
    assert call == {"guest": 1, "set": {"boot-device": "disk1"}, "remove": []}
    room.ok("remove-variable", names=["boot-device"], domain="a")
    room.machine.refuse["guest.set_variables"] = HypervisorError("args", "not a boolean")
    outcome = room.run("set-variable", assignments=["auto-boot?=perhaps"], domain="a")
    assert outcome.error is not None and outcome.error.code == "variable.refused"
    assert outcome.error.cause == "not a boolean" and variables(room, "a") == {}
