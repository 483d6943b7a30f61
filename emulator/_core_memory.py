"""The core's calls about a machine's blocks of memory and its strands, and how long these were at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.descriptors import DescriptorsError, said_exhausted
from emulator.errors import AddressError, BusyError, ClosedError, ConfigError, CoreError, StrandError

_ERROR_BYTES = 512
_MOST_STRANDS = 4096


@dataclass(frozen=True, kw_only=True)
class MemoryDescriptor:
    """A block of memory, and what another process maps to see it and its dirty marks.

    ::

        memory_fd   byte x of the block is byte memory_offset + x
        map_fd      byte page_map_offset + n is not 0: the block's page n (8 KiB) was written
                    byte region_map_offset + (memory_offset + x) // 2 MiB is 0: no page there is marked

    The descriptors are the machine's own, valid until the block goes; both files are sealed against a change of size.
    Marks are set after the bytes, page before region. Who clears them (region before pages) calls
    `Machine.dirty_barrier` between that and reading the pages (docs/internals/memory.md).
    """

    ra: int
    pa: int
    size_bytes: int
    memory_fd: int
    memory_offset: int
    map_fd: int
    page_map_offset: int
    region_map_offset: int


class MemoryCalls:
    """Blocks and strands. `_machine` and `_pointer` are those of `Core`."""

    _machine: Any
    _pointer: Any
    _views: int

    # -- blocks

    def memory_add(self, ra: int, pa: int, size_bytes: int) -> None:
        """Put a block of physical memory at real addresses. Raises ConfigError, DescriptorsError."""
        message = ffi.new("char[]", _ERROR_BYTES)
        try:
            status = lib.s4v_memory_add(self._machine, ra, pa, size_bytes, message, _ERROR_BYTES)
        except OverflowError:
            raise ConfigError(f"not a block of memory: {size_bytes:#x} bytes at {ra:#x}, {pa:#x}") from None
        if status != 0:
            if said_exhausted(_text(message)):
                raise DescriptorsError
            raise ConfigError(f"{_text(message)} (adding {size_bytes:#x} bytes at real address {ra:#x})")

    def memory_remove(self, ra: int, size_bytes: int) -> None:
        """Take memory away. Raises ConfigError, AddressError (not all of it is there), BusyError (it is in use)."""
        if self._views:
            raise BusyError(f"{self._views} memory view(s) of the machine are still in use")
        message = ffi.new("char[]", _ERROR_BYTES)
        try:
            status = lib.s4v_memory_remove(self._machine, ra, size_bytes, message, _ERROR_BYTES)
        except OverflowError:
            raise ConfigError(f"not a range of memory: {size_bytes:#x} bytes at {ra:#x}") from None
        if status == 0:
            return
        error = {lib.S4V_EFAULT: AddressError, lib.S4V_EBUSY: BusyError}.get(status, ConfigError)
        raise error(f"memory at real addresses {ra:#x}..{ra + size_bytes - 1:#x} cannot be removed: {_text(message)}")

    def memory_blocks(self) -> Iterator[MemoryDescriptor]:
        """The blocks by ascending real address."""
        out, n = ffi.new("s4v_block *"), 0
        while lib.s4v_memory_block(self._machine, n, out) == 0:
            yield MemoryDescriptor(
                ra=int(out.ra), pa=int(out.pa), size_bytes=int(out.bytes), memory_fd=int(out.memory_fd),
                memory_offset=int(out.memory_offset), map_fd=int(out.map_fd),
                page_map_offset=int(out.page_map_offset), region_map_offset=int(out.region_map_offset),
            )  # fmt: skip
            n += 1

    def memory_ranges(self) -> list[tuple[int, int]]:
        """Memory as (real address, bytes), ascending; blocks that adjoin are one range."""
        ranges: list[tuple[int, int]] = []
        for block in self.memory_blocks():
            if ranges and sum(ranges[-1]) == block.ra:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + block.size_bytes)
            else:
                ranges.append((block.ra, block.size_bytes))
        return ranges

    def memory_run(self, ra: int) -> int:
        """Bytes of memory from a real address on without a hole."""
        return int(lib.s4v_memory_run(self._machine, ra)) if 0 <= ra < 1 << 64 else 0

    def dirty_barrier(self) -> None:
        """Strands mark again what they write from now on."""
        lib.s4v_dirty_barrier(self._machine)

    # -- strands

    def strands_add(self, ids: Sequence[int]) -> None:
        """Add strands, stopped. Raises StrandError; then none was added."""
        status = lib.s4v_strands_add(self._machine, self._ids(ids), len(ids))
        if status == lib.S4V_ENOMEM:
            raise CoreError("the host has not enough memory for more strands")
        if status != 0:
            raise StrandError(f"strands {list(ids)} cannot be added: out of range, there already, or named twice")

    def strands_remove(self, ids: Sequence[int]) -> None:
        """Remove stopped strands. Raises StrandError; then none was removed."""
        status = lib.s4v_strands_remove(self._machine, self._ids(ids), len(ids))
        why = {
            lib.S4V_ENOENT: "not all of them are there",
            lib.S4V_EBUSY: "not all of them are stopped",
            lib.S4V_EFULL: "one must stay",
        }
        if status != 0:
            raise StrandError(f"strands {list(ids)} cannot be removed: {why.get(status, 'one is named twice')}")

    @staticmethod
    def _ids(ids: Sequence[int]) -> Any:
        if len(ids) > _MOST_STRANDS or not all(0 <= number < _MOST_STRANDS for number in ids):
            raise StrandError(f"strands have numbers from 0 to {_MOST_STRANDS - 1}, not {list(ids)[:8]}")
        return ffi.new("uint32_t[]", list(ids))

    def strand_ids(self) -> list[int]:
        """Strands that are there, ascending."""
        ids = ffi.new("uint32_t[]", _MOST_STRANDS)
        count = lib.s4v_strands(self._machine, ids, _MOST_STRANDS)
        return [int(number) for number in ids[0:count]]

    def strand_present(self, strand: int) -> bool:
        """True where the domain has the strand."""
        return 0 <= strand < _MOST_STRANDS and lib.s4v_strand_state(self._machine, strand) > 0

    def strand_busy_ns(self, strand: int) -> int:
        """Nanoseconds at work since it was added. From any thread, also while the machine runs."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        return int(lib.s4v_strand_busy(self._pointer, strand)) if 0 <= strand < _MOST_STRANDS else 0


def _text(pointer: Any) -> str:
    raw: bytes = ffi.string(pointer)
    return raw.decode("utf-8", "replace")
