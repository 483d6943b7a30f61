"""Methods of instances that programs reach through `call-method`: those of the MMU and of disks.

Each gives the catch result (0: it worked), then results from the top of the stack. Source: IEEE 1275's SPARC binding;
the order of cells is what Linux 6.1, arch/sparc/kernel/head_64.S, stores and reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator._core import Core
from emulator.errors import EmulatorError
from emulator.firmware.cif import NO, Call
from emulator.firmware.disks import SECTOR_BYTES, Part
from emulator.firmware.layout import PAGE_BYTES

FIRST = 2
"""Of a call's arguments, the method's own: before them stand its name and the instance."""
MAX_BLOCKS = 1 << 15
DEFAULT_MODE = 0o67
"""Readable, writable, executable, privileged, cacheable: what `translate` tells of every translation."""


def mmu(core: Core, name: str, call: Call) -> Sequence[int]:
    """A method of the MMU instance."""
    if name == "translate":
        ra = core.translate(call.strand, call.arg(FIRST))
        return [0, 0] if ra is None else [0, NO, DEFAULT_MODE, 0, ra]
    if name == "map":
        _mode, size, va, _high, ra = (call.arg(FIRST + n) for n in range(5))
        return [add_translation(core, va, size, ra)]
    if name in ("unmap", "release", "modify"):
        return [0]
    if name == "claim":
        return [0, call.arg(FIRST + 2)]
    return [NO]


def disk(part: Part, name: str, call: Call) -> Sequence[int]:
    """A method of an open disk: the block interface of IEEE 1275, 3.7.3."""
    if name == "block-size":
        return [0, SECTOR_BYTES]
    if name == "#blocks":
        return [0, part.size_bytes // SECTOR_BYTES]
    if name == "read-blocks":
        count, block, va = (call.arg(FIRST + n) for n in range(3))
        count = min(count, MAX_BLOCKS)
        call.memory.check_store(va, count * SECTOR_BYTES)
        try:
            data = part.read(block * SECTOR_BYTES, count * SECTOR_BYTES)
        except OSError:
            return [0, 0]
        call.memory.write(va, data)
        return [0, len(data) // SECTOR_BYTES]
    return [NO]


def add_translation(core: Core, va: int, size: int, ra: int) -> int:
    """A translation, rounded outward to pages and cut where memory ends (Linux maps itself in units of 4M).

    The catch result: 0, or -1 where it cannot be.
    """
    low = va % PAGE_BYTES
    size = -(-(size + low) // PAGE_BYTES) * PAGE_BYTES
    if ra < low:
        return NO
    size = min(size, core.memory_run(ra - low), (1 << 64) - (va - low))
    if size <= 0:
        return NO
    try:
        core.firmware_map(va - low, size, ra - low)
    except EmulatorError:
        return NO
    return 0
