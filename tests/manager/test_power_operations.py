"""start-, stop-, panic-domain: states, words, and guests that do as they please."""

from __future__ import annotations

from typing import Any

import pytest
from domain_support import Room, guest, ready

from ldmd.operations.stop import GRACE_SECONDS, QUICK_SECONDS


@pytest.fixture
def room() -> Room:
    return ready()


def test_start_and_orderly_stop(room: Room) -> None:
    guest(room, "a", upto="bound")
    outcome = room.ok("start-domain", domains=["a"])
    assert outcome.out == "LDom a started\n" and room.state("a") == "active"
    assert room.domain("a").started_at == room.machine.clock.now()
    room.machine.boot_os(room.number("a"))
    outcome = room.ok("stop-domain", domains=["a"])
    assert outcome.out == "LDom a stopped\n" and room.state("a") == "bound"
    assert room.machine.ops("guest.stop", "guest.shutdown") == ["guest.shutdown"]
    assert room.domain("a").started_at is None


def test_start_needs_a_bound_domain(room: Room) -> None:
    guest(room, "a")
    assert room.refused("start-domain", domains=["a"]) == "start.not-bound"
    room.ok("bind-domain", domain="a")
    room.ok("start-domain", domains=["a"])
    assert room.refused("start-domain", domains=["a"]) == "start.not-bound"
    assert room.refused("start-domain", domains=["primary"]) == "start.not-bound"
    assert room.refused("start-domain", domains=["x"]) == "domain.not-found"
    assert room.refused("start-domain", domains=[]) == "domain.none"


def test_all_and_several(room: Room) -> None:
    for name in ("a", "b", "c"):
        guest(room, name, upto="bound")
    guest(room, "d")
    assert room.ok("start-domain", domains=["b"]).out == "LDom b started\n"
    outcome = room.run("start-domain", domains=["a", "b", "c"])
    assert outcome.status == 1 and outcome.out == "LDom a started\nLDom c started\n"
    assert ("warn", "LDom b is active") in outcome.lines
    assert sorted(room.ok("stop-domain", all=True, force=True).out.splitlines()) == [
        f"LDom {name} stopped" for name in ("a", "b", "c")]
    assert room.ok("stop-domain", all=True).out == ""
    assert len(room.ok("start-domain", all=True).out.splitlines()) == 3
    assert room.refused("stop-domain", domains=["d"]) == "stop.not-active"


def test_several_shut_down_at_the_same_time(room: Room) -> None:
    for name in ("a", "b", "c"):
        guest(room, name, upto="booted")
    room.machine.answers["guest.shutdown"] = None
    before = room.machine.clock.now()
    room.ok("stop-domain", all=True)
    assert room.machine.clock.now() - before == pytest.approx(GRACE_SECONDS)


@pytest.mark.parametrize(("options", "seconds"), [({}, GRACE_SECONDS), ({"quick": True}, QUICK_SECONDS),
                                                  ({"timeout": "7"}, 7)])
def test_force_follows_when_the_time_is_over(room: Room, options: dict[str, Any], seconds: float) -> None:
    guest(room, "a", upto="booted")
    room.machine.answers["guest.shutdown"] = None
    before = room.machine.clock.now()
    outcome = room.ok("stop-domain", domains=["a"], **options)
    assert room.machine.clock.now() - before == pytest.approx(seconds)
    assert outcome.out == "LDom a stopped\n" and any("by force" in text for kind, text in outcome.lines)
    assert room.machine.ops("guest.stop") == ["guest.stop"] and room.state("a") == "bound"


def test_force_at_once(room: Room) -> None:
    guest(room, "a", upto="booted")
    before = room.machine.clock.now()
    room.ok("stop-domain", domains=["a"], force=True)
    assert room.machine.clock.now() == before and room.machine.ops("guest.shutdown") == []


def test_a_domain_in_openboot_is_stopped_at_once_and_silently(room: Room) -> None:
    guest(room, "a", upto="active")
    outcome = room.ok("stop-domain", domains=["a"])
    assert outcome.lines == (("say", "LDom a stopped"),)


def test_an_os_that_cannot_be_asked(room: Room) -> None:
    guest(room, "a", upto="active")
    room.machine.boot_os(room.number("a"), "md-update")
    assert room.refused("stop-domain", domains=["a"], halt=True) == "stop.no-service"
    assert room.refused("stop-domain", domains=["a"], reboot=True) == "stop.no-service"
    outcome = room.ok("stop-domain", domains=["a"])
    assert ("warn", "Remote graceful shutdown or reboot capability is not available on a") in outcome.lines


