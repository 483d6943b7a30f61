"""State, identity and versions: G60, G63 and the rules of the other pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rules_support import Move, allowed, refused

from ldmd.messages import RefusedError
from ldmd.migration.facts import Known, ServerFacts
from ldmd.migration.rule import Options, Report
from ldmd.model import Cpus, FailurePolicy, MemoryAmount, Policy, State, Vcons, Vdisk, Vnet
from ldmd.model.plain import from_plain, to_plain


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_g60_no_delayed_reconfiguration(side: str, upto: str) -> None:
    move = Move(upto=upto)
    room, name = (move.source, "alpha") if side == "source" else (move.target, "beta")
    room.ok("start-reconf", domain="primary")
    refused(move, "G60", f"A delayed reconfiguration of LDom primary is under way on the {side} machine {name}")
    room.ok("cancel-reconf", domain="primary")
    allowed(move)


def test_g63_in_openboot() -> None:
    """The guide's words, exactly."""
    move = Move(upto="active")
    text = "Migration is not supported while the domain ldg1 is in the 'OpenBoot Running' state"
    refused(move, "G63", text)
    assert move.report().lines()[0] == text
    allowed(Move(upto="bound"))


def test_g63_in_openboot_after_a_reset() -> None:
    """What the system said before does not count."""
    move = Move()
    move.source.machine.guests[move.source.number("ldg1")].firmware = True
    refused(move, "G63", "Migration is not supported while the domain ldg1 is in the 'OpenBoot Running' state")


def test_g63_in_the_kernel_debugger() -> None:
    move = Move()
    move.source.machine.boot_os(move.source.number("ldg1"), text="Solaris debugging")
    refused(move, "G63", "Migration is not supported while the domain ldg1 is in the 'Solaris debugging' state")


@pytest.mark.parametrize("text", ["Solaris booting", "Solaris panicking", "Solaris halting", "Solaris suspended"])
def test_g63_in_any_state_that_is_not_normal(text: str) -> None:
    move = Move()
    move.source.machine.guests[move.source.number("ldg1")].soft_state = {"normal": False, "text": text}
    refused(move, "G63", f"Migration is not supported while the domain ldg1 is in the '{text}' state")


def test_g63_a_system_that_says_nothing() -> None:
    move = Move()
    move.source.machine.guests[move.source.number("ldg1")].soft_state = {"normal": False, "text": ""}
    refused(move, "G63", "Migration is not supported while the operating system of the domain ldg1 has not said that "
            "it runs")


def test_g63_linux_that_runs_moves() -> None:
    move = Move()
    move.source.machine.boot_os(move.source.number("ldg1"), "md-update", text="Linux running")
    allowed(move)


def server(side: str, **changes: Any) -> Move:
    """A machine that is a little different."""
    move = Move()

    def edit(facts: ServerFacts) -> ServerFacts:
        return replace(facts, **changes)

    if side == "source":
        move.edit_guest = lambda facts: replace(facts, server=edit(facts.server))
    else:
        move.edit_target = lambda facts: replace(facts, server=edit(facts.server))
    return move


@pytest.mark.parametrize(("version", "good"), [
    ("3.3", True), ("3.2", True), ("3.4", True), ("3.5", False), ("3.1.1", False), ("2.3", False), ("", False)])
@pytest.mark.parametrize("side", ["source", "target"])
def test_m01_managers_one_release_apart(side: str, version: str, good: bool) -> None:
    move = server(side, manager_version=version)
    if good:
        allowed(move)
        return
    here, there = (version, "3.3") if side == "source" else ("3.3", version)
    refused(move, "M01", f"Logical Domains Managers of versions {here} and {there} do not migrate to each other")


@pytest.mark.parametrize("side", ["source", "target"])
def test_m02_switched_off(side: str) -> None:
    name = {"source": "alpha", "target": "beta"}[side]
    refused(server(side, enabled=False), "M02", f"Migration is switched off on the {side} machine {name}")


@pytest.mark.parametrize("side", ["source", "target"])
def test_m03_one_migration_at_a_time(side: str) -> None:
    name = {"source": "alpha", "target": "beta"}[side]
    refused(server(side, migrations=("ldg7",)), "M03", f"Another migration is under way on the {side} machine {name}")


@pytest.mark.parametrize("state", [State.STOPPING, State.SUSPENDED, State.STARTING, State.UNBINDING])
def test_m04_not_in_between(state: State) -> None:
    move = Move()
    move.edit_guest = lambda facts: replace(facts, domain=facts.domain.but(state=state))
    assert [(each.rule, each.text) for each in move.report().errors] == [
        ("M04", f"LDom ldg1 cannot be migrated while it is {state}")]


