"""Faults: plans, what fires when, real effects in guests and managers, and that a seed repeats them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from front_support import LABOS

from emulator.faults.injector import Injector
from emulator.faults.points import POINTS, Place
from emulator.faults.rules import FaultsError, Plan, Rule, parse_plan, read_plan
from ldmd.testing.domain import Domain, DomainSetup
from ldmd.testing.errors import RefusedMoveError
from ldmd.testing.room import Room


def plan(*rows: dict[str, object], seed: int = 1) -> Plan:
    return parse_plan({"seed": seed, "fault": list(rows)})


def labos(room: Room, **changes: object) -> Domain:
    setup = {"image": LABOS, "memory": "32M", "ready": "# ", "disks": (1 << 20,), **changes}
    return room.machines[0].make_domain(DomainSetup(**setup))  # type: ignore[arg-type]


# -- plans


def test_a_new_plan_begins_anew() -> None:
    """Its rules are not spent by those of the plan before, neither here nor in a manager that asks what has fired."""
    injector = Injector()
    once = plan({"point": "disk.write", "action": "error"})
    injector.arm(once)
    assert injector.fire("disk.write", domain="ldg1") is not None
    assert injector.fire("disk.write", domain="ldg1") is None
    before = injector.status()["digest"]
    injector.disarm()
    assert injector.status()["count"] == 1  # what was can still be read
    injector.arm(once)
    assert injector.status()["count"] == 0 and injector.status()["firings"] == []
    assert injector.fire("disk.write", domain="ldg1") is not None
    assert injector.status()["digest"] == before


def test_a_plan_is_plain_data_both_ways(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("""
seed = 7
[[fault]]
point = "disk.write"
action = "torn"
domain = "ldg*"
bytes = 100
after = 2
times = 0
probability = 0.5
machine = "alpha"
[[fault]]
point = "memory"
action = "uncorrected"
ra = 0x4000
at-insns = 1000
""")
    found = read_plan(tmp_path / "p.toml")
    assert found.seed == 7
    assert found.rules[0] == Rule(
        point="disk.write", action="torn", select=(("domain", "ldg*"),), values=(("bytes", 100),), after=2, times=0,
        probability=0.5, machine="alpha")  # fmt: skip
    assert found.rules[1].values == (("ra", 0x4000), ("bytes", 64))
    assert parse_plan(found.plain()) == found
    assert json.loads(json.dumps(found.plain())) == found.plain()
    assert [rule.point for rule in found.at("beta").rules] == ["memory"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(FaultsError) as caught:
        plan(
            {"point": "disk.wirte", "action": "error"}, {"point": "memory", "action": "flip", "ra": 1},
            {"point": "cpu", "action": "fail", "at-ms": 1}, {"point": "disk.read", "action": "torn"},
            {"point": "disk.read", "action": "error", "at-ms": 5, "phase": "copy", "colour": "red"},
            {"point": "disk.read", "action": "error", "probability": 2, "after": -1, "errno": "ENOSUCH"},
            seed=-1,
        )  # fmt: skip
    text = str(caught.value)
    for wanted in (
        "seed: a number of 0 or more", "fault[0].point: no such point; there are disk.read",
        "fault[1].at-ms: memory is",
        "fault[2].cpu: is missing", "fault[3].action: disk.read has no action 'torn'; there are error, slow, corrupt",
        "fault[4].colour: error at disk.read does not know it", "fault[4].phase: of worker and migration.message",
        "fault[4].at-ms: disk.read has occasions", "fault[5].probability: a number from 0 to 1",
        "fault[5].after: a number of 0 or more", "fault[5].errno: a name of errno(3) is wanted",
    ):  # fmt: skip
        assert wanted in text
    for bad in ([], {"fault": 1}, {"fault": [1]}, {"faults": []}):
        with pytest.raises(FaultsError):
            parse_plan(bad)


def test_a_file_is_told_by_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text("""seed = -1
[[fault]]
point = "disk.read"
action = "error"