@pytest.mark.parametrize("options", [{"halt": True}, {"reboot": True}])
def test_halt_and_reboot_never_use_force(room: Room, options: dict[str, Any]) -> None:
    guest(room, "a", upto="booted")
    room.machine.answers["guest.shutdown"] = None
    outcome = room.run("stop-domain", domains=["a"], **options)
    assert outcome.error is not None and outcome.error.code == "stop.timed-out"
    assert str(outcome.error).endswith("or specify -f to force it to stop.")
    assert room.state("a") == "active" and room.machine.ops("guest.stop") == []
    room.machine.answers["guest.shutdown"] = {"result": 1, "reason": "a user is logged in"}
    outcome = room.run("stop-domain", domains=["a"], **options)
    assert outcome.error is not None and outcome.error.cause == "a user is logged in"
    assert room.state("a") == "active"


def test_reboot(room: Room) -> None:
    guest(room, "a", upto="booted")
    outcome = room.ok("stop-domain", domains=["a"], reboot=True)
    assert outcome.out == "LDom a rebooted\n" and room.state("a") == "active"
    assert room.machine.guests[room.number("a")].firmware, "it is in OpenBoot again"
    room.ok("stop-domain", domains=["a"], reboot=True, force=True)
    assert room.state("a") == "active" and room.machine.guests[room.number("a")].starts == 2


def test_no_wait(room: Room) -> None:
    guest(room, "a", upto="booted")
    outcome = room.ok("stop-domain", domains=["a"], no_wait=True)
    assert room.state("a") == "stopping" and outcome.out == "LDom a is shutting down\n"
    assert room.refused("set-vcpu", count="1", domain="a") == "domain.busy"
    assert room.refused("set-domain", domain="a", master="") == "domain.busy"
    room.machine.clock.advance(5)
    assert room.state("a") == "bound"


def test_a_stop_that_hangs_can_be_forced_by_another_command(room: Room) -> None:
    guest(room, "a", upto="booted")
    room.machine.answers["guest.shutdown"] = None
    second: list[str] = []
    room.machine.clock.at(10, lambda: second.append(
        room.manager.execute("stop-domain", {"domains": ["a"]}).error.code))  # type: ignore[union-attr]
    room.machine.clock.at(20, lambda: second.append(
        room.manager.execute("stop-domain", {"domains": ["a"], "force": True}).out))
    before = room.machine.clock.now()
    outcome = room.ok("stop-domain", domains=["a"])
    assert second == ["domain.busy", "LDom a stopped\n"] and room.machine.clock.now() - before == pytest.approx(20)
    assert room.state("a") == "bound" and outcome.out == "LDom a stopped\n"


def test_a_cancelled_stop_leaves_the_domain_active(room: Room) -> None:
    guest(room, "a", upto="booted")
    guest(room, "b", upto="booted")
    room.machine.answers["guest.shutdown"] = None
    room.machine.clock.at(3, lambda: room.manager.cancel(room.manager.book.running()[0]["job"]) and None)
    outcome = room.run("stop-domain", domains=["a", "b"])
    assert outcome.error is not None and outcome.error.code == "job.cancelled"
    assert room.state("a") == room.state("b") == "active"


@pytest.mark.parametrize(("options", "code"), [
    ({"force": True, "quick": True}, "stop.options"), ({"halt": True, "reboot": True}, "stop.options"),
    ({"force": True, "halt": True}, "stop.options"), ({"force": True, "timeout": "3"}, "stop.needs"),
    ({"quick": True, "message": "bye"}, "stop.needs"), ({"timeout": "soon"}, "usage.number"),
    ({"timeout": "99999999"}, "usage.range")])
def test_options_that_do_not_go_together(room: Room, options: dict[str, Any], code: str) -> None:
    guest(room, "a", upto="booted")
    assert room.refused("stop-domain", domains=["a"], **options) == code


def test_the_control_domain_is_not_stopped(room: Room) -> None:
    assert room.refused("stop-domain", domains=["primary"]) == "stop.control"
    assert room.refused("panic-domain", domain="primary") == "panic.control"


def test_panic(room: Room) -> None:
    guest(room, "a", upto="bound")
    assert room.refused("panic-domain", domain="a") == "panic.not-active"
    room.ok("start-domain", domains=["a"])
    outcome = room.run("panic-domain", domain="a")
    assert outcome.error is not None and outcome.error.code == "panic.no-os" and "OpenBoot" in outcome.error.cause
    room.machine.boot_os(room.number("a"))
    room.ok("panic-domain", domain="a")
    assert room.machine.ops("guest.panic") == ["guest.panic"] and room.state("a") == "active"
    room.machine.boot_os(room.number("a"))
    room.machine.answers["guest.panic"] = {"result": 1, "reason": "not now"}
    outcome = room.run("panic-domain", domain="a")
    assert outcome.error is not None and outcome.error.code == "panic.refused" and "not now" in outcome.error.cause


def test_a_guest_that_powers_itself_off_is_bound(room: Room) -> None:
    guest(room, "a", upto="booted")
    room.machine.emit_state(room.number("a"), "power-off")
    assert room.state("a") == "bound"
