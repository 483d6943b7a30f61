"""Disks as OpenBoot opens them: a path's arguments choose a slice, and a boot block is read from it.

::

    disk             slice a where the disk has a label, else all of it
    disk:c           slice c (a to h; of an EFI label its entries in order)
    disk:nolabel     all of it

A boot block is what sectors 1 to 15 of the slice hold: an a.out program whose text goes to 0x4000 and is entered there.
Source: OpenBoot 4's disk-label package as boot loaders rely on it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from emulator.backends.file import Backend
from emulator.devices.disklabel import find_slice
from emulator.firmware.program import BootError

SECTOR_BYTES = 512
BOOT_BLOCK_BYTES = 15 * SECTOR_BYTES
LOAD_BASE = 0x4000
AOUT_MAGIC = 0x0103_0107
NOT_EXECUTABLE = "The file just loaded does not appear to be executable."
_HEADER = struct.Struct(">8I")
_SLICES = "abcdefgh"


@dataclass(frozen=True)
class Part:
    """A slice of an open disk."""

    backend: Backend
    start_bytes: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes, fewer at the end. Raises OSError."""
        length = max(0, min(length, self.size_bytes - offset))
        return self.backend.read(self.start_bytes + offset, length) if length else b""


def open_part(backend: Backend, arguments: str) -> Part | None:
    """The slice that a path's arguments name; None: there is none. Raises OSError."""
    word = arguments.partition(",")[0]
    if word == "nolabel":
        return Part(backend, 0, backend.size_bytes)
    if len(word) > 1 or (word and word not in _SLICES):
        return None
    found = find_slice(backend, _SLICES.index(word) if word else 0)
    if found is not None:
        return Part(backend, found.start * SECTOR_BYTES, found.blocks * SECTOR_BYTES)
    return None if word else Part(backend, 0, backend.size_bytes)


def read_boot_block(part: Part) -> bytes:
    """The text of a boot block, with its zeroed data. Raises BootError, OSError."""
    data = part.read(SECTOR_BYTES, BOOT_BLOCK_BYTES)
    if len(data) < _HEADER.size:
        raise BootError("the disk is too small for a boot block")
    magic, text, initialised, zeroed, *_ = _HEADER.unpack_from(data)
    if magic != AOUT_MAGIC:
        raise BootError(NOT_EXECUTABLE)
    size = text + initialised
    if size > len(data) - _HEADER.size or zeroed > BOOT_BLOCK_BYTES:
        raise BootError("the boot block's sizes are wrong")
    return data[_HEADER.size : _HEADER.size + size] + bytes(zeroed)
