"""The target's manager dies between the start of the domain and the record of that: who comes next finishes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_workers import FOLLOWING
from migrator_support import Gate, Pair, pause, until

from ldmd.migration import target as tgt
from ldmd.migrator.means import Killed
from ldmd.migrator.settings import Settings
from ldmd.operations.context import HypervisorError

WHERE = ("target.StartGuest.done", "target.Send.begin", "target.Send.done")
"""What comes of the one event that starts the domain, after it; only the next event records it."""


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, settings=Settings(postcopy="auto"))
    made.workers.partial = True
    yield made
    made.close()


def die_at(pair: Pair, where: str) -> None:
    """beta's manager, once, at a step of its own after the machine has resumed the domain."""
    resume = pair.beta.machine.op_guest_resume
    resumed = False

    def op_guest_resume(guest: int) -> object:
        nonlocal resumed
        found = resume(guest)
        resumed = True
        return found

    def step(at: str) -> None:
        if resumed and at == where and pair.beta.kills == 0:
            pair.beta.means.dead = True
            raise Killed

    pair.beta.machine.op_guest_resume = op_guest_resume  # type: ignore[method-assign]
    pair.beta.step = step  # type: ignore[method-assign]


def settle(pair: Pair) -> None:
    def calm() -> bool:
        for site in (pair.alpha, pair.beta):
            site.clock.advance(2.0)
        pause(0.01)
        return not any(each.holds or not each.idle for site in (pair.alpha, pair.beta)
                       for each in site.migrations.attempts())

    until(calm, "it does not settle")


def killed_and_back(pair: Pair) -> None:
    until(lambda: pair.beta.means.dead, "beta's manager does not come so far")
    note = pair.beta.means.note("target", pair.uuid)
    assert note["began"] is False and pair.beta.runs(pair.uuid)
    pair.beta.kill()
    pair.beta.restart()


def starts(pair: Pair) -> list[int]:
    return [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]


@pytest.mark.parametrize("where", WHERE)
def test_it_runs_and_that_is_recorded(pair: Pair, where: str) -> None:
    """Once, at the target; UPTIME goes on; the history has it; and a person who stops it is not overruled later."""
    booted_at = pair.alpha.room.domain("ldg1").started_at
    die_at(pair, where)
    moving = pair.move()
    killed_and_back(pair)
    assert moving.done().done
    settle(pair)
    assert pair.watch.wrong == [] and starts(pair) == [0]
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid) and not pair.alpha.has("ldg1")
    domain = pair.beta.room.domain("ldg1")
    assert (str(domain.state), domain.started_at) == ("active", booted_at)
    lines = [row for row in pair.beta.manager.history(50) if row["line"] == "ldm migrate-domain ldg1 beta"]
    assert [(row["caller"], row["text"]) for row in lines] == [("alpha", "OK")]
    pair.beta.room.ok("stop-domain", domains=["ldg1"], force=True)
    pair.beta.kill()
    pair.beta.restart()
    settle(pair)
    assert pair.beta.room.state("ldg1") == "bound" and not pair.beta.runs(pair.uuid)


def test_it_runs_though_the_machine_did_not_say_so_in_time(pair: Pair) -> None:
    """The answer to the start came too late for who asked: it is started once, and nothing waits for another answer."""
    machine = pair.beta.machine
    call = machine.call

    def slow(op: str, /, **arguments: Any) -> Any:
        found = call(op, **arguments)
        if op == "guest.resume":
            raise HypervisorError("timeout", "no answer to guest.resume within 60 seconds")
        return found

    machine.call = slow  # type: ignore[method-assign]
    assert pair.move().done().done
    settle(pair)
    assert pair.beta.runs(pair.uuid) and starts(pair) == [0] and pair.beta.room.state("ldg1") == "active"


