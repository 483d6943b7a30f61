"""What is in nobody's way on a good day: full storage of leases and records, damaged journals, both managers restarted,
a person's word about a dead peer, clocks that are set, managers of one name, memory handed over by a system that
suspends itself."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from migrator_support import STAMP, Gate, Pair, Site, cancel, pause, until

from ldmd.messages import RefusedError
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migrationrecord import FolderRecords, kept_in, read
from ldmd.migrator.lease import Leases, Value
from ldmd.migrator.means import Killed
from ldmd.migrator.settings import Settings

SERVICES = ("domain-shutdown", "md-update", "dr-cpu", "domain-suspend")


def settle(pair: Pair, *, hurry: float = 2.0) -> None:
    """Time passes, until nothing holds the domain any more."""
    sites = (pair.alpha, pair.beta)

    def calm() -> bool:
        for site in sites:
            site.clock.advance(hurry)
        pause(0.01)
        return not any(each.holds or not each.idle for site in sites for each in site.migrations.attempts())

    until(calm, "it does not settle")


def where(pair: Pair) -> list[str]:
    return [site.name for site in (pair.alpha, pair.beta) if site.runs(pair.uuid)]


# -- full storage


@pytest.fixture
def leased(tmp_path: Path) -> Pair:
    return Pair(tmp_path, settings=Settings(lease_directory=str(tmp_path / "leases")), disk=True)


def full(monkeypatch: pytest.MonkeyPatch, when: Callable[[Value], bool]) -> list[Value]:
    """No space for the leases for which `when` holds."""
    tried: list[Value] = []
    write = Leases._write

    def no_space(self: Leases, uuid: str, value: Value) -> None:
        if when(value):
            tried.append(value)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, uuid, value)

    monkeypatch.setattr(Leases, "_write", no_space)
    return tried


def test_no_space_for_the_lease_and_nothing_has_begun(leased: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = full(monkeypatch, lambda value: True)
    outcome = leased.move().done()
    assert not outcome.done and outcome.problems == ("the storage lease of the domain's disks could not be had",)
    assert tried and where(leased) == ["alpha"]
    monkeypatch.undo()
    settle(leased)
    assert leased.move().done().done
    leased.close()


def test_no_space_when_the_target_takes_it_and_it_waits(leased: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """After RELEASE: the image is kept, a person is told, nothing runs; with space again it ends by itself."""
    tried = full(monkeypatch, lambda value: value.holder == "target")
    moving = leased.move()
    until(lambda: len(tried) == 1)
    until(lambda: "the storage lease cannot be reached" in [
        line for each in leased.beta.migrations.attempts() for line in each.told])
    assert where(leased) == [] and leased.beta.migrations.role("ldg1") == "error"
    monkeypatch.undo()
    settle(leased)
    assert moving.done().done or moving.outcome is not None
    assert where(leased) == ["beta"]
    leased.close()


def test_a_target_without_space_says_so(pair: Pair) -> None:
    """At once, each time, and whose disk it is; a restart with space again takes it."""
    pair.beta.full = True
    first, second = pair.move().done(), pair.move().done()
    assert first.problems[0].startswith("beta: "), first
    broken = "the target's journal of migrations failed: make space on its disk, and restart its ldmd"
    assert second.problems == (broken,)
    assert where(pair) == ["alpha"] and not pair.beta.has("ldg1")
    pair.beta.kill()
    pair.beta.full = False
    pair.beta.restart()
    settle(pair)
    assert pair.move().done().done


def test_no_space_for_records_and_history_loses_them_and_no_more(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    records = FolderRecords(tmp_path / "migrations", told.append)
    write = Path.write_text

    def half(self: Path, data: str, **more: Any) -> int:
        if self.suffix == ".new":
            write(self, data[:10], **more)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data, **more)

    monkeypatch.setattr(Path, "write_text", half)
    records.add({"domain": "ldg1"})
    assert "No space left" in told[0] and list((tmp_path / "migrations").iterdir()) == []
    monkeypatch.undo()
    records.add({"domain": "ldg1"})
    assert [each.name for each in kept_in(tmp_path / "migrations")] == ["0001-ldg1"]
    with pytest.raises(RefusedError):
        read(tmp_path / "migrations" / "0001-ldg1.json")  # it says nothing

    def no_rows(rows: Any) -> None:
        raise RefusedError("store.full", "the disk is full")

    monkeypatch.setattr(pair.beta.manager.store, "add_history", no_rows)
    assert pair.move().done().done


# -- journals that were damaged


def journal(site: Site, statement: str, *given: object) -> int:
    """Change the file of a manager that is down, as a defect of its disk would."""
    with sqlite3.connect(site.path) as base:
        return base.execute(statement, given).rowcount


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_damaged_record_is_named_and_nothing_is_guessed(pair: Pair, which: str) -> None:
    """In the middle or at the end: the manager does not start with it, and the domain stands as it stood."""
    gate = Gate(pair, "source.copied")
    pair.move()
    gate.reached()
    pair.alpha.kill()
    gate.open()
    order = "min(rowid)" if which == "first" else "max(rowid)"
    assert journal(pair.alpha, f"update migration set body = substr(body, 1, 9) where rowid = "
                   f"(select {order} from migration)") == 1
    with pytest.raises(RefusedError) as refused:
        pair.alpha.restart()
    assert refused.value.code == "store.damaged" and pair.uuid in refused.value.text + str(refused.value.cause)
    assert where(pair) == ["alpha"]
    pair.alpha.kill()
    assert journal(pair.alpha, "delete from migration") >= 1  # a person's remedy: the copy of before it
    pair.alpha.restart()
    settle(pair)
    assert where(pair) == ["alpha"] and not pair.beta.has("ldg1")
    assert pair.move().done().done


# -- both managers


STEPS = ("source.Write.done", "source.StartTransfer.done", "source.SuspendGuest.done", "source.CloseDisks.done",
         "source.DestroyGuest.begin", "target.Preflight.begin", "target.CreateDomain.done", "target.Verify.begin",
         "target.StartGuest.begin", "target.StartGuest.done")


@pytest.mark.parametrize(("step", "first"), [(step, ("alpha", "beta")[n % 2]) for n, step in enumerate(STEPS)])
def test_both_managers_are_restarted(pair: Pair, step: str, first: str) -> None:
    """In every phase, in either order: one copy, and the domain can be moved then."""
    reached: list[str] = []

    def at(name: str) -> None:
        if name == step and not reached:
            reached.append(name)
            pair.alpha.means.dead = pair.beta.means.dead = True
            raise Killed

    pair.alpha.step = pair.beta.step = at
    pair.move()
    until(lambda: bool(reached), f"{step} was not reached")
    sites = [pair.alpha, pair.beta] if first == "alpha" else [pair.beta, pair.alpha]
    for site in sites:
        site.kill()
    for site in sites:
        site.restart()
        pause(0.02)
    settle(pair)
    assert len(where(pair)) == 1 and pair.alpha.has("ldg1") != pair.beta.has("ldg1")
    here = pair.alpha if where(pair) == ["alpha"] else pair.beta
    assert here.machine.peek(here.number("ldg1"), 8192, len(STAMP)) == STAMP
    here.machine.boot_os(here.number("ldg1"))
    other = pair.beta if here is pair.alpha else pair.alpha
    assert pair.move(here, f"root@{other.name}").done().done


def test_why_a_target_that_was_restarted_gave_up(pair: Pair) -> None:
    """Its manager is killed while memory is copied: both sides say what became of it."""
    gate = Gate(pair, "source.final")
    moving = pair.move()
    gate.reached()
    until(lambda: [each.percent for each in pair.beta.migrations.view()] == [91], "beta does not know how far it is")
    pair.beta.kill()
    pair.beta.restart()
    outcome = moving.done()
    gate.open()
    why = "its ldmd was restarted meanwhile"
    assert outcome.problems == ("beta gave the migration up", f"  {why}"), outcome
    settle(pair)
    rows = [row for row in pair.beta.manager.history(50) if row["line"] == "ldm migrate-domain ldg1 beta"]
    assert [(row["caller"], row["text"]) for row in rows] == [("alpha", why)]
    assert pair.move().done().done


def test_why_a_target_that_went_away_does_not_have_it(pair: Pair) -> None:
    gate = Gate(pair, "source.copied")
    moving = pair.move()
    gate.reached()
    pair.beta.kill()
    until(lambda: pair.alpha.clock.advance(5.0) is None and not moving.thread.is_alive(), "it waits for ever")
    gate.open()
    lost = "the connection to beta was lost, and did not come back in time: the domain stays here"
    assert moving.done().problems == (lost,) and where(pair) == ["alpha"]
    pair.beta.restart()
    settle(pair)
    assert not pair.beta.has("ldg1") and pair.move().done().done


# -- a person's word


def test_a_person_says_that_the_target_is_lost(pair: Pair) -> None:
    """Flag e: released, and nobody answers. Refused without -f; with it the domain runs on here, and the journal has
    who said so, and when. What comes back later gives its image up."""
    lost: list[str] = []

    def at(name: str) -> None:
        if name == "target.Write.begin" and pair.beta.migrations.attempts()[0].state.at.value == "owner":
            lost.append(name)
            pair.beta.means.dead = True
            raise Killed

    pair.beta.step = at
    moving = pair.move()
    until(lambda: bool(lost))
    pair.beta.kill()
    attempt = pair.alpha.migrations.attempts()[0]
    until(lambda: pair.alpha.clock.advance(5.0) is None and attempt.state.doubt, "nobody doubts")
    assert attempt.state.at is src.At.RELEASED and pair.alpha.migrations.role("ldg1") == "error"
    assert moving.done().done is False
    said = cancel(pair.alpha)
    assert said.error is not None and said.error.code == "migration.in-doubt"
    assert "ldm cancel-operation -f migration ldg1" in said.error.text and where(pair) == []
    assert cancel(pair.alpha, force=True).error is None
    until(lambda: where(pair) == ["alpha"])
    fenced = [each for each in pair.alpha.means.sources.records(pair.uuid) if isinstance(each, rec.Aborted)]
    assert fenced[-1].fenced and fenced[-1].who and "declared dead" in fenced[-1].why
    until(lambda: endings(pair) == ["beta was declared dead"])
    pair.beta.step = lambda where: None
    pair.beta.restart()  # it was not lost after all, and its image never ran
    settle(pair)
    assert where(pair) == ["alpha"] and not pair.beta.has("ldg1")
    assert pair.move().done().done


def endings(pair: Pair) -> list[str]:
    """What alpha's history says of migrations that ended when who had begun them waited no more."""
    return [row["text"] for row in pair.alpha.manager.history(50)
            if (row["caller"], row["line"]) == ("ldmd", "ldm migrate-domain ldg1 beta")]


