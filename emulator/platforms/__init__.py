"""Servers by the name a person writes: which chip, how many of them.

The facts that `sun4v run` and `Machine` need; the full catalogue (memory banks, LDC endpoints, slots) comes with the
machine room. Source: the vendors' data sheets; memory maxima are upper bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.chips import ALIASES, find_chip
from emulator.errors import UnknownPlatformError
from emulator.units import GIB, TIB


@dataclass(frozen=True)
class Platform:
    """A server: sockets of one chip."""

    name: str  # as written on the command line
    title: str  # as the maker writes it
    chip: str  # name in emulator.chips
    sockets: int
    memory_bytes: int  # largest memory

    @property
    def strands(self) -> int:
        """Hardware threads of the whole server."""
        return self.sockets * find_chip(self.chip).strands


_ROWS = (
    Platform("t1000", "Sun Fire T1000", "t1", 1, 32 * GIB),
    Platform("t2000", "Sun Fire T2000", "t1", 1, 64 * GIB),
    Platform("t5120", "SPARC Enterprise T5120", "t2", 1, 128 * GIB),
    Platform("t5240", "SPARC Enterprise T5240", "t2+", 2, 256 * GIB),
    Platform("t3-1", "SPARC T3-1", "t3", 1, 256 * GIB),
    Platform("t3-2", "SPARC T3-2", "t3", 2, 512 * GIB),
    Platform("t3-4", "SPARC T3-4", "t3", 4, 1 * TIB),
    Platform("t4-1", "SPARC T4-1", "t4", 1, 512 * GIB),
    Platform("t4-2", "SPARC T4-2", "t4", 2, 1 * TIB),
    Platform("t4-4", "SPARC T4-4", "t4", 4, 2 * TIB),
    Platform("t5-1b", "SPARC T5-1B", "t5", 1, 512 * GIB),
    Platform("t5-2", "SPARC T5-2", "t5", 2, 1 * TIB),
    Platform("t5-4", "SPARC T5-4", "t5", 4, 2 * TIB),
    Platform("t5-8", "SPARC T5-8", "t5", 8, 4 * TIB),
    Platform("m5-32", "SPARC M5-32", "m5", 32, 32 * TIB),
    Platform("m6-32", "SPARC M6-32", "m6", 32, 32 * TIB),
    Platform("t7-1", "SPARC T7-1", "m7", 1, 512 * GIB),
    Platform("t7-2", "SPARC T7-2", "m7", 2, 1 * TIB),
    Platform("t7-4", "SPARC T7-4", "m7", 4, 2 * TIB),
    Platform("m7-8", "SPARC M7-8", "m7", 8, 4 * TIB),
    Platform("m7-16", "SPARC M7-16", "m7", 16, 8 * TIB),
    Platform("s7-2", "SPARC S7-2", "s7", 2, 1 * TIB),
    Platform("t8-1", "SPARC T8-1", "m8", 1, 1 * TIB),
    Platform("t8-2", "SPARC T8-2", "m8", 2, 2 * TIB),
    Platform("t8-4", "SPARC T8-4", "m8", 4, 4 * TIB),
    Platform("m8-8", "SPARC M8-8", "m8", 8, 8 * TIB),
    Platform("m10-1", "Fujitsu M10-1", "sparc64-x", 1, 1 * TIB),
    Platform("m10-4", "Fujitsu M10-4", "sparc64-x", 4, 4 * TIB),
    Platform("m12-2", "Fujitsu SPARC M12-2", "sparc64-xii", 2, 2 * TIB),
)

PLATFORMS: dict[str, Platform] = {row.name: row for row in _ROWS}


def find_platform(name: str) -> Platform:
    """The platform of that name; for a chip's name its first server. Raises UnknownPlatformError."""
    wanted = name.lower()
    if wanted in PLATFORMS:
        return PLATFORMS[wanted]
    chip = ALIASES.get(wanted, wanted)
    for row in _ROWS:
        if row.chip == chip:
            return row
    raise UnknownPlatformError(f"unknown platform {name!r} (see `sun4v platforms`, or name a chip)")
