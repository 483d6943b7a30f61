"""Answers of a guest to requests of domain services, and how they are read from messages.

A `Reply` stands for one request. What the guest has said so far is its `answer`: an object that never changes and is
replaced as a whole, so that another thread which takes it once sees one consistent state.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter on domain services; illumos, usr/src/uts/sun4v/sys
(dr_cpu.h, dr_mem.h, dr_io.h: numbers and layouts); Linux 6.1, arch/sparc/kernel/ds.c.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, replace

PAGE_BYTES = 8192
_OK_RESPONSE, _ERROR_RESPONSE = 0x6F, 0x65
_UNIT = struct.Struct(">IIII")
_BLOCK = struct.Struct(">QQIII4x")
_QUERY = struct.Struct(">QQQQQQ")
_MAX_PHASES = 16
MAX_TEXT = 1024
MAX_VALUES = 64


class CpuAction(enum.IntEnum):
    """What dr-cpu and the dr-crypto services are asked for; the numbers are the letters C, U, F, S."""

    CONFIGURE = 0x43
    UNCONFIGURE = 0x55
    FORCE = 0x46
    STATUS = 0x53


class MemoryAction(enum.IntEnum):
    """What dr-mem is asked for: the letters MC, MU, MS, MN, MQ."""

    CONFIGURE = 0x4D43
    UNCONFIGURE = 0x4D55
    STATUS = 0x4D53
    """How far an unconfigure that is under way has come."""
    CANCEL = 0x4D4E
    QUERY = 0x4D51
    """Which pages of blocks cannot go."""


class VioAction(enum.IntEnum):
    """What dr-vio is asked for: the letters IOC, IOU, IOF, IOS."""

    CONFIGURE = 0x494F43
    UNCONFIGURE = 0x494F55
    FORCE = 0x494F46
    STATUS = 0x494F53


class UnitStatus(enum.IntEnum):
    """How a CPU, crypto unit, memory block or device stands after a request."""

    NOT_PRESENT = 0
    UNCONFIGURED = 1
    CONFIGURED = 2


class CpuResult(enum.IntEnum):
    """Results of dr-cpu and dr-crypto."""

    OK = 0
    FAILURE = 1
    BLOCKED = 2
    NOT_RESPONDING = 3
    NOT_IN_MD = 4


class VioResult(enum.IntEnum):
    """Results of dr-vio."""

    OK = 0
    FAILURE = 1
    BLOCKED = 2
    NOT_IN_MD = 3


class MemoryResult(enum.IntEnum):
    """Results of dr-mem for one block."""

    OK = 0
    FAILURE = 1
    BLOCKED = 2
    NOT_IN_MD = 3
    IN_USE = 4
    """It, or a part, is configured already."""
    ACCESS = 5
    """The test of its first access failed."""
    RESOURCE = 6
    """No room for what has to be moved, or for the bookkeeping."""
    PERMANENT = 7
    BUSY = 8
    NOT_VIABLE = 9
    NOTHING_TO_DO = 10
    CANCELLED = 11
    REFUSED = 12
    DUPLICATE = 13
    INVALID = 14


class SuspendResult(enum.IntEnum):
    """Results of domain-suspend."""

    PRE_SUCCESS = 0
    PRE_FAILURE = 1
    INVALID = 2
    IN_PROGRESS = 3
    FAILURE = 4
    POST_SUCCESS = 5
    POST_FAILURE = 6


@dataclass(frozen=True)
class UnitResult:
    """What became of one CPU or crypto unit: a `CpuResult`, a `UnitStatus`, and the guest's words."""

    unit: int
    result: int
    status: int
    text: str = ""

    @property
    def ok(self) -> bool:
        """Did it work?"""
        return self.result == 0


@dataclass(frozen=True)
class BlockResult:
    """What became of one block of memory: real address and size in bytes, a `MemoryResult`, a `UnitStatus`, words."""

    address: int
    size: int
    result: int
    status: int
    text: str = ""

    @property
    def ok(self) -> bool:
        """Did it work?"""
        return self.result == 0


