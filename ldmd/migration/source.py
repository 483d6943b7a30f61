"""The source's side of one attempt: (state, event) -> (state, effects).

Until RELEASE is on the disk the source decides alone, and an attempt that fails ends with the domain running here. From
RELEASE on only the target's word, the storage lease, or a person's assertion brings it back. No timer ever does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ldmd.migration.events import (
    Begin,
    BootGuest,
    Cancel,
    CloseDisks,
    Connect,
    Converged,
    DestroyGuest,
    Disconnect,
    Effect,
    Event,
    Expired,
    FinalSent,
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
    Received,
    Restarted,
    ResumeGuest,
    Send,
    SendFinal,
    SetTimer,
    Show,
    StartTransfer,
    StopTransfer,
    Suspended,
    SuspendGuest,
    Sync,
    Tell,
    Timer,
    TransferFailed,
    Write,
)
from ldmd.migration.phases import Flag, Kind, Phase
from ldmd.migration.records import (
    Abort,
    Aborted,
    Accept,
    Close,
    Closed,
    Commit,
    Done,
    Final,
    Message,
    Never,
    Offer,
    Paging,
    Prepared,
    Ready,
    Record,
    Refuse,
    Released,
    Rescue,
    Running,
    line_of,
)


class At(Enum):
    """Where the attempt stands; before RELEASED the source decides."""

    NEW = "new"
    LEASING = "leasing"
    CONNECTING = "connecting"
    OFFERED = "offered"
    COPYING = "copying"
    SUSPENDING = "suspending"
    FINISHING = "finishing"
    FINAL = "final"
    RESCUING = "rescuing"
    RELEASED = "released"  # the target decides
    SERVING = "serving"  # the domain runs there, and fetches pages that are only here
    RECLAIMING = "reclaiming"  # a way back is being asked of the lease
    DONE = "done"  # decided, but the target may have to be told; so is ABORTED
    ABORTED = "aborted"
    CLOSED = "closed"
    BROKEN = "broken"  # the journal failed: only a restart knows more


OPEN = frozenset({At.LEASING, At.CONNECTING, At.OFFERED, At.COPYING, At.SUSPENDING, At.FINISHING, At.FINAL,
                  At.RESCUING})
OVER = frozenset({At.ABORTED, At.CLOSED})
"""The attempt ended, and the domain stayed."""
SETTLED = frozenset({At.NEW, *OVER, At.DONE})
"""A new attempt for the domain may begin where all earlier ones are here (and the domain is)."""
PHASES = {At.NEW: Phase.CHECK, At.LEASING: Phase.CHECK, At.CONNECTING: Phase.CHECK, At.OFFERED: Phase.PREPARE,
          At.COPYING: Phase.COPY, At.SUSPENDING: Phase.SUSPEND, At.FINISHING: Phase.SUSPEND, At.FINAL: Phase.SUSPEND}


BROKEN_TEXT = "the journal of the migration failed; make space on its disk, and restart ldmd"


@dataclass(frozen=True)
class Plan:
    """What the operation is to do. `peer`: the target's name, for people."""

    mid: int
    uuid: str
    kind: Kind
    lease: bool
    peer: str
    dry_run: bool = False


def plan_of(uuid: str, records: tuple[Record, ...]) -> Plan | None:
    """The attempt that a restart takes up: the newest in a domain's journal; older ones were settled before."""
    last = max((each for each in records if isinstance(each, Prepared)), key=lambda each: each.mid, default=None)
    return None if last is None else Plan(last.mid, uuid, last.kind, last.lease, last.peer)


