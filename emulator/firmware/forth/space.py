"""Memory as Forth words see it: the firmware's own data space, and the guest's memory around it.

The data space lies at SPACE_BASE and is never guest memory: variables, strings and what ``allot`` gives out.
Everything else goes to an accessor, which answers for the guest's virtual addresses.
"""

from __future__ import annotations

from typing import Protocol

from emulator.firmware.forth import throw

SPACE_BASE = 0xFE00_0000
SPACE_LIMIT = 256 << 10
BASE_CELL = 0
STATE_CELL = 8
PICTURE_END = 0x100
"""Pictured numbers are built downwards from here."""
PICTURE_BYTES = 0x98
PAD = 0x100
STRINGS = 0x800
STRING_BYTES = 0x400
STRING_SLOTS = 4
FIRST_FREE = STRINGS + STRING_BYTES * STRING_SLOTS
MOVE_LIMIT = 16 << 20
"""Bytes one ``move`` or ``fill`` may touch: more is a slip of the finger."""
BYTES_PER_STEP = 256
"""Bytes read or written that cost as much as one step."""
_CHUNK = 8192


class GuestMemory(Protocol):
    """Memory of the guest by virtual address, as the processor at the prompt would see it."""

    def peek(self, address: int, size: int) -> bytes | None:
        """Bytes at an address; None: not mapped, or no memory there."""

    def poke(self, address: int, data: bytes) -> bool:
        """Write bytes; False: not mapped, or no memory there."""


class Space:
    """The data space, and the way to the guest's memory. `work` counts bytes, for the machine that counts steps."""

    def __init__(self, guest: GuestMemory) -> None:
        self.guest = guest
        self.data = bytearray(FIRST_FREE)
        self.slot = 0
        self.work = 0

    @property
    def here(self) -> int:
        """Address of the first free byte."""
        return SPACE_BASE + len(self.data)

    def allot(self, size: int) -> int:
        """Reserve `size` bytes (give back where negative); the address before. Raises ThrowError."""
        address = self.here
        new = len(self.data) + size
        if not FIRST_FREE <= new <= SPACE_LIMIT:
            raise throw.ThrowError(throw.DICTIONARY_FULL, "Dictionary overflow")
        if size < 0:
            del self.data[new:]
        else:
            self.data.extend(bytes(size))
        return address

    def align(self, size: int = 8) -> None:
        """Reserve bytes up to a multiple of `size`."""
        self.allot(-len(self.data) % size)

    def _own(self, address: int, size: int) -> int | None:
        """Offset in the data space, or None."""
        offset = address - SPACE_BASE
        return offset if offset >= 0 and offset + size <= len(self.data) else None

    def read_bytes(self, address: int, size: int) -> bytes:
        """Bytes at an address. Raises ThrowError: a trap, as the processor would take it."""
        if size > MOVE_LIMIT:
            raise throw.abort("Length too large")
        self.work += size
        offset = self._own(address, size)
        if offset is not None:
            return bytes(self.data[offset : offset + size])
        out = bytearray()
        while len(out) < size:
            place = address + len(out)
            chunk = min(size - len(out), _CHUNK - place % _CHUNK)
            found = self.guest.peek(place, chunk) if place < 1 << 64 else None
            if found is None or len(found) != chunk:
                raise throw.trap(throw.DATA_MISS)
            out += found
        return bytes(out)

    def write_bytes(self, address: int, data: bytes) -> None:
        """Write bytes. Raises ThrowError: a trap; what lies before the fault is written."""
        if len(data) > MOVE_LIMIT:
            raise throw.abort("Length too large")
        self.work += len(data)
        offset = self._own(address, len(data))
        if offset is not None:
            self.data[offset : offset + len(data)] = data
            return
        done = 0
        while done < len(data):
            place = address + done
            chunk = data[done : done + _CHUNK - place % _CHUNK]
            if place >= 1 << 64 or not self.guest.poke(place, chunk):
                raise throw.trap(throw.DATA_MISS)
            done += len(chunk)

    def read(self, address: int, size: int) -> int:
        """A number of 1, 2, 4 or 8 bytes. Raises ThrowError: a trap."""
        if address % size:
            raise throw.trap(throw.MISALIGNED)
        return int.from_bytes(self.read_bytes(address, size), "big")

    def write(self, address: int, size: int, value: int) -> None:
        """Store the low bytes of a cell. Raises ThrowError: a trap."""
        if address % size:
            raise throw.trap(throw.MISALIGNED)
        self.write_bytes(address, (value & (1 << 8 * size) - 1).to_bytes(size, "big"))

    def cell(self, offset: int) -> int:
        """One of the firmware's own variables."""
        return int.from_bytes(self.data[offset : offset + 8], "big")

    def set_cell(self, offset: int, value: int) -> None:
        """Change one of the firmware's own variables."""
        self.data[offset : offset + 8] = value.to_bytes(8, "big")

    def temporary(self, text: bytes) -> tuple[int, int]:
        """(address, length) of a string in one of a few buffers that are used in turn."""
        kept = text[:STRING_BYTES]
        start = STRINGS + self.slot * STRING_BYTES
        self.slot = (self.slot + 1) % STRING_SLOTS
        self.data[start : start + len(kept)] = kept
        return SPACE_BASE + start, len(kept)

    def permanent(self, text: bytes) -> tuple[int, int]:
        """(address, length) of a string that stays."""
        address = self.allot(len(text))
        self.write_bytes(address, text)
        return address, len(text)