def test_the_machine_dies_as_well(pair: Pair) -> None:
    """What ran is lost with its machine; it was started, so it starts again, there alone."""
    die_at(pair, WHERE[0])
    pair.beta.room.ok("add-spconfig", config="saved")
    moving = pair.move()
    until(lambda: pair.beta.means.dead, "beta's manager does not come so far")
    pair.beta.machine.dies()
    pair.beta.kill()
    pair.beta.machine.up = True
    pair.beta.restart()
    outcome = moving.done()
    settle(pair)
    assert not outcome.done and any("boots there anew" in line for line in outcome.problems), outcome
    assert pair.watch.wrong == [] and pair.beta.runs(pair.uuid)
    assert not pair.alpha.runs(pair.uuid) and not pair.alpha.has("ldg1")


def test_while_pages_are_missing(following: Pair) -> None:
    """Nobody brings them any more: it boots anew, there alone, and both managers say so."""
    pair = following
    gate = Gate(pair, "source.serving")
    die_at(pair, WHERE[0])
    moving = pair.move()
    gate.reached()
    killed_and_back(pair)
    gate.open()
    outcome = moving.done()
    settle(pair)
    assert not outcome.done and any("boots there anew" in line for line in outcome.problems), outcome
    assert pair.watch.wrong == [] and starts(pair) == [1] and FOLLOWING
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid) and not pair.alpha.has("ldg1")
    assert pair.beta.room.state("ldg1") == "active"
    side = next(each for each in pair.beta.migrations.attempts() if each.uuid == pair.uuid)
    assert side.state.at is tgt.At.OWNER
    rows = [row for row in pair.beta.manager.history(50) if "booted anew" in row["text"]]
    assert [row["caller"] for row in rows] == ["alpha"]


@pytest.mark.parametrize("saved", [True, False])
def test_a_power_cycle_while_the_lease_is_taken(tmp_path: Path, saved: bool) -> None:
    """The new power-on knows the domain as promised only, and forgets it; then it is owned: it boots, as it came.

    Where the server has nothing that it needs any more, its constraints are kept.
    """
    pair = Pair(tmp_path, settings=Settings(lease_directory=str(tmp_path / "leases")), disk=True)
    cpus, cycled = pair.alpha.room.domain("ldg1").cpus, list[str]()
    if saved:
        pair.beta.room.ok("add-spconfig", config="saved")

    def step(at: str) -> None:
        if at == "target.Lease.begin" and not cycled:
            cycled.append(at)
            pair.beta.machine.dies()
            pair.beta.migrations.machine_lost()
            pair.beta.machine.up = True
            pair.beta.manager.again()
            assert not pair.beta.has("ldg1")

    pair.beta.step = step  # type: ignore[method-assign]
    moving = pair.move()
    until(lambda: pair.beta.runs(pair.uuid) if saved else pair.beta.has("ldg1"), "it is lost")
    moving.thread.join()
    settle(pair)
    assert cycled and not pair.alpha.has("ldg1") and pair.watch.wrong == []
    domain = pair.beta.room.domain("ldg1")
    assert (domain.uuid, domain.cpus, [disk.name for disk in domain.vdisks]) == (pair.uuid, cpus, ["d"])
    assert str(domain.state) == ("active" if saved else "inactive")
    pair.close()


@pytest.mark.parametrize("postcopy", ["off", "auto"])
def test_a_domain_ends_before_its_start_is_recorded(tmp_path: Path, postcopy: str) -> None:
    """It is down then, and not shown as active for ever."""
    pair, ended = Pair(tmp_path, settings=Settings(postcopy=postcopy)), list[str]()
    pair.workers.partial = postcopy == "auto"

    def step(at: str) -> None:
        if at == "target.StartGuest.done" and not ended:
            ended.append(at)
            pair.beta.machine.ends_itself(pair.beta.number("ldg1"))

    pair.beta.step = step  # type: ignore[method-assign]
    assert pair.move().done().done
    settle(pair)
    assert ended and pair.beta.room.state("ldg1") == "bound"
    assert not pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")
    pair.close()
