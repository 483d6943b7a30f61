"""What a machine has and what may change while its guest runs: blocks of memory, strands, crypto units.

Changes are made between runs, by the thread that runs the machine; the guest finds them when it goes on. The machine
description is not changed by them: who changes a domain's resources sets `Machine.machine_description` as well, and
tells the guest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from emulator import _core
from emulator._core_memory import MemoryDescriptor
from emulator.chips import find_chip
from emulator.errors import ConfigError, StrandError
from emulator.guest import Strand
from emulator.mdesc import CryptoUnit, MemorySegment, Resources, Vcpu, core_units
from emulator.memory import PAGE_BYTES, Memory
from emulator.platforms import Platform
from emulator.units import format_size, parse_size

Block = tuple[int, int, int]
"""A block of memory: real address, physical address, bytes."""
_MAU, _CWQ, _MAU_OF_T1 = 1, 2, 3  # kinds of crypto units: csrc/sun4v.h
REGION_BYTES = 2 << 20


@dataclass(frozen=True)
class Busy:
    """How long each strand has been at work, in nanoseconds, up to `time_ns` of the same clock."""

    time_ns: int
    strands: Mapping[int, int]

    def utilization(self, before: Busy) -> dict[int, float]:
        """Percent of the time since an earlier sample, for each strand of this one.

        A strand that was not there then counts from when it was added.
        """
        passed = self.time_ns - before.time_ns
        return {
            number: min(100.0, max(0.0, 100.0 * (ns - before.strands.get(number, 0)) / passed)) if passed > 0 else 0.0
            for number, ns in self.strands.items()
        }


class MachineResources:
    """The part of `Machine` that is about its resources."""

    platform: Platform
    deterministic: bool
    memory: Memory
    strands: tuple[Strand, ...]
    """Those the domain has, by ascending number."""
    max_strands: int
    """Numbers of strands are below."""
    _core: _core.Core

    @property
    def time_ns(self) -> int:
        """The machine's clock, see `Machine`."""
        raise NotImplementedError

    # -- memory

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of memory by ascending real address: (real address, physical address, bytes).

        Blocks that adjoin in both address spaces and were made as one are one, also where part of it was away.
        """
        return tuple((block.ra, block.pa, block.size_bytes) for block in self._core.memory_blocks())

    def add_memory(self, ra: int, pa: int, size: int | str) -> None:
        """Put a block of the server's physical memory at real addresses of the domain; it reads as zeros.

        All three are multiples of 8 KiB. Between runs. Raises ConfigError, and nothing changes, where memory is already
        at one of the real or physical addresses, real addresses are beyond the limit of the chip, or the server has
        less.
        """
        size_bytes = parse_size(size)
        check_total(self.platform, self.memory.size_bytes + size_bytes)
        self._core.memory_add(ra, pa, size_bytes)

    def remove_memory(self, ra: int, size: int | str) -> None:
        """Take memory away, all of a block or any part; its contents are gone, and its addresses are a hole.

        Between runs. Raises AddressError where not all of the range is memory; BusyError, with what is there, where the
        hypervisor keeps something for the guest (a queue, a TSB, a fault status area, a map table, a page mapped in by
        LDC_MAPIN, the firmware), a device has it mapped, or a `memory.view` is alive. Then nothing has changed. The
        guest is not asked: tell it first.
        """
        self._core.memory_remove(ra, parse_size(size))

    def memory_descriptors(self) -> tuple[MemoryDescriptor, ...]:
        """The blocks as another process can map them. A block whose memory came in pieces may be told in pieces."""
        return tuple(self._core.memory_blocks())

    def dirty_harvest(self) -> list[int]:
        """Page indexes (RA / 8192) written since the last harvest, ascending. Clears the marks."""
        return self._core.dirty_harvest()

    def dirty_barrier(self) -> None:
        """Marks were cleared in another process: strands mark again what they write from now on. Between runs."""
        self._core.dirty_barrier()

    # -- strands

    def add_strands(self, numbers: Iterable[int]) -> None:
        """Give the domain strands, stopped. Between runs. Raises StrandError; then none was added."""
        wanted = list(numbers)
        if not all(0 <= number < self.max_strands for number in wanted):
            raise StrandError(f"strands of this machine have numbers from 0 to {self.max_strands - 1}, not {wanted}")
        self._core.strands_add(wanted)
        self._find_strands()

    def remove_strands(self, numbers: Iterable[int]) -> None:
        """Take stopped strands away; for the guest there is then no such CPU (ENOCPU).

        They leave their crypto units. Between runs. Raises StrandError; then none was removed.
        """
        self._core.strands_remove(list(numbers))
        self._find_strands()

    def _find_strands(self) -> None:
        there = {strand.number: strand for strand in getattr(self, "strands", ())}
        self.strands = tuple(there.get(number) or Strand(self._core, number) for number in self._core.strand_ids())

    def strand(self, number: int) -> Strand:
        """A strand by number. Raises StrandError."""
        for strand in self.strands:
            if strand.number == number:
                return strand
        there = f"the machine has {len(self.strands)}"
        if number < self.max_strands:
            there += f" of {self.max_strands}"
        raise StrandError(f"no strand {number}: {there}")

    def busy(self) -> Busy:
        """How long the strands have been at work and did not wait. Two samples give their utilization.

        In real time of the host's clock, from any thread, also while the machine runs. Deterministic, of the machine's:
        an instruction of a strand is a tick of its time.
        """
        now = self.time_ns if self.deterministic else time.monotonic_ns()
        return Busy(now, {strand.number: self._core.strand_busy_ns(strand.number) for strand in self.strands})

    # -- crypto units

    def add_crypto_unit(self, unit: CryptoUnit) -> None:
        """Put a crypto unit behind NCS_*, beside those of the machine description. Raises ConfigError."""
        kind = _CWQ if unit.kind == "cwq" else _MAU_OF_T1 if self.platform.chip == "t1" else _MAU
        self._core.crypto_add(kind, unit.ino, unit.vcpus)

    def remove_crypto_unit(self, ino: int) -> None:
        """Take a crypto unit away, and the guest's queue with it. Raises ConfigError."""
        self._core.crypto_remove(ino)

    @property
    def crypto_units(self) -> tuple[CryptoUnit, ...]:
        """The units there are."""
        units = self._core.crypto_units()
        return tuple(
            CryptoUnit("cwq" if kind == _CWQ else "mau", number, strands, ino)
            for number, (kind, ino, strands) in enumerate(units)
        )

    @property
    def crypto_counters(self) -> dict[int, tuple[int, int]]:
        """By devino: descriptors of arithmetic and blocks of data that a unit has worked off, and how many failed.

        Since the unit is here; neither a state image nor a migration takes them along.
        """
        return self._core.crypto_counters()


