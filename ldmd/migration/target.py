"""The target's side, for one domain: (state, event) -> (state, effects).

It runs a domain only after COMMIT of the very attempt whose image it verified, with the lease taken and OWN on the
disk. It says NEVER only after it cannot become ready for that attempt any more, durably. It never begins an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ldmd.migration.events import (
    BootGuest,
    Cancel,
    Checked,
    Completed,
    Created,
    CreateDomain,
    DropImage,
    Effect,
    Event,
    Expired,
    Guest,
    JournalFailed,
    Lease,
    LeaseAnswered,
    LeaseMove,
    LeaseWord,
    LinkDown,
    LinkUp,
    LoseGuest,
    MachineDied,
    Preflight,
    Received,
    Restarted,
    Send,
    SetTimer,
    Show,
    StartFailed,
    StartGuest,
    StopTransfer,
    Sync,
    Tell,
    Timer,
    TransferFailed,
    Verified,
    Verify,
    Write,
)
from ldmd.migration.phases import Flag, Kind, Phase
from ldmd.migration.records import (
    Abort,
    Accept,
    Close,
    Closed,
    Commit,
    Denied,
    Final,
    Message,
    Never,
    Offer,
    Owned,
    Paging,
    Promised,
    Ready,
    Refuse,
    Rescue,
    Running,
    refusal,
)


class At(Enum):
    """Where the newest attempt stands."""

    NONE = "none"
    CHECKING = "checking"
    CREATING = "creating"
    RECEIVING = "receiving"
    VERIFYING = "verifying"
    READY = "ready"
    TAKING = "taking"
    OWNER = "owner"  # the domain is this machine's, an ordinary one
    BROKEN = "broken"  # the journal failed: only a restart knows more


PROMISED = frozenset({At.CREATING, At.RECEIVING, At.VERIFYING, At.READY, At.TAKING})
PHASES = {At.NONE: Phase.CHECK, At.CHECKING: Phase.CHECK, At.CREATING: Phase.PREPARE, At.RECEIVING: Phase.COPY,
          At.VERIFYING: Phase.SUSPEND, At.READY: Phase.SUSPEND}


BROKEN_TEXT = "the journal of the migration failed; make space on its disk, and restart ldmd"
BROKEN_THERE = "the target's journal of migrations failed: make space on its disk, and restart its ldmd"


@dataclass(frozen=True)
class State:
    """`newest`: the greatest mid the journal knows. `owned`: mids of which no source has said yet that it knows."""

    at: At = At.NONE
    mid: int = 0
    newest: int = 0
    owned: frozenset[int] = frozenset()
    linked: bool = False
    kind: Kind = Kind.LIVE
    lease: bool = False
    digest: str = ""
    doubt: bool = False
    partial: bool = False  # READY: of an image to which pages are missing
    came: bool = False  # and they are here, before the domain is ours
    never: bool = False  # or they will not come
    missing: int = 0  # mid of a domain that runs, and to which pages are missing
    unstarted: int = 0  # mid of which the image was lost before it could run

    @property
    def phase(self) -> Phase:
        """The product's phase."""
        return PHASES.get(self.at, Phase.HANDOFF)

    @property
    def flag(self) -> Flag:
        """What `ldm list` shows."""
        if self.at is At.BROKEN or (self.doubt and self.at in PROMISED):
            return Flag.ERROR
        return Flag.TARGET if self.at in PROMISED or self.missing else Flag.NONE


Step = tuple[State, list[Effect]]


DOUBT_TEXT = ("all of the domain is here, but the source has not said that it is this machine's; when the source is "
              "back this ends by itself. Only if the source is lost for ever, remove the received domain: "
              "ldm cancel-operation -f migration")


