"""CPU and crypto rules on servers of the right kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rules_support import Move, allowed, refused

from ldmd.migration.rule import Options


def test_g10_as_many_free_strands() -> None:
    move = Move(vcpus=16)
    free = move.facts().free_strands
    other = f"{free - 15}"
    move.target.ok("add-domain", domains=["filler"])
    move.target.ok("set-vcpu", count=other, domain="filler")
    move.target.ok("set-memory", size="1G", domain="filler")
    move.target.ok("bind-domain", domain="filler")
    refused(move, "G10", "Insufficient resources on the target: 16 VCPUs needed, 15 available")
    move.target.ok("unbind-domain", domain="filler")
    allowed(move)


def test_g10_whole_cores_for_a_bound_domain() -> None:
    move = Move(upto="inactive", there="t5-2")
    move.source.ok("set-core", count="2", domain="ldg1")
    move.up("bound")
    free = move.facts().free_cores
    move.target.ok("add-domain", domains=["filler"])
    move.target.ok("set-vcpu", count=str((free - 2) * 8 + 4), domain="filler")
    move.target.ok("set-memory", size="1G", domain="filler")
    move.target.ok("bind-domain", domain="filler")
    refused(move, "G10", "Insufficient resources on the target: 2 whole cores needed, 1 available")


def test_g10_is_not_asked_for_an_inactive_domain() -> None:
    allowed(Move(upto="inactive", vcpus=200, there="t4-1"))


@pytest.mark.parametrize("upto", ["bound", "active", "booted", "inactive"])
def test_g11_only_while_not_active(upto: str) -> None:
    move = Move(upto=upto)
    if upto in ("bound", "inactive"):
        move.source.ok("set-domain", domain="ldg1", **{"cpu-arch": "generic"})
        assert move.guest().domain.cpu_arch == "generic"
    else:
        assert move.source.refused("set-domain", domain="ldg1", **{"cpu-arch": "generic"}) == "domain.property-state"


@pytest.mark.parametrize(("here", "there", "titles"), [
    ("t5-2", "t4-1", ("SPARC T4", "SPARC T5")), ("t4-1", "t5-2", ("SPARC T5", "SPARC T4")),
    ("t5-2", "m7-8", ("SPARC M7", "SPARC T5")), ("m10-1", "t5-2", ("SPARC T5", "SPARC64 X")),
])  # fmt: skip
def test_g12_native_needs_the_same_cpu(here: str, there: str, titles: tuple[str, str]) -> None:
    move = Move(here, there)
    refused(move, "G12", f"The target machine is running cpu type {titles[0]} but the domain was started on a machine "
            f"running cpu type {titles[1]}")


@pytest.mark.parametrize("platform", ["t3-1", "t4-1", "t5-2", "m7-8", "m10-1"])
def test_g12_native_moves_within_its_kind(platform: str) -> None:
    allowed(Move(platform, platform))


def test_g12_is_not_asked_of_a_bound_domain() -> None:
    allowed(Move("t3-1", "t5-2", upto="bound"))
    allowed(Move("t3-1", "m10-1", upto="bound"))


@pytest.mark.parametrize(("there", "title"), [("t3-1", "SPARC T3"), ("m10-1", "SPARC64 X")])
def test_g13_class1_does_not_go_to_t3_or_m10(there: str, title: str) -> None:
    move = Move("t5-2", there, arch="migration-class1")
    also = ("M19",) if there == "t3-1" else ()
    refused(move, "G13", f"The target machine ({title}) does not support cpu-arch migration-class1 of LDom ldg1",
            also=also)


@pytest.mark.parametrize(("here", "there"), [("t4-1", "t5-2"), ("t5-2", "t4-1"), ("t5-2", "m7-8"), ("m7-8", "t4-1")])
def test_g13_class1_moves_among_t4_and_later(here: str, there: str) -> None:
    allowed(Move(here, there, arch="migration-class1"))


def test_g14_sparc64_class1() -> None:
    arch = "sparc64-class1"
    allowed(Move("m10-1", "m12-1", arch=arch))
    refused(Move("m10-1", "t5-2", arch=arch), "G14",
            "The target machine (SPARC T5) does not support cpu-arch sparc64-class1 of LDom ldg1")


@pytest.mark.parametrize(("here", "there"), [
    ("t3-1", "t4-1"), ("t3-1", "t5-2"), ("t5-2", "m10-1"), ("m10-1", "m7-8"), ("m7-8", "t4-1"),
])  # fmt: skip
def test_g15_generic_goes_everywhere(here: str, there: str) -> None:
    allowed(Move(here, there, arch="generic"))


def test_g15_but_not_to_a_chip_with_less() -> None:
    """The T1 has no POPC and no VIS 2; nor has it firmware and a manager for live migration."""
    move = Move("t5-2", "t1000", vcpus=4, memory="16G", arch="generic")
    refused(move, "G15", "UltraSPARC T1 does not have all instructions of cpu-arch generic",
            also=("M18", "M19"))


def units(count: int = 2, *, services: tuple[str, ...] | None = None) -> Move:
    """A T3 with crypto units bound."""
    move = Move("t3-1", "t3-1", vcpus=8 * count, upto="inactive")
    move.source.ok("set-crypto", count=str(count), domain="ldg1")
    move.up("active")
    number = move.source.number("ldg1")
    move.source.machine.boot_os(number, *(services or ()))
    return move


def test_g50_units_need_a_system_that_gives_them_up() -> None:
    allowed(units())
    refused(units(services=("domain-suspend", "dr-cpu", "dr-crypto-mau")), "G50",
            "LDom ldg1 has 2 crypto units, which its operating system does not give up")


def test_g50_without_units_nobody_asks() -> None:
    move = Move("t3-1", "t3-1", upto="active")
    move.source.machine.boot_os(move.source.number("ldg1"), "dr-cpu")
    allowed(move)


def test_g52_fewer_units_are_no_obstacle() -> None:
    move = units()
    move.edit_target = lambda facts: replace(facts, free_crypto=1)
    refused(move, "G52", "LDom ldg1 will have fewer crypto units", warning=True)
    assert move.planned().crypto == 0


def test_m13_whole_cores_stay_whole() -> None:
    move = Move("m10-1", "m10-1", upto="inactive", vcpus=2, arch="generic")
    move.source.ok("set-core", count="3", domain="ldg1")
    move.up("booted")
    other = Move("t5-2", "t5-2", upto="inactive")
    allowed(move)
    move.target = other.target
    refused(move, "M13", "LDom ldg1 has the whole-core constraint, and 6 virtual CPUs are not whole cores on the "
            "target")


def test_m13_max_cores() -> None:
    move = Move("t5-2", "m10-1", upto="inactive", arch="generic")
    move.source.ok("set-core", count="1", domain="ldg1")
    move.source.ok("set-domain", domain="ldg1", **{"max-cores": "2"})
    move.up("booted")
    refused(move, "M13", "LDom ldg1 may have at most 2 cores, not 4")


def old(version: str, *, whole: bool) -> Move:
    move = Move(upto="inactive")
    if whole:
        move.source.ok("set-core", count="1", domain="ldg1")
    move.up("booted")
    move.os = {"name": "Solaris", "version": version}
    return move


def test_m14_an_old_guest_is_told() -> None:
    refused(old("10 9/10", whole=True), "M14", "Domain ldg1 is not running an operating system that is compatible "
            "with the latest migration functionality.", warning=True)
    allowed(old("10 1/13", whole=True))
    allowed(old("11.3", whole=False))


def test_m15_an_old_guest_has_whole_cores() -> None:
    refused(old("10 9/10", whole=False), "M15", "LDom ldg1 needs whole cores to be migrated", also=("M14",))


def test_m31_a_cold_domain_is_told_of_an_arch_the_chip_lacks() -> None:
    move = Move("t5-2", "m10-1", upto="bound", arch="migration-class1")
    refused(move, "M31", "LDom ldg1 cannot be started with cpu-arch migration-class1 on SPARC64 X", warning=True)


def test_a_forced_migration_is_still_refused_for_cpus() -> None:
    move = Move("t5-2", "t4-1")
    move.options = Options(force=True)
    assert not move.report().ok