def test_m05_another_operation() -> None:
    move = Move()
    move.here = Known(operation="memdr")
    refused(move, "M05", "Another operation on LDom ldg1 is under way")


def test_m06_the_control_domain_stays() -> None:
    move = Move()
    primary = move.source.domain("primary")
    move.edit_guest = lambda facts: replace(facts, domain=primary)
    move.options = Options(new_name="primary")
    (only,) = move.report().errors
    assert (only.rule, only.text) == ("M06", "LDom primary is the control domain and cannot be migrated"), \
        "nothing else is told: to stop and unbind primary, or give its buses away, would be no help"


def test_m07_a_service_domain_stays() -> None:
    from ldmd.model import DiskServer

    move = Move().on_source(disk_servers=(DiskServer(name="vds9"),))
    refused(move, "M07", "LDom ldg1 is a service domain and cannot be migrated")


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_m08_the_name_is_free(upto: str) -> None:
    move = Move(upto=upto)
    move.target.ok("add-domain", domains=["ldg1"])
    refused(move, "M08", "An LDom with the name 'ldg1' already exists on the target machine")
    move.options = Options(new_name="ldg9")
    allowed(move)
    assert move.planned().name == "ldg9"


@pytest.mark.parametrize("name", ["a,b", "../../up", "a b", ".x", "x" * 257, "a@b", "-f"])
def test_m08_the_name_is_one(name: str) -> None:
    """Names become names of files (console logs), and a peer may send anything."""
    move = Move()
    move.options = Options(new_name=name)
    refused(move, "M08", f"{name[:64]!r} is not a name for a domain")


@pytest.mark.parametrize(("what", "edit"), [
    ("its name", lambda domain: domain.but(name="../../up")),
    ("its name", lambda domain: domain.but(name="a\nb")),
    ("the names of its devices", lambda domain: domain.but(vdisks=(Vdisk(name="a\nb", volume="v", service="s"),))),
    ("the names of its devices", lambda domain: domain.but(vdisks=(Vdisk(name="a", volume="", service="s"),))),
    ("the names of its devices", lambda domain: domain.but(vnets=(Vnet(name="a", service="a b", mac=1),))),
    ("the names of its devices", lambda domain: domain.but(vcons=Vcons(group="../../up"))),
    ("the names of its devices", lambda domain: domain.but(policies=(Policy(name="x|y"),))),
])
def test_names_of_a_hostile_source_are_no_domain(what: str, edit: Any) -> None:
    move = Move()
    move.edit_guest = lambda facts: replace(facts, domain=edit(facts.domain))
    with pytest.raises(RefusedError) as caught:
        move.report()
    assert (caught.value.code, caught.value.text) == \
        ("migration.facts", f"The source machine sent what is no domain: {what}")


def taken(move: Move, **same: Any) -> Move:
    """A domain of the target that has something of ours."""
    move.target.ok("add-domain", domains=["other"])
    other = move.target.domain("other").but(**same)
    move.target.manager.commit(move.target.manager.configuration.with_domain(other))
    return move


def test_m09_the_uuid_is_free() -> None:
    move = Move()
    refused(taken(move, uuid=move.domain.uuid), "M09",
            f"LDom other of the target has the uuid {move.domain.uuid} as well")


def test_m10_a_hostid_that_another_has() -> None:
    move = Move()
    refused(taken(move, hostid=move.domain.hostid), "M10",
            f"LDom other of the target has the hostid {move.domain.hostid:#x} as well", warning=True)


def test_m11_one_more_domain() -> None:
    move = Move()
    move.edit_target = lambda facts: replace(facts, free_domains=0)
    refused(move, "M11", "The target machine beta cannot have another domain")


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_m12_named_resources(upto: str) -> None:
    move = Move(upto=upto)

    def edit(facts: Any) -> Any:
        domain = facts.domain
        return replace(facts, domain=domain.but(
            cpus=Cpus(vcpus=8, whole_core=True, cores=1, cids=(4,)),
            memory=MemoryAmount(size_bytes=domain.memory.size_bytes, mblocks=((0x8000_0000, 2 << 30),))))

    move.edit_guest = edit
    refused(move, "M12", "LDom ldg1 has named resources (physical-bindings=core,memory) and cannot be migrated")


def test_m16_the_least_system() -> None:
    move = Move(upto="inactive")
    move.source.ok("set-core", count="1", domain="ldg1")
    move.up("booted")
    move.os = {"name": "Solaris", "version": "10 10/09"}
    refused(move, "M16", "LDom ldg1 runs Solaris 10 10/09, which does not support live migration", also=("M14",))


