"""What a driver must keep (docs/internals/handover.md, "The effects"), one test for each."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from migrator_support import Pair, until
from moving_machine import ManualClock

from ldmd.clock import Bell
from ldmd.log import Log
from ldmd.messages import message
from ldmd.migration import events as ev
from ldmd.migration import records as rec
from ldmd.migration.events import LeaseMove, LeaseWord, Timer
from ldmd.migration.target import At
from ldmd.migrator.attempt import Attempt, StartFailedError
from ldmd.migrator.lease import BACK, SOURCE, TARGET, Leases, Value
from ldmd.migrator.link import Identity, Pace
from ldmd.migrator.means import Means
from ldmd.migrator.settings import Settings
from ldmd.store import Store

UUID = "00000000-0000-4000-8000-000000000001"


class Script:
    """A machine that answers each event with the effects a test wants, and remembers the events."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.answers: dict[type, list[ev.Effect]] = {}

    def step(self, state: Any, event: ev.Event) -> tuple[Any, list[ev.Effect]]:
        self.events.append(event)
        return state, list(self.answers.get(type(event), []))


class Journal:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.broken = ""

    def write(self, uuid: str, record: rec.Record) -> None:
        if self.broken == "write":
            raise message("store.full", path="x", problem="full")
        self.done.append(type(record).__name__)

    def sync(self) -> None:
        if self.broken == "sync":
            raise message("store.write", path="x", problem="gone")
        self.done.append("sync")


class Bare(Attempt):
    """An attempt that only notes what it is asked for."""

    side = "source"
    name = "ldg1"

    def __init__(self, means: Means) -> None:
        super().__init__(means, UUID, Script(), SimpleNamespace(phase=1, at=At.NONE))
        self.notes = Journal()
        self.start_fails = False
        self.stops = 0

    @property
    def journal(self) -> Any:
        return self.notes

    def carry_out(self, effect: ev.Effect) -> None:
        if isinstance(effect, ev.StartGuest) and self.start_fails:
            raise StartFailedError
        self.notes.done.append(type(effect).__name__)

    def heard(self, frame: dict[str, Any]) -> None:
        self.notes.done.append(f"frame {frame['type']}")

    def stop_work(self) -> None:
        self.stops += 1


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    clock = ManualClock()
    manager: Any = SimpleNamespace(clock=clock, bell=Bell(), log=Log(), store=Store(), publish=lambda *a, **k: None)
    means = Means(manager, tmp_path, Identity(tmp_path / "c", tmp_path / "k"), pace=Pace())
    attempt = Bare(means)
    attempt.start()
    return attempt


def script(bare: Bare) -> Script:
    machine: Script = bare.machine
    return machine


def calm(bare: Bare) -> None:
    until(lambda: bare.idle)


def test_effects_come_in_order_each_whole(bare: Bare) -> None:
    script(bare).answers[ev.Begin] = [ev.Write(rec.Released(1)), ev.Sync(), ev.CloseDisks(), ev.ResumeGuest()]
    bare.post(ev.Begin())
    calm(bare)
    assert bare.notes.done == ["Released", "sync", "CloseDisks", "ResumeGuest"]


@pytest.mark.parametrize("broken", ["write", "sync"])
def test_a_journal_that_fails_drops_the_rest_and_is_told(bare: Bare, broken: str) -> None:
    bare.notes.broken = broken
    script(bare).answers[ev.Begin] = [ev.Write(rec.Released(1)), ev.Sync(), ev.CloseDisks()]
    bare.post(ev.Begin())
    calm(bare)
    assert "CloseDisks" not in bare.notes.done
    assert script(bare).events == [ev.Begin(), ev.JournalFailed()]


def test_a_start_that_fails_drops_the_rest_and_is_told(bare: Bare) -> None:
    bare.start_fails = True
    script(bare).answers[ev.Begin] = [ev.Sync(), ev.StartGuest(), ev.DestroyGuest()]
    bare.post(ev.Begin())
    calm(bare)
    assert bare.notes.done == ["sync"] and script(bare).events == [ev.Begin(), ev.StartFailed()]


def test_a_defect_is_like_a_failed_journal(bare: Bare) -> None:
    script(bare).answers[ev.Begin] = [ev.CloseDisks(), ev.Sync()]
    bare.carry_out = lambda effect: int("x")  # type: ignore[method-assign, assignment, return-value]
    bare.post(ev.Begin())
    calm(bare)
    assert script(bare).events[-1] == ev.JournalFailed() and bare.notes.done == []