@dataclass(frozen=True)
class State:
    """`guest`: what this manager knows of the domain here. `digest`: what FINAL said. `doubt`: a person should look."""

    plan: Plan
    at: At = At.NEW
    linked: bool = False
    guest: Guest = Guest.RUNNING
    digest: str = ""
    partial: bool = False  # FINAL is of an image to which pages are missing
    served: bool = False  # the target has run the domain: what is here is of the past
    doubt: bool = False
    why: str = ""  # RECLAIMING: on what ground
    who: str = ""

    @property
    def phase(self) -> Phase:
        """The product's phase."""
        return PHASES.get(self.at, Phase.HANDOFF)

    @property
    def flag(self) -> Flag:
        """What `ldm list` shows."""
        if self.at is At.BROKEN or (self.doubt and self.at not in SETTLED):
            return Flag.ERROR
        return Flag.NONE if self.at in SETTLED else Flag.SOURCE


Step = tuple[State, list[Effect]]


class Source:
    """The machine; it has no state of its own. Tests break its parts to see that the checker notices."""

    def step(self, state: State, event: Event) -> Step:
        """What becomes of an event. One that does not concern the state changes nothing."""
        if isinstance(event, Restarted):
            state, effects = self.restarted(state, event)
            return state, [Sync(), *effects]  # what was read may not be on the disk yet
        if state.at is At.BROKEN:
            return state, [Tell(BROKEN_TEXT)] if isinstance(event, Cancel) else []
        match event:
            case Begin():
                return self.begin(state)
            case Received(message):
                return self.received(state, message) if message.mid == state.plan.mid else (state, [])
            case LinkUp():
                return self.link_up(replace(state, linked=True))
            case LinkDown():
                return self.link_down(replace(state, linked=False))
            case Expired(timer):
                return self.expired(state, timer)
            case Cancel():
                return self.cancel(state, event)
            case LeaseAnswered(word):
                return self.lease_answered(state, word)
            case MachineDied():
                return self.machine_died(replace(state, guest=Guest.NONE))
            case JournalFailed():
                return replace(state, at=At.BROKEN), [Tell("the journal of the migration cannot be written")]
            case _:
                return self.progress(state, event)

    # -- the way there

    def begin(self, state: State) -> Step:
        """The journal first: a restart must know that there may be an image at the peer."""
        plan = state.plan
        if state.at is not At.NEW:
            return state, []
        if plan.dry_run:
            return self.connect(state, [])
        record = Prepared(plan.mid, plan.kind, plan.lease, line_of(plan.peer))
        effects: list[Effect] = [Write(record), Sync(), Show(Phase.CHECK)]
        if plan.lease:
            return replace(state, at=At.LEASING), [*effects, Lease(LeaseMove.HOLD, plan.mid)]
        return self.connect(state, effects)

    def connect(self, state: State, effects: list[Effect]) -> Step:
        """Ask for the link, or use the one that stands."""
        if state.linked:
            state, offer = self.link_up(replace(state, at=At.CONNECTING))
            return state, [*effects, *offer]
        return replace(state, at=At.CONNECTING), [*effects, SetTimer(Timer.RECONNECT), Connect()]

    def link_up(self, state: State) -> Step:
        """Say again what the peer may not have heard."""
        mid = state.plan.mid
        match state.at:
            case At.CONNECTING | At.OFFERED:
                return replace(state, at=At.OFFERED), [SetTimer(Timer.ANSWER), Send(self.offer(state.plan))]
            case At.COPYING:  # the offer again: a target that was restarted has no place for it any more, and says so
                return state, [SetTimer(None), Send(self.offer(state.plan)), StartTransfer()]
            case At.SUSPENDING:
                return state, [SetTimer(None)]
            case At.FINISHING:
                return state, [SetTimer(None), SendFinal()]
            case At.FINAL:
                return state, [SetTimer(Timer.ANSWER), Send(Final(mid, state.digest))]
            case At.RESCUING:
                return state, [SetTimer(Timer.RECONNECT), Send(Rescue(mid))]
            case At.RELEASED | At.SERVING:
                return state, [SetTimer(Timer.DOUBT), Send(Commit(mid))]
            case At.DONE | At.ABORTED:
                return state, [Send(Close(mid) if state.at is At.DONE else Abort(mid))]
            case _:
                return state, []

    def offer(self, plan: Plan) -> Offer:
        """The first message."""
        return Offer(plan.mid, plan.uuid, plan.kind, plan.lease, plan.dry_run)

    def link_down(self, state: State) -> Step:
        """The domain runs on, or stands still for RECONNECT at most; after RELEASE a person is told, and no more."""
        if state.at in OPEN:
            return state, [SetTimer(Timer.RECONNECT)]
        return state, [SetTimer(Timer.DOUBT)] if state.at in (At.RELEASED, At.SERVING) else []

    def expired(self, state: State, timer: Timer) -> Step:
        """Only what is not released is given up by a timer."""
        if timer is Timer.DOUBT and state.at in (At.RELEASED, At.SERVING):
            again: list[Effect] = [Send(Commit(state.plan.mid))] if state.linked else []
            tell = [] if state.doubt else [Tell(self.doubt_text(state))]
            return replace(state, doubt=True), [*tell, *again, SetTimer(Timer.DOUBT)]
        if timer is not Timer.DOUBT and state.at in OPEN - {At.LEASING}:
            peer = state.plan.peer
            lost = f"the connection to {peer} was lost, and did not come back in time: the domain stays here"
            return self.abort(state, f"{peer} did not answer in time" if state.linked else lost)
        return state, []

    def doubt_text(self, state: State) -> str:
        """What a person reads while the outcome is open."""
        peer = state.plan.peer
        if state.at is At.SERVING:
            return (f"{peer} runs the domain, and still needs pages of its memory from here; when {peer} is back this "
                    f"ends by itself. If {peer} is lost: ldm cancel-operation migration")
        return (f"{peer} has all of the domain but has not confirmed that it runs; when {peer} is back this ends by "
                f"itself. If {peer} is lost: ldm cancel-operation migration")

    def progress(self, state: State, event: Event) -> Step:
        """Ends of jobs."""
        match event:
            case Converged(partial) if state.at is At.COPYING:
                return replace(state, at=At.SUSPENDING, partial=partial), [Show(Phase.SUSPEND), SuspendGuest()]
            case TransferFailed(why) if state.at in OPEN:
                return self.abort(state, why)
            case Suspended(why) if state.at is At.SUSPENDING:
                if why:
                    return self.abort(state, why)
                return replace(state, at=At.FINISHING, guest=Guest.SUSPENDED), [SendFinal()]
            case FinalSent(digest) if state.at is At.FINISHING:
                final = Send(Final(state.plan.mid, digest))
                return replace(state, at=At.FINAL, digest=digest), [SetTimer(Timer.ANSWER), final]
            case _:
                return state, []

    # -- what the target says

    def received(self, state: State, message: Message) -> Step:
        """A message of this attempt."""
        match message:
            case Accept() if state.at is At.OFFERED:
                return self.accepted(state)
            case Refuse(_, problems) if state.at is At.OFFERED:
                return self.abort(state, "; ".join(problems))
            case Ready(_, digest) if state.at in (At.FINAL, At.RESCUING):
                if state.at is At.FINAL and digest != state.digest:
                    return self.abort(state, "the target's memory is not what was sent (digests differ)")
                return self.release(state)
            case Running(_, started) if state.at in (At.RELEASED, At.SERVING, At.DONE):
                return self.done(state, started)
            case Paging() if state.at is At.RELEASED:
                return replace(state, at=At.SERVING, served=True, doubt=False), [SetTimer(None)]
            case Paging() if state.at is At.SERVING:
                return replace(state, doubt=False), [SetTimer(None)]
            case Running() | Paging() if state.at in OVER:
                return state, [Tell(f"{state.plan.peer} runs the domain as well: stop one of them at once")]
            case Never():
                return self.never(state)
            case Ready() | Accept() if state.at is At.ABORTED:
                return state, [Send(Abort(state.plan.mid))]
            case Ready() if state.at is At.RELEASED:
                return state, [Send(Commit(state.plan.mid))]
            case _:
                return state, []

    def accepted(self, state: State) -> Step:
        """Checked, and there is a place for it. What has no memory goes straight to the hand-over."""
        if state.plan.dry_run:
            return replace(state, at=At.CLOSED), [SetTimer(None), Tell(""), Disconnect()]
        if state.plan.kind is Kind.LIVE:
            return replace(state, at=At.COPYING), [SetTimer(None), Show(Phase.COPY), StartTransfer()]
        return replace(state, at=At.FINISHING), [SetTimer(None), SendFinal()]

    def release(self, state: State) -> Step:
        """The point of no return: on the disk before it is said."""
        mid = state.plan.mid
        return replace(state, at=At.RELEASED), [
            SetTimer(Timer.DOUBT), Show(Phase.HANDOFF), Write(Released(mid)), Sync(), CloseDisks(), Send(Commit(mid))]

    def done(self, state: State, started: bool) -> Step:
        """The target runs it: note it, tell it, free the memory, let the target forget."""
        close = Send(Close(state.plan.mid))
        if state.at is At.DONE:
            return state, [close]
        tell = Tell("", success=True) if started else Tell(self.lost_text(state))
        return replace(state, at=At.DONE, doubt=False, guest=Guest.NONE), [
            SetTimer(None), Write(Done(state.plan.mid)), Sync(), tell, DestroyGuest(), close]

    def lost_text(self, state: State) -> str:
        """What a person reads where the domain is at the target, and not what was sent."""
        peer = state.plan.peer
        if state.served:
            return (f"{peer} has the domain, but pages of its memory were lost before they came: it boots there anew, "
                    "with its disks as a power failure would have left them")
        return (f"{peer} has the domain, but lost its memory before that was known here (a process of the migration or "
                "the machine failed, or somebody stopped the domain there): it boots there anew")

    def never(self, state: State) -> Step:
        """The target will never run it."""
        if state.at in OPEN:
            return self.abort(state, f"{state.plan.peer} gave the migration up")
        if state.at is At.RELEASED:
            return self.reclaim(state, LeaseMove.REGAIN, why=f"{state.plan.peer} does not have the domain")
        if state.at is At.ABORTED:
            return replace(state, at=At.CLOSED), [Write(Closed(state.plan.mid)), Sync(), Disconnect()]
        return state, []

    # -- the way back

    def abort(self, state: State, why: str) -> Step:
        """Before RELEASE: on the disk before the domain runs on, since from then on the target's image is stale."""
        if state.plan.dry_run:
            return replace(state, at=At.CLOSED), [SetTimer(None), Tell(why), Disconnect()]
        state, effects = self.back(state, Aborted(state.plan.mid, line_of(why)))
        return state, [Tell(why) if isinstance(each, Tell) else each for each in effects]

    def back(self, state: State, record: Aborted) -> Step:
        """The domain is this machine's again."""
        revive: Effect = BootGuest() if state.guest is Guest.NONE else ResumeGuest()
        if state.served and state.guest is not Guest.NONE:
            revive = LoseGuest()
        lives = [revive] if state.plan.kind is Kind.LIVE else []
        guest = Guest.RUNNING if state.plan.kind is Kind.LIVE else state.guest
        tell: list[Effect] = [Send(Abort(record.mid))] if state.linked else []
        return replace(state, at=At.ABORTED, guest=guest, doubt=False), [
            SetTimer(None), StopTransfer(), Write(record), Sync(), *lives, Tell(record.why), *tell]

    def reclaim(self, state: State, move: LeaseMove, *, why: str, who: str = "") -> Step:
        """After RELEASE, on the ground `why`: the lease decides where there is one. `who`: a person's assertion."""
        why, who = line_of(why), line_of(who)
        state = replace(state, why=why, who=who)
        if state.plan.lease:
            return replace(state, at=At.RECLAIMING), [Lease(move, state.plan.mid)]
        return self.back(state, Aborted(state.plan.mid, why, who, fenced=bool(who)))

    def lease_answered(self, state: State, word: LeaseWord) -> Step:
        """A compare-and-set cannot be won by both."""
        if state.at is At.LEASING:
            if word is LeaseWord.TAKEN:
                return self.connect(state, [])
            return self.abort(state, "the storage lease of the domain's disks could not be had")
        if state.at is not At.RECLAIMING:
            return state, []
        if word is LeaseWord.TAKEN:
            return self.back(state, Aborted(state.plan.mid, state.why, state.who, fenced=bool(state.who)))
        again: list[Effect] = [Send(Commit(state.plan.mid))] if state.linked else []
        text = (f"{state.plan.peer} has taken the domain's disks: it has the domain" if word is LeaseWord.LOST
                else "the storage lease cannot be reached: nothing was changed")
        return replace(state, at=At.RELEASED, doubt=True), [Tell(text), *again, SetTimer(Timer.DOUBT)]

    def cancel(self, state: State, event: Cancel) -> Step:
        """`ldm cancel-operation migration` in any phase. After RELEASE: the target, the lease or a person."""
        mid, peer = state.plan.mid, state.plan.peer
        if state.at in OPEN:
            return self.abort(state, f"cancelled by {event.who}" if event.who else "cancelled")
        if state.at is At.SERVING and (state.linked or not event.force):
            return state, [Tell(f"{peer} runs the domain already: it cannot be cancelled any more. Only if {peer} is "
                                "lost for ever, boot the domain here anew: ldm cancel-operation -f migration")]
        if state.at is At.SERVING:
            return self.reclaim(state, LeaseMove.REGAIN, why=f"{peer} was declared dead", who=event.who or "unknown")
        if state.at is At.RELEASED and state.linked:
            return state, [Send(Abort(mid)), Tell(f"{peer} was asked to give the domain back")]
        if state.at is At.RELEASED and event.force:
            return self.reclaim(state, LeaseMove.REGAIN, why=f"{peer} was declared dead", who=event.who or "unknown")
        if state.at is At.RELEASED and state.plan.lease:
            return self.reclaim(state, LeaseMove.RECLAIM, why="cancelled; the storage lease was taken back")
        if state.at is At.RELEASED:
            return state, [Tell(f"{peer} may run the domain. Look there; only if it does not and never will: "
                                "ldm cancel-operation -f migration")]
        return state, [Tell("no migration of the domain is under way")]

    def machine_died(self, state: State) -> Step:
        """What was sent whole may be rescued; what was not is lost with the machine."""
        if state.plan.kind is not Kind.LIVE or state.plan.dry_run:
            return state, []
        if state.at is At.FINAL and not state.partial:
            ask: list[Effect] = [Send(Rescue(state.plan.mid))] if state.linked else []
            return replace(state, at=At.RESCUING), [SetTimer(Timer.RECONNECT), *ask]
        return self.abort(state, "the machine failed") if state.at in OPEN - {At.RESCUING} else (state, [])

    # -- restart

    def restarted(self, state: State, event: Restarted) -> Step:
        """The last record decides, and what the machine says of the domain."""
        mid = state.plan.mid
        record: Record | None = next((each for each in reversed(event.records) if each.mid == mid), None)
        state = State(replace(state.plan, dry_run=False), guest=event.guest)
        live = state.plan.kind is Kind.LIVE
        match record:
            case None | Closed():
                return replace(state, at=At.CLOSED), []
            case Prepared() if live and event.guest is Guest.NONE:
                return replace(state, at=At.RESCUING), [SetTimer(Timer.RECONNECT), Connect()]
            case Prepared():
                state, effects = self.abort(state, "ldmd was restarted")
                return state, [*effects, Connect()]
            case Released():
                return replace(state, at=At.RELEASED), [SetTimer(Timer.DOUBT), CloseDisks(), Connect()]
            case Done():
                return replace(state, at=At.DONE), [DestroyGuest(), Connect()]
            case _:
                revive: dict[Guest, Effect] = {Guest.SUSPENDED: ResumeGuest(), Guest.NONE: BootGuest()}
                effects = [revive[event.guest]] if live and event.guest in revive else []
                guest = Guest.RUNNING if live else event.guest
                return replace(state, at=At.ABORTED, guest=guest), [*effects, Connect()]