def check_total(platform: Platform, size_bytes: int) -> None:
    """A size of memory that the server can have. Raises ConfigError."""
    if size_bytes < PAGE_BYTES or size_bytes % PAGE_BYTES:
        raise ConfigError(f"memory must be a multiple of 8K, at least 8K, and not {format_size(size_bytes)}")
    if size_bytes > platform.memory_bytes:
        most = format_size(platform.memory_bytes)
        raise ConfigError(f"a {platform.title} has at most {most} of memory, not {format_size(size_bytes)}")


def check_blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Blocks by ascending real address. Raises ConfigError for numbers that are none of memory."""
    found = tuple(sorted((ra, pa, size) for ra, pa, size in blocks))
    if not found:
        raise ConfigError("a machine needs at least one block of memory")
    for ra, pa, size in found:
        if size <= 0 or min(ra, pa) < 0 or (ra | pa | size) % PAGE_BYTES:
            raise ConfigError(
                f"not a block of memory: real address {ra:#x}, physical address {pa:#x}, {size:#x} bytes;"
                " all are multiples of 8K"
            )
    return found


def real_limit(platform: Platform) -> int:
    """Where real addresses of memory end: half of what the chip has, or more where the server may have more memory.

    Beyond lie the pages that LDC_MAPIN maps in.
    """
    most = max(find_chip(platform.chip).ra_bits - 1, (2 * platform.memory_bytes - 1).bit_length())
    return 1 << most


@dataclass(frozen=True)
class Shape:
    """Memory and strands of a new machine, checked."""

    blocks: tuple[Block, ...]
    strands: tuple[int, ...]
    max_strands: int

    @classmethod
    def of(
        cls,
        platform: Platform,
        memory: str | int | None,
        blocks: Iterable[Block] | None,
        *,
        strands: int | Iterable[int],
        max_strands: int | None,
    ) -> Shape:
        """From the arguments of `Machine`. Raises ConfigError."""
        if memory is not None and blocks is not None:
            raise ConfigError("a machine is made with a size of memory or with blocks, not both")
        size_bytes = parse_size("256M" if memory is None else memory)
        there = ((0, 0, size_bytes),) if blocks is None else check_blocks(blocks)
        check_total(platform, sum(size for _, _, size in there))
        numbers = tuple(range(strands)) if isinstance(strands, int) else tuple(sorted(strands))
        if not 1 <= len(numbers) <= platform.strands:
            raise ConfigError(f"a {platform.title} has 1 to {platform.strands} strands, not {len(numbers)}")
        most = numbers[-1] + 1 if max_strands is None else max_strands
        if numbers[0] < 0 or len(set(numbers)) != len(numbers) or not numbers[-1] < most <= platform.strands:
            raise ConfigError(
                f"strands have different numbers from 0 up to max_strands, which is at most {platform.strands}"
                f" on a {platform.title}: not {list(numbers)[:8]} of {most}"
            )
        return cls(there, numbers, most)

    @property
    def size_bytes(self) -> int:
        """Of all blocks."""
        return sum(size for _, _, size in self.blocks)

    def resources(self, plain: Resources, platform: Platform, in_blocks: bool) -> Resources:
        """For the machine description: strand n of the server is vcpu n."""
        return replace(
            plain,
            vcpus=tuple(Vcpu(number, number) for number in self.strands),
            memory=tuple(MemorySegment(ra, size, pa) for ra, pa, size in self.blocks) if in_blocks else plain.memory,
            crypto_units=core_units(platform, self.strands),
            max_cpus=self.max_strands if self.max_strands > len(self.strands) else None,
        )
