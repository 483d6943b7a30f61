"""The state of a guest on its way to another server, as bytes: named sections and a checksum over all of them.

::

    image     "S4VSTATE" (8), version (4), sections (4), the sections, SHA-256 of all before it (32)
    section   name (16, NULs behind), version (4), flags (4, bit 0: required), bytes behind (8), bytes

Numbers are little-endian. Sections `guest`, `firmware`, `devices`, `input`, `frames` are of `emulator.server.moving`;
all others are the core's (csrc/machine/moving.c), which has them in the same form. A section that is not known is
passed over where it is not required. An image comes from a peer: everything is checked. docs/internals/moving.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from emulator.errors import StateError

MAGIC = b"S4VSTATE"
VERSION = 1
MAX_BYTES = 64 << 20
"""Of an image."""
MAX_SECTIONS = 256
REQUIRED = 1
F_ADD_SEALS, SEAL_SEAL, SEAL_SIZE, SEAL_WRITE = 1033, 1, 2 | 4, 8
"""fcntl(2); SEAL_SIZE: neither smaller nor larger. Not all of them are in `fcntl`."""
_HEAD = struct.Struct("<8sII")
_SECTION = struct.Struct("<16sIIQ")
_HASH_BYTES = 32


@dataclass(frozen=True)
class Section:
    """A part of the state. `version` of what its bytes mean."""

    name: str
    version: int
    data: bytes
    required: bool = True

    def pack(self) -> bytes:
        """As it stands in an image."""
        return _SECTION.pack(self.name.encode("ascii"), self.version, int(self.required), len(self.data)) + self.data


def pack_image(sections: Iterable[Section]) -> bytes:
    """An image. Raises StateError for one that is too large."""
    listed = tuple(sections)
    body = _HEAD.pack(MAGIC, VERSION, len(listed)) + pack_sections(listed)
    if len(body) + _HASH_BYTES > MAX_BYTES:
        raise StateError(f"the guest's state without memory has {len(body)} bytes; {MAX_BYTES} are the most")
    return body + hashlib.sha256(body).digest()


class StateBuffer:
    """Memory of this process that another one writes an image to."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._fd = _memfd(size_bytes)
        fcntl.fcntl(self._fd, F_ADD_SEALS, SEAL_SIZE)  # it cannot be pulled away from under a reader

    def copy(self) -> int:
        """A descriptor of it, the caller's to close."""
        return os.dup(self._fd)

    def read(self, sha256: bytes) -> bytes:
        """What was written, copied once: later changes have no effect. Raises StateError."""
        image = os.pread(self._fd, self.size_bytes, 0)
        if len(image) != self.size_bytes or not hmac.compare_digest(hashlib.sha256(image).digest(), sha256):
            raise StateError("the state that was written is not the one that was sent: its SHA-256 is another")
        return image

    def close(self) -> None:
        """Give it back."""
        os.close(self._fd)


def sealed_memory(data: bytes) -> int:
    """A descriptor of memory with these bytes, which nobody can change; the caller's to close."""
    fd = _memfd(len(data))
    try:
        view = memoryview(data)
        at = 0
        while at < len(data):
            at += os.pwrite(fd, view[at:], at)
        fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SIZE | SEAL_WRITE | SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(size_bytes: int) -> int:
    fd = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
    except BaseException:
        os.close(fd)
        raise
    return fd


def pack_sections(sections: Iterable[Section]) -> bytes:
    """Sections one after the other."""
    return b"".join(section.pack() for section in sections)


def read_image(image: bytes) -> tuple[Section, ...]:
    """The sections of an image. Raises StateError."""
    if len(image) > MAX_BYTES or len(image) < _HEAD.size + _HASH_BYTES:
        raise StateError("not a state image of a guest")
    body, checksum = image[:-_HASH_BYTES], image[-_HASH_BYTES:]
    magic, version, count = _HEAD.unpack_from(body)
    if magic != MAGIC:
        raise StateError("not a state image of a guest")
    if version != VERSION:
        raise StateError(f"a state image of version {version}; this machine knows version {VERSION}")
    if hashlib.sha256(body).digest() != checksum:
        raise StateError("the state image is damaged: its checksum is wrong")
    sections = read_sections(body[_HEAD.size :])
    if len(sections) != count:
        raise StateError("the state image is damaged: its sections")
    return sections


def read_sections(data: bytes) -> tuple[Section, ...]:
    """Sections one after the other, no two of a name. Raises StateError."""
    found: dict[str, Section] = {}
    at = 0
    while at < len(data):
        if len(data) - at < _SECTION.size or len(found) >= MAX_SECTIONS:
            raise StateError("the state image is damaged: its sections")
        raw, version, flags, size = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        name = raw.rstrip(b"\0")
        if size > len(data) - at or not name.isalpha() or not name.islower():
            raise StateError("the state image is damaged: its sections")
        section = Section(name.decode("ascii"), version, data[at : at + size], bool(flags & REQUIRED))
        if section.name in found:
            raise StateError(f"the state image is damaged: section {section.name} is there twice")
        found[section.name] = section
        at += size
    return tuple(found.values())
