"""What the machine description tells of processors beyond the catalogue: line sizes, associativity, TLBs, units.

Sharing is given in hardware strands: each run of so many strands of a chip shares one unit. Figures of the T1 and T2
are those of the OpenSPARC manuals; those of later chips are recalled from the vendors' presentations and not
checked. The emulator has none of these caches: guests use the figures for scheduling and for what they print.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.chips import find_chip
from emulator.platforms import Platform

INSTN, DATA, UNIFIED = ("instn",), ("data",), ("instn", "data")
"""Cache and TLB types. Linux looks for "instn", not for "instruction"."""
_TYPES = {"instruction": INSTN, "data": DATA, "unified": UNIFIED}


@dataclass(frozen=True)
class Cache:
    """A kind of cache of a chip."""

    level: int
    type: tuple[str, ...]
    size_bytes: int
    line_bytes: int
    ways: int
    strands: int  # that share one


@dataclass(frozen=True)
class Tlb:
    """A kind of TLB of a chip, fully associative."""

    type: tuple[str, ...]
    entries: int
    strands: int


@dataclass(frozen=True)
class Units:
    """Caches, TLBs and execution units of a chip."""

    caches: tuple[Cache, ...]
    tlbs: tuple[Tlb, ...]
    integer_strands: int  # that share one integer pipeline
    fp_strands: int  # that share one FPU


# Core generation -> line size in bytes and ways of the L1 for instructions and for data.
_LEVEL1 = {
    "S1": ((32, 4), (16, 4)), "S2": ((32, 8), (16, 4)), "C2": ((32, 8), (16, 4)), "C3": ((32, 4), (32, 4)),
    "C4": ((64, 4), (32, 4)), "C5": ((64, 4), (32, 4)),
    "Athena": ((128, 4), (128, 4)), "Athena+": ((128, 4), (128, 4)), "Athena++": ((128, 4), (128, 4)),
}  # fmt: skip
# (chip, level) -> line size and ways of the outer caches; others have 64-byte lines and 16 ways.
_OUTER = {
    ("t1", 2): (64, 12), ("t3", 2): (64, 24), ("t4", 2): (32, 8), ("t5", 2): (32, 8), ("m5", 2): (32, 8),
    ("m6", 2): (32, 8), ("m5", 3): (64, 12), ("m6", 3): (64, 12), ("m7", 2): (64, 8), ("m7", 3): (64, 8),
    ("s7", 2): (64, 8), ("s7", 3): (64, 8), ("m8", 2): (64, 8), ("sparc64-x", 2): (128, 24),
    ("sparc64-x+", 2): (128, 24), ("sparc64-xii", 2): (128, 16), ("sparc64-xii", 3): (128, 16),
}  # fmt: skip
# Core generation -> entries of the TLB for instructions and for data, one pair a core.
_TLBS = {"S1": (64, 64), "S2": (64, 128), "C2": (64, 128), "C3": (64, 128), "C4": (64, 128), "C5": (64, 128)}
# Core generation -> strands of an integer pipeline, where the core has more than one.
_INTEGER_STRANDS = {"S2": 4, "C2": 4}
_ONE_FPU = {"S1"}
"""Core generations of which one FPU serves the whole chip."""


def server_units(platform: Platform) -> Units:
    """Caches, TLBs and execution units of a server's chips."""
    chip = find_chip(platform.chip)
    per_core = chip.strands_per_core
    chip_strands = platform.cores_per_chip * per_core
    caches = []
    for cache in platform.caches:
        type_ = _TYPES[cache.kind]
        inner = _LEVEL1[chip.core][0 if type_ == INSTN else 1]
        line, ways = inner if cache.level == 1 else _OUTER.get((chip.name, cache.level), (64, 16))
        strands = cache.cores * per_core or chip_strands
        caches.append(Cache(cache.level, type_, cache.size_bytes, line, ways, strands))
    tlbs = [Tlb(type_, n, per_core) for type_, n in zip((INSTN, DATA), _TLBS.get(chip.core, ()), strict=False)]
    return Units(
        caches=tuple(caches),
        tlbs=tuple(tlbs),
        integer_strands=_INTEGER_STRANDS.get(chip.core, per_core),
        fp_strands=chip_strands if chip.core in _ONE_FPU else per_core,
    )