def test_a_timer_that_was_replaced_or_ended_does_not_fire(bare: Bare) -> None:
    clock = bare.means.manager.clock
    assert isinstance(clock, ManualClock)
    script(bare).answers[ev.Begin] = [ev.SetTimer(Timer.DOUBT)]
    script(bare).answers[ev.LinkUp] = [ev.SetTimer(Timer.RECONNECT)]
    script(bare).answers[ev.Converged] = [ev.SetTimer(None)]
    bare.post(ev.Begin())
    bare.post(ev.LinkUp())
    calm(bare)
    clock.advance(30)  # DOUBT's 20 seconds are over
    bare.post(ev.Suspended())
    calm(bare)
    assert not any(isinstance(each, ev.Expired) for each in script(bare).events)
    clock.advance(31)
    until(lambda: ev.Expired(Timer.RECONNECT) in script(bare).events)
    bare.post(ev.LinkUp())
    bare.post(ev.Converged())
    calm(bare)
    clock.advance(1000)
    bare.post(ev.Suspended())
    calm(bare)
    assert script(bare).events.count(ev.Expired(Timer.RECONNECT)) == 1


def test_no_event_of_a_job_comes_after_it_was_stopped(bare: Bare) -> None:
    gate = threading.Event()

    def slow(number: int) -> ev.Event:
        gate.wait(30)
        return ev.Suspended()

    bare.run_job(slow, failed=ev.Suspended)
    bare.act(lambda: bare.step(ev.Begin()))
    script(bare).answers[ev.Begin] = [ev.StopTransfer()]
    calm(bare)
    gate.set()
    bare.run_job(lambda number: ev.Converged(), failed=ev.Suspended)
    until(lambda: ev.Converged() in script(bare).events)
    assert ev.Suspended() not in script(bare).events and bare.stops == 1


def test_a_state_is_entered_until_its_effects_are_carried_out_and_not_again(bare: Bare) -> None:
    """What holds a domain is that it begins to run; not a late `close` of an attempt that ended."""
    seen: list[bool] = []
    bare.state = SimpleNamespace(phase=1, at=At.NONE)
    script(bare).step = lambda state, event: (  # type: ignore[method-assign]
        SimpleNamespace(phase=1, at=At.OWNER), [ev.CloseDisks()])
    bare.carry_out = lambda effect: seen.append(bare.entering(At.OWNER))  # type: ignore[method-assign]
    bare.post(ev.Begin())
    calm(bare)
    bare.post(ev.LinkUp())
    calm(bare)
    assert seen == [True, False] and not bare.entering(At.OWNER)


def test_a_job_that_fails_says_why(bare: Bare) -> None:
    def fails(number: int) -> ev.Event:
        raise message("store.full", path="x", problem="full")

    bare.run_job(fails, failed=ev.TransferFailed)
    until(lambda: bool(script(bare).events))
    event = script(bare).events[0]
    assert isinstance(event, ev.TransferFailed) and event.why


