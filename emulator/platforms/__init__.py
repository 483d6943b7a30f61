"""Servers by the name a person writes: which chip, how many of them.

The facts that `sun4v run` and `Machine` need; the full catalogue (memory banks, LDC endpoints, slots) is data
of a later step. Source: vendors' data sheets; memory maxima are upper bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.errors import UnknownPlatformError
from emulator.units import GIB, TIB


@dataclass(frozen=True)
class Platform:
    """A server: sockets of one chip."""

    name: str  # as written on the command line
    title: str  # as the maker writes it
    chip: str  # name in emulator.chips
    sockets: int
    strands: int  # hardware threads of the whole server
    memory_bytes: int  # largest memory


_ROWS = (
    Platform("t4-1", "SPARC T4-1", "t4", 1, 64, 512 * GIB),
    Platform("t4-2", "SPARC T4-2", "t4", 2, 128, 1 * TIB),
    Platform("t4-4", "SPARC T4-4", "t4", 4, 256, 2 * TIB),
    Platform("t5-2", "SPARC T5-2", "t5", 2, 256, 1 * TIB),
    Platform("t5-4", "SPARC T5-4", "t5", 4, 512, 2 * TIB),
    Platform("t5-8", "SPARC T5-8", "t5", 8, 1024, 4 * TIB),
    Platform("t7-1", "SPARC T7-1", "m7", 1, 256, 512 * GIB),
    Platform("t7-2", "SPARC T7-2", "m7", 2, 512, 1 * TIB),
    Platform("t7-4", "SPARC T7-4", "m7", 4, 1024, 2 * TIB),
    Platform("m7-8", "SPARC M7-8", "m7", 8, 2048, 4 * TIB),
    Platform("m7-16", "SPARC M7-16", "m7", 16, 4096, 8 * TIB),
    Platform("m10-1", "Fujitsu M10-1", "m10", 1, 32, 1 * TIB),
    Platform("m10-4", "Fujitsu M10-4", "m10", 4, 128, 4 * TIB),
)

PLATFORMS: dict[str, Platform] = {row.name: row for row in _ROWS}


def find_platform(name: str) -> Platform:
    """The platform of that name; for a chip's name its smallest server. Raises UnknownPlatformError."""
    wanted = name.lower()
    if wanted in PLATFORMS:
        return PLATFORMS[wanted]
    for row in _ROWS:
        if row.chip == wanted:
            return row
    known = ", ".join(PLATFORMS)
    raise UnknownPlatformError(f"unknown platform {name!r} (known: {known}, or a chip's name)")