@dataclass(frozen=True)
class BlockQuery:
    """Pages of 8 KiB of a block: all, those that the guest's memory manager has, those that cannot be moved."""

    address: int
    pages: int
    managed: int
    permanent: int
    first_permanent: int
    """Real addresses of the first and the last permanent page; 0 where there is none."""
    last_permanent: int


@dataclass(frozen=True)
class Answer:
    """All that a guest has said to a request."""

    done: bool = False
    result: int | None = None
    """0: all is well; None: no answer came, or it was refused before the service saw it."""
    reason: str = ""
    status: int | None = None
    """Of dr-vio: a `UnitStatus`."""
    units: tuple[UnitResult, ...] = ()
    blocks: tuple[BlockResult, ...] = ()
    queries: tuple[BlockQuery, ...] = ()
    progress: tuple[int, int] | None = None
    """Of dr-mem STATUS: pages of 8 KiB that shall go, and that are ready to go."""
    values: tuple[tuple[str, str], ...] = ()
    """Of system-info: names and values."""
    phases: tuple[int, ...] = ()
    """Of domain-suspend: all results so far, in their order."""

    @property
    def ok(self) -> bool:
        """Did the guest do all that was asked for?"""
        parts = all(unit.ok for unit in self.units) and all(block.ok for block in self.blocks)
        return self.done and self.result == 0 and parts


class Reply:
    """A request, and in `answer` what has come for it so far."""

    def __init__(self, service: str, number: int, *, asked_at: float = 0.0) -> None:
        self.service = service
        self.number = number
        self.asked_at = asked_at
        """When it was sent, on the clock of the services; seconds."""
        self.answer = Answer()

    def __repr__(self) -> str:
        return f"Reply({self.service!r}, {self.number}, {self.answer})"

    @property
    def done(self) -> bool:
        """Has the answer come, or will none come any more?"""
        return self.answer.done

    @property
    def ok(self) -> bool:
        """Did the guest do all that was asked for?"""
        return self.answer.ok

    @property
    def result(self) -> int | None:
        """See `Answer`."""
        return self.answer.result

    @property
    def reason(self) -> str:
        """The guest's words, or why there is no answer."""
        return self.answer.reason

    @property
    def status(self) -> int | None:
        """See `Answer`."""
        return self.answer.status

    @property
    def units(self) -> tuple[UnitResult, ...]:
        """Of dr-cpu and dr-crypto."""
        return self.answer.units

    @property
    def blocks(self) -> tuple[BlockResult, ...]:
        """Of dr-mem CONFIGURE and UNCONFIGURE."""
        return self.answer.blocks

    @property
    def queries(self) -> tuple[BlockQuery, ...]:
        """Of dr-mem QUERY."""
        return self.answer.queries

    @property
    def progress(self) -> tuple[int, int] | None:
        """Of dr-mem STATUS."""
        return self.answer.progress

    @property
    def phases(self) -> tuple[int, ...]:
        """Of domain-suspend."""
        return self.answer.phases

    @property
    def more_follows(self) -> bool:
        """Is it a suspend that is under way?"""
        under_way = (SuspendResult.PRE_SUCCESS, SuspendResult.IN_PROGRESS)
        return self.service == "domain-suspend" and self.result in under_way and bool(self.phases)


def reply_number(service: str, body: bytes) -> int | None:
    """The number of the request a guest answers; None: system-info, whose answers have none. Raises struct.error."""
    if service == "system-info":
        return None
    return int(struct.unpack_from(">Q", body, 8 if service == "dr-mem" else 0)[0])


