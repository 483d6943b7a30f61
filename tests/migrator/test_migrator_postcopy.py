"""A domain that runs at the target while pages of it are only at the source: ends, deaths and a cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_workers import FOLLOWING
from migrator_support import PATIENCE, Gate, Pair, Site, cancel, pause, until

from ldmd.migration import source as src
from ldmd.migration import target as tgt
from ldmd.migrator.means import Killed
from ldmd.migrator.settings import Settings


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, settings=Settings(postcopy="auto"))
    made.workers.partial = True
    yield made
    made.close()


def settled(pair: Pair) -> bool:
    sites = (pair.alpha, pair.beta)
    return not any(each.holds or not each.idle for site in sites for each in site.migrations.attempts())


def settle(pair: Pair) -> None:
    def calm() -> bool:
        for site in (pair.alpha, pair.beta):
            site.clock.advance(2.0)
        pause(0.01)
        return settled(pair)

    until(calm, "it does not settle")


def serving(pair: Pair) -> None:
    """The domain runs at beta, and alpha knows that."""
    until(lambda: pair.beta.runs(pair.uuid), "it does not run there")
    until(lambda: pair.alpha.migrations.attempts()[0].state.at is src.At.SERVING, "the source does not know")


def states(site: Site, uuid: str) -> list[str]:
    return [each.state for each in site.machine.guests.values() if each.spec["uuid"] == uuid]


def test_pages_follow(pair: Pair) -> None:
    """Until the last one is there the source keeps its memory, resumes nothing, and is not asked to."""
    gate, seen = Gate(pair, "source.serving"), list[dict[str, Any]]()
    pair.beta.manager.watch(seen.append)
    moving = pair.move()
    gate.reached()
    serving(pair)
    assert states(pair.alpha, pair.uuid) == ["suspended"] and pair.alpha.machine.open_disks == set()
    shown = [site.room.run("list-domain", domains=["ldg1"], sections="status").result["domains"][0]["status"][0]
             for site in (pair.alpha, pair.beta)]
    assert [(row["role"], row["peer"]) for row in shown] == [("source", "beta"), ("target", "alpha")]
    said = cancel(pair.alpha)
    assert pair.alpha.runs(pair.uuid) is False and "cannot be cancelled" in str((said.error, said.lines))
    assert moving.thread.is_alive()
    gate.open()
    outcome = moving.done()
    assert outcome.done and outcome.summary["missing"] == len(FOLLOWING) and outcome.summary["asked"] == 1
    assert outcome.summary["downtime_ms"] >= 0
    until(lambda: not pair.alpha.has("ldg1") and pair.workers.alive == [])
    assert pair.beta.machine.presence == ["begin", "end"] and pair.beta.runs(pair.uuid)
    waited = "waited for pages 3 times: half of them up to 80 us, 99 % up to 2000 us, the longest 1900 us"
    assert any(waited in line for line in pair.beta.lines)
    assert [each["count"] for each in seen if each["event"] == "migration-page-waits"] == [3]
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [0]


@pytest.mark.parametrize("who", ["alpha", "beta"])
def test_a_manager_dies_while_pages_are_missing(pair: Pair, who: str) -> None:
    """Its worker goes with it: nobody brings what is missing, and the domain boots anew at the target, there alone."""
    gate = Gate(pair, "source.serving")
    pair.move()
    gate.reached()
    serving(pair)
    victim = getattr(pair, who)
    victim.means.dead = True
    victim.kill()
    gate.open()
    victim.restart()
    settle(pair)
    assert pair.watch.wrong == []
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid) and not pair.alpha.has("ldg1")
    assert "give-up" in pair.beta.machine.presence
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [1]


def test_a_source_whose_machine_dies_goes_on_serving(pair: Pair) -> None:
    """The worker has the memory by its descriptors."""
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    pair.alpha.machine.dies()
    pair.alpha.migrations.machine_lost()
    gate.open()
    assert moving.done().done
    pair.alpha.machine.up = True
    pair.alpha.manager.again()
    settle(pair)
    assert pair.beta.runs(pair.uuid) and not pair.alpha.runs(pair.uuid)


def test_a_worker_dies_while_the_image_is_verified(pair: Pair) -> None:
    """It has said what came and what is missing, which nobody brings now: the domain stays where it is."""
    died = []

    def die(where: str) -> None:
        side = next((each for each in pair.beta.migrations.attempts()), None)
        if where == "target.Verify.begin" and side is not None and side._received is not None:
            worker = side._work.worker
            assert worker is not None
            worker.fail()
            until(lambda: not side.idle and len(side._inbox) > 0, "its end is not heard")
            died.append(where)

    pair.beta.step = die  # type: ignore[method-assign]
    outcome = pair.move().done()
    settle(pair)
    assert died and not outcome.done and pair.alpha.runs(pair.uuid) and not pair.beta.has("ldg1"), outcome


def test_a_worker_dies_when_the_image_is_verified(pair: Pair) -> None:
    """Before the domain is the target's: it never ran there, and boots there anew, since its source is told so."""
    def die(where: str) -> None:
        side = next((each for each in pair.beta.migrations.attempts()), None)
        if where == "target.SetTimer.begin" and side is not None and side.state.at is tgt.At.READY:
            worker = side._work.worker
            assert worker is not None
            worker.fail()
            until(lambda: not side.idle and len(side._inbox) > 0, "its end is not heard")

    pair.workers.on = lambda where, worker: pause(0.01) if where == "source.serving" else None
    pair.beta.step = die  # type: ignore[method-assign]
    outcome = pair.move().done()
    settle(pair)
    assert not outcome.done and any("boots there anew" in line for line in outcome.problems), outcome
    assert pair.watch.wrong == [] and pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [1] and pair.beta.room.state("ldg1") == "active"


