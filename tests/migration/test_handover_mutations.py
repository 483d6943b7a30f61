"""The checker is worth something only if it notices: each of these breaks one rule, and must be caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from migration_explorer import explore
from migration_world import Budget, Rules

from ldmd.migration import events as ev
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migration import target as dst

Effects = list[ev.Effect]


def without_sync(kind: type[rec.Record]) -> Callable[[Effects], Effects]:
    """The record of that kind is written, and not synced."""

    def spoil(effects: Effects) -> Effects:
        result: Effects = []
        for n, effect in enumerate(effects):
            before = effects[n - 1] if n else None
            if not (isinstance(effect, ev.Sync) and isinstance(before, ev.Write) and isinstance(before.record, kind)):
                result.append(effect)
        return result

    return spoil


def early(first: type[ev.Effect], kind: type[rec.Record]) -> Callable[[Effects], Effects]:
    """The effect `first` comes before the record of that kind is written."""

    def spoil(effects: Effects) -> Effects:
        if not any(isinstance(each, ev.Write) and isinstance(each.record, kind) for each in effects):
            return effects
        return [each for each in effects if isinstance(each, first)] + [
            each for each in effects if not isinstance(each, first)]

    return spoil


def no_sync_of_what_is_read(effects: Effects) -> Effects:
    return effects[1:] if effects and isinstance(effects[0], ev.Sync) else effects


class ResumesOnDoubt(src.Source):
    def expired(self, state: src.State, timer: ev.Timer) -> src.Step:
        if state.at is src.At.RELEASED:
            return self.back(state, rec.Aborted(state.plan.mid, "time"))
        return super().expired(state, timer)


class TellsTooEarly(src.Source):
    def release(self, state: src.State) -> src.Step:
        state, effects = super().release(state)
        return state, [*effects, ev.Tell("", success=True)]


class KeepsDisksAtRestart(src.Source):
    def restarted(self, state: src.State, event: ev.Restarted) -> src.Step:
        state, effects = super().restarted(state, event)
        return state, [each for each in effects if not isinstance(each, ev.CloseDisks)]


class TakesAnyLease(src.Source):
    def reclaim(self, state: src.State, move: ev.LeaseMove, *, why: str, who: str = "") -> src.Step:
        return super().reclaim(state, ev.LeaseMove.REGAIN, why=why, who=who)


class ForgetsToCommitAgain(src.Source):
    def link_up(self, state: src.State) -> src.Step:
        return (state, []) if state.at is src.At.RELEASED else super().link_up(state)

    def expired(self, state: src.State, timer: ev.Timer) -> src.Step:
        return (state, []) if state.at is src.At.RELEASED else super().expired(state, timer)

    def received(self, state: src.State, message: rec.Message) -> src.Step:
        again = state.at is src.At.RELEASED and isinstance(message, rec.Ready)
        return (state, []) if again else super().received(state, message)


class AbortsFromRescueBlindly(src.Source):
    """Boots a domain that was released, when its memory is lost here."""

    def machine_died(self, state: src.State) -> src.Step:
        if state.at is src.At.RELEASED:
            return self.back(state, rec.Aborted(state.plan.mid, "died"))
        return super().machine_died(state)


class NeverWhileReady(dst.Target):
    def drop(self, state: dst.State, answer: Effects) -> dst.Step:
        if state.at is dst.At.READY and answer:
            return state, answer
        return super().drop(state, answer)


class NumbersUnchecked(dst.Target):
    def received(self, state: dst.State, message: rec.Message) -> dst.Step:
        if isinstance(message, rec.Commit) and state.at is dst.At.READY:
            message = replace(message, mid=state.mid)
        return super().received(state, message)


class OwnsWithoutLease(dst.Target):
    def committed(self, state: dst.State) -> dst.Step:
        return self.own(state)


class StartsAtEveryCommit(dst.Target):
    def received(self, state: dst.State, message: rec.Message) -> dst.Step:
        if isinstance(message, rec.Commit) and state.at is dst.At.OWNER and message.mid == state.mid:
            return self.own(state)
        return super().received(state, message)


class SaysRunningOnce(dst.Target):
    def running(self, state: dst.State, mid: int) -> ev.Effect:
        return super().running(state, mid) if state.at is not dst.At.OWNER else ev.SetTimer(None)


class RunsWithoutCommit(dst.Target):
    def expired(self, state: dst.State, timer: ev.Timer) -> dst.Step:
        return self.own(state) if state.at is dst.At.READY else super().expired(state, timer)


class RefusesStaleOffersNot(dst.Target):
    def offered(self, state: dst.State, offer: rec.Offer) -> dst.Step:
        return super().offered(replace(state, newest=0), offer)


class RunsWhatDiffers(dst.Target):
    def received(self, state: dst.State, message: rec.Message) -> dst.Step:
        if isinstance(message, rec.Final) and state.at is dst.At.RECEIVING and message.mid == state.mid:
            after = replace(state, at=dst.At.READY, digest=message.digest)
            return after, [ev.Send(rec.Ready(state.mid, message.digest))]
        return super().received(state, message)


class DropsWhatItOwns(dst.Target):
    def revive(self, state: dst.State, guest: ev.Guest) -> Effects:
        return [ev.DropImage()] if guest is ev.Guest.IMAGE else super().revive(state, guest)


class ServesNoMore(src.Source):
    """Takes a domain that runs at the target back when it hears nothing."""

    def expired(self, state: src.State, timer: ev.Timer) -> src.Step:
        if state.at is src.At.SERVING:
            return self.back(replace(state, served=False), rec.Aborted(state.plan.mid, "time"))
        return super().expired(state, timer)


class DoneWhilePagesAreMissing(src.Source):
    def received(self, state: src.State, message: rec.Message) -> src.Step:
        if isinstance(message, rec.Paging) and state.at is src.At.RELEASED:
            return self.done(state, started=True)
        return super().received(state, message)


class SaysRunningForPaging(dst.Target):
    def running(self, state: dst.State, mid: int) -> ev.Effect:
        return super().running(replace(state, missing=0), mid)


class TakesThePartialForWhole(dst.Target):
    def restarted(self, event: ev.Restarted) -> dst.Step:
        guest = ev.Guest.RUNNING if event.guest is ev.Guest.PARTIAL else event.guest
        return super().restarted(replace(event, guest=guest))


class GivesUpAtOnce(dst.Target):
    def own(self, state: dst.State) -> dst.Step:
        state, effects = super().own(state)
        return state, [*effects, ev.LoseGuest()] if state.missing else effects


class KeepsWhatCannotBeWhole(dst.Target):
    def lost(self, state: dst.State, lose: Effects) -> dst.Step:
        return state, []


class ForgetsThatAllCame(dst.Target):
    def own(self, state: dst.State) -> dst.Step:
        return super().own(replace(state, came=False))


POSTCOPY: list[tuple[src.Source | None, dst.Target | None, Budget]] = [
    (ServesNoMore(), None, Budget(cuts=1)),
    (DoneWhilePagesAreMissing(), None, Budget()),
    (None, ForgetsThatAllCame(), Budget()),
    (None, SaysRunningForPaging(), Budget()),
    (None, TakesThePartialForWhole(), Budget(kills=1)),
    (None, GivesUpAtOnce(), Budget()),
    (None, KeepsWhatCannotBeWhole(), Budget(kills=1)),
]
SOURCES: list[tuple[type[src.Source], dict[str, Any], Budget]] = [
    (ResumesOnDoubt, {}, Budget()),
    (TellsTooEarly, {}, Budget()),
    (KeepsDisksAtRestart, {}, Budget(kills=1)),
    (TakesAnyLease, {"lease": True}, Budget(cuts=1, cancels=1)),
    (ForgetsToCommitAgain, {}, Budget(cuts=1)),
    (AbortsFromRescueBlindly, {}, Budget(deaths=1)),
]
TARGETS: list[tuple[type[dst.Target], dict[str, Any], Budget]] = [
    (NeverWhileReady, {"soup": True}, Budget(cancels=1)),
    (NumbersUnchecked, {"soup": True}, Budget(attempts=2, cancels=1, cuts=1)),
    (OwnsWithoutLease, {"lease": True}, Budget()),
    (StartsAtEveryCommit, {"soup": True}, Budget()),
    (SaysRunningOnce, {}, Budget(cuts=1)),
    (RunsWithoutCommit, {}, Budget()),
    (RefusesStaleOffersNot, {"soup": True}, Budget(cancels=1)),
    (RunsWhatDiffers, {}, Budget()),
    (DropsWhatItOwns, {}, Budget(kills=1)),
]
LISTS: dict[str, tuple[Callable[[Effects], Effects], Budget]] = {
    "no sync of PREP at the source": (without_sync(rec.Prepared), Budget(outages=1)),
    "no sync of RELEASE": (without_sync(rec.Released), Budget(outages=1)),
    "no sync of ABORT": (without_sync(rec.Aborted), Budget(outages=1)),
    "no sync of OWN": (without_sync(rec.Owned), Budget(outages=1)),
    "no sync of what a restart reads": (no_sync_of_what_is_read, Budget(kills=1, outages=1)),
    "COMMIT before RELEASE": (early(ev.Send, rec.Released), Budget(outages=1)),
    "the domain runs before OWN": (early(ev.StartGuest, rec.Owned), Budget(outages=1)),
    "RUNNING before OWN": (early(ev.Send, rec.Owned), Budget(outages=1)),
    "the domain resumes before ABORT": (early(ev.ResumeGuest, rec.Aborted), Budget(outages=1)),
}


@pytest.mark.parametrize(("machine", "how", "budget"), SOURCES, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_source_is_noticed(machine: type[src.Source], how: dict[str, Any], budget: Budget) -> None:
    assert explore(Rules(source=machine(), **how), budget).wrong


@pytest.mark.parametrize(("machine", "how", "budget"), TARGETS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_target_is_noticed(machine: type[dst.Target], how: dict[str, Any], budget: Budget) -> None:
    assert explore(Rules(target=machine(), **how), budget).wrong


@pytest.mark.parametrize(("source", "target", "budget"), POSTCOPY, ids=lambda x: type(x).__name__)
def test_a_broken_postcopy_is_noticed(source: src.Source | None, target: dst.Target | None, budget: Budget) -> None:
    assert explore(Rules(source=source, target=target, partial=True), budget).wrong


@pytest.mark.parametrize("what", list(LISTS))
def test_a_broken_order_is_noticed(what: str) -> None:
    spoil, budget = LISTS[what]
    assert any(explore(Rules(spoil=spoil, soup=soup), budget).wrong for soup in (False, True))