[[fault]]
# the third line of it
point = "disk.read"
action = "melt"
[[fault]]
point = "memory"
action = "flip"
at-ms = 1
""")
    with pytest.raises(FaultsError) as caught:
        read_plan(file)
    assert [problem.removeprefix(f"{file}").partition(": ")[0] for problem in caught.value.problems] == [
        ":1", ":9", ":10"]
    file.write_text("fault = [{ point = 1 }]")
    with pytest.raises(FaultsError, match=r"p\.toml: fault\[0\]\.point"):
        read_plan(file)
    file.write_text("a = 1\nb =\n")
    with pytest.raises(FaultsError, match="line 2"):
        read_plan(file)


def test_occasions_are_counted_and_chance_is_seeded() -> None:
    def course(seed: int) -> list[int]:
        injector = Injector()
        injector.arm(plan({"point": "disk.read", "action": "error", "probability": 0.3, "times": 0, "after": 5},
                          {"point": "disk.write", "action": "lost", "times": 2, "disk": "vdisk1"}, seed=seed))
        fired = [n for n in range(100) if injector.fire("disk.read", domain="a", disk="b")]
        assert injector.fire("disk.write", disk="vdisk0") is None
        assert [bool(injector.fire("disk.write", disk="vdisk1")) for _ in range(4)] == [True, True, False, False]
        assert injector.counts()[1] == 2
        return fired

    assert course(1) == course(1)
    assert course(1) != course(2)
    assert min(course(1)) >= 5
    assert 10 < len(course(1)) < 50


def test_every_point_can_be_armed_where_it_is() -> None:
    """The table and the parser know the same: each action of each point makes a rule, and one process has it."""
    for point in POINTS:
        for action in point.actions:
            row: dict[str, object] = {"point": point.name, "action": action.name}
            row |= {name: ("net0" if name in ("device", "outlet") else 5) for name, default in action.takes
                    if default is None}
            row |= {"at-ms": 1} if point.timed else {}
            parsed = plan(row)
            assert [Injector(place).armed for place in Place] == [False] * len(Place)
            armed = []
            for place in Place:
                injector = Injector(place)
                injector.arm(parsed)
                armed.append(injector.armed)
            assert armed == [place is point.place for place in Place]


# -- disks


def test_a_write_fails_as_the_rule_says_and_the_next_one_does_not() -> None:
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = labos(room)
        console = domain.console
        alpha.arm(plan({"point": "disk.write", "action": "error", "disk": "vdisk1", "after": 1}))
        assert "8 blocks" in console.do("write c0d1 0 pattern 8")
        said = console.do("write c0d1 8 pattern 8")
        assert "8 blocks" not in said
        assert "8 blocks" in console.do("write c0d1 8 pattern 8")
        status = alpha.server.faults.injector.status()
        assert [(row["ordinal"], row["point"], row["facts"]["disk"]) for row in status["firings"]] == [
            (1, "disk.write", "vdisk1")]
        events: list[dict[str, object]] = []
        alpha.server.events.subscribe(events.append, 0)
        assert [event["ordinal"] for event in events if event["event"] == "fault.fired"] == [1]


def test_what_is_lost_or_torn_the_guest_learns_when_it_looks() -> None:
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = labos(room)
        alpha.arm(plan({"point": "disk.write", "action": "lost", "disk": "vdisk1"},
                       {"point": "disk.write", "action": "torn", "bytes": 512, "disk": "vdisk1", "after": 1}))
        assert "8 blocks" in domain.console.do("write c0d1 0 pattern 8")
        assert "8 blocks" in domain.console.do("write c0d1 8 pattern 8")
        data = domain.disks[1].read_bytes()
        assert not any(data[: 8 * 512])
        assert any(data[8 * 512 : 9 * 512])
        assert not any(data[9 * 512 : 16 * 512])
        assert "are the pattern" not in domain.console.do("verify c0d1 0 16")


def test_unarmed_disks_are_served_by_the_core() -> None:
    """By the file's descriptor; a rule about another disk changes nothing of that, nor one that is spent."""
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = labos(room)
        assert domain.guest.plugs is not None
        backend = domain.guest.powered().devices[f"disk vdisk1:{domain.guest.spec.disks[1].paths[0].channel}"]._backend
        assert backend.fd is not None
        alpha.arm(plan({"point": "disk.flush", "action": "error", "disk": "vdisk0", "after": 1000}))
        assert backend.fd is not None
        alpha.arm(plan({"point": "disk.write", "action": "error", "disk": "vdisk1"}))
        assert backend.fd is None
        domain.console.do("write c0d1 0 pattern 8")
        assert backend.fd is not None
        alpha.arm(Plan())
        assert "8 blocks" in domain.console.do("write c0d1 0 pattern 8")


