"""A program that OpenBoot boots from the host: a kernel given by hand, its initial RAM disk, its arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.firmware.layout import LARGE_PAGE_BYTES, PAGE_BYTES, Layout
from emulator.loader import Image, Note, Segment, load_image, read_image
from emulator.memory import Memory
from emulator.units import format_size

LINUX_MAGIC = b"HdrS"
LINUX_MAGIC_AT = 8  # behind the entry point (Linux 6.1, arch/sparc/kernel/head_64.S)
LINUX_RAMDISK_SIZE_AT = 0x1C  # 32 bits: bytes
LINUX_RAMDISK64_AT = 0x30  # 64 bits: address, KERNBASE added
LINUX_KERNBASE = 0x40_0000
FIRMWARE_NOTE = Note("sun4v", 1, b"openboot")
"""An ELF note that marks a program that wants firmware."""


class BootError(EmulatorError):
    """A program cannot be booted; the text is what the firmware prints."""

    code = "boot"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A kernel file, read and checked, and what goes with it."""

    name: str
    image: Image
    initrd: bytes = b""
    arguments: str = ""


def read_program(path: str | Path, *, initrd: str | Path | None = None, arguments: str = "") -> Program:
    """Read a kernel and its RAM disk. Raises ImageError, BootError."""
    program = Program(name=Path(path).name, image=read_image(path), arguments=arguments)
    return program if initrd is None else add_initrd(program, initrd)


def add_initrd(program: Program, path: str | Path) -> Program:
    """The program with an initial RAM disk. Raises BootError where it cannot be read, or the program is no Linux."""
    if not _linux_header(program.image):
        raise BootError(f"{program.name} is no Linux kernel: it would not find an initial RAM disk")
    try:
        return replace(program, initrd=Path(path).read_bytes())
    except OSError as error:
        raise BootError(f"{path}: {error.strerror or error}") from error


def wants_firmware(image: Image) -> bool:
    """True for programs that are entered by firmware: Linux, and those with our ELF note."""
    return _linux_header(image) or any(_says_firmware(note) for note in image.notes)


def _says_firmware(note: Note) -> bool:
    return Note(note.owner, note.type, note.text.rstrip(b"\0")) == FIRMWARE_NOTE


def _entry_segment(image: Image) -> Segment:
    return next(s for s in image.segments if s.executable and s.ra <= image.entry < s.end)


def _linux_header(image: Image) -> bool:
    segment = _entry_segment(image)
    at = image.entry - segment.ra + LINUX_MAGIC_AT
    return segment.data[at : at + 4] == LINUX_MAGIC


@dataclass(frozen=True)
class Loaded:
    """Where a program lies: for the firmware's translations and the start of the boot strand."""

    entry_va: int
    va: int
    ra: int
    size_bytes: int


def load_program(program: Program, memory: Memory, layout: Layout) -> Loaded:
    """Copy a program and its RAM disk to memory, as far above `layout.low` as it wants to be above 0.

    Raises BootError.
    """
    image = _moved(program.image, layout.low)
    start_ra = min(segment.ra for segment in image.segments) // LARGE_PAGE_BYTES * LARGE_PAGE_BYTES
    first = min(image.segments, key=lambda segment: segment.ra)
    start_va = first.va - (first.ra - start_ra)
    if any(segment.va - start_va != segment.ra - start_ra for segment in image.segments):
        raise BootError("its segments are not at one distance from their physical addresses")
    if start_va % LARGE_PAGE_BYTES:
        raise BootError(f"its first address {first.va:#x} and {first.ra:#x} do not agree modulo 4M")
    end = max(segment.end for segment in image.segments)
    disk_at = -(-end // LARGE_PAGE_BYTES) * LARGE_PAGE_BYTES
    needed = disk_at + len(program.initrd) if program.initrd else end
    if needed > layout.limit:
        raise BootError(f"it needs {format_size(needed - layout.low + layout.size_bytes)} of memory in one block")
    load_image(memory, image)
    size = min(disk_at, layout.limit) - start_ra
    if program.initrd:
        memory.write(disk_at, program.initrd)
        _tell_ramdisk(memory, image, disk_at - layout.lowest_free, len(program.initrd))
    entry = _entry_segment(image)
    return Loaded(image.entry - entry.ra + entry.va, start_va, start_ra, size // PAGE_BYTES * PAGE_BYTES)


def _moved(image: Image, distance: int) -> Image:
    """The image at other real addresses; the virtual ones stay."""
    if any(segment.end + distance > 1 << 64 for segment in image.segments):
        raise BootError("its segments leave the address space")
    segments = tuple(replace(segment, ra=segment.ra + distance) for segment in image.segments)
    return replace(image, entry=image.entry + distance, segments=segments)


def _tell_ramdisk(memory: Memory, image: Image, offset: int, size_bytes: int) -> None:
    """In Linux's boot header. The address counts from the lowest available memory (Linux 6.1, find_ramdisk)."""
    memory.store(image.entry + LINUX_RAMDISK_SIZE_AT, size_bytes, 4)
    memory.store(image.entry + LINUX_RAMDISK64_AT, offset + LINUX_KERNBASE)