def test_a_migration_left_in_doubt_ends_well(pair: Pair) -> None:
    """The command has failed, with what may be done; the history has the end that nobody waited for."""
    started: list[str] = []

    def at(name: str) -> None:
        if name == "target.Send.begin" and pair.beta.migrations.attempts()[0].state.at.value == "owner":
            started.append(name)
            pair.beta.means.dead = True
            raise Killed

    pair.beta.step = at
    moving = pair.move()
    until(lambda: bool(started))
    pair.beta.kill()
    attempt = pair.alpha.migrations.attempts()[0]
    until(lambda: pair.alpha.clock.advance(5.0) is None and attempt.state.doubt, "nobody doubts")
    outcome = moving.done()
    assert not outcome.done and "If beta is lost: ldm cancel-operation migration ldg1" in outcome.problems[0]
    assert endings(pair) == []
    pair.beta.step = lambda where: None
    pair.beta.restart()
    settle(pair)
    assert where(pair) == ["beta"] and endings(pair) == ["OK"]


def test_a_target_whose_source_is_lost_is_cleared_by_a_person(pair: Pair) -> None:
    killed: list[str] = []

    def at(name: str) -> None:
        if name == "source.Write.begin" and pair.alpha.migrations.attempts()[0].state.at is src.At.RELEASED:
            killed.append(name)
            pair.alpha.means.dead = True
            raise Killed

    pair.alpha.step = at
    pair.move()
    until(lambda: bool(killed))
    assert cancel(pair.beta).error is not None and pair.beta.has("ldg1")
    pair.alpha.kill()
    until(lambda: not pair.beta.migrations.attempts()[0].state.linked)
    until(lambda: pair.beta.clock.advance(5.0) is None and pair.beta.migrations.role("ldg1") == "error", "no flag e")
    view = next(each for each in pair.beta.migrations.view() if each.domain == "ldg1")
    assert view.told[-1].startswith("all of the domain is here, but the source has not said")
    assert view.told[-1].endswith("ldm cancel-operation -f migration ldg1")
    assert cancel(pair.beta).error is not None and pair.beta.has("ldg1")
    assert cancel(pair.beta, force=True).error is None
    until(lambda: not pair.beta.has("ldg1") and pair.beta.machine.memory.keys() <= pair.beta.machine.guests.keys())
    pair.alpha.restart()
    settle(pair)
    assert where(pair) == ["alpha"]


