"""What the core must know of a chip under a cpu-arch: feature bits, clocks, MMU limits.

Joins `emulator.chips` and `emulator.cpuarch` into the numbers of `s4v_config`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.chips import features, find_chip, va_bits
from emulator.cpuarch import feature_mask, modelled


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """A chip under a cpu-arch, in the core's numbers."""

    chip: str
    cpu_arch: str
    features: int  # bit mask over csrc/isa/feature.def
    tick_hz: int
    stick_hz: int
    va_bits: int
    page_sizes: int  # bit mask over TTE size codes
    max_tsbs: int


def find_cpu(chip: str, cpu_arch: str) -> Cpu:
    """The numbers of a chip under a cpu-arch. Raises UnknownPlatformError, UnknownCpuArchError."""
    found = find_chip(chip)
    return Cpu(
        chip=found.name,
        cpu_arch=cpu_arch,
        features=feature_mask(modelled(features(chip, cpu_arch))),
        tick_hz=found.clock_hz,
        stick_hz=found.stick_hz,
        va_bits=va_bits(chip, cpu_arch),
        page_sizes=found.page_sizes,
        max_tsbs=found.max_tsbs,
    )