# -- memory, CPUs, domains


def test_a_memory_error_reaches_the_guest_as_its_architecture_says() -> None:
    """labos prints the report of a resumable error, and panics where it reads what cannot be read."""
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = labos(room)
        now = room.now_ns // 1_000_000
        alpha.arm(plan({"point": "memory", "action": "corrected", "ra": 0x21000040, "domain": "ldg1", "at-ms": now + 3},
                       {"point": "memory", "action": "flip", "ra": 0x21000000, "bit": 3, "at-ms": now + 2},
                       {"point": "memory", "action": "uncorrected", "ra": 0x21000080, "at-ms": now + 6}))
        machine = domain.guest.powered()
        machine.memory.write(0x21000000, b"\0")
        room.advance(4_000_000)
        assert machine.memory.read(0x21000000, 1) == b"\x08"
        assert "rror" in domain.console.text.rpartition("# ")[2] or "rror" in domain.console.text
        room.advance(4_000_000)
        assert machine.poisoned == ((0x21000080, 64),)
        assert [row["rule"] for row in alpha.server.faults.injector.status()["firings"]] == [1, 0, 2]


def test_a_virtual_cpu_breaks_and_the_guest_goes_on() -> None:
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = labos(room, vcpus=2)
        alpha.arm(plan({"point": "cpu", "action": "fail", "cpu": 1, "at-insns": domain.guest.powered().insns + 10}))
        domain.console.sendline("")
        room.advance(2_000_000)
        assert [strand.state.name for strand in domain.guest.powered().strands] == ["RUNNING", "ERROR"]
        alpha.arm(plan({"point": "domain", "action": "stop", "at-ms": room.now_ns / 1e6 + 1}))
        room.advance(3_000_000)
        assert not domain.runs


def course(seed: int) -> tuple[str, bytes, str]:
    """Chance at many writes, with a migration in the middle: what fired, and how it ended."""
    with Room(seed=5) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        domain = labos(room)
        rule = {"point": "disk.write", "action": "lost", "probability": 0.5, "times": 0, "disk": "vdisk1"}
        for machine in (alpha, beta):
            machine.arm(plan(rule, {"point": "disk.read", "action": "corrupt", "probability": 0.2, "times": 0,
                                    "disk": "vdisk1"}, seed=seed))
        for block in range(0, 64, 8):
            domain.console.do(f"write c0d1 {block} pattern 8")
        room.move(domain, beta)
        for block in range(64, 128, 8):
            domain.console.do(f"write c0d1 {block} pattern 8")
        domain.console.do("verify c0d1 0 128")
        digests = "".join(machine.server.faults.injector.status()["digest"] for machine in (alpha, beta))
        return digests, domain.digest(), domain.console.text


def test_a_run_repeats_from_its_seed() -> None:
    """Same firings at the same instants, same state and memory; another seed, another course."""
    first, again, other = course(3), course(3), course(4)
    assert first == again
    assert first[0] != other[0]


# -- managers


def test_messages_of_a_migration_are_cut_and_it_heals_or_ends() -> None:
    """The connection breaks once at each message that the source sends; each time one machine has the domain, whole."""
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        domain = labos(room)
        alpha.arm(plan({"point": "migration.message", "action": "cut", "direction": "send", "kind": "commit"}))
        room.move(domain, beta)
        assert domain.machine is beta
        facts = alpha.server.faults.injector.status()["firings"][0]["facts"]
        assert facts == {"direction": "send", "kind": "commit", "phase": "handoff", "side": "source"}
        assert domain.console.do("echo whole") == "whole"


def test_a_worker_that_dies_while_memory_is_copied_is_a_failed_migration() -> None:
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        domain = labos(room)
        alpha.arm(plan({"point": "worker", "action": "kill", "side": "source", "event": "connected"}))
        with pytest.raises(RefusedMoveError):
            room.move(domain, beta)
        assert domain.machine is alpha
        assert domain.console.do("echo stays") == "stays"
        room.move(domain, beta)
        assert domain.machine is beta
