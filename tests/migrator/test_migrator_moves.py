"""A domain moves between two managers: live, bound, inactive, dry, refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from domain_support import guest
from fake_workers import Worker
from migrator_support import PATIENCE, STAMP, Gate, Pair, cancel, until

from ldmd.migration.records import Owned
from ldmd.migrator.targetside import TargetSide


def test_a_running_domain_moves_with_its_memory(pair: Pair) -> None:
    outcome = pair.move().done()
    assert outcome.done and outcome.problems == ()
    assert not pair.alpha.has("ldg1") and pair.beta.has("ldg1")
    assert not pair.alpha.runs(pair.uuid) and pair.beta.runs(pair.uuid)
    number = pair.beta.number("ldg1")
    assert pair.beta.machine.peek(number, 8192, len(STAMP)) == STAMP
    assert pair.beta.room.state("ldg1") == "active"
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())


def steps_of(pair: Pair, **options: Any) -> tuple[Any, list[str], list[tuple[str, int, int]]]:
    """How it ended, the texts of its progress, and (side, phase, percent) of the events of both."""
    texts: list[str] = []
    seen: list[tuple[str, int, int]] = []

    def note(event: Any) -> None:
        if event["event"] == "migration-phase":
            seen.append((event["side"], event["phase"], event["percent"]))
        elif event["event"] == "progress":
            texts.append(event["text"])

    pair.alpha.manager.watch(note)
    pair.beta.manager.watch(note)
    return pair.move(**options).done(), list(dict.fromkeys(texts)), seen


def test_nothing_is_prepared_or_handed_over_in_a_dry_run(pair: Pair) -> None:
    outcome, texts, _ = steps_of(pair, dry_run=True)
    assert outcome.done and texts == ["connecting", "checking"]


def test_what_is_refused_is_only_checked_and_told_at_both_ends(pair: Pair) -> None:
    pair.beta.room.ok("add-domain", domains=["ldg1"])
    outcome, texts, _ = steps_of(pair)
    why = "An LDom with the name 'ldg1' already exists on the target machine"
    assert texts == ["connecting", "checking"] and outcome.reasons == (why,)
    assert any(f"it is refused to alpha: {why}" in line for line in pair.beta.lines)
    assert not pair.move(dry_run=True).done().done
    assert any(f"a dry run is refused to alpha: {why}" in line for line in pair.beta.lines)


def test_the_targets_percent_is_that_of_this_attempt(pair: Pair) -> None:
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    cancel(pair.alpha)
    assert moving.done().reasons == ("cancelled by local, 2023-11-14 22:13:20 UTC",)
    gate.open()
    outcome, _, seen = steps_of(pair)
    assert outcome.done
    assert next(each for each in seen if each[0] == "target") == ("target", 2, 2)


@pytest.mark.parametrize("given_up", [False, True])
def test_the_sources_process_starts_while_the_target_makes_room(
        pair: Pair, monkeypatch: pytest.MonkeyPatch, given_up: bool) -> None:
    """Two interpreters start at once; one whose attempt is given up then ends without a task."""
    both, go_on, listen = threading.Event(), threading.Event(), pair.workers.listen

    def late(worker: Worker) -> int:
        until(lambda: len(pair.workers.alive) == 2)
        both.set()
        go_on.wait(PATIENCE)
        return listen(worker)

    monkeypatch.setattr(pair.workers, "listen", late)
    moving = pair.move()
    assert both.wait(PATIENCE)
    if given_up:
        cancel(pair.alpha)
        assert not moving.done().done
    go_on.set()
    assert moving.done().done is not given_up
    until(lambda: pair.workers.alive == [])


def test_that_it_runs_there_is_said_before_the_targets_worker_has_ended(
        pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, wait = threading.Event(), Worker.wait

    def slow(worker: Worker, timeout: float | None = None) -> None:
        if worker.side == "target":
            ended.wait(PATIENCE)
        wait(worker, timeout)

    monkeypatch.setattr(Worker, "wait", slow)
    assert pair.move().done().done and not ended.is_set()
    ended.set()
    until(lambda: pair.workers.alive == [])


def test_the_state_is_loaded_while_memory_is_still_looked_at(pair: Pair) -> None:
    """Before the target's worker has compared everything, and before FINAL was said."""
    states = list[str]()

    def at(where: str, worker: Worker) -> None:
        if where == "source.sent":
            until(lambda: "received" in [each.state for each in pair.beta.machine.guests.values()])
            states.append(where)

    pair.workers.on = at
    assert pair.move().done().done and states == ["source.sent"]
    until(lambda: pair.workers.alive == [])


