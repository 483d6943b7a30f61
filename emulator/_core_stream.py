"""The core's transfer of pages (csrc/stream): memory by its descriptors, payloads of chunks, hashes, checksums.

One call a chunk, never one a page; meanwhile the interpreter's lock is free, so that channels work side by side.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from emulator._core_cffi import ffi, lib
from emulator.errors import EmulatorError

PAGE_BYTES = 8192
FLOW_CHUNKS: int = lib.S4V_STREAM_FLOW_CHUNKS
CHUNK_PAGES: int = lib.S4V_STREAM_CHUNK_PAGES
HEADER_BYTES: int = lib.S4V_STREAM_HEADER_BYTES
RAW_BYTES: int = lib.S4V_STREAM_RAW_BYTES
MAX_BYTES: int = lib.S4V_STREAM_MAX_BYTES
KEY_BYTES: int = lib.S4V_STREAM_KEY_BYTES
AUDIT_PAGES = 32768
"""Pages of one step of an audit or a walk: 256 MiB of address space."""
EXAMPLES = 16
_ERROR_BYTES = 512
_HEADER_AT = 4096 - HEADER_BYTES
_PAYLOAD_AT = 4096
_MAX_U64 = (1 << 64) - 1


class StreamMemoryError(EmulatorError):
    """Memory cannot be read or written, or its descriptors are not what they should be."""

    code = "memory"


class ChunkError(EmulatorError):
    """A chunk that is damaged, or that no peer of ours makes."""

    code = "peer"


class BlockFacts(Protocol):
    """What `Image` wants to know of a block: requests.Block."""

    @property
    def ra(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def memory(self) -> int: ...
    @property
    def map(self) -> int: ...
    @property
    def memory_offset(self) -> int: ...
    @property
    def page_map_offset(self) -> int: ...
    @property
    def region_map_offset(self) -> int: ...


class Taken(NamedTuple):
    """A payload: pages with bytes, pages that are zero now, its bytes; and how many pages were looked at for it."""

    pages: int
    zeros: int
    raw_bytes: int
    looked: int


class Chunk(NamedTuple):
    """The header of a chunk (protocol.md). Made for each: a tuple is several times as fast as a dataclass."""

    type: int
    mid: int
    channel: int = 0
    round: int = 0
    sequence: int = 0
    pages: int = 0
    zeros: int = 0
    algorithm: int = 0
    raw_bytes: int = 0
    wire_bytes: int = 0
    argument: int = 0
    crc: int = 0
    major: int = 1
    minor: int = 1


@dataclass(frozen=True)
class Audit:
    """Pages that are not what was sent, how many were compared, and numbers of the first of them."""

    mismatches: int
    pages: int
    examples: tuple[int, ...]


class Buffer:
    """Room for a header and a payload behind it. `payload` begins at a page."""

    def __init__(self, payload_bytes: int = RAW_BYTES) -> None:
        self._memory = mmap.mmap(-1, _PAYLOAD_AT + payload_bytes)
        self._view = memoryview(self._memory)
        self.payload = self._view[_PAYLOAD_AT:]
        self._pointer: Any = ffi.from_buffer("uint8_t[]", self._memory)
        self.header = self._pointer + _HEADER_AT
        self.pointer = self._pointer + _PAYLOAD_AT
        self._chunk = ffi.new("s4v_stream_chunk *")
        self._taken = ffi.new("s4v_stream_taken *")
        self.length = 0

    def seal(self, chunk: Chunk) -> None:
        """Write the header of what `payload` has: chunk.wire_bytes of it."""
        _fill(self._chunk, chunk)
        lib.s4v_stream_seal(self.header, self._chunk, self.pointer)
        self.length = HEADER_BYTES + chunk.wire_bytes

    def fetch(self, stream: Any, chunk: Chunk) -> Taken:
        """Pending pages and their header, of type, number and so on as `chunk` has them; through `Image`."""
        out = self._taken
        _fill(self._chunk, chunk)
        if lib.s4v_stream_fetch(stream, self._chunk, self.header, self.pointer, out) != 0:
            raise StreamMemoryError("memory cannot be read")
        self.length = HEADER_BYTES + out.raw_bytes
        return Taken(out.pages, out.zeros, out.raw_bytes, out.looked)

    def wire(self) -> memoryview:
        """Header and payload as they are sent."""
        return self._view[_HEADER_AT : _HEADER_AT + self.length]


def seal(chunk: Chunk, payload: bytes = b"") -> bytes:
    """A small chunk as it is sent."""
    raw, header = ffi.new("s4v_stream_chunk *"), ffi.new("uint8_t[]", HEADER_BYTES)
    _fill(raw, chunk, len(payload))
    lib.s4v_stream_seal(header, raw, ffi.from_buffer("uint8_t[]", payload))
    return bytes(ffi.buffer(header)) + payload


def _fill(raw: Any, chunk: Chunk, length: int | None = None) -> None:
    raw.mid, raw.sequence, raw.argument = chunk.mid, chunk.sequence, chunk.argument
    raw.round, raw.channel, raw.pages, raw.zeros = chunk.round, chunk.channel, chunk.pages, chunk.zeros
    raw.major, raw.minor, raw.type, raw.algorithm = chunk.major, chunk.minor, chunk.type, chunk.algorithm
    raw.raw_bytes = chunk.raw_bytes if length is None else length
    raw.wire_bytes = chunk.wire_bytes if length is None else length


class Parser:
    """Takes chunks out of a buffer of bytes that a peer has sent."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.pointer: Any = ffi.from_buffer("uint8_t[]", buffer)
        self._raw = ffi.new("s4v_stream_chunk *")

    def header(self, at: int) -> Chunk:
        """The header at an offset, its lengths within their bounds. Raises ChunkError."""
        raw = self._raw
        if lib.s4v_stream_parse(self.pointer + at, raw) != 0:
            raise ChunkError("a header that is damaged or out of bounds")
        return Chunk(
            type=raw.type, mid=raw.mid, channel=raw.channel, round=raw.round, sequence=raw.sequence, pages=raw.pages,
            zeros=raw.zeros, algorithm=raw.algorithm, raw_bytes=raw.raw_bytes, wire_bytes=raw.wire_bytes,
            argument=raw.argument, crc=raw.crc, major=raw.major, minor=raw.minor,
        )  # fmt: skip

    def intact(self, at: int) -> bool:
        """Is the payload at an offset, of the header read last, what was sent?"""
        return bool(lib.s4v_stream_intact(self._raw, self.pointer + at) == 0)

    def apply(self, image: Image, at: int, scratch: Buffer) -> None:
        """Put the payload at an offset, of the header read last, into memory. Raises ChunkError, StreamMemoryError."""
        image.apply(self._raw, self.pointer + at, scratch)

    def apply_raw(self, image: Image, raw: Buffer, scratch: Buffer) -> None:
        """The same of a payload that was compressed, and is not any more."""
        image.apply(self._raw, raw.pointer, scratch)