def test_a_manager_dies_when_the_last_page_has_come(pair: Pair) -> None:
    """Nothing is missing, so nothing is lost: who comes next tells the machine, which looks no more."""
    ask = pair.beta.machine.op_memory_presence

    def die(guest: int, what: str = "missing") -> dict[str, object]:
        if what == "end" and not pair.beta.means.dead and pair.beta.kills == 0:
            pair.beta.means.dead = True
            raise Killed
        return ask(guest, what)

    pair.beta.machine.op_memory_presence = die  # type: ignore[method-assign]
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    gate.open()
    until(lambda: pair.beta.means.dead, "the last page does not come")
    assert not pair.beta.machine.absent(pair.beta.number("ldg1"))
    pair.beta.kill()
    pair.beta.restart()
    assert moving.done().done
    settle(pair)
    assert pair.beta.machine.presence[-1] == "end" and pair.beta.machine.missing == {}
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [0] and pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")


def test_a_manager_ends_while_pages_are_missing(pair: Pair) -> None:
    """As an orderly restart does it: the worker is not told to stop, so that it may go on alone."""
    gate = Gate(pair, "source.serving")
    pair.move()
    gate.reached()
    serving(pair)
    worker = next(each for each in pair.workers.alive if each.side == "source")
    said: list[str] = []
    worker.tell = lambda event, **fields: said.append(event)  # type: ignore[method-assign]
    pair.alpha.kills += 1
    pair.alpha.migrations.close()
    until(lambda: worker.stopped, "its manager is still there")
    assert "stopped" not in said
    gate.open()
    pair.alpha.kill()
    pair.alpha.restart()
    settle(pair)


def start_waits(pair: Pair) -> threading.Event:
    """What starts the domain at beta needs a page that is missing. Set when it waits."""
    machine, waits = pair.beta.machine, threading.Event()
    call = machine.call

    def waiting(op: str, /, **arguments: Any) -> Any:
        if op == "guest.resume" and machine.absent(arguments["guest"]):
            waits.set()
            until(lambda: "give-up" in machine.presence or not machine.absent(arguments["guest"]), "no page comes")
        return call(op, **arguments)

    machine.call = waiting  # type: ignore[method-assign]
    return waits


