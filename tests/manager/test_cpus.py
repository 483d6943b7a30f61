"""vcpus, cores, crypto units: inactive, bound, running with the guest's consent."""

from __future__ import annotations

from typing import Any

import pytest
from domain_support import Room, guest, ready

PER_CORE = 8


@pytest.fixture
def room() -> Room:
    return ready()


def cores(room: Room, name: str) -> set[int]:
    return {strand // PER_CORE for _, strand in room.binding(name).vcpus}


def dr_calls(room: Room) -> list[tuple[str, Any]]:
    return [(op, call.get("action") and (call["action"], call["cpus"])) for op, call in room.machine.calls
            if op in ("guest.dr_cpu", "guest.md_update", "guest.configure")]


def test_counts_of_an_inactive_domain(room: Room) -> None:
    room.ok("add-domain", domains=["a"])
    room.ok("add-vcpu", count="4", domain="a")
    room.ok("add-vcpu", count="3", domain="a")
    room.ok("remove-vcpu", count="2", domain="a")
    assert room.domain("a").cpus.vcpus == 5
    room.ok("set-vcpu", count="0", domain="a")
    assert room.refused("remove-vcpu", count="1", domain="a") == "cpu.remove-many"
    assert room.refused("set-vcpu", count="257", domain="a") == "cpu.too-many"
    assert room.refused("add-vcpu", count="none", domain="a") == "usage.number"
    assert room.refused("add-vcpu", count="0", domain="a") == "usage.range"
    assert room.refused("add-vcpu", count="1", domain="b") == "domain.not-found"


def test_domains_do_not_share_cores_while_free_ones_are_there(room: Room) -> None:
    for number, count in enumerate((3, 9, 1)):
        guest(room, f"g{number}", vcpus=count, upto="bound")
    assert [len(cores(room, f"g{n}")) for n in range(3)] == [1, 2, 1]
    assert not cores(room, "g0") & cores(room, "g1") and not cores(room, "g1") & cores(room, "g2")
    before = cores(room, "g0")
    room.ok("add-vcpu", count="5", domain="g0")
    assert cores(room, "g0") == before, "the rest of its own core comes first"


def test_the_last_strands_are_shared_when_no_core_is_free(room: Room) -> None:
    guest(room, "a", vcpus=29 * PER_CORE + 3, upto="bound")
    guest(room, "b", vcpus=4, upto="bound")
    assert cores(room, "b") <= cores(room, "a")
    guest(room, "c", vcpus=2)
    assert room.refused("bind-domain", domain="c") == "cpu.too-few"
    assert room.refused("add-vcpu", count="2", domain="b") == "cpu.too-few"
    room.ok("add-vcpu", count="1", domain="b")


def test_cores_of_one_domain_are_on_one_chip_where_they_fit(room: Room) -> None:
    guest(room, "a", vcpus=12 * PER_CORE, upto="bound")
    guest(room, "b", vcpus=4 * PER_CORE, upto="bound")
    for name in ("a", "b"):
        assert len({core // 16 for core in cores(room, name)}) == 1
    assert {block.pa >= 0x8000000000 for block in room.binding("a").memory} == {min(cores(room, "a")) >= 16}


def test_whole_cores(room: Room) -> None:
    guest(room, "a", vcpus=3)
    assert room.refused("add-core", count="1", domain="a") == "cpu.not-whole-core"
    room.ok("set-core", count="2", domain="a")
    assert room.domain("a").cpus.vcpus == 16
    room.ok("bind-domain", domain="a")
    assert room.refused("add-vcpu", count="1", domain="a") == "cpu.whole-core"
    assert room.refused("set-vcpu", count="1", domain="a") == "cpu.whole-core"
    room.ok("add-core", count="1", domain="a")
    room.ok("remove-core", count="2", domain="a")
    assert len(room.binding("a").vcpus) == 8
    assert room.refused("remove-core", count="1", domain="a") == "cpu.zero"
    assert room.refused("set-core", count="31", domain="a") == "cpu.too-few-cores"
    assert room.refused("set-core", count="33", domain="a") == "cpu.too-many"
    room.ok("unbind-domain", domain="a")
    room.ok("set-vcpu", count="5", domain="a")
    assert not room.domain("a").cpus.whole_core


def test_named_cores(room: Room) -> None:
    guest(room, "a", vcpus=0)
    for text in ("x", "1,,2", "4,4", "-1", " 3"):
        assert room.refused("set-core", cid=text, domain="a") == "cpu.cid-syntax"
    assert room.refused("set-core", cid="32", domain="a") == "cpu.cid-unknown"
    room.ok("set-core", cid="20,18", domain="a")
    room.ok("bind-domain", domain="a")
    assert cores(room, "a") == {18, 20}
    assert room.refused("add-core", cid="0", domain="a") == "cpu.cid-taken"
    assert room.refused("add-core", cid="18", domain="a") == "cpu.cid-have"
    assert room.refused("add-core", count="1", domain="a") == "cpu.named"
    assert room.refused("remove-core", cid="19", domain="a") == "cpu.cid-not-have"
    assert room.refused("remove-core", cid="18,20", domain="a") == "cpu.zero"
    room.ok("add-core", cid="31", domain="a")
    room.ok("remove-core", cid="18", domain="a")
    assert cores(room, "a") == {20, 31} and room.domain("a").cpus.cids == (20, 31)
    guest(room, "b", vcpus=0)
    room.ok("set-core", cid="31", domain="b")
    assert room.refused("bind-domain", domain="b") == "cpu.cid-taken"
    room.ok("set-core", cid="", domain="a")
    room.ok("add-core", count="1", domain="a")
    assert room.refused("add-core", cid="5", domain="a") == "cpu.not-named"
    assert room.refused("remove-core", count="1", domain="a", **{"resource-group": "g"}) == "cpu.resource-group"


def test_more_vcpus_of_a_running_domain(room: Room) -> None:
    guest(room, "a", vcpus=2, upto="booted")
    room.machine.calls.clear()
    room.ok("add-vcpu", count="3", domain="a")
    assert [op for op, _ in dr_calls(room)] == ["guest.configure", "guest.md_update", "guest.dr_cpu"]
    assert dr_calls(room)[-1][1] == ("configure", [2, 3, 4])
    assert len(room.machine.guests[room.number("a")].spec["vcpus"]) == 5


def test_fewer_vcpus_of_a_running_domain(room: Room) -> None:
    guest(room, "a", vcpus=5, upto="booted")
    room.machine.calls.clear()
    room.ok("set-vcpu", count="2", domain="a")
    assert [op for op, _ in dr_calls(room)] == ["guest.dr_cpu", "guest.configure", "guest.md_update"]
    assert sorted(dr_calls(room)[0][1][1]) == [2, 3, 4] and dr_calls(room)[0][1][0] == "unconfigure"
    room.machine.calls.clear()
    room.ok("remove-vcpu", count="1", domain="a", force=True)
    assert dr_calls(room)[0][1] == ("force", [1])
    assert room.refused("remove-vcpu", count="1", domain="a") == "cpu.zero"


def test_a_guest_that_gives_up_only_some(room: Room) -> None:
    guest(room, "a", vcpus=8, upto="booted")
    room.machine.answers["guest.dr_cpu"] = {"result": 0, "reason": "", "units": [
        {"unit": 5, "result": 2, "status": 2, "text": "a process is bound to it"}]}
    outcome = room.run("remove-vcpu", count="3", domain="a")
    assert outcome.error is not None and outcome.error.code == "dr.cpu-some"
    assert "2 of 3" in str(outcome.error) and "a process is bound" in outcome.error.cause
    assert [vid for vid, _ in room.binding("a").vcpus] == [0, 1, 2, 3, 4, 5]
    assert room.domain("a").cpus.vcpus == 6


@pytest.mark.parametrize("answer", [
    {"result": 1, "reason": "not now"}, {"result": None, "reason": "the link was lost"}, None,
    {"result": "error", "reason": ""}, {"result": 1, "units": [{"unit": 0, "result": 1, "status": 2, "text": "no"}]},
    {"result": 0, "units": [{"unit": 1, "result": 1, "status": 2, "text": "no"}]}])
def test_a_guest_that_gives_up_none(room: Room, answer: dict[str, Any] | None) -> None:
    guest(room, "a", vcpus=2, upto="booted")
    room.machine.answers["guest.dr_cpu"] = answer
    assert room.refused("remove-vcpu", count="1", domain="a") == "dr.cpu-refused"


def test_a_guest_that_does_not_take_them(room: Room) -> None:
    guest(room, "a", vcpus=2, upto="booted")
    room.machine.answers["guest.dr_cpu"] = {"result": 1, "reason": "no room"}
    outcome = room.run("add-vcpu", count="2", domain="a")
    assert outcome.error is not None and outcome.error.code == "dr.add-refused"
    assert len(room.binding("a").vcpus) == 2
    room.machine.answers["guest.dr_cpu"] = {"result": 0, "units": [
        {"unit": 3, "result": 4, "status": 0, "text": "not in the machine description"}]}
    outcome = room.run("add-vcpu", count="2", domain="a")
    assert outcome.error is not None and outcome.error.code == "dr.add-some"
    assert [vid for vid, _ in room.binding("a").vcpus] == [0, 1, 2]


def test_whole_cores_stay_whole_whatever_the_guest_answers(room: Room) -> None:
    guest(room, "a", vcpus=0)
    room.ok("set-core", count="3", domain="a")
    room.ok("bind-domain", domain="a")
    room.ok("start-domain", domains=["a"])
    room.machine.boot_os(room.number("a"))
    room.machine.answers["guest.dr_cpu"] = {"result": 0, "units": [{"unit": 9, "result": 2, "status": 2, "text": "b"}]}
    outcome = room.run("remove-core", count="2", domain="a")
    assert outcome.error is not None and outcome.error.code == "dr.cpu-some"
    assert room.domain("a").cpus.cores == 2 and len(room.binding("a").vcpus) == 16
    room.machine.answers["guest.dr_cpu"] = {"result": 0, "units": [{"unit": 17, "result": 4, "status": 0, "text": ""}]}
    outcome = room.run("add-core", count="1", domain="a")
    assert outcome.error is not None and room.domain("a").cpus.cores == 2


@pytest.mark.parametrize("services", [(), ("md-update",)])
def test_without_the_service_nothing_is_changed(room: Room, services: tuple[str, ...]) -> None:
    guest(room, "a", vcpus=2, upto="active")
    if services:
        room.machine.boot_os(room.number("a"), *services)
    outcome = room.run("add-vcpu", count="1", domain="a")
    assert outcome.error is not None and outcome.error.code == "dr.no-service"
    assert str(outcome.error) == ("LDom a is unable to dynamically reconfigure VCPUs. Please verify the guest "
                                  "operating system is running and supports VCPU DR.")
    assert ("service dr-cpu" if services else "OpenBoot") in outcome.error.cause
    assert len(room.binding("a").vcpus) == 2


def test_a_domain_that_is_stopped_while_its_guest_thinks(room: Room) -> None:
    guest(room, "a", vcpus=4, upto="booted")
    room.machine.answers["guest.dr_cpu"] = None
    room.machine.clock.at(5, lambda: room.machine.emit_state(room.number("a"), "power-off"))
    outcome = room.run("remove-vcpu", count="2", domain="a")
    assert outcome.error is not None and "stopped" in outcome.error.cause
    assert room.state("a") == "bound" and len(room.binding("a").vcpus) == 4


# -- crypto units

def test_a_chip_with_instructions_has_no_units(room: Room) -> None:
    room.ok("add-domain", domains=["a"])
    for command in ("add-crypto", "set-crypto", "remove-crypto"):
        assert room.refused(command, count="1", domain="a") == "crypto.none"


def test_units_come_with_cores() -> None:
    room = ready("netra-t5220", "32G")
    guest(room, "a", vcpus=16)
    room.ok("add-crypto", count="3", domain="a")
    assert room.refused("bind-domain", domain="a") == "crypto.too-few"
    room.ok("remove-crypto", count="1", domain="a")
    room.ok("bind-domain", domain="a")
    assert set(room.binding("a").crypto) == cores(room, "a")
    assert room.refused("add-crypto", count="1", domain="a") == "crypto.too-few"
    assert room.refused("remove-vcpu", count="15", domain="a") == "crypto.bound-core"
    room.ok("remove-vcpu", count="14", domain="a")
    assert len(cores(room, "a")) == 2, "the last vcpu of a core with a bound unit stays"
    room.ok("set-crypto", count="0", domain="a")
    room.ok("remove-vcpu", count="1", domain="a")


def test_units_of_a_running_domain() -> None:
    room = ready("netra-t5220", "32G")
    guest(room, "a", vcpus=16, upto="booted")
    room.ok("add-crypto", count="2", domain="a")
    kinds = [call["kind"] for op, call in room.machine.calls if op == "guest.dr_crypto"]
    assert sorted(kinds) == ["cwq", "mau"]
    room.machine.calls.clear()
    room.ok("remove-crypto", count="1", domain="a")
    assert room.machine.ops("guest.dr_crypto", "guest.configure")[-1] == "guest.configure"
    assert room.refused("remove-crypto", count="1", domain="a") == "crypto.last"
    room.machine.answers["guest.dr_crypto"] = {"result": 1, "reason": "in use"}
    assert room.refused("remove-crypto", count="1", domain="a", force=True) == "dr.crypto-refused"
    room.machine.answers.clear()
    room.ok("remove-crypto", count="1", domain="a", force=True)
    assert room.binding("a").crypto == () and room.domain("a").crypto == 0
    room.machine.guests[room.number("a")].services.remove("dr-crypto-cwq")
    assert room.refused("add-crypto", count="1", domain="a") == "dr.no-service"


def test_all_cores_of_a_running_domain_are_not_exchanged(room: Room) -> None:
    guest(room, "a", vcpus=0)
    room.ok("set-core", cid="20,21", domain="a")
    room.ok("bind-domain", domain="a")
    room.ok("start-domain", domains=["a"])
    room.machine.boot_os(room.number("a"))
    assert room.refused("set-core", cid="22,23", domain="a") == "cpu.alignment"
    room.ok("set-core", cid="21,23", domain="a")
    assert cores(room, "a") == {21, 23} and room.domain("a").cpus.cids == (21, 23)
    actions = [(call["action"], len(call["cpus"])) for op, call in room.machine.calls if op == "guest.dr_cpu"]
    assert actions == [("unconfigure", 8), ("configure", 8)]
