"""Delayed reconfiguration: notices, what is refused meanwhile, cancel, and the reboot that makes it true."""

from __future__ import annotations

import pytest
from domain_support import Room, guest, ready

BEGUN = """\
Initiating a delayed reconfiguration operation on the primary domain.
All configuration changes for other domains are disabled until the primary
domain reboots, at which time the new configuration for the primary domain
will also take effect.
"""
NOTICE = """\
----------------------------------------------------------------
Notice: LDom primary is in the process of a delayed reconfiguration.
Any changes made to primary will only take effect after it reboots.
----------------------------------------------------------------
"""


@pytest.fixture
def room() -> Room:
    return ready()


def test_words_and_the_reboot(room: Room) -> None:
    before = room.binding("primary")
    assert room.ok("start-reconf", domain="primary").out == BEGUN
    assert room.ok("start-reconf", domain="primary").out == NOTICE
    assert room.ok("set-memory", size="6G", domain="primary").out == NOTICE
    assert room.ok("set-core", count="4", domain="primary").out == NOTICE
    assert room.binding("primary") == before, "nothing is true yet"
    assert room.ok("stop-domain", domains=["primary"], reboot=True).out == "LDom primary rebooted\n"
    assert room.binding("primary").memory_bytes == 6 << 30 and len(room.binding("primary").vcpus) == 32
    assert room.manager.configuration.pending == () and room.state("primary") == "active"
    assert len(room.machine.guests[0].spec["vcpus"]) == 32


def test_one_cpu_operation(room: Room) -> None:
    room.ok("start-reconf", domain="primary")
    room.ok("set-core", count="3", domain="primary")
    assert room.refused("set-core", count="4", domain="primary") == "reconf.one-cpu"
    room.ok("cancel-reconf", domain="primary")
    room.ok("set-core", count="4", domain="primary")
    assert len(room.binding("primary").vcpus) == 32, "without a delayed reconfiguration it is true at once"


@pytest.mark.parametrize(("name", "value"), [("hostid", "99"), ("mac-addr", "00:14:4f:fc:00:01"),
                                             ("extended-mapin-space", "off"), ("max-cores", "8")])
def test_properties_that_begin_one_by_themselves(room: Room, name: str, value: str) -> None:
    before = room.domain("primary")
    assert room.ok("set-domain", domain="primary", **{name: value}).out == BEGUN
    assert room.domain("primary") == before
    assert room.ok("set-domain", domain="primary", **{name: value}).out == NOTICE
    room.ok("stop-domain", domains=["primary"], reboot=True)
    assert room.domain("primary").but(started_at=0) != before.but(started_at=0)


def test_properties_that_do_not(room: Room) -> None:
    room.ok("set-domain", domain="primary", **{"failure-policy": "reset", "boot-policy": "none"})
    assert room.refused("set-domain", domain="primary", **{"cpu-arch": "generic"}) == "domain.property-state"
    assert room.manager.configuration.pending == ()


def test_other_domains_are_frozen(room: Room) -> None:
    guest(room, "a", upto="booted")
    guest(room, "b", upto="bound")
    guest(room, "c")
    room.ok("start-reconf", domain="primary")
    for command, arguments in (
            ("stop-domain", {"domains": ["a"]}), ("stop-domain", {"domains": ["a"], "force": True}),
            ("add-vcpu", {"count": "1", "domain": "a"}), ("set-memory", {"size": "1G", "domain": "b"}),
            ("start-domain", {"domains": ["b"]}), ("unbind-domain", {"domain": "b"}), ("bind-domain", {"domain": "c"}),
            ("set-domain", {"domain": "c", "master": ""}), ("remove-domain", {"domains": ["c"]}),
            ("add-domain", {"domains": ["d"]}), ("set-variable", {"assignments": ["a=b"], "domain": "c"}),
            ("panic-domain", {"domain": "a"}), ("start-reconf", {"domain": "a"})):
        outcome = room.run(command, **arguments)
        code = "reconf.frozen-domains" if command in ("add-domain", "remove-domain") else "reconf.frozen"
        assert outcome.error is not None and outcome.error.code == code, command
        assert outcome.out == NOTICE
    assert str(room.run("bind-domain", domain="c").error) == "Delayed reconfiguration of LDom c is not permitted"
    room.ok("cancel-operation", operation="reconf", domain="primary")
    room.ok("bind-domain", domain="c")


def test_only_where_it_makes_sense(room: Room) -> None:
    guest(room, "a", upto="bound")
    assert room.refused("start-reconf", domain="a") == "reconf.not-root"
    assert room.refused("start-reconf", domain="x") == "domain.not-found"
    assert room.refused("cancel-reconf", domain="primary") == "reconf.none"
    assert room.refused("cancel-reconf", domain="x") == "domain.not-found"


def test_removed_virtual_io_cannot_come_back(room: Room) -> None:
    from ldmd.planner.reconfiguration import begin, changed
    configuration = begin(room.manager.configuration, "primary")
    room.manager.commit(changed(configuration, room.domain("primary").but(vccs=()), removed_io_services=True))
    room.ok("set-variable", assignments=["x=y"], domain="primary")
    assert room.refused("cancel-reconf", domain="primary") == "reconf.removed-io"


def test_a_root_domain_has_physical_io_only(room: Room) -> None:
    primary = room.domain("primary")
    room.manager.commit(room.manager.configuration.with_domain(primary.but(io=primary.io[1:])))
    guest(room, "a")
    room.manager.commit(room.manager.configuration.with_domain(room.domain("a").but(io=primary.io[:1])))
    room.ok("bind-domain", domain="a")
    assert room.refused("start-reconf", domain="a") == "reconf.not-active"
    room.ok("start-domain", domains=["a"])
    room.ok("start-reconf", domain="a")
    assert room.refused("set-vcpu", count="1", domain="a") == "reconf.io-only"
    assert room.refused("set-vcpu", count="16", domain="primary") == "reconf.frozen"
    room.ok("stop-domain", domains=["a"], force=True)
    assert room.manager.configuration.pending == ()


def test_services_go_and_come_with_the_control_domain(room: Room) -> None:
    from ldmd.model import DiskServer, State, Vdisk, Volume
    volume = Volume(name="v", backend="/v")
    room.manager.commit(room.manager.configuration.with_domain(
        room.domain("primary").but(disk_servers=(DiskServer(name="vds0", volumes=(volume,)),))))
    guest(room, "a")
    room.manager.commit(room.manager.configuration.with_domain(
        room.domain("a").but(vdisks=(Vdisk(name="d", volume="v", service="vds0"),))))
    room.ok("bind-domain", domain="a")
    room.ok("start-domain", domains=["a"])
    room.machine.calls.clear()
    room.ok("stop-domain", domains=["primary"], reboot=True)
    seen = [call["spec"]["disks"][0]["online"] for op, call in room.machine.calls
            if op == "guest.configure" and call["spec"]["id"] == 1]
    assert seen == [False, True]
    room.manager.commit(room.manager.configuration.with_domain(room.domain("primary").but(state=State.STOPPING)))
    room.manager.again()
    assert room.state("primary") == "active", "a manager that died in the middle finishes it"