def test_memory_that_was_not_hashed_in_the_pause_is_audited_before_it_goes(pair: Pair) -> None:
    pair.workers.mismatches = 3
    outcome = pair.move().done()
    assert outcome.done and pair.workers.audits == 1
    assert any(text.startswith("3 pages were written without a mark") for text in outcome.told)
    until(lambda: pair.workers.alive == [])


def test_the_last_word_of_an_earlier_attempt_is_not_taken_for_this_ones(pair: Pair) -> None:
    """The domain came here before; now FINAL comes before the worker's own word has been taken up."""
    pair.workers.late = True
    pair.workers.on = lambda where, worker: heard() if where == "source.told" else None

    def heard() -> None:
        until(lambda: any(isinstance(each, TargetSide) and each._verifying for site in (pair.alpha, pair.beta)
                          for each in site.migrations.attempts()))

    here, there = pair.alpha, pair.beta
    for _ in range(4):
        assert pair.move(here, f"root@{there.name}").done().done
        until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
        here, there = there, here
        here.machine.boot_os(here.number("ldg1"))


def test_a_machine_that_is_busy_is_asked_for_its_barrier_again(pair: Pair) -> None:
    pair.alpha.machine.busy = 3
    assert pair.move().done().done
    assert pair.alpha.machine.busy == 0


def test_it_comes_back_and_goes_again(pair: Pair) -> None:
    """Each move has a greater number than all before it, on both sides, and neither journal is in its way."""
    assert pair.move().done().done
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
    pair.beta.machine.boot_os(pair.beta.number("ldg1"))
    assert pair.move(pair.beta, "root@alpha").done().done
    until(lambda: pair.alpha.migrations.view() == () and pair.beta.migrations.view() == ())
    pair.alpha.machine.boot_os(pair.alpha.number("ldg1"))
    for site in (pair.alpha, pair.beta):  # what a restart finds is settled
        site.kill()
        site.restart()
    assert pair.alpha.runs(pair.uuid) and pair.alpha.has("ldg1") and not pair.beta.has("ldg1")
    outcome = pair.move().done()
    assert outcome.done and pair.beta.runs(pair.uuid)
    number = pair.beta.number("ldg1")
    assert pair.beta.machine.peek(number, 8192, len(STAMP)) == STAMP
    mids = [each.mid for each in pair.beta.means.targets.records(pair.uuid) if isinstance(each, Owned)]
    assert mids == [1, 3]


@pytest.mark.parametrize("upto", ["bound", "inactive"])
def test_a_domain_that_does_not_run_moves_as_its_constraints(tmp_path: Path, upto: str) -> None:
    pair = Pair(tmp_path, upto=upto)
    domain = pair.alpha.room.domain("ldg1")
    assert pair.move(target="root@beta:web").done().done
    assert not pair.alpha.has("ldg1") and not pair.beta.has("ldg1")
    moved = pair.beta.room.domain("web")
    assert (str(moved.state), moved.uuid, moved.mac, moved.hostid) == (upto, domain.uuid, domain.mac, domain.hostid)
    assert pair.workers.alive == []
    until(lambda: pair.alpha.migrations.view() == ())
    pair.close()


def test_a_dry_run_says_the_same_and_changes_nothing(pair: Pair) -> None:
    before = pair.alpha.manager.configuration, pair.beta.manager.configuration
    outcome = pair.move(dry_run=True).done()
    assert outcome.done and outcome.problems == ()
    guest(pair.beta.room, "ldg1", vcpus=1, size="64M")
    before = pair.alpha.manager.configuration, pair.beta.manager.configuration
    outcome = pair.move(dry_run=True).done()
    assert not outcome.done
    assert outcome.problems[0] == "An LDom with the name 'ldg1' already exists on the target machine"
    assert (pair.alpha.manager.configuration, pair.beta.manager.configuration) == before
    for site in (pair.alpha, pair.beta):
        assert site.means.sources.uuids() == site.means.targets.uuids() == ()
        assert "guest.suspend" not in site.machine.ops() and "guest.receive" not in site.machine.ops()
    assert not pair.alpha.migrations.attempts()