class Target:
    """The machine; it has no state of its own. Tests break its parts to see that the checker notices."""

    def step(self, state: State, event: Event) -> Step:
        """What becomes of an event. One that does not concern the state changes nothing."""
        if isinstance(event, Restarted):
            state, effects = self.restarted(event)
            return state, [Sync(), *effects]  # what was read may not be on the disk yet
        if state.at is At.BROKEN:
            return state, self.broken(event)
        match event:
            case Received(message):
                return self.received(state, message)
            case LinkUp():
                return self.link_up(replace(state, linked=True))
            case LinkDown():
                return self.link_down(replace(state, linked=False))
            case Expired(timer):
                return self.expired(state, timer)
            case Cancel():
                return self.cancel(state, event)
            case MachineDied() if state.at is At.OWNER and state.missing:
                return self.lost(state, [])
            case MachineDied():
                return self.drop(state, [Send(Never(state.mid))]) if state.at in PROMISED - {At.TAKING} else (state, [])
            case JournalFailed():
                no = [Send(refusal(state.mid, (BROKEN_THERE,)))] if state.at is At.CREATING else []
                return replace(state, at=At.BROKEN), [Tell("the journal of the migration cannot be written"), *no]
            case _:
                return self.progress(state, event)

    def broken(self, event: Event) -> list[Effect]:
        """Nothing happens, and who wants something hears why. A refusal promises nothing that must be durable."""
        match event:
            case Cancel():
                return [Tell(BROKEN_TEXT)]
            case Received(Offer(mid)):
                return [Send(refusal(mid, (BROKEN_THERE,)))]
            case _:
                return []

    # -- messages

    def received(self, state: State, message: Message) -> Step:
        """Every question about an attempt has an answer, at any time, from the state alone."""
        mid = message.mid
        if isinstance(message, Close):
            return self.close(state, mid)
        if mid in state.owned or (state.at is At.OWNER and mid == state.mid):
            return state, [self.running(state, mid)]
        if state.at is At.TAKING:
            return state, []  # the lease's answer decides; the source asks again
        if isinstance(message, Offer):
            return self.offered(state, message)
        current = state.at in PROMISED and mid == state.mid
        match message:
            case Final(_, digest) if current and state.at is At.RECEIVING:
                return replace(state, at=At.VERIFYING, digest=digest), [SetTimer(None), Verify()]
            case Final() | Rescue() if current and state.at is At.READY and not (
                    state.partial and isinstance(message, Rescue)):  # what is missing was lost with the source
                return state, [Send(Ready(mid, state.digest))]
            case Final():
                return (state, []) if current else self.deny(state, mid)
            case Commit() if current:
                return self.committed(state) if state.at is At.READY else (state, [])
            case Abort() | Rescue() if current:
                return self.drop(state, [Send(Never(mid))])
            case Abort() | Rescue() | Commit():
                return self.deny(state, mid)
            case _:
                return state, []

    def offered(self, state: State, offer: Offer) -> Step:
        """Numbers only grow; who owns the domain takes no offer of it."""
        if offer.dry_run:
            return state, [Preflight(offer)]
        if state.at is At.OWNER:
            return state, [Send(Refuse(offer.mid, ("the domain is on this machine",)))]
        if offer.mid == state.mid and state.at in PROMISED:
            return state, [] if state.at is At.CREATING else [Send(Accept(offer.mid))]
        if offer.mid <= state.newest:
            return state, [Send(Never(offer.mid))]
        if state.at is At.CHECKING and offer.mid <= state.mid:
            return state, []
        state, effects = self.drop(state, []) if state.at in PROMISED else (state, [])
        state = replace(state, at=At.CHECKING, mid=offer.mid, kind=offer.kind, lease=offer.lease, doubt=False,
                        partial=False, came=False, never=False)
        return state, [*effects, Preflight(offer)]

    def deny(self, state: State, mid: int) -> Step:
        """An attempt that is not here: it never will be, and the journal says so before the message does."""
        if mid <= state.newest:
            return state, [Send(Never(mid))]
        if state.at is At.CHECKING and mid >= state.mid:
            state = replace(state, at=At.NONE)
        state, effects = self.drop(state, []) if state.at in PROMISED else (state, [])  # an older one: superseded
        return replace(state, newest=mid), [*effects, Write(Denied(mid)), Sync(), Send(Never(mid))]

    def drop(self, state: State, answer: list[Effect]) -> Step:
        """Give the image up. It is gone, and the journal says so, before anybody is told."""
        return replace(state, at=At.NONE, doubt=False), [
            SetTimer(None), StopTransfer(), DropImage(), Write(Denied(state.mid)), Sync(), *answer]

    def committed(self, state: State) -> Step:
        """The domain is ours to take."""
        if state.lease:
            return replace(state, at=At.TAKING), [Lease(LeaseMove.TAKE, state.mid)]
        return self.own(state)

    def own(self, state: State) -> Step:
        """On the disk before the domain runs; the domain runs before it is said."""
        mid = state.mid
        start = [StartGuest()] if state.kind is Kind.LIVE else []
        missing = mid if state.partial and not state.came else 0
        state = replace(state, at=At.OWNER, doubt=False, owned=state.owned | {mid}, missing=missing)
        begin: list[Effect] = [SetTimer(None), Show(Phase.HANDOFF), Write(Owned(mid)), Sync()]
        if missing and state.never:
            state, effects = self.lost(state, [LoseGuest()])
            return state, [*begin, *effects]
        return state, [*begin, *start, self.running(state, mid)]

    def paging(self, state: State, event: Event) -> Step:
        """Pages of a domain that runs: all are here, and the source's memory is not needed; or they will not come."""
        if isinstance(event, Completed):
            mid, state = state.missing, replace(state, missing=0)
            return state, [StopTransfer(), self.running(state, mid)]
        return self.lost(state, [] if isinstance(event, StartFailed) else [LoseGuest()])

    def lost(self, state: State, lose: list[Effect]) -> Step:
        """What is missing will not come: the domain is rebooted here, as after a failure of its host."""
        mid = state.missing
        state = replace(state, missing=0, unstarted=mid)
        return state, [StopTransfer(), *lose, self.running(state, mid)]

    def running(self, state: State, mid: int) -> Effect:
        """What the source of an attempt is told that ended here."""
        if mid == state.missing:
            return Send(Paging(mid))
        return Send(Running(mid, started=mid != state.unstarted))

    def close(self, state: State, mid: int) -> Step:
        """The source knows: the attempt need not be remembered."""
        if mid not in state.owned:
            return state, []
        return replace(state, owned=state.owned - {mid}), [Write(Closed(mid)), Sync()]

    # -- ends of jobs

    def progress(self, state: State, event: Event) -> Step:
        """Ends of jobs."""
        match event:
            case Checked(offer, problems) if offer.dry_run:
                return state, [Send(refusal(offer.mid, problems) if problems else Accept(offer.mid))]
            case Checked(offer, problems) if state.at is At.CHECKING and offer.mid == state.mid:
                return self.checked(state, problems)
            case Created(problems) if state.at is At.CREATING:
                if problems:
                    return self.drop(state, [Send(refusal(state.mid, problems))])
                return replace(state, at=At.RECEIVING), [Send(Accept(state.mid))]
            case Verified(digest, partial) if state.at is At.VERIFYING:
                if digest != state.digest:
                    return self.drop(state, [Send(Never(state.mid))])
                state = replace(state, at=At.READY, partial=partial)
                return state, [SetTimer(Timer.DOUBT), Send(Ready(state.mid, digest))]
            case TransferFailed() if state.at in (At.RECEIVING, At.VERIFYING):
                return self.drop(state, [Send(Never(state.mid))])
            case Completed() | TransferFailed() if state.at in PROMISED:  # said once, and needed when it is ours
                came = isinstance(event, Completed)
                return replace(state, came=state.came or came, never=state.partial and not came), []
            case Completed() | TransferFailed() | StartFailed() if state.at is At.OWNER and state.missing:
                return self.paging(state, event)
            case StartFailed() if state.at is At.OWNER:
                state = replace(state, unstarted=state.mid)
                return state, [StopTransfer(), self.running(state, state.mid)]
            case LeaseAnswered(word) if state.at is At.TAKING:
                return self.lease_answered(state, word)
            case _:
                return state, []

    def checked(self, state: State, problems: tuple[str, ...]) -> Step:
        """All rules are met, or nothing happens here."""
        mid = state.mid
        if problems:
            return replace(state, at=At.NONE), [Send(refusal(mid, problems))]
        return replace(state, at=At.CREATING, newest=mid), [
            Write(Promised(mid, state.kind, state.lease)), Sync(), Show(Phase.PREPARE), CreateDomain()]

    def lease_answered(self, state: State, word: LeaseWord) -> Step:
        """The disks are ours, or the source took itself back, or the storage is away: then the image waits."""
        if word is LeaseWord.TAKEN:
            return self.own(state)
        if word is LeaseWord.LOST:
            return self.drop(state, [Send(Never(state.mid))])
        return replace(state, at=At.READY, doubt=True), [
            Tell("the storage lease cannot be reached"), SetTimer(Timer.DOUBT)]

    # -- link, time, people

    def link_up(self, state: State) -> Step:
        """Say again what the source may not have heard."""
        again: list[Effect] = [self.running(state, mid) for mid in sorted(state.owned)]
        if state.at is At.READY:
            again += [SetTimer(Timer.DOUBT), Send(Ready(state.mid, state.digest))]
        elif state.at in PROMISED:
            again.append(SetTimer(None))
        elif state.at is At.NONE and 0 < state.mid == state.newest and state.mid not in state.owned:
            again.append(Send(Never(state.mid)))  # given up while it could not be said; the source may stand still
        return state, again

    def link_down(self, state: State) -> Step:
        """What is not verified waits for RECONNECT; what is verified may be all there is, and waits for ever."""
        if state.at in (At.CHECKING, At.CREATING, At.RECEIVING, At.VERIFYING):
            return state, [SetTimer(Timer.RECONNECT)]
        return state, [SetTimer(Timer.DOUBT)] if state.at is At.READY else []

    def expired(self, state: State, timer: Timer) -> Step:
        """No timer makes a domain run, and none drops a verified image."""
        if timer is Timer.RECONNECT and state.at is At.CHECKING:
            return replace(state, at=At.NONE), []
        if timer is Timer.RECONNECT and state.at in (At.CREATING, At.RECEIVING, At.VERIFYING):
            return self.drop(state, [])
        if timer is Timer.DOUBT and state.at is At.READY:
            again: list[Effect] = [Send(Ready(state.mid, state.digest))] if state.linked else []
            tell = [] if state.doubt else [Tell(DOUBT_TEXT)]
            return replace(state, doubt=True), [*tell, *again, SetTimer(Timer.DOUBT)]
        return state, []

    def cancel(self, state: State, event: Cancel) -> Step:
        """`ldm cancel-operation migration` here. The target controls no migration; it can clear one that was left."""
        if state.missing:
            return state, [Tell("the domain runs here already, and pages of its memory still come: it cannot be "
                                "cancelled any more")]
        if state.at not in PROMISED:
            return state, [Tell("no migration of the domain is under way")]
        if state.at is At.TAKING:
            return state, [Tell("the domain is being taken over: try again")]
        if state.linked or not event.force:
            return state, [Tell("the source controls the migration: cancel it there. Only if the source is lost for "
                                "ever, remove the received domain: ldm cancel-operation -f migration")]
        return self.drop(state, [Tell(f"the received domain was removed ({event.who})")])

    # -- restart

    def restarted(self, event: Restarted) -> Step:
        """What is owned runs; an image without OWN is given up, since whether it was verified is not known any more."""
        newest, owned = 0, set[int]()
        last: Owned | Promised | Denied | None = None
        promise: Promised | None = None
        for record in event.records:
            newest = max(newest, record.mid)
            match record:
                case Owned():
                    owned.add(record.mid)
                    last = record
                case Closed():
                    owned.discard(record.mid)
                case Promised():
                    promise = last = record
                case Denied():
                    last = record if last is None or record.mid >= last.mid else last
        state = State(newest=newest, owned=frozenset(owned))
        if promise is not None:
            state = replace(state, mid=promise.mid, kind=promise.kind, lease=promise.lease)
        if isinstance(last, Owned) and event.guest is Guest.PARTIAL:  # who brought the pages went with this manager
            return replace(state, at=At.OWNER, mid=last.mid, unstarted=last.mid), [LoseGuest()]
        if isinstance(last, Owned):
            # a source that was not told yet hears that what it sent is lost: it ran, or did not, and boots anew
            lost = last.mid if event.guest is Guest.NONE and state.kind is Kind.LIVE and last.mid in owned else 0
            return replace(state, at=At.OWNER, mid=last.mid, unstarted=lost), self.revive(state, event.guest)
        if isinstance(last, Promised):
            state, effects = self.drop(state, [])
            return state, effects
        return state, [DropImage()] if event.guest in (Guest.IMAGE, Guest.PARTIAL) else []

    def revive(self, state: State, guest: Guest) -> list[Effect]:
        """An owned image is whole; owned memory that is gone was lost like in any failure of a host."""
        effects: dict[Guest, Effect] = {Guest.IMAGE: StartGuest(), Guest.NONE: BootGuest()}
        return [effects[guest]] if state.kind is Kind.LIVE and guest in effects else []

