"""What the core must know of a chip under a cpu-arch: feature bits, clocks, MMU limits.

Joins `emulator.chips` and `emulator.cpuarch` into the numbers of `s4v_config`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.chips import cfr_mask, features, find_chip, page_sizes, va_bits
from emulator.cpuarch import REGISTERS_ONLY, feature_mask, modelled


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """A chip under a cpu-arch, in the core's numbers."""

    chip: str
    cpu_arch: str
    features: int
    """Bit mask over csrc/isa/feature.def: what is executed. Nothing that is not modelled but REGISTERS_ONLY."""
    cfr: int
    """What a read of CFR (ASR 26) gives; meaningless without `has_cfr`."""
    has_cfr: bool
    """The chip has a CFR (T4 and later). Under a class that hides all crypto it is there and reads 0."""
    tick_hz: int
    """Rate of TICK, the core clock."""
    stick_hz: int
    va_bits: int
    """Width of virtual addresses, 48 to 64."""
    page_sizes: int
    """Bit mask over TTE size codes: bit 0 is 8 KiB, each code eight times the one before."""
    max_tsbs: int
    """TSBs a guest may register per context class (context 0, all others)."""


def find_cpu(chip: str, cpu_arch: str) -> Cpu:
    """The numbers of a chip under a cpu-arch. Raises UnknownPlatformError, UnknownCpuArchError."""
    found = find_chip(chip)
    names = modelled(features(chip, cpu_arch))
    return Cpu(
        chip=found.name,
        cpu_arch=cpu_arch,
        features=feature_mask(names | features(chip, cpu_arch) & REGISTERS_ONLY),
        cfr=cfr_mask(names),
        has_cfr=cfr_mask(found.features) != 0,
        tick_hz=found.clock_hz,
        stick_hz=found.stick_hz,
        va_bits=va_bits(chip, cpu_arch),
        page_sizes=page_sizes(chip, cpu_arch),
        max_tsbs=found.max_tsbs,
    )