# -- together


@pytest.mark.parametrize("manner", ["allow", "refuse"])
def test_a_system_that_suspends_itself_is_handed_over(tmp_path: Path, manner: str) -> None:
    pair = Pair(tmp_path, settings=Settings(handover="auto"))
    pair.alpha.machine.boot_os(pair.alpha.number("ldg1"), *SERVICES)
    pair.alpha.machine.manner = manner
    outcome = pair.move().done()
    assert outcome.done == (manner == "allow")
    if manner == "allow":
        assert outcome.summary["handover"] and pair.alpha.machine.itself == 1 and where(pair) == ["beta"]
    else:
        assert "refuses to suspend" in outcome.problems[0]
        until(lambda: where(pair) == ["alpha"] and not pair.beta.has("ldg1"))
        assert pair.alpha.machine.lent == 1  # it had been offered already, and came back
        settle(pair)
        pair.alpha.machine.manner = "allow"
        assert pair.move().done().done
    pair.close()


def test_two_managers_of_one_name(tmp_path: Path) -> None:
    """A name is what people give a host; who it is, its certificate says: leases and journals do not mix them up."""
    pair = Pair(tmp_path, settings=Settings(lease_directory=str(tmp_path / "leases")), disk=True)
    now = pair.beta.manager.configuration
    pair.beta.manager.commit(replace(now, server=replace(now.server, name="alpha")))
    assert pair.move().done().done and where(pair) == ["beta"]
    leases = pair.alpha.means.leases
    assert leases is not None
    value = leases.value(pair.uuid)
    assert value is not None and value.holder == "target" and value.server != leases.server
    settle(pair)
    pair.beta.machine.boot_os(pair.beta.number("ldg1"))
    assert pair.move(pair.beta, "root@alpha").done().done and where(pair) == ["alpha"]
    pair.close()


@pytest.mark.parametrize("step", ["source.copied", "source.sent"])
def test_a_clock_is_set_back_while_a_domain_moves(pair: Pair, step: str) -> None:
    """The time of day of both hosts jumps, back and ahead: nothing that is measured does, and no timer runs out."""
    gate = Gate(pair, step)
    moving = pair.move()
    gate.reached()
    for site, seconds in ((pair.alpha, -86_400.0), (pair.beta, 86_400.0)):
        site.clock.set_by(seconds)
    gate.open()
    outcome = moving.done()
    assert outcome.done and where(pair) == ["beta"]
    assert 0 <= outcome.summary["downtime_ms"] < 10_000
    started = pair.beta.room.domain("ldg1").started_at
    assert started is not None and started <= pair.beta.clock.now()
