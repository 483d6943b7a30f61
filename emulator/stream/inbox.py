"""Chunks out of what a link has brought: bounded, nothing copied that need not be."""

from __future__ import annotations

import mmap

from emulator._core_stream import HEADER_BYTES, RAW_BYTES, Buffer, Chunk, ChunkError, Image, Inflow, Parser
from emulator.hvctl.wire import EndError
from emulator.stream import links
from emulator.stream.records import RecordLink

_CAPACITY = 1 << 20


class Inbox:
    """Bytes of one link, and the chunks in them."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._memory = mmap.mmap(-1, capacity)
        self._view = memoryview(self._memory)
        self._parser = Parser(self._memory)
        self._start = self._end = 0
        self._chunk: Chunk | None = None
        self.received_bytes = 0

    def chunk(self) -> Chunk | None:
        """The next chunk, once all of it is here; it stays current until `done`. Raises ChunkError."""
        have = self._end - self._start
        if self._chunk is None and have >= HEADER_BYTES:
            chunk = self._parser.header(self._start)
            if chunk.wire_bytes > min(RAW_BYTES, len(self._view) - HEADER_BYTES):
                raise ChunkError(f"a payload of {chunk.wire_bytes} bytes")
            self._chunk = chunk
        if self._chunk is None or have < HEADER_BYTES + self._chunk.wire_bytes:
            return None
        return self._chunk

    def intact(self) -> bool:
        """Is the current chunk's payload what was sent?"""
        return self._parser.intact(self._start + HEADER_BYTES)

    def payload(self) -> memoryview:
        """Of the current chunk; valid until `done`."""
        assert self._chunk is not None
        at = self._start + HEADER_BYTES
        return self._view[at : at + self._chunk.wire_bytes]

    def apply(self, image: Image, scratch: Buffer) -> None:
        """Put the current chunk's payload into memory. Raises ChunkError, StreamMemoryError."""
        self._parser.apply(image, self._start + HEADER_BYTES, scratch)

    def apply_raw(self, image: Image, raw: Buffer, scratch: Buffer) -> None:
        """The same, expanded."""
        self._parser.apply_raw(image, raw, scratch)

    def done(self) -> None:
        """The current chunk is dealt with."""
        assert self._chunk is not None
        self._start += HEADER_BYTES + self._chunk.wire_bytes
        self._chunk = None
        if self._start == self._end:
            self._start = self._end = 0

    def flow(self, flow: Inflow, *, round: int, idle_ns: int, most_ns: int, wait_ms: int) -> bool:
        """Have chunks received and dealt with; False: the next one, or the end, is not of that sort. Raises OSError."""
        self._chunk = None
        flow.start, flow.end = self._start, self._end
        try:
            return flow.receive(self._parser.pointer, len(self._view), round=round, idle_ns=idle_ns, most_ns=most_ns,
                                wait_ms=wait_ms)  # fmt: skip
        finally:
            self._start, self._end = flow.start, flow.end

    def fill(self, link: links.Link) -> None:
        """Read until a header or the current chunk is whole. Raises EndError, OSError; what came is kept."""
        wanted = HEADER_BYTES + (self._chunk.wire_bytes if self._chunk else 0)
        if len(self._view) - self._start < max(wanted, len(self._view) // 4):
            self._memory.move(0, self._start, self._end - self._start)
            self._start, self._end = 0, self._end - self._start
        wanted += self._start
        while True:
            room, least = self._view[self._end :], wanted - self._end
            patient = link if self._chunk is not None and isinstance(link, RecordLink) else None
            count = patient.receive(room, least) if patient else link.recv_into(room)  # the rest of a chunk will come
            if count == 0:
                raise EndError("the other side has closed the link")
            self._end += count
            self.received_bytes += count
            if self._end >= wanted:
                return
            if patient and patient.gettimeout() == 0:
                raise BlockingIOError("slow: what was received is acknowledged meanwhile")
