"""Labels of disks: Sun's volume table of contents (VTOC) and EFI, and the geometry that goes with them.

The label of a disk is block 0: names, eight slices that begin at cylinders, magic and checksum.

Sources: Solaris dklabel.h and vtoc.h; Linux 6.1, block/partitions/sun.h; UEFI specification, GUID partition table.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from emulator.backends.file import BLOCK, Backend

SLICES = 8
ENTIRE = 2
"""The slice that stands for the whole disk."""
MAGIC, SANITY = 0xDABE, 0x600D_DEEE
TAG_BACKUP = 5
VTOC_BYTES, GEOMETRY_BYTES = 8 + 2 + 2 + 128 + 4 + 24 * SLICES, 22
_LABEL = struct.Struct(">128sI8sH32sHIIII40s32sII148sHHHHHHHHHHHH64sHH")
_GEOMETRY = struct.Struct(">11H")
_EFI_MARK = b"EFI PART"
_EFI_ENTRIES_MOST = 128


@dataclass(frozen=True)
class Geometry:
    """Cylinders, heads and sectors; `alternate` cylinders are not used for data."""

    cylinders: int
    alternate: int
    heads: int
    sectors: int
    rpm: int = 7200

    @property
    def cylinder_blocks(self) -> int:
        """Blocks of a cylinder."""
        return self.heads * self.sectors

    def pack(self) -> bytes:
        """As the geometry request of a virtual disk returns it."""
        return _GEOMETRY.pack(
            self.cylinders, self.alternate, 0, self.heads, self.sectors, 1, 0, self.rpm,
            self.cylinders + self.alternate, 0, 0,
        )  # fmt: skip

    @classmethod
    def unpack(cls, data: bytes) -> Geometry:
        """What a guest sets; numbers are unchecked."""
        cylinders, alternate, _, heads, sectors, _, _, rpm, _, _, _ = _GEOMETRY.unpack(data[:GEOMETRY_BYTES])
        return cls(cylinders, alternate, heads, sectors, rpm)


@dataclass(frozen=True)
class Slice:
    """A slice: tag, flags, first block, length in blocks."""

    tag: int = 0
    flags: int = 0
    start: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Label:
    """A volume table of contents with its geometry."""

    geometry: Geometry
    slices: tuple[Slice, ...] = (Slice(),) * SLICES
    volume: bytes = b""
    text: bytes = b""
    bootinfo: tuple[int, int, int] = field(default=(0, 0, 0))

    def pack_vtoc(self) -> bytes:
        """As the VTOC request of a virtual disk returns it."""
        head = struct.pack(">8sHH128s4x", self.volume, BLOCK, SLICES, self.text)
        return head + b"".join(struct.pack(">HHIQQ", s.tag, s.flags, 0, s.start, s.blocks) for s in self.slices)

    def with_vtoc(self, data: bytes) -> Label | None:
        """This label with the VTOC a guest sets; None where slices do not begin at cylinders or do not fit."""
        volume, sector, count, text = struct.unpack_from(">8sHH128s", data)
        if sector not in (0, BLOCK) or count > SLICES:
            return None
        slices = []
        for tag, flags, _, start, blocks in struct.iter_unpack(">HHIQQ", data[144:VTOC_BYTES]):
            if start % self.geometry.cylinder_blocks or start + blocks > 1 << 32:
                return None
            slices.append(Slice(tag, flags, start, blocks))
        return replace(self, volume=volume, text=text, slices=tuple(slices))

    def pack(self) -> bytes:
        """Block 0."""
        g = self.geometry
        parts = b"".join(struct.pack(">HH", s.tag, s.flags) for s in self.slices)
        map_ = b"".join(struct.pack(">II", s.start // g.cylinder_blocks, s.blocks) for s in self.slices)
        block = _LABEL.pack(
            self.text, 1, self.volume, SLICES, parts, 0, *self.bootinfo, SANITY, b"", b"", 0, 0, b"", g.rpm,
            g.cylinders + g.alternate, 0, 0, 0, 1, g.cylinders, g.alternate, g.heads, g.sectors, 0, 0, map_, MAGIC, 0,
        )  # fmt: skip
        return block[:-2] + _checksum(block[:-2]).to_bytes(2, "big")


def _checksum(data: bytes) -> int:
    result = 0
    for (word,) in struct.iter_unpack(">H", data):
        result ^= word
    return int(result)


def parse_label(block: bytes) -> Label | None:
    """The label of block 0; None where there is none, or one without a geometry."""
    if len(block) < BLOCK or int.from_bytes(block[508:510], "big") != MAGIC or _checksum(block[:BLOCK]):
        return None
    fields = _LABEL.unpack(block[:BLOCK])
    text, _, volume, _, parts, _, *bootinfo = fields[:9]
    rpm, _, _, _, _, _, cylinders, alternate, heads, sectors = fields[15:25]
    geometry = Geometry(cylinders, alternate, heads, sectors, rpm)
    if not geometry.cylinder_blocks:
        return None
    map_ = fields[27]
    slices = tuple(
        Slice(tag, flags, first * geometry.cylinder_blocks, blocks)
        for (tag, flags), (first, blocks) in zip(
            struct.iter_unpack(">HH", parts), struct.iter_unpack(">II", map_), strict=True
        )
    )
    return Label(geometry, slices, volume, text, (bootinfo[0], bootinfo[1], bootinfo[2]))


def default_geometry(blocks: int) -> Geometry:
    """A geometry for a disk without a label: small cylinders while their number fits, two of them alternates."""
    for heads, sectors in ((16, 63), (96, 768), (255, 255 * 64)):
        cylinders = blocks // (heads * sectors)
        if cylinders <= 0xFFFF:
            break
    if cylinders < 3:
        return Geometry(max(1, min(blocks, 0xFFFF)), 0, 1, max(1, blocks // 0xFFFF))
    return Geometry(min(cylinders, 0xFFFF) - 2, 2, heads, sectors)


def default_label(blocks: int) -> Label:
    """What a disk without a label is said to have: one slice over all of it."""
    geometry = default_geometry(blocks)
    whole = Slice(TAG_BACKUP, 1, 0, geometry.cylinders * geometry.cylinder_blocks)
    slices = tuple(whole if n == ENTIRE else Slice() for n in range(SLICES))
    text = f"SUN4V-DISK cyl {geometry.cylinders} alt {geometry.alternate} hd {geometry.heads} sec {geometry.sectors}"
    return Label(geometry, slices, b"", text.encode())


def read_label(backend: Backend) -> Label | None:
    """The label of a disk. Raises OSError."""
    return parse_label(backend.read(0, BLOCK))


def find_slice(backend: Backend, number: int) -> Slice | None:
    """A slice, counted from 0, by the Sun label or else the EFI label. None: there is none, or it is empty.

    It is cut to what the disk has. Raises OSError.
    """
    total = backend.size_bytes // BLOCK
    label = read_label(backend)
    if label is not None:
        found = label.slices[number] if 0 <= number < SLICES else Slice()
    else:
        found = _efi_slice(backend, number)
    if found.start >= total:
        return None
    blocks = min(found.blocks, total - found.start)
    return replace(found, blocks=blocks) if blocks else None


LABEL_BLOCKS = 64
"""Where tables of slices are: a write there may change them."""


def all_slices(backend: Backend) -> tuple[tuple[int, int], ...] | None:
    """(first block, blocks) of the first eight slices, zeros for those that are not there.

    None where a table lies behind `LABEL_BLOCKS`, so that nobody would notice a change. Raises OSError.
    """
    if read_label(backend) is None and backend.size_bytes >= 2 * BLOCK:
        header = backend.read(BLOCK, BLOCK)
        if header[:8] == _EFI_MARK and struct.unpack_from("<Q", header, 72)[0] > LABEL_BLOCKS // 2:
            return None
    found = (find_slice(backend, number) for number in range(SLICES))
    return tuple((part.start, part.blocks) if part is not None else (0, 0) for part in found)


def _efi_slice(backend: Backend, number: int) -> Slice:
    """An entry of the GUID partition table; an empty slice where there is none."""
    if backend.size_bytes < 2 * BLOCK or number < 0:
        return Slice()
    header = backend.read(BLOCK, BLOCK)
    if header[:8] != _EFI_MARK:
        return Slice()
    table, count, size = struct.unpack_from("<QII", header, 72)
    at = table * BLOCK + number * size
    if not 128 <= size <= 4096 or number >= min(count, _EFI_ENTRIES_MOST) or at + 128 > backend.size_bytes:
        return Slice()
    entry = backend.read(at, 128)
    first, last = struct.unpack_from("<QQ", entry, 32)
    if entry[:16] == bytes(16) or last < first:
        return Slice()
    return Slice(0, 0, first, last - first + 1)
