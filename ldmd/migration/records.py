"""Control messages between two managers, and the records of the journal: frozen, bounded, strictly read.

A message travels as one msgpack map (`pack`, `unpack`) in the frame that protocol.md describes; a record is the same
map as JSON in a row of the journal. Whatever a peer or a file says is checked: unknown kinds, fields, types, bounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgpack

from ldmd.migration.phases import Kind
from ldmd.model.plain import PlainError, from_plain, to_plain

MID_MAX = 2**62
TEXT_MAX = 255
PROBLEM_MAX = 1000
PROBLEMS_MAX = 64
PACKED_MAX = 128 * 1024
"""Longest message, bytes: PROBLEMS_MAX problems in UTF-8 do not all fit at their longest; then `pack` refuses."""
DIGEST = re.compile(r"[0-9a-f]{32}\Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class RecordError(ValueError):
    """A message or record that cannot be read: what is wrong with it."""


def check_text(name: str, value: str, limit: int = TEXT_MAX, *, empty: bool = True) -> None:
    """One line of printable text. Raises RecordError."""
    if len(value) > limit or not value.isprintable() or (not value and not empty):
        raise RecordError(f"{name}: one printable line of at most {limit} characters expected")


def line_of(text: str, limit: int = TEXT_MAX) -> str:
    """Any text as one printable line within a bound."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= limit else line[: limit - 3] + "..."


@dataclass(frozen=True)
class Numbered:
    """What every message and record has. `mid`: number of the attempt, strictly increasing for each domain."""

    mid: int

    def __post_init__(self) -> None:
        if not 1 <= self.mid <= MID_MAX:
            raise RecordError(f"mid: {self.mid} is not between 1 and {MID_MAX}")


@dataclass(frozen=True)
class Message(Numbered):
    """What one manager says to the other."""


@dataclass(frozen=True)
class Offer(Message):
    """Source: will you take the domain? `lease`: its disks are under a lease. `dry_run`: check and tell only."""

    uuid: str
    kind: Kind
    lease: bool
    dry_run: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if not UUID.match(self.uuid):
            raise RecordError("uuid: not a uuid in lower case")


@dataclass(frozen=True)
class Accept(Message):
    """Target: checked, the receiving domain is there."""


@dataclass(frozen=True)
class Refuse(Message):
    """Target: no, for all these reasons, and nothing was changed."""

    problems: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.problems) <= PROBLEMS_MAX:
            raise RecordError(f"problems: 1 to {PROBLEMS_MAX} expected, not {len(self.problems)}")
        for each in self.problems:
            check_text("problems", each, PROBLEM_MAX, empty=False)