class FakeLink:
    """A link without a socket."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = False

    def start(self, on_frame: Any, on_end: Any) -> None:
        self.on_frame, self.on_end = on_frame, on_end

    def send(self, frame: Any) -> bool:
        self.sent.append(frame)
        return True

    def close(self, *, at_once: bool = False) -> None:
        self.closed = True

    def join(self, seconds: float = 0) -> None:
        pass


def packed(said: rec.Message) -> dict[str, Any]:
    return {"type": "message", "body": rec.pack(said)}


def test_messages_come_of_the_connection_that_stands_only(bare: Bare) -> None:
    one, two = FakeLink(), FakeLink()
    bare.arrive(one)  # type: ignore[arg-type]
    calm(bare)
    one.on_frame(packed(rec.Accept(1)))
    bare.arrive(two)  # type: ignore[arg-type]
    calm(bare)
    one.on_frame(packed(rec.Never(1)))
    one.on_end("late")
    two.on_frame(packed(rec.Commit(1)))
    calm(bare)
    assert one.closed
    assert script(bare).events == [ev.LinkUp(), ev.Received(rec.Accept(1)), ev.LinkDown(), ev.LinkUp(),
                                   ev.Received(rec.Commit(1))]


@pytest.mark.parametrize("frame", [{"type": "message"}, {"type": "message", "body": b"\xc1"},
                                   {"type": "message", "body": "text"},
                                   {"type": "message", "body": b"\x81\xa4type\xa1x"}])
def test_who_breaks_the_rules_loses_the_link(bare: Bare, frame: dict[str, Any]) -> None:
    link = FakeLink()
    bare.arrive(link)  # type: ignore[arg-type]
    calm(bare)
    link.on_frame(frame)
    link.on_frame(packed(rec.Accept(1)))
    calm(bare)
    assert link.closed and script(bare).events == [ev.LinkUp(), ev.LinkDown()]


def test_an_older_attempts_link_only_gets_answers(bare: Bare) -> None:
    main, old = FakeLink(), FakeLink()
    bare.arrive(main)  # type: ignore[arg-type]
    bare.arrive(old, main=False)  # type: ignore[arg-type]
    calm(bare)
    script(bare).answers[ev.Received] = [ev.Send(rec.Never(1))]
    old.on_frame(packed(rec.Abort(1)))
    calm(bare)
    assert old.sent == [packed(rec.Never(1))] and main.sent == []
    old.on_end("gone")
    calm(bare)
    assert script(bare).events == [ev.LinkUp(), ev.Received(rec.Abort(1))]


# -- leases


def test_a_lease_is_moved_by_compare_and_set(tmp_path: Path) -> None:
    here, there = Leases(tmp_path / "l", "here"), Leases(tmp_path / "l", "there")
    assert there.move(UUID, 1, LeaseMove.TAKE) is LeaseWord.LOST
    assert here.move(UUID, 1, LeaseMove.HOLD) is LeaseWord.TAKEN
    assert here.value(UUID) == Value(1, SOURCE, "here")
    assert there.move(UUID, 2, LeaseMove.TAKE) is LeaseWord.LOST
    assert there.move(UUID, 1, LeaseMove.TAKE) is LeaseWord.TAKEN
    assert here.move(UUID, 1, LeaseMove.RECLAIM) is LeaseWord.LOST
    assert here.move(UUID, 2, LeaseMove.HOLD) is LeaseWord.LOST  # it is the other's
    assert there.value(UUID) == Value(1, TARGET, "there")
    assert there.move(UUID, 2, LeaseMove.HOLD) is LeaseWord.TAKEN  # it goes back
    assert there.move(UUID, 2, LeaseMove.RECLAIM) is LeaseWord.TAKEN
    assert here.move(UUID, 2, LeaseMove.TAKE) is LeaseWord.LOST
    assert there.value(UUID) == Value(2, BACK, "there")
    assert there.move(UUID, 3, LeaseMove.HOLD) is LeaseWord.TAKEN
    assert here.move(UUID, 3, LeaseMove.TAKE) is LeaseWord.TAKEN
    assert there.move(UUID, 3, LeaseMove.REGAIN) is LeaseWord.TAKEN  # it was told NEVER


def test_of_two_that_want_it_at_one_time_one_has_it(tmp_path: Path) -> None:
    for mid in range(1, 21):
        source, target = Leases(tmp_path / "l", "s"), Leases(tmp_path / "l", "t")
        (tmp_path / "l" / f"{UUID}.lease").unlink(missing_ok=True)
        assert source.move(UUID, mid, LeaseMove.HOLD) is LeaseWord.TAKEN
        start, words = threading.Barrier(2), {}

        def go(name: str, leases: Leases, move: LeaseMove, mid: int = mid, start: Any = start,
               words: dict[str, LeaseWord] = words) -> None:
            start.wait(30)
            words[name] = leases.move(UUID, mid, move)

        threads = [threading.Thread(target=go, args=("s", source, LeaseMove.RECLAIM)),
                   threading.Thread(target=go, args=("t", target, LeaseMove.TAKE))]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        assert sorted(words.values(), key=str) == sorted((LeaseWord.TAKEN, LeaseWord.LOST), key=str)


def test_a_storage_that_is_away_or_damaged_is_unreachable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert Leases(file / "l", "s").move(UUID, 1, LeaseMove.HOLD) is LeaseWord.UNREACHABLE
    leases = Leases(tmp_path / "l", "s")
    assert leases.move(UUID, 1, LeaseMove.HOLD) is LeaseWord.TAKEN
    (tmp_path / "l" / f"{UUID}.lease").write_text("{")
    assert leases.move(UUID, 1, LeaseMove.TAKE) is LeaseWord.UNREACHABLE and leases.value(UUID) is None


def test_a_migration_with_a_lease(tmp_path: Path) -> None:
    pair = Pair(tmp_path, settings=Settings(lease_directory=str(tmp_path / "leases")), disk=True)
    assert pair.move().done().done
    leases = pair.alpha.means.leases
    assert leases is not None
    value = leases.value(pair.uuid)
    assert value is not None and (value.mid, value.holder) == (1, TARGET)
    pair.close()
