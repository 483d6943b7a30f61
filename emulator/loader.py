"""Load freestanding SPARC V9 ELF programs into guest memory.

The format: System V ABI, ELF-64 object files; machine number 43 is EM_SPARCV9 (SPARC Compliance Definition
2.4). The file is somebody else's data: every number is checked before it is used, and every refusal is an
ImageError of one line.

    parse_image(bytes) -> Image        pure
    load_image(memory, image)          copies segments to their physical addresses (p_paddr)
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import ImageError
from emulator.memory import Memory
from emulator.units import format_size

EHDR = struct.Struct(">16sHHIQQQIHHHHHH")
PHDR = struct.Struct(">IIQQQQQQ")
NHDR = struct.Struct(">III")
ET_EXEC = 2
EM_SPARCV9 = 43
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PF_X, PF_W, PF_R = 1, 2, 4
MAX_SEGMENTS = 1024
MAX_NOTE_BYTES = 1 << 16
MAX_FILE_BYTES = 1 << 31


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One PT_LOAD: `data` goes to real address `ra`; the rest up to `memory_bytes` is zero."""

    ra: int
    va: int
    data: bytes
    memory_bytes: int
    flags: int

    @property
    def end(self) -> int:
        """First real address behind the segment."""
        return self.ra + self.memory_bytes

    @property
    def executable(self) -> bool:
        """True where the segment may be executed."""
        return bool(self.flags & PF_X)


@dataclass(frozen=True)
class Note:
    """An ELF note: who defines it, and what it says."""

    owner: str
    type: int
    text: bytes


@dataclass(frozen=True)
class Image:
    """A parsed program. `entry` is the real address at which the strand starts."""

    entry: int
    segments: tuple[Segment, ...]
    notes: tuple[Note, ...] = ()

    @property
    def end(self) -> int:
        """First real address behind all segments."""
        return max(segment.end for segment in self.segments)


def _check_ident(data: bytes) -> None:
    if data[:4] != b"\x7fELF":
        raise ImageError("not-elf", "not an ELF file")
    if len(data) < EHDR.size:
        raise ImageError("truncated", f"the file ends inside the ELF header ({len(data)} bytes)")
    if data[4] != 2:
        raise ImageError("class", "not a 64-bit ELF file (a 32-bit program cannot be run freestanding)")
    if data[5] != 2:
        raise ImageError("data", "not a big-endian ELF file")
    if data[6] != 1:
        raise ImageError("version", f"ELF version {data[6]} is not known")


def parse_image(data: bytes) -> Image:
    """Parse an ELF executable. Raises ImageError."""
    _check_ident(data)
    (_, kind, machine, version, entry, phoff, _, _, ehsize, phentsize, phnum, *_) = EHDR.unpack_from(data)
    if machine != EM_SPARCV9:
        raise ImageError("machine", f"the program is for machine {machine}, not for SPARC V9 ({EM_SPARCV9})")
    if kind != ET_EXEC:
        names = {1: "a relocatable object", 3: "position-independent or a shared object", 4: "a core file"}
        raise ImageError(
            "type", f"not an executable with fixed addresses, but {names.get(kind, f'type {kind}')}"
        )
    if version != 1 or ehsize < EHDR.size:
        raise ImageError("header", f"malformed ELF header (version {version}, header size {ehsize})")
    if phnum == 0:
        raise ImageError("empty", "the program has no program headers: nothing to load")
    if phentsize != PHDR.size or phnum > MAX_SEGMENTS:
        raise ImageError("header", f"malformed program header table ({phnum} entries of {phentsize} bytes)")
    if phoff + phnum * PHDR.size > len(data):
        raise ImageError("truncated", "the file ends before its program header table does")
    headers = [PHDR.unpack_from(data, phoff + index * PHDR.size) for index in range(phnum)]
    segments = tuple(
        s for i, header in enumerate(headers) if (s := _parse_segment(data, i, header)) is not None
    )
    if not segments:
        raise ImageError("empty", "the program has no segment to load")
    _check_overlap(segments)
    notes = [note for header in headers if header[0] == PT_NOTE for note in _parse_notes(data, header[2], header[5])]
    return Image(_real_entry(entry, segments), segments, tuple(notes))