@pytest.mark.parametrize(("platform", "firmware", "good"), [
    ("t3-1", "8.2.1", False), ("t3-1", "8.2.2.c", True), ("t4-1", "8.1", False), ("t5240", "7.4.4", False),
    ("t5240", "7.4.5", True)])  # fmt: skip
def test_m17_the_least_firmware(platform: str, firmware: str, good: bool) -> None:
    move = Move(platform, platform)

    def edit(facts: Any) -> Any:
        return replace(facts, server=replace(facts.server, firmware=firmware))

    move.edit_guest = move.edit_target = edit
    if good:
        allowed(move)
    else:
        refused(move, "M17", *(f"Firmware {firmware} of the {side} does not support live migration"
                               for side in ("source machine alpha", "target machine beta")))


def test_m18_firmware_families() -> None:
    move = Move("t5240", "t3-1", arch="generic")
    refused(move, "M18", "No live migration between firmware 7.4.5 and 8.2.2.c")
    allowed(Move("t5240", "t3-1", upto="bound"))


NEWER = ("Domain ldg1 is using features of the system firmware that are not supported in\n"
         "the version of the firmware running on the target machine.")


def test_m19_newer_firmware_to_older() -> None:
    """From 9.2.1 to 9.0.2; the other way is allowed."""
    refused(server("target", firmware="9.0.2"), "M19", NEWER)
    allowed(server("source", firmware="9.0.2"))


def test_m19_where_both_sides_tell_their_interfaces_those_count() -> None:
    move = server("target", firmware="9.0.2")
    move.there = Known(apis=((0x1, 1, 2), (0x201, 1, 0)))
    status = move.source.machine.status

    def with_apis(*apis: list[int]) -> None:
        move.source.machine.status = lambda number: {**status(number), "apis": apis}  # type: ignore[method-assign]

    with_apis([0x1, 1, 1])
    allowed(move)
    with_apis([0x1, 1, 3], [0x201, 1, 0], [0x300, 1, 0])
    refused(move, "M19", NEWER)
    assert move.report().findings[0].cause == "hypervisor interfaces 0x1 1.3, 0x300 1.0"


def test_m20_not_to_a_newer_m5() -> None:
    move = server("target", firmware="9.2.1", platform="m5-32")
    allowed(move)
    move.edit_guest = lambda facts: replace(facts, server=replace(facts.server, firmware="8.3"))
    refused(move, "M20", "No live migration from firmware 8.3 to an M5-32 with firmware 9.2.1")


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_m26_one_global_counter(upto: str) -> None:
    move = Move(upto=upto)
    move.edit_guest = lambda facts: replace(facts, domain=facts.domain.but(perf_counters=("global",)))
    free = move.target.domain("primary").but(perf_counters=())
    move.target.manager.commit(move.target.manager.configuration.with_domain(free))
    allowed(move)
    taken(move, perf_counters=("global",))
    refused(move, "M26", "LDom ldg1 has perf-counters=global, and so has LDom other of the target")
    move.there = Known(performance_access=False)
    allowed(move)


def test_m28_a_master_that_is_not_there() -> None:
    move = Move()
    move.source.ok("add-domain", domains=["master1"])
    move.on_source(masters=("master1", "primary"), failure_policy=FailurePolicy.RESET)
    refused(move, "M28", "LDom ldg1 will not depend on master1, which does not exist on the target", warning=True)
    assert move.planned().masters == ("primary",)


def test_m29_memory_tags() -> None:
    move = Move()
    move.os = {"tags": True}
    refused(move, "M29", "LDom ldg1 uses memory version tags, which are not moved")


def test_m30_kernel_zones() -> None:
    move = Move()
    move.os = {"kernel_zones": True}
    refused(move, "M30", "Kernel zones run in LDom ldg1")


def test_all_that_is_unmet_comes_together_in_the_tables_order() -> None:
    move = Move("t5-2", "m10-1", upto="active").with_devices(disk=True, net=True, adapter=0)
    move.target_primary(disk_servers=(), switches=(), vsans=(), vccs=())
    move.options = Options(dry_run=True)
    report = move.report()
    assert [each.rule for each in report.errors] == ["G12", "G40", "G43", "G46", "G49", "G63"]
    assert from_plain(Report, to_plain(report)) == report  # as the target sends it
    lines = report.lines()
    assert lines[-1] == "Domain Migration of LDom ldg1 would fail if attempted"
    assert all(each.remedy and f"  {each.remedy}" in lines for each in report.errors)
