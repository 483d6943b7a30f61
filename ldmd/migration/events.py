"""Events, which the machines of a migration take, and effects, which they ask for.

Effects are carried out in their order, one after the other, each whole before the next. Where a `Write` or `Sync`
fails, the rest of the list is dropped and the machine is told with `JournalFailed`: what is on the disk is unknown. A
crash may come between any two. Those marked *job* go on by themselves; their end is the event they name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ldmd.migration.phases import Phase
from ldmd.migration.records import Message, Offer, Record


class Guest(Enum):
    """What a machine process says of the domain. IMAGE: memory that was received and never ran.

    PARTIAL: received, run or not, and pages of it are missing that nobody brings any more.
    """

    NONE = "none"
    RUNNING = "running"
    SUSPENDED = "suspended"
    IMAGE = "image"
    PARTIAL = "partial"


class Timer(Enum):
    """One timer runs at a time; setting it replaces the other."""

    ANSWER = "answer"  # the peer owes an answer to an offer
    RECONNECT = "reconnect"  # the link is down, and nothing is decided yet
    DOUBT = "doubt"  # a decision is not confirmed: nothing happens but that a person is told


class LeaseWord(Enum):
    """What a storage lease's compare-and-set brought."""

    TAKEN = "taken"
    LOST = "lost"  # another value is there
    UNREACHABLE = "unreachable"


# -- events


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class Begin(Event):
    """The operation was asked for."""


@dataclass(frozen=True)
class Received(Event):
    """A message of the peer, decoded."""

    message: Message


@dataclass(frozen=True)
class LinkUp(Event):
    """A connection to the peer stands, authenticated."""


@dataclass(frozen=True)
class LinkDown(Event):
    """It is gone."""


@dataclass(frozen=True)
class Expired(Event):
    """A timer ran out."""

    timer: Timer


@dataclass(frozen=True)
class Converged(Event):
    """The copying says: what is left fits into the allowed pause.

    `partial`: it never will; the domain goes on at the target now, and the rest follows (post-copy).
    """

    partial: bool = False


@dataclass(frozen=True)
class TransferFailed(Event):
    """The copying cannot go on (the worker died, a digest at a barrier differs)."""

    why: str


@dataclass(frozen=True)
class Suspended(Event):
    """Job `SuspendGuest` is over. `why`: why it did not succeed, or empty."""

    why: str = ""


@dataclass(frozen=True)
class FinalSent(Event):
    """Job `SendFinal` is over: the last pages and the state are sent, this is their digest."""

    digest: str


@dataclass(frozen=True)
class Checked(Event):
    """Job `Preflight` is over. `problems`: all rules that are not met."""

    offer: Offer
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Created(Event):
    """Job `CreateDomain` is over."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified(Event):
    """Job `Verify` is over: digest of what is in memory, as read back. `partial`: pages are still to come."""

    digest: str
    partial: bool = False


@dataclass(frozen=True)
class Completed(Event):
    """Target: the last page of a domain that runs already is here, and all of them are what was sent."""


@dataclass(frozen=True)
class StartFailed(Event):
    """`StartGuest` did not succeed, since the machine is gone; the rest of the list was dropped."""


@dataclass(frozen=True)
class LeaseAnswered(Event):
    """Job `Lease` is over."""

    word: LeaseWord


@dataclass(frozen=True)
class MachineDied(Event):
    """The machine process is gone, and the domain's memory with it."""


@dataclass(frozen=True)
class JournalFailed(Event):
    """A record could not be written or synced; whether it is there is not known."""


@dataclass(frozen=True)
class Cancel(Event):
    """`ldm cancel-operation migration`. `force`: the person asserts that the other machine is dead. `who`: and when."""

    force: bool = False
    who: str = ""


@dataclass(frozen=True)
class Restarted(Event):
    """The manager starts. `records`: the journal of this attempt (source) or domain (target), in order."""

    records: tuple[Record, ...]
    guest: Guest


# -- effects


@dataclass(frozen=True)
class Effect:
    """Something to be done."""


@dataclass(frozen=True)
class Write(Effect):
    """Append a record to the journal."""

    record: Record


@dataclass(frozen=True)
class Sync(Effect):
    """Return when all records are on the disk."""


@dataclass(frozen=True)
class Send(Effect):
    """Give a message to the link; dropped where it is down."""

    message: Message


@dataclass(frozen=True)
class Connect(Effect):
    """Try to connect, again and again, until `Disconnect`."""


@dataclass(frozen=True)
class Disconnect(Effect):
    """No connection is needed any more."""


@dataclass(frozen=True)
class SetTimer(Effect):
    """Begin a timer, or with None end it."""

    timer: Timer | None


@dataclass(frozen=True)
class Show(Effect):
    """The phase, for lists, events and the history."""

    phase: Phase


@dataclass(frozen=True)
class Tell(Effect):
    """To the person: how it ended, or why not. `success` only where the target runs the domain."""

    text: str
    success: bool = False


@dataclass(frozen=True)
class StartTransfer(Effect):
    """Job, ends with Converged or TransferFailed. Copy memory; after a lost link, go on where it stood."""


@dataclass(frozen=True)
class StopTransfer(Effect):
    """End the copying and whatever other job runs for this attempt; its event does not come."""


@dataclass(frozen=True)
class SuspendGuest(Effect):
    """Job (Suspended)."""


@dataclass(frozen=True)
class SendFinal(Effect):
    """Job (FinalSent). Send the last pages and the state of the suspended domain."""


@dataclass(frozen=True)
class CloseDisks(Effect):
    """Source: let go of the domain's backends; no write of the past may come after this."""


@dataclass(frozen=True)
class ResumeGuest(Effect):
    """Source: let the suspended domain run on, its disks opened again. Without effect on one that runs."""


@dataclass(frozen=True)
class BootGuest(Effect):
    """The domain's memory is lost: it is treated as after any power-on of its machine."""


@dataclass(frozen=True)
class DestroyGuest(Effect):
    """Source: remove the domain, memory and constraints."""


@dataclass(frozen=True)
class Preflight(Effect):
    """Job (Checked). All rules."""

    offer: Offer


@dataclass(frozen=True)
class CreateDomain(Effect):
    """Job (Created). The receiving domain, with its memory."""


@dataclass(frozen=True)
class Verify(Effect):
    """Job (Verified)."""


@dataclass(frozen=True)
class StartGuest(Effect):
    """Target: the received image runs, then its I/O goes out. May fail (StartFailed)."""


@dataclass(frozen=True)
class LoseGuest(Effect):
    """The domain's memory cannot be completed (target), or is of the past (source): end it, and boot it anew."""


@dataclass(frozen=True)
class DropImage(Effect):
    """Target: remove the receiving domain; its memory is scrubbed."""


class LeaseMove(Enum):
    """The compare-and-sets of the storage lease {domain, mid, holder}."""

    HOLD = "hold"  # source: (source, any) -> (source, mid)
    TAKE = "take"  # target: (source, mid) -> (target, mid)
    RECLAIM = "reclaim"  # source: (source, mid) or (source, mid, back) -> (source, mid, back)
    REGAIN = "regain"  # source, which was told NEVER: whatever it is with this mid -> (source, mid, back)


@dataclass(frozen=True)
class Lease(Effect):
    """Job (LeaseAnswered)."""

    move: LeaseMove
    mid: int