def read_answer(service: str, body: bytes, before: Answer, *, action: int | None = None) -> Answer:
    """The answer in a message. `body`: what is behind the handle. Raises struct.error where it is too short."""
    if service == "dr-mem":
        return _memory(body, action)
    if service == "domain-suspend":
        _, result = struct.unpack_from(">QI", body)
        return replace(before, done=True, result=result, reason=_text(body[16:]),
                       phases=(*before.phases, result)[-_MAX_PHASES:])  # fmt: skip
    readers = {"dr-cpu": _cpu, "dr-crypto-mau": _crypto, "dr-crypto-cwq": _crypto, "dr-vio": _vio,
               "system-info": _system_info}  # fmt: skip
    return readers.get(service, _plain)(body)


def _plain(body: bytes) -> Answer:
    _, result = struct.unpack_from(">QI", body)
    return Answer(True, result, _text(body[12:]))


def _vio(body: bytes) -> Answer:
    _, result, status = struct.unpack_from(">QII", body)
    return Answer(True, result, _text(body[16:]), status)


def _text(data: bytes) -> str:
    return data[:MAX_TEXT].split(b"\0")[0].decode("utf-8", "replace")


def _text_at(body: bytes, offset: int) -> str:
    return _text(body[offset : offset + MAX_TEXT]) if 0 < offset < len(body) else ""


def _cpu(body: bytes) -> Answer:
    _, kind, count = struct.unpack_from(">QII", body)
    if kind != _OK_RESPONSE:
        return Answer(True, 1, _text(body[16:]))
    found = []
    for n in range(min(count, (len(body) - 16) // _UNIT.size)):
        unit, result, status, offset = _UNIT.unpack_from(body, 16 + n * _UNIT.size)
        found.append(UnitResult(unit, result, status, _text_at(body, offset)))
    return Answer(True, 0, units=tuple(found))


def _crypto(body: bytes) -> Answer:
    """The records are not counted."""
    _, kind = struct.unpack_from(">QI", body)
    if kind != _OK_RESPONSE:
        return Answer(True, 1, _text(body[12:]))
    found = (UnitResult(*struct.unpack_from(">III", body, at)) for at in range(12, len(body) - 11, 12))
    return Answer(True, 0, units=tuple(found))


def _memory(body: bytes, action: int | None) -> Answer:
    kind, count, _ = struct.unpack_from(">IIQ", body)
    if kind != _OK_RESPONSE:
        return Answer(True, count or MemoryResult.FAILURE, _text(body[16:]))
    if action == MemoryAction.CANCEL:
        return Answer(True, 0)
    if action == MemoryAction.STATUS:
        total, _, collected = struct.unpack_from(">QQQ", body, 16)
        return Answer(True, 0, progress=(total, collected))
    if action == MemoryAction.QUERY:
        return Answer(True, 0, queries=_queries(body, count))
    found = []
    for n in range(min(count, (len(body) - 16) // _BLOCK.size)):
        address, size, result, status, offset = _BLOCK.unpack_from(body, 16 + n * _BLOCK.size)
        found.append(BlockResult(address, size, result, status, _text_at(body, offset)))
    return Answer(True, 0, blocks=tuple(found))


def _queries(body: bytes, count: int) -> tuple[BlockQuery, ...]:
    """Records of an address and page counts; the first and last permanent pages are page numbers."""
    found = []
    for n in range(min(count, (len(body) - 16) // _QUERY.size)):
        address, pages, managed, permanent, first, last = _QUERY.unpack_from(body, 16 + n * _QUERY.size)
        ends = (first * PAGE_BYTES, last * PAGE_BYTES) if permanent else (0, 0)
        found.append(BlockQuery(address, pages, managed, permanent, *ends))
    return tuple(found)


def _system_info(body: bytes) -> Answer:
    command, result, count = struct.unpack_from(">III", body)
    words = [word.decode("utf-8", "replace") for word in body[12:].split(b"\0")]
    pairs = tuple(zip(words[0:-1:2], words[1::2], strict=False))[: min(count, MAX_VALUES)]
    return Answer(True, result if command == 1 else 1, values=pairs)