def _parse_notes(data: bytes, offset: int, size: int) -> Iterator[Note]:
    """Notes of a PT_NOTE segment: owner and text each padded to 4 bytes. A damaged one ends the list."""
    raw = data[offset : offset + min(size, MAX_NOTE_BYTES)]
    at = 0
    while at + NHDR.size <= len(raw):
        name_bytes, text_bytes, kind = NHDR.unpack_from(raw, at)
        name_at = at + NHDR.size
        text_at = name_at + (name_bytes + 3) // 4 * 4
        at = text_at + (text_bytes + 3) // 4 * 4
        if text_at + text_bytes > len(raw):
            return
        owner = raw[name_at : name_at + name_bytes].rstrip(b"\0").decode("latin-1")
        yield Note(owner, kind, raw[text_at : text_at + text_bytes])


def _parse_segment(data: bytes, index: int, header: tuple[int, ...]) -> Segment | None:
    kind, flags, offset, vaddr, paddr, filesz, memsz, _ = header
    if kind in (PT_INTERP, PT_DYNAMIC):
        raise ImageError("dynamic", "the program wants a dynamic linker: link it with -static -nostdlib")
    if kind != PT_LOAD or memsz == 0:
        return None
    if filesz > memsz:
        raise ImageError(
            "segment", f"segment {index} is larger in the file ({filesz}) than in memory ({memsz})"
        )
    if offset + filesz > len(data):
        raise ImageError(
            "truncated", f"the file ends inside segment {index}: it needs {offset + filesz} bytes"
        )
    if paddr + memsz > 1 << 64 or vaddr + memsz > 1 << 64:
        raise ImageError("segment", f"segment {index} wraps around the end of the address space")
    return Segment(ra=paddr, va=vaddr, data=data[offset : offset + filesz], memory_bytes=memsz, flags=flags)


def _check_overlap(segments: tuple[Segment, ...]) -> None:
    ordered = sorted(segments, key=lambda s: s.ra)
    for low, high in itertools.pairwise(ordered):
        if low.end > high.ra:
            raise ImageError("overlap", f"segments at {low.ra:#x} and {high.ra:#x} overlap")


def _real_entry(entry: int, segments: tuple[Segment, ...]) -> int:
    """The strand starts with the MMU off: the entry, a virtual address of the file, becomes a real one."""
    if entry % 4:
        raise ImageError("entry", f"the entry point {entry:#x} is not on an instruction boundary")
    for segment in segments:
        if segment.executable and segment.va <= entry < segment.va + segment.memory_bytes:
            return entry - segment.va + segment.ra
    raise ImageError("entry", f"the entry point {entry:#x} is in no executable segment")


def read_image(path: str | Path) -> Image:
    """Read and parse a file. Raises ImageError, also where the file cannot be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    except ValueError as error:  # a NUL in the name
        raise ImageError("unreadable", str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise ImageError("too-large", f"the file is larger than {format_size(MAX_FILE_BYTES)}")
    return parse_image(data)


def load_image(memory: Memory, image: Image) -> None:
    """Copy every segment to its real address and zero its tail. Nothing is written where one does not fit."""
    for segment in image.segments:
        if not memory.backed(segment.ra, segment.memory_bytes):
            needs = f"the program needs memory from {segment.ra:#x} up to {segment.end:#x}"
            first = memory.ranges[0][0] if memory.ranges else 0
            where = f"from real address {first:#x} on" if first else "(see --memory)"
            raise ImageError("memory", f"{needs}, the guest has {format_size(memory.size_bytes)} {where}")
    for segment in image.segments:
        memory.write(segment.ra, segment.data)
        _zero(memory, segment.ra + len(segment.data), segment.end)


def _zero(memory: Memory, start: int, end: int, *, chunk_bytes: int = 1 << 20) -> None:
    """Zero, but leave memory that is zero already untouched, so that it stays sparse."""
    zeros = bytes(chunk_bytes)
    for ra in range(start, end, chunk_bytes):
        length = min(chunk_bytes, end - ra)
        if memory.read(ra, length) != zeros[:length]:
            memory.write(ra, zeros[:length])