def test_all_unmet_rules_are_told_and_nothing_was_changed(pair: Pair) -> None:
    guest(pair.beta.room, "ldg1", vcpus=1, size="64M", upto="inactive")
    domain = pair.alpha.room.domain("ldg1")
    pair.alpha.room.machine.guests[pair.alpha.number("ldg1")].soft_state = {"normal": False, "text": "OpenBoot Running"}
    outcome = pair.move().done()
    assert not outcome.done
    assert [each.rule for each in outcome.findings] == ["G63", "M08"]
    assert "Migration is not supported while the domain ldg1 is in the 'OpenBoot Running' state" in outcome.problems
    assert pair.alpha.room.domain("ldg1") == domain and pair.alpha.runs(pair.uuid)
    until(lambda: [type(each).__name__ for each in pair.alpha.means.sources.records(pair.uuid)] == [
        "Prepared", "Aborted", "Closed"])
    pair.alpha.room.machine.boot_os(pair.alpha.number("ldg1"))
    assert pair.move(target="root@beta:web").done().done


def test_others_wait_while_a_domain_moves(pair: Pair) -> None:
    """On both machines; listing works, and so does cancelling."""
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    for site in (pair.alpha, pair.beta):
        outcome = site.manager.execute("add-domain", {"domains": ["other"]})
        assert outcome.error is not None and outcome.error.code == "migration.blocked"
        assert "ldg1" in outcome.error.text
        assert ("cancel it on alpha:" in outcome.error.remedy) == (site is pair.beta), "the source controls it"
        assert site.manager.execute("list-domain", {}).error is None
    again = pair.alpha.manager.execute("migrate-domain", {"domain": "ldg1", "target": "root@beta", "password": "x"})
    assert again.error is not None and again.error.code == "migration.failed"
    assert again.lines[0][1] == "Another migration is under way on the source machine alpha"
    row = pair.alpha.migrations.view()[0]
    assert (row.side, row.role, row.phase, row.peer, row.kind) == ("source", "source", 3, "beta", "live")
    there = pair.beta.migrations.view()[0]
    assert (there.side, there.role, there.domain, there.peer) == ("target", "target", "ldg1", "alpha")
    assert pair.beta.room.state("ldg1") == "bound"
    gate.open()
    assert moving.done().done


def test_cancelling_while_it_copies(pair: Pair) -> None:
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    assert cancel(pair.alpha).error is None
    outcome = moving.done()
    gate.open()
    assert not outcome.done and outcome.problems == ("cancelled by local, 2023-11-14 22:13:20 UTC",)
    assert pair.alpha.runs(pair.uuid) and pair.alpha.room.state("ldg1") == "active"
    until(lambda: not pair.beta.has("ldg1"))
    assert pair.beta.machine.memory.keys() == set()
    until(lambda: pair.alpha.migrations.view() == () and pair.workers.alive == [])
    assert pair.move().done().done


def test_the_target_shows_how_far_the_source_is(pair: Pair) -> None:
    """And both publish their phases, with the domain's name."""
    events: list[dict[str, Any]] = []
    for site in (pair.alpha, pair.beta):
        site.manager.watch(events.append)
    gate = Gate(pair, "source.copied")
    moving = pair.move()
    gate.reached()
    until(lambda: pair.alpha.migrations.view()[0].percent == 47)
    until(lambda: pair.beta.migrations.view()[0].percent == 47)
    gate.open()
    assert moving.done().done
    shown = [(each["side"], each["phase"]) for each in events if each["event"] == "migration-phase"]
    assert [phase for side, phase in shown if side == "source"] == [2, 3, 4, 5]
    assert [phase for side, phase in shown if side == "target"] == [2, 5]
    assert {each["domain"] for each in events if each["event"] == "migration-phase"} == {"ldg1"}


def test_the_target_does_not_control_it(pair: Pair) -> None:
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    said = cancel(pair.beta)
    assert said.error is not None and said.error.code == "migration.not-here"
    gate.open()
    assert moving.done().done
    said = cancel(pair.alpha)
    assert said.error is not None and said.error.code == "migration.none"


def test_a_cancelled_job_cancels_the_migration(pair: Pair) -> None:
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    until(lambda: moving.job is not None)
    pair.alpha.manager.cancel(moving.job.id)
    outcome = moving.done()
    gate.open()
    assert not outcome.done and pair.alpha.runs(pair.uuid)


def test_a_domain_that_ends_is_not_moved(pair: Pair) -> None:
    gate = Gate(pair, "source.connected")
    moving = pair.move()
    gate.reached()
    pair.alpha.machine.emit_state(pair.alpha.number("ldg1"), "power-off")
    outcome = moving.done()
    gate.open()
    assert not outcome.done and "stopped" in outcome.problems[0]
    until(lambda: pair.alpha.room.state("ldg1") == "bound" and not pair.beta.has("ldg1"))