def test_the_start_needs_a_page(pair: Pair) -> None:
    """It comes, and all is well."""
    gate = Gate(pair, "source.serving")
    waits = start_waits(pair)
    moving = pair.move()
    gate.reached()
    assert waits.wait(PATIENCE) and not pair.beta.runs(pair.uuid)
    gate.open()
    assert moving.done().done
    settle(pair)
    assert pair.beta.runs(pair.uuid) and pair.beta.machine.presence == ["begin", "end"]


def test_the_start_needs_a_page_that_never_comes(pair: Pair) -> None:
    """Its source's worker is lost: the machine does not wait for ever, and the domain boots anew there."""
    gate = Gate(pair, "source.serving")
    waits = start_waits(pair)
    moving = pair.move()
    gate.reached()
    assert waits.wait(PATIENCE)
    next(each for each in pair.workers.alive if each.side == "source").kill()
    gate.open()
    outcome = moving.done()
    settle(pair)
    assert not outcome.done and any("boots there anew" in line for line in outcome.problems), outcome
    assert pair.watch.wrong == [] and pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")
    starts = [each.starts for each in pair.beta.machine.guests.values() if each.spec["uuid"] == pair.uuid]
    assert starts == [1] and pair.beta.room.state("ldg1") == "active"


def test_a_domain_ends_while_pages_are_missing(pair: Pair) -> None:
    """By itself: nobody needs them any more; it is down, and both know."""
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    pair.beta.machine.ends_itself(pair.beta.number("ldg1"))
    assert moving.done().done
    gate.open()
    settle(pair)
    assert pair.beta.room.state("ldg1") == "bound" and not pair.beta.runs(pair.uuid) and not pair.alpha.has("ldg1")
    until(lambda: pair.workers.alive == [], "a worker is left")


@pytest.mark.parametrize("again", [False, True])
def test_a_domain_is_stopped_while_pages_are_missing(pair: Pair, again: bool) -> None:
    """All else is refused, with the way out; a stop waits for no page."""
    gate = Gate(pair, "source.serving")
    moving = pair.move()
    gate.reached()
    serving(pair)
    room = pair.beta.room
    refused = (("set-vcpu", {"domain": "ldg1", "count": 4}), ("stop-domain", {"all": True, "force": True}),
               ("add-domain", {"domains": ["other"]}))
    for command, arguments in refused:
        error = room.run(command, **arguments).error
        assert error is not None and error.code == "migration.pages" and "stop-domain -f ldg1" in error.remedy, error
    room.ok("stop-domain", domains=["ldg1"], force=True, reboot=again)
    assert moving.done().done
    gate.open()
    settle(pair)
    assert room.state("ldg1") == ("active" if again else "bound")
    assert pair.beta.runs(pair.uuid) is again and not pair.alpha.has("ldg1") and pair.watch.wrong == []
    until(lambda: pair.workers.alive == [], "a worker is left")
    room.ok("add-domain", domains=["other"])


@pytest.mark.parametrize(("settings", "told"), [
    (Settings(), {"postcopy": "off", "bandwidth_bps": None, "max_seconds": None, "max_rounds": 30,
                  "at_limit": "finish"}),
    (Settings(max_seconds=7, max_rounds=2, at_limit="fail", dirty_limit=False, verify="strict", bandwidth_bps=5000),
     {"max_seconds": 7, "max_rounds": 2, "at_limit": "fail", "dirty_limit": False, "verify": "strict",
      "bandwidth_bps": 5000}),
])
def test_a_worker_is_told_the_settings(tmp_path: Path, settings: Settings, told: dict[str, object]) -> None:
    made = Pair(tmp_path, settings=settings)
    gate = Gate(made, "source.connected")
    made.move()
    gate.reached()
    source = next(each for each in made.workers.alive if each.side == "source")
    assert told.items() <= source.task["options"].items()
    gate.open()
    settle(made)
    made.close()