def refusal(mid: int, problems: tuple[str, ...]) -> Refuse:
    """The refusal for problems in any words; what does not fit is counted instead of said."""
    lines = [line_of(each, PROBLEM_MAX // 4) or "unknown problem" for each in problems]
    if len(lines) > PROBLEMS_MAX:
        lines = [*lines[: PROBLEMS_MAX - 1], f"and {len(lines) - PROBLEMS_MAX + 1} more"]
    return Refuse(mid, tuple(lines))


@dataclass(frozen=True)
class Digested(Message):
    """A message about a whole image. `digest`: sum of the page hashes and the state's hash, 32 hexadecimal digits."""

    digest: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not DIGEST.match(self.digest):
            raise RecordError("digest: 32 hexadecimal digits expected")


@dataclass(frozen=True)
class Final(Digested):
    """Source: the domain is suspended and everything was sent; so it must look at your side."""


@dataclass(frozen=True)
class Ready(Digested):
    """Target: all is here and verified. It will not run without a COMMIT of this mid."""


@dataclass(frozen=True)
class Commit(Message):
    """Source: it is yours. I shall not run it again unless you say NEVER."""


@dataclass(frozen=True)
class Running(Message):
    """Target: I own it, durably, and it was started. Not `started`: what was sent was lost, it boots."""

    started: bool = True


@dataclass(frozen=True)
class Paging(Message):
    """Target: I own it, durably, and it runs; pages are missing. Keep your memory until I say RUNNING."""


@dataclass(frozen=True)
class Never(Message):
    """Target: I do not have it, and shall never run it from this mid, durably."""


@dataclass(frozen=True)
class Abort(Message):
    """Source: give this attempt up. Answered with NEVER, or with RUNNING if it is too late."""


@dataclass(frozen=True)
class Rescue(Message):
    """Source: my memory of the domain is lost. READY if a verified image is there, else NEVER."""


@dataclass(frozen=True)
class Close(Message):
    """Source: I have noted RUNNING and removed the domain; forget the attempt."""


MESSAGES = {kind.__name__.lower(): kind for kind in (
    Offer, Accept, Refuse, Final, Ready, Commit, Running, Paging, Never, Abort, Rescue, Close)}


@dataclass(frozen=True)
class Record(Numbered):
    """A row of a journal."""


@dataclass(frozen=True)
class Prepared(Record):
    """Source: an attempt begins. Before anything is sent."""

    kind: Kind
    lease: bool
    peer: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("peer", self.peer)


@dataclass(frozen=True)
class Released(Record):
    """Source: the point of no return. Before COMMIT is sent."""


@dataclass(frozen=True)
class Done(Record):
    """Source: the target said RUNNING. Before success is told and the memory freed."""


@dataclass(frozen=True)
class Aborted(Record):
    """Source: the attempt is given up, or taken back. Before it runs again. `who`: who asserted what by hand."""

    why: str
    who: str = ""
    fenced: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("why", self.why)
        check_text("who", self.who)


@dataclass(frozen=True)
class Promised(Record):
    """Target: an attempt is accepted. Before ACCEPT is sent. Every smaller mid that is not owned is never."""

    kind: Kind
    lease: bool


@dataclass(frozen=True)
class Owned(Record):
    """Target: the domain is mine. Before it is started."""


@dataclass(frozen=True)
class Denied(Record):
    """Target: never. Before NEVER is sent."""


@dataclass(frozen=True)
class Closed(Record):
    """Either: the other side knows the outcome too; nothing of this attempt is left to say."""


RECORDS = {kind.__name__.lower(): kind for kind in (
    Prepared, Released, Done, Aborted, Promised, Owned, Denied, Closed)}


def plain(value: Numbered) -> dict[str, Any]:
    """Plain data of a message or record, with its kind."""
    return {"type": type(value).__name__.lower(), **to_plain(value)}


def message_of(data: object) -> Message:
    """The message of plain data. Raises RecordError."""
    return _read(MESSAGES, data)  # type: ignore[return-value]


def record_of(data: object) -> Record:
    """The record of plain data. Raises RecordError."""
    return _read(RECORDS, data)  # type: ignore[return-value]


def _read(kinds: Any, data: object) -> Numbered:
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise RecordError("a map with a type expected")
    kind = kinds.get(data["type"])
    if kind is None:
        raise RecordError(f"unknown type {data['type']!r:.60}")
    try:
        value: Numbered = from_plain(kind, {key: field for key, field in data.items() if key != "type"})
    except (PlainError, TypeError) as error:
        raise RecordError(f"{error!s:.200}") from None
    return value


def pack(message: Message) -> bytes:
    """A message as it travels. Raises RecordError where it is too long."""
    packed: bytes = msgpack.packb(plain(message))
    if len(packed) > PACKED_MAX:
        raise RecordError(f"{len(packed)} bytes are more than {PACKED_MAX}")
    return packed


def unpack(packed: bytes) -> Message:
    """The message of received bytes. Raises RecordError for whatever is wrong with them."""
    if len(packed) > PACKED_MAX:
        raise RecordError(f"{len(packed)} bytes are more than {PACKED_MAX}")
    try:
        data = msgpack.unpackb(packed, strict_map_key=True, max_ext_len=0, max_bin_len=0, max_array_len=PROBLEMS_MAX,
                               max_map_len=16)
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordError(f"not msgpack within bounds: {error!s:.100}") from None
    return message_of(data)