class Image:
    """The memory of a guest, through descriptors of its blocks. `marks`: their dirty maps are wanted."""

    def __init__(self, blocks: Sequence[BlockFacts], key: bytes, *, marks: bool) -> None:
        """Raises StreamMemoryError. `key`: KEY_BYTES, the same on both sides."""
        if len(key) != KEY_BYTES:
            raise StreamMemoryError(f"a key of {len(key)} bytes: {KEY_BYTES} are wanted")
        raw = ffi.new("s4v_stream_block[]", len(blocks))
        for slot, block in zip(raw, blocks, strict=True):
            slot.ra, slot.bytes, slot.memory_offset = block.ra, block.size, block.memory_offset
            slot.page_map_offset, slot.region_map_offset = block.page_map_offset, block.region_map_offset
            slot.memory_fd, slot.map_fd = block.memory, block.map
        message = ffi.new("char[]", _ERROR_BYTES)
        pointer = lib.s4v_stream_new(raw, len(blocks), ffi.from_buffer("uint8_t[]", key), marks, message, _ERROR_BYTES)
        if pointer == ffi.NULL:
            raise StreamMemoryError(ffi.string(message).decode("utf-8", "replace"))
        self.stream = ffi.gc(pointer, lib.s4v_stream_free)
        self.pages = int(lib.s4v_stream_pages(self.stream))
        self._digest = ffi.new("uint64_t[2]")

    def close(self) -> None:
        """Give back what it maps and holds; only when no other thread is in a call."""
        ffi.release(self.stream)

    def harvest(self) -> int:
        """Marks become pending pages; how many. Only after the machine's barrier may they be taken."""
        found = int(lib.s4v_stream_harvest(self.stream))
        if found < 0:
            raise StreamMemoryError("the image was made without dirty maps")
        return found

    def marked(self) -> int:
        """Pages that are marked now."""
        return int(lib.s4v_stream_marked(self.stream))

    def populated(self, at: int) -> tuple[int, int]:
        """Populated pages of a step from page index `at` on are pending: (where to go on, how many)."""
        place = ffi.new("uint64_t *", at)
        found = int(lib.s4v_stream_populated(self.stream, place, AUDIT_PAGES * 4))
        if found < 0:
            raise StreamMemoryError("memory cannot be walked")
        return int(place[0]), found

    def pending(self) -> int:
        """Pages that must be sent."""
        return int(lib.s4v_stream_pending(self.stream))

    def take(self, buffer: Buffer) -> Taken:
        """Fetch pending pages into the buffer's payload."""
        out = ffi.new("s4v_stream_taken *")
        if lib.s4v_stream_take(self.stream, buffer.pointer, out) != 0:
            raise StreamMemoryError("memory cannot be read")
        return Taken(pages=out.pages, zeros=out.zeros, raw_bytes=out.raw_bytes, looked=out.looked)

    def fetch(self, buffer: Buffer, chunk: Chunk) -> Taken:
        """The same, and the header with it: the buffer is ready to be sent as it is."""
        return buffer.fetch(self.stream, chunk)

    # -- pages that follow a guest that runs

    def take_at(self, buffer: Buffer, number: int, most: int) -> Taken:
        """Fetch pages from page number `number` on, where it is pending."""
        out = ffi.new("s4v_stream_taken *")
        status = lib.s4v_stream_take_at(self.stream, number, most, buffer.pointer, out)
        if status == lib.S4V_EFORMAT:
            raise ChunkError("a page is asked for that is not of this memory")
        if status != 0:
            raise StreamMemoryError("memory cannot be read")
        return Taken(pages=out.pages, zeros=out.zeros, raw_bytes=out.raw_bytes, looked=out.looked)

    def pending_ranges(self, most: int) -> Iterator[list[int]]:
        """Pending pages as first and last number plus one, `most` ranges at a time; nothing is taken away."""
        at, out = ffi.new("uint64_t *", 0), ffi.new("uint64_t[]", 2 * most)
        while at[0] < self.pages:
            count = int(lib.s4v_stream_ranges(self.stream, at, out, most))
            if count:
                yield [int(number) for number in out[0 : 2 * count]]

    def presence(self, fd: int) -> None:
        """Have the machine's file of pages that are missing. Raises StreamMemoryError."""
        if lib.s4v_stream_presence(self.stream, fd) != 0:
            raise StreamMemoryError("the descriptor is not the presence file of this memory")

    def missing(self, ranges: Sequence[int]) -> None:
        """Pages that come later: first number, last plus one, ... Raises ChunkError."""
        raw = ffi.new("uint64_t[]", list(ranges))
        if lib.s4v_stream_missing(self.stream, raw, len(ranges) // 2) != 0:
            raise ChunkError("MISSING: pages that are not of this memory")

    def serve(self) -> None:
        """The guest runs: what is pending is sent whatever it is (source); what comes is there at once (target)."""
        lib.s4v_stream_serve(self.stream)

    def asked(self, most: int, *, again: bool = False) -> list[int]:
        """Numbers of pages that the machine waits for; `again`: all of them, also those it was told before."""
        out = ffi.new("uint64_t[]", most)
        count = int(lib.s4v_stream_asked(self.stream, out, most, again))
        return [int(number) for number in out[0:count]]

    def left(self) -> int:
        """Pages that are missing."""
        return int(lib.s4v_stream_left(self.stream))

    def apply(self, raw_chunk: Any, pointer: Any, scratch: Buffer) -> None:
        """Put a payload into memory; through `Parser`."""
        status = lib.s4v_stream_apply(self.stream, raw_chunk, pointer, scratch.pointer)
        if status == lib.S4V_EFORMAT:
            raise ChunkError("pages that are not of this memory, or not in order")
        if status != 0:
            raise StreamMemoryError("memory cannot be written, or is not what was written to it")

    def complete(self) -> None:
        """No `Inflow` takes anything any more."""
        lib.s4v_stream_complete(self.stream)

    def digest(self) -> bytes:
        """Sum of the hashes of all pages, as sent or received: 16 bytes, big-endian."""
        out = ffi.new("uint64_t[2]")
        lib.s4v_stream_digest(self.stream, out)
        return (int(out[1]) << 64 | int(out[0])).to_bytes(16, "big")

    def audit(self, cancelled: Callable[[], bool] = lambda: False) -> Audit:
        """Hash all populated memory again and compare. Raises StreamMemoryError, also where it was cancelled."""
        at, looked, numbers = ffi.new("uint64_t *", 0), ffi.new("uint64_t *", 0), ffi.new("uint64_t[]", EXAMPLES)
        mismatches, examples = 0, list[int]()
        while at[0] < self.pages:
            if cancelled():
                raise StreamMemoryError("the audit was stopped")
            wrong = int(lib.s4v_stream_audit(self.stream, at, AUDIT_PAGES, looked, numbers, EXAMPLES))
            if wrong < 0:
                raise StreamMemoryError("memory cannot be read")
            listed = min(wrong, EXAMPLES - len(examples))
            examples += [int(number) for number in numbers[0:listed] if number]
            mismatches += wrong
        return Audit(mismatches, int(looked[0]), tuple(examples))

    def look(self, cancelled: Callable[[], bool] = lambda: False) -> int:
        """Hash all populated memory: `digest` is of what is there now; pages with bytes. Raises StreamMemoryError."""
        at, pages = ffi.new("uint64_t *", 0), 0
        while at[0] < self.pages:
            if cancelled():
                raise StreamMemoryError("it was stopped")
            pages = int(lib.s4v_stream_look(self.stream, at, AUDIT_PAGES))
            if pages < 0:
                raise StreamMemoryError("memory cannot be read")
        return pages

    def wipe(self) -> None:
        """All memory is zero. Raises StreamMemoryError."""
        if lib.s4v_stream_wipe(self.stream) != 0:
            raise StreamMemoryError("memory cannot be wiped")


class RecordsError(OSError):
    """A record that the peer has not sent, or may not send."""


def records_available() -> bool:
    """Has the process a libcrypto that `Records` can use?"""
    return bool(lib.s4v_stream_records_available())


class Records:
    """A connection, TLS 1.3 or plain (csrc/stream/records.c). One thread at a time."""

    def __init__(self, pointer: Any) -> None:
        self._records = ffi.gc(pointer, lib.s4v_stream_records_free)

    @staticmethod
    def open(fd: int, suite: int, mine: bytes, theirs: bytes, *, rekey_after: int = 0) -> Records | None:
        """By the traffic secrets of both directions, 32 bytes, 48 of AES-256-GCM, none of a plain connection.

        None: the library will not.
        """
        size = {lib.S4V_STREAM_PLAIN: 0, lib.S4V_STREAM_AES_256_GCM: 48}.get(suite, 32)
        if len(mine) != size or len(theirs) != size:
            return None
        one, other = ffi.from_buffer("uint8_t[]", mine), ffi.from_buffer("uint8_t[]", theirs)
        pointer = lib.s4v_stream_records_new(fd, suite, one, other, rekey_after)
        return None if pointer == ffi.NULL else Records(pointer)

    def close(self) -> None:
        """Forget the keys; no other thread is in a call."""
        ffi.release(self._records)

    def pending(self) -> int:
        """Is there something to receive without a look at the socket?"""
        return int(lib.s4v_stream_records_pending(self._records))

    def send(self, data: bytes | memoryview, most_ms: int) -> None:
        """All of it. Raises OSError; TimeoutError where nothing could be sent for so long."""
        status = lib.s4v_stream_records_send(self._records, ffi.from_buffer("uint8_t[]", data), len(data), most_ms)
        if status == lib.S4V_EBUSY:
            raise TimeoutError("the other side does not read")
        if status != 0:
            raise self._error(status)

    def waited_ns(self) -> int:
        """For input, in `receive`."""
        return int(lib.s4v_stream_records_waited(self._records))

    def receive(self, buffer: Any, *, least: int = 0, wait_ms: int = 0) -> int | None:
        """Bytes put into the buffer, 0 at the end, None where nothing has come. Raises OSError.

        At most so long for at least so many; the interpreter is not needed meanwhile.
        """
        view = ffi.from_buffer("uint8_t[]", buffer)
        count = int(lib.s4v_stream_records_receive(self._records, view, len(view), least, wait_ms))
        if count == lib.S4V_EBUSY:
            return None
        if count < 0:
            raise self._error(count)
        return count

    def flow_out(self, stream: Any, chunk: Any, most_ns: int, flow: Any) -> int:
        """For `Outflow`."""
        return int(lib.s4v_stream_flow_out(stream, self._records, chunk, most_ns, flow))

    def flow_in(self, stream: Any, most_ns: int, flow: Any, scratch: Any) -> int:
        """For `Inflow`."""
        return int(lib.s4v_stream_flow_in(stream, self._records, most_ns, flow, scratch))

    def flow_error(self, status: int) -> Exception | None:
        """What a result of the two means."""
        match status:
            case 0:
                return None
            case lib.S4V_STREAM_FLOW_MEMORY:
                return StreamMemoryError("memory cannot be read")
            case lib.S4V_STREAM_FLOW_SILENT:
                return TimeoutError("the other side does not read")
            case lib.S4V_STREAM_FLOW_LINK:
                return self._error(lib.S4V_EFAULT)
        return self._error(status)

    def _error(self, status: int) -> OSError:
        if status == lib.S4V_EFAULT:
            number = int(lib.s4v_stream_records_errno(self._records))
            return OSError(number, os.strerror(number))
        return RecordsError("a record that is damaged, or that no side of ours sends")


class OutRun(NamedTuple):
    """Chunks of one call: how many have been fetched, and sent; of those fetched pages, bytes, and pages looked at.

    `blocked_ns`: of the time it took nothing could be sent. `error`: what ended it.
    """

    fetched: int
    sent: int
    pages: int
    raw_bytes: int
    looked: int
    blocked_ns: int
    error: Exception | None


class Outflow:
    """Pending pages onto a connection, several chunks a call (csrc/stream/flow.c). One thread at a time."""

    def __init__(self, image: Image, records: Records) -> None:
        self._image, self._records = image, records
        self._flow = ffi.new("s4v_stream_outflow *")
        self._chunk = ffi.new("s4v_stream_chunk *")

    def send(self, chunk: Chunk, buffers: Sequence[Buffer], most_ns: int) -> OutRun:
        """At most FLOW_CHUNKS chunks, as `chunk` and numbered from it on, one a buffer; none is begun after most_ns.

        Those that were fetched have their number, whether they were sent or not.
        """
        flow = self._flow
        _fill(self._chunk, chunk)
        for at, buffer in enumerate(buffers):
            flow.header[at] = buffer.header
        flow.count = len(buffers)
        status = self._records.flow_out(self._image.stream, self._chunk, most_ns, flow)
        for at in range(flow.fetched):
            buffers[at].length = flow.bytes[at]
        error = self._records.flow_error(status)
        return OutRun(flow.fetched, flow.sent, flow.pages, flow.raw_bytes, flow.looked, flow.blocked_ns, error)


class Inflow:
    """Chunks of pages from a connection into memory and acknowledged, without the interpreter. One thread at a time."""

    def __init__(self, image: Image, records: Records, like: Chunk, *, answer_every: int, soon_ms: int) -> None:
        """`like`: migration, channel and version of what comes and of the answers."""
        self._image, self._records = image, records
        self._scratch = Buffer()
        self._flow = flow = ffi.new("s4v_stream_inflow *")
        flow.mid, flow.channel, flow.major, flow.minor = like.mid, like.channel, like.major, like.minor
        flow.answer_every, flow.soon_ms = answer_every, soon_ms
        self.applied = self.unanswered = self.pages = self.wire_bytes = self.start = self.end = 0

    def receive(self, pointer: Any, capacity: int, *, round: int, idle_ns: int, most_ns: int, wait_ms: int) -> bool:
        """Go on with [start, end) of a buffer, behind chunk `applied`, for so long, or till none comes for `wait_ms`.

        False: the end of the link, or a chunk that someone must look at, from `start` on. Raises OSError. What was
        done is in the members in any case.
        """
        flow = self._flow
        flow.bytes, flow.capacity, flow.start, flow.end = pointer, capacity, self.start, self.end
        flow.round, flow.applied, flow.idle_ns, flow.unanswered = round, self.applied, idle_ns, self.unanswered
        flow.wait_ms = wait_ms
        status = self._records.flow_in(self._image.stream, most_ns, flow, self._scratch.pointer)
        self.start, self.end, self.applied, self.unanswered = flow.start, flow.end, flow.applied, flow.unanswered
        self.pages, self.wire_bytes = flow.pages, flow.wire_bytes
        if status == lib.S4V_STREAM_FLOW_OTHER:
            return False
        error = self._records.flow_error(status)
        if error is not None:
            raise error
        return True


def page_hash(key: bytes, page: bytes, number: int) -> tuple[int, int]:
    """(low, high) word of a page's hash."""
    out = ffi.new("uint64_t[2]")
    lib.s4v_stream_hash(ffi.from_buffer("uint8_t[]", key), ffi.from_buffer("uint8_t[]", page), number & _MAX_U64, out)
    return int(out[0]), int(out[1])


def crc32c(data: bytes, *, portable: bool = False) -> int:
    """CRC-32C of bytes, with the host's instruction or without."""
    raw = ffi.from_buffer("uint8_t[]", data)
    return int((lib.s4v_stream_crc32c_portable if portable else lib.s4v_stream_crc32c)(raw, len(data)))
