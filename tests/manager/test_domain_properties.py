"""add-domain, set-domain, remove-domain."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from domain_support import Room, guest, ready

from ldmd.model import FailurePolicy
from ldmd.planner.macs import AUTOMATIC


@pytest.fixture
def room() -> Room:
    return ready()


def test_a_new_domain_has_an_automatic_mac_and_the_hostid_of_it(room: Room) -> None:
    room.ok("add-domain", domains=["ldg1", "ldg2"])
    first, second = room.domain("ldg1"), room.domain("ldg2")
    assert first.mac in AUTOMATIC and second.mac in AUTOMATIC and first.mac != second.mac
    assert first.hostid == 0x84000000 | first.mac & 0xFFFFFF
    assert first.uuid != second.uuid and len(first.uuid) == 36
    assert room.state("ldg1") == "inactive" and first.shutdown_group == 15 and first.perf_counters == ("htstrand",)


def test_properties_of_a_new_domain(room: Room) -> None:
    room.ok("add-domain", domains=["m"])
    room.ok("add-domain", domains=["ldg1"], **{
        "cpu-arch": "migration-class1", "mac-addr": "0:14:4f:fc:0:1", "hostid": "0x1234abcd", "failure-policy": "reset",
        "extended-mapin-space": "off", "master": "m,primary", "uuid": "F063B0A8-8fb0-4e61-cd5b-91826d2c1550",
        "shutdown-group": "3", "rc-add-policy": "iov", "perf-counters": "global,strand", "boot-policy": "enforce"})
    domain = room.domain("ldg1")
    assert (domain.mac, domain.hostid, domain.cpu_arch) == (0x00144FFC0001, 0x1234ABCD, "migration-class1")
    assert domain.failure_policy is FailurePolicy.RESET and not domain.extended_mapin_space
    assert domain.masters == ("m", "primary") and domain.uuid == "f063b0a8-8fb0-4e61-cd5b-91826d2c1550"
    assert domain.perf_counters == ("global", "strand") and domain.shutdown_group == 3


@pytest.mark.parametrize(("properties", "code"), [
    ({"cpu-arch": "sparc64-class1"}, "domain.cpu-arch"),
    ({"cpu-arch": ""}, "domain.property-empty"),
    ({"mac-addr": "00:14:4f:f8:00:01"}, "network.mac-automatic-range"),
    ({"mac-addr": "nonsense"}, "network.mac-syntax"),
    ({"hostid": "0x123456789"}, "domain.hostid"),
    ({"failure-policy": "explode"}, "usage.choice"),
    ({"extended-mapin-space": "maybe"}, "usage.choice"),
    ({"master": "nobody"}, "domain.not-found"),
    ({"master": "ldg1"}, "domain.master-self"),
    ({"master": "primary,primary"}, "domain.repeated"),
    ({"master": "a,b,c,d,e"}, "domain.master-many"),
    ({"uuid": "1234"}, "domain.uuid"),
    ({"shutdown-group": "0"}, "usage.range"),
    ({"shutdown-group": "16"}, "usage.range"),
    ({"rc-add-policy": "all"}, "usage.choice"),
    ({"perf-counters": "local"}, "domain.perf-counters"),
    ({"perf-counters": "htstrand,strand"}, "domain.perf-counters"),
    ({"max-cores": "0"}, "domain.max-cores-number"),
    ({"boot-policy": "never"}, "usage.choice"),
    ({"threading": "max-ipc"}, "domain.threading"),
    ({"colour": "red"}, "domain.property-unknown"),
])
def test_wrong_properties_are_refused_and_no_domain_is_left(room: Room, properties: dict[str, str], code: str) -> None:
    assert room.refused("add-domain", domains=["ldg1"], **properties) == code


@pytest.mark.parametrize("name", ["", "a b", "a@b", "a,b", "a=b", "a|b", "-a", ".a", "x" * 257, "ä", "a\n", "a/b"])
def test_names_that_no_domain_can_have(room: Room, name: str) -> None:
    assert room.refused("add-domain", domains=[name]) == "domain.name"


@pytest.mark.parametrize("name", ["ldg1", "a-b_c.d:e+f", "1st", "x" * 256, "CBS-PRD.02"])
def test_names_that_a_domain_can_have(room: Room, name: str) -> None:
    room.ok("add-domain", domains=[name])


def test_several_domains_are_made_together_or_not_at_all(room: Room) -> None:
    assert room.refused("add-domain", domains=["a", "primary"]) == "domain.exists"
    assert room.refused("add-domain", domains=["a", "a"]) == "domain.exists"
    assert room.refused("add-domain", domains=["a", "b"], hostid="1") == "domain.one"
    assert room.refused("add-domain", domains=[]) == "domain.none"


def test_masters_may_not_go_round(room: Room) -> None:
    room.ok("add-domain", domains=["a"])
    room.ok("add-domain", domains=["b"], master="a")
    room.ok("add-domain", domains=["c"], master="b")
    outcome = room.run("set-domain", domain="a", master="c")
    assert outcome.error is not None and "dependency cycle" in str(outcome.error)
    assert outcome.error.cause == "the chain is a - c - b - a"
    room.ok("set-domain", domain="b", master="")
    room.ok("set-domain", domain="a", master="c")


def test_global_counters_belong_to_one_domain(room: Room) -> None:
    room.ok("add-domain", domains=["a", "b"])
    room.ok("set-domain", domain="a", **{"perf-counters": "global"})
    assert room.refused("set-domain", domain="b", **{"perf-counters": "global,htstrand"}) == "domain.perf-global"
    room.ok("set-domain", domain="a", **{"perf-counters": ""})
    room.ok("set-domain", domain="b", **{"perf-counters": "global,htstrand"})


def test_a_t2_has_no_counters_for_domains() -> None:
    room = ready("netra-t5220", "32G")
    room.ok("add-domain", domains=["a"])
    assert room.domain("a").perf_counters == ()
    assert room.refused("set-domain", domain="a", **{"perf-counters": "strand"}) == "domain.perf-platform"


def test_what_can_be_changed_in_which_state(room: Room) -> None:
    guest(room, "ldg1", upto="bound")
    room.ok("set-domain", domain="ldg1", **{"cpu-arch": "generic", "hostid": "7", "mac-addr": "00:14:4f:fc:00:09"})
    assert room.refused("set-domain", domain="ldg1", **{"max-cores": "4"}) == "domain.max-cores"
    room.ok("start-domain", domains=["ldg1"])
    for name, value in (("cpu-arch", "native"), ("hostid", "8"), ("mac-addr", "00:14:4f:fc:00:0a"),
                        ("extended-mapin-space", "off")):
        assert room.refused("set-domain", domain="ldg1", **{name: value}) == "domain.property-state"
    room.ok("set-domain", domain="ldg1", **{"failure-policy": "panic", "boot-policy": "none", "master": "primary"})
    assert room.refused("set-domain", domain="ldg1", uuid="f063b0a8-8fb0-4e61-cd5b-91826d2c1550") == "domain.uuid-fixed"
    assert room.refused("set-domain", domain="nobody", master="") == "domain.not-found"
    assert room.refused("set-domain", domain="ldg1") == "usage.missing"


def test_max_cores_wants_whole_cores(room: Room) -> None:
    guest(room, "ldg1")
    assert room.refused("set-domain", domain="ldg1", **{"max-cores": "4"}) == "domain.max-cores"
    room.ok("set-core", count="3", domain="ldg1")
    assert room.refused("set-domain", domain="ldg1", **{"max-cores": "2"}) == "domain.max-cores-few"
    room.ok("set-domain", domain="ldg1", **{"max-cores": "4"})
    assert room.refused("add-core", count="2", domain="ldg1") == "cpu.max-cores"
    room.ok("bind-domain", domain="ldg1")
    assert room.refused("set-domain", domain="ldg1", **{"max-cores": "5"}) == "domain.property-state"
    room.ok("unbind-domain", domain="ldg1")
    room.ok("set-domain", domain="ldg1", **{"max-cores": "unlimited"})
    room.ok("add-core", count="2", domain="ldg1")


def test_removing_domains(room: Room) -> None:
    guest(room, "a", upto="bound")
    room.ok("add-domain", domains=["b", "c"])
    room.ok("add-domain", domains=["d"], master="c")
    mac = room.domain("b").mac
    assert room.refused("remove-domain", domains=["b", "a"]) == "domain.not-inactive"
    assert room.refused("remove-domain", domains=["primary"]) == "domain.control"
    assert room.refused("remove-domain", domains=["c"]) == "domain.used"
    assert room.refused("remove-domain", domains=["nobody"]) == "domain.not-found"
    assert room.refused("remove-domain", domains=["b", "b"]) == "domain.repeated"
    room.ok("remove-domain", domains=["b"])
    assert room.manager.configuration.freed_macs[-1] == mac
    room.ok("remove-domain", all=True)
    assert [each.name for each in room.manager.configuration.domains] == ["primary", "a"]
    room.ok("remove-domain", all=True)


class Neighbours:
    """Other machines, which have some MAC addresses."""

    def __init__(self, *macs: int) -> None:
        self.macs = frozenset(macs)
        self.asked: list[int] = []

    def taken(self, macs: Collection[int]) -> frozenset[int]:
        self.asked += macs
        return self.macs & frozenset(macs)


def test_other_machines_are_asked_about_addresses(room: Room) -> None:
    other = ready()
    other.ok("add-domain", domains=["a", "b"])  # the same chance: the same addresses
    theirs = (other.domain("a").mac, other.domain("b").mac)
    room.manager.neighbours = Neighbours(*theirs, 0x00144FFC0001)
    room.ok("add-domain", domains=["a", "b"])
    assert not {room.domain("a").mac, room.domain("b").mac} & set(theirs)
    assert {room.domain("a").mac, room.domain("b").mac} <= set(room.manager.neighbours.asked)
    given = {"mac-addr": "00:14:4f:fc:00:01"}
    assert room.refused("add-domain", domains=["c"], **given) == "network.mac-elsewhere"
    assert room.refused("set-domain", domain="a", **given) == "network.mac-elsewhere"
    guest(room, "d", upto="bound")
    room.manager.neighbours = Neighbours(room.domain("d").mac)
    assert room.refused("start-domain", domains=["d"]) == "network.mac-elsewhere"
