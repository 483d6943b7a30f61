"""Every action of every named point does what it says, to real guests, managers and workers.

`SHOWN` names the test of each; one that is in the table and not here fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from front_support import LABOS

from emulator.faults.points import POINTS, Place
from emulator.faults.rules import Plan, parse_plan
from emulator.server.joined import join_servers
from ldmd.testing.domain import Domain, DomainSetup
from ldmd.testing.errors import RefusedMoveError, SetupError
from ldmd.testing.machine import RoomMachine
from ldmd.testing.room import Room

Row = dict[str, object]
ELSEWHERE = {
    ("machine", "kill"): "test_front_processes", ("manager", "kill"): "test_front_processes",
    ("manager", "stall"): "test_front_stalls", ("worker", "stall"): "test_front_stalls",
}  # fmt: skip
"""What needs processes of its own."""
SHOWN: set[tuple[str, str]] = set(ELSEWHERE)


def shows(point: str, *actions: str) -> Callable[[Any], Any]:
    """The test of some actions."""
    SHOWN.update((point, action) for action in actions)
    return lambda test: test


def plan(*rows: Row, seed: int = 1) -> Plan:
    return parse_plan({"seed": seed, "fault": list(rows)})


@pytest.fixture
def room() -> Iterator[Room]:
    with Room(seed=1, budget_insns=4_000_000_000) as made:
        made.add("alpha")
        yield made


def labos(room: Room, **changes: object) -> Domain:
    setup = {"image": LABOS, "memory": "32M", "ready": "# ", **changes}
    return room.machines[0].make_domain(DomainSetup(**setup))  # type: ignore[arg-type]


def firings(machine: RoomMachine) -> list[tuple[str, str]]:
    status = machine.server.faults.injector.status()
    return [(row["point"], row["action"]) for row in status["firings"]]


def soon(room: Room, ms: float = 1) -> float:
    return room.now_ns / 1e6 + ms


# -- disks


@shows("disk.read", "error", "slow", "corrupt")
@shows("disk.write", "error", "slow", "lost", "torn")
@shows("disk.flush", "error", "slow", "lost")
def test_disks(room: Room) -> None:
    """Each request once as its rule says, and the next one whole again."""
    alpha, domain = room.machines[0], labos(room, disks=(1 << 20,))
    do = domain.console.do

    def arm(point: str, action: str, **values: object) -> None:
        alpha.arm(plan({"point": point, "action": action, "disk": "vdisk1", **values}))

    for name in ("EIO", "ENOSPC"):
        arm("disk.write", "error", errno=name)
        assert "8 blocks" not in do("write c0d1 0 pattern 8")
        assert "8 blocks" in do("write c0d1 0 pattern 8")
    arm("disk.read", "error")
    assert "are the pattern" not in do("verify c0d1 0 8")
    assert "are the pattern" in do("verify c0d1 0 8")
    arm("disk.read", "corrupt")
    assert "are the pattern" not in do("verify c0d1 0 8")
    assert "are the pattern" in do("verify c0d1 0 8")
    for point in ("disk.read", "disk.write", "disk.flush"):  # of virtual time a slow disk takes none
        arm(point, "slow", ms=50)
        assert "8 blocks" in do("write c0d1 0 pattern 8")
        assert "are the pattern" in do("verify c0d1 0 8")
        do("flush c0d1")
        assert firings(alpha) == [(point, "slow")]
    for action, kept in (("lost", 0), ("torn", 512)):
        before = domain.disks[1].read_bytes()[8192:12288]
        arm("disk.write", action)
        assert "8 blocks" in do("write c0d1 16 pattern 8")
        now = domain.disks[1].read_bytes()[8192:12288]
        assert now[kept:] == before[kept:]
        assert (now[:kept] != before[:kept]) == bool(kept)
    arm("disk.flush", "error")
    failed, whole = do("flush c0d1"), do("flush c0d1")
    assert failed != whole
    arm("disk.flush", "lost")
    assert do("flush c0d1") == whole
    assert firings(alpha) == [("disk.flush", "lost")]


@shows("disk", "away")
def test_a_disk_whose_service_is_away_answers_when_it_is_back(room: Room) -> None:
    alpha, domain = room.machines[0], labos(room, disks=(1 << 20,))
    alpha.arm(plan({"point": "disk", "action": "away", "disk": "vdisk1", "ms": 300, "at-ms": soon(room)}))
    room.advance(2_000_000)
    begun = room.now_ns
    assert "8 blocks" in domain.console.do("write c0d1 0 pattern 8")
    assert room.now_ns - begun > 250_000_000
    assert any(domain.disks[1].read_bytes()[:4096])


# -- memory and virtual CPUs


@shows("memory", "uncorrected", "corrected", "flip")
def test_memory(room: Room) -> None:
    """A corrected error is a resumable report; who reads an uncorrected one takes a non-resumable one, and panics."""
    alpha, domain = room.machines[0], labos(room)
    machine = domain.guest.powered()
    base = machine.blocks[0][0]
    before = machine.memory.read(base + 0x1000000, 1)
    alpha.arm(plan({"point": "memory", "action": "flip", "ra": base + 0x1000000, "bit": 6, "at-ms": soon(room)},
                   {"point": "memory", "action": "corrected", "ra": base + 0x40, "at-ms": soon(room)}))
    room.advance(4_000_000)
    assert machine.memory.read(base + 0x1000000, 1)[0] == before[0] ^ 0x40
    said = domain.console.text.rpartition("# ")[2]
    assert re.search(r"(?i)resumable|error", domain.console.text), said
    domain.console.do("dirty 20000 1048576")
    machine.dirty_harvest()
    room.advance(10_000_000)
    stamped = sorted(machine.dirty_harvest())
    alpha.arm(plan({"point": "memory", "action": "uncorrected", "ra": stamped[len(stamped) // 2] * 8192, "bytes": 8192,
                    "at-ms": soon(room)}))
    room.advance(2_000_000)
    domain.console.sendline("dirty check")
    room.until(lambda: "panic" in domain.console.text or not domain.runs, seconds=0.03)
    assert re.search(r"(?i)panic.*|non-resumable", domain.console.text), domain.console.text[-600:]


@shows("cpu", "fail", "stall", "report")
@shows("domain", "stall", "reset", "stop")
def test_virtual_cpus_and_domains(room: Room) -> None:
    alpha, domain = room.machines[0], labos(room, vcpus=2)
    machine = domain.guest.powered()

    def worked() -> list[bool]:
        before = [strand.insns for strand in machine.strands]
        room.advance(1_000_000)
        return [strand.insns > old for strand, old in zip(machine.strands, before, strict=True)]

    domain.console.do("spin 2")
    alpha.arm(plan({"point": "cpu", "action": "stall", "cpu": 1, "ms": 3, "at-ms": soon(room)},
                   {"point": "domain", "action": "stall", "ms": 20, "at-ms": soon(room, 6)}))  # fmt: skip
    assert worked() == [True, True]
    room.advance(1_000_000)
    assert worked() == [True, False]
    assert machine.strand(1).state.name == "RUNNING"  # a guest cannot tell it from a slow one
    room.advance(2_000_000)
    assert worked() == [True, True]
    room.advance(2_000_000)
    assert worked() == [False, False]
    room.advance(18_000_000)
    assert worked() == [True, True]
    domain.console.do("spin 0")
    alpha.arm(plan({"point": "cpu", "action": "report", "cpu": 0, "at-ms": soon(room)}))
    before = len(domain.console.text)
    room.advance(5_000_000)
    assert "rror" in domain.console.text[before:]
    alpha.arm(plan({"point": "cpu", "action": "fail", "cpu": 1, "at-ms": soon(room)}))
    room.advance(2_000_000)
    assert [strand.state.name for strand in machine.strands] == ["RUNNING", "ERROR"]
    alpha.arm(plan({"point": "domain", "action": "reset", "at-ms": soon(room)}))
    before = len(domain.console.text)
    assert room.until(lambda: "\n# " in domain.console.text[before:], seconds=5)
    assert [strand.state.name for strand in machine.strands] == ["RUNNING", "RUNNING"]
    alpha.arm(plan({"point": "domain", "action": "stop", "at-ms": soon(room)}))
    room.advance(3_000_000)
    assert not domain.runs


# -- networks


def pings(domain: Domain, address: str) -> bool:
    return "is alive" in domain.console.do(f"ping {address}", seconds=60)


@shows("net.frame", "drop", "delay", "duplicate", "corrupt")
def test_frames_of_a_network(room: Room) -> None:
    """Two domains on one switch: what one sends is lost, late, doubled, damaged; then all is well again."""
    alpha = room.machines[0]
    alpha.ldm("set-vsw inter-vnet-link=off primary-vsw0")
    domains = [alpha.make_domain(DomainSetup(name=name, image=LABOS, memory="32M", ready="# ", nets=1))
               for name in ("ldg1", "ldg2")]  # fmt: skip
    for number, domain in enumerate(domains, 1):
        domain.console.do(f"ifconfig vnet0 10.0.0.{number}/24")
    assert pings(domains[0], "10.0.0.2")

    def frames() -> int:
        port = next(each for each in alpha.server.switches.find("primary-vsw0")[1].ports  # type: ignore[index]
                    if each.name == "ldg2/vnet0")  # fmt: skip
        return port.counters.sent

    def armed(action: str, **values: object) -> tuple[bool, int, int]:
        alpha.arm(plan({"point": "net.frame", "action": action, "domain": "ldg1", "times": 0, **values}))
        begun, sent = room.now_ns, frames()
        alive = pings(domains[0], "10.0.0.2")
        return alive, frames() - sent, room.now_ns - begun

    assert not armed("drop")[0]
    alpha.arm(Plan())
    alive, plain, quick = armed("drop", after=1000)
    assert alive
    assert armed("duplicate")[:2] == (True, 2 * plain)
    assert not armed("corrupt")[0]  # its checksum is wrong
    alive, _, late = armed("delay", ms=40)
    assert alive and late > quick + 30_000_000
    alpha.arm(Plan())
    assert pings(domains[0], "10.0.0.2")


@shows("link.frame", "drop", "delay", "duplicate", "corrupt")
@shows("link", "unplug", "plug")
def test_the_cable_between_two_machines(room: Room) -> None:
    alpha, beta = room.machines[0], room.add("beta")
    for machine in (alpha, beta):
        machine.ldm("set-vsw net-dev=net0 primary-vsw0")
    join_servers(alpha.server, beta.server)
    domains = [machine.make_domain(DomainSetup(name=f"ldg{number}", image=LABOS, memory="32M", ready="# ", nets=1))
               for number, machine in enumerate((alpha, beta), 1)]  # fmt: skip
    for number, domain in enumerate(domains, 1):
        domain.console.do(f"ifconfig vnet0 10.0.0.{number}/24")
    assert pings(domains[0], "10.0.0.2")

    def armed(action: str, **values: object) -> tuple[bool, int]:
        alpha.arm(plan({"point": "link.frame", "action": action, "device": "net0", "times": 0, **values}))
        begun = room.now_ns
        return pings(domains[0], "10.0.0.2"), room.now_ns - begun

    assert not armed("drop", direction="in")[0]
    assert not armed("corrupt", direction="out")[0]
    alive, quick = armed("duplicate")
    assert alive
    alive, late = armed("delay", ms=25)
    assert alive and late > quick + 40_000_000  # there and back
    alpha.arm(plan({"point": "link", "action": "unplug", "device": "net0", "at-ms": soon(room)}))
    room.advance(2_000_000)
    assert not alpha.server.networks.up("net0")
    alpha.arm(plan({"point": "link", "action": "plug", "device": "net0", "outlet": "net0", "at-ms": soon(room)}))
    room.advance(2_000_000)
    assert alpha.server.networks.up("net0")


# -- migrations


def settle(room: Room, domain: Domain) -> None:
    """Where both managers have to find out what became of the other: until the domain runs on one of them."""
    for _ in range(500):
        room.operate(lambda: None)
        if domain.runs and domain.guest.state == "running":
            return
        room.advance(100_000_000)
    raise AssertionError("nobody has the domain")


def moved(room: Room, domain: Domain, row: Row) -> bool:
    """A migration with a fault: the domain is whole, here or there, and only there where it has gone."""
    here, there = domain.machine, next(each for each in room.machines if each is not domain.machine)
    domain.console.do("dirty 20000 1048576")
    here.arm(plan(row))
    try:
        room.move(domain, there)
    except RefusedMoveError:
        assert domain.machine is here
    else:
        assert domain.machine is there
    settle(room, domain)
    assert firings(here), row
    here.arm(Plan())
    assert "0 wrong" in domain.console.do("dirty check")
    domain.console.do("dirty stop")
    return domain.machine is there


@shows("migration.message", "drop", "duplicate", "delay", "corrupt", "cut")
@shows("worker", "kill")
@shows("stream.chunk", "lose", "corrupt", "delay", "cut")
@shows("stream.page", "corrupt")
def test_migrations(room: Room) -> None:
    room.add("beta")
    domain = labos(room)
    message = {"point": "migration.message", "direction": "send"}
    for action, values in (("duplicate", {}), ("delay", {"ms": 5}), ("cut", {})):
        assert moved(room, domain, {**message, "kind": "commit", "action": action, **values}), action
    moved(room, domain, {**message, "action": "corrupt", "kind": "commit"})
    moved(room, domain, {**message, "action": "drop", "kind": "commit"})
    assert not moved(room, domain, {"point": "worker", "action": "kill", "event": "connected"})
    chunk = {"point": "stream.chunk", "kind": "data"}
    for action, values in (("lose", {}), ("corrupt", {}), ("delay", {"ms": 5}), ("cut", {})):
        there = moved(room, domain, {**chunk, "action": action, **values})
        assert there == (action != "lose"), action  # a gap is no damage of the way: the target does not go on
    assert not moved(room, domain, {**chunk, "action": "corrupt", "times": 0})  # damaged, and damaged again
    assert not moved(room, domain, {"point": "stream.page", "action": "corrupt"})


@pytest.mark.parametrize(("point", "action", "values"), [
    ("machine", "kill", {"at-ms": 1e9}), ("manager", "kill", {"step": "*"}), ("worker", "stall", {"ms": 5}),
])  # fmt: skip
def test_what_takes_a_process_is_refused(room: Room, point: str, action: str, values: Row) -> None:
    """A test's own process is not killed, and no rule is armed that would do nothing; other machines' do not count."""
    alpha = room.machines[0]
    kept = {"point": "disk.read", "action": "error"}
    alpha.arm(plan(kept))
    with pytest.raises(SetupError, match=f"^{point} {action}: .*threads of the test's own process"):
        alpha.arm(plan({"point": "disk.write", "action": "error"}, {"point": point, "action": action, **values}))
    assert [row["point"] for row in alpha.server.faults.injector.status()["plan"]["fault"]] == ["disk.read"]
    alpha.arm(plan({"point": "disk.flush", "action": "error", "machine": "a*"},
                   {"point": point, "action": action, "machine": "beta", **values}))  # fmt: skip
    assert [row["point"] for row in alpha.server.faults.injector.status()["plan"]["fault"]] == ["disk.flush"]


def test_every_action_is_shown() -> None:
    wanted = {(point.name, action.name) for point in POINTS for action in point.actions}
    assert wanted == SHOWN
    assert {point.place for point in POINTS} == set(Place)
