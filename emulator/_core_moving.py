"""The core's calls for a guest that moves to another server: state without memory, barrier, limit, clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.descriptors import DescriptorsError, said_exhausted
from emulator.errors import AddressError, BusyError, ClosedError, CoreError, StateError

_ERROR_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class AdoptedBlock:
    """A block of another machine's memory: where it is seen, and where its bytes are."""

    ra: int
    size_bytes: int
    memory_fd: int
    memory_offset: int


class MovingCalls:
    """`_machine` and `_pointer` are those of `Core`."""

    _machine: Any
    _pointer: Any

    def moving_save(self) -> bytes:
        """`s4v_moving_save`: named sections."""
        machine = self._machine
        size = lib.s4v_moving_size(machine)
        buffer = bytearray(size)
        written = lib.s4v_moving_save(machine, ffi.from_buffer(buffer), size)
        if written != size:
            raise CoreError(f"saving the state: the core returned {written}")
        return bytes(buffer)

    def moving_load(self, sections: bytes) -> None:
        """`s4v_moving_load`. Raises StateError with the core's reason; then the machine is reset."""
        message = ffi.new("char[]", _ERROR_BYTES)
        status = lib.s4v_moving_load(self._machine, ffi.from_buffer(sections), len(sections), message, _ERROR_BYTES)
        if status != 0:
            raise StateError(ffi.string(message).decode("utf-8", "replace"))

    def clock_go(self, seconds: int) -> None:
        """`s4v_clock_go`: time goes on now; TOD is ahead by so many seconds more."""
        lib.s4v_clock_go(self._machine, seconds)

    def clock_hz(self) -> tuple[int, int]:
        """Rates of TICK and STICK as the guest knows them."""
        config = ffi.new("s4v_config *")
        lib.s4v_machine_config(self._machine, config)
        return int(config.tick_hz), int(config.stick_hz)

    def memory_scrub(self) -> None:
        """`s4v_memory_scrub`."""
        lib.s4v_memory_scrub(self._machine)

    def memory_adopt(self, blocks: Sequence[AdoptedBlock]) -> None:
        """`s4v_memory_adopt`. Raises AddressError (they do not fit), BusyError, DescriptorsError, CoreError."""
        raw, message = ffi.new("s4v_block[]", len(blocks)), ffi.new("char[]", _ERROR_BYTES)
        for slot, block in zip(raw, blocks, strict=True):
            slot.ra, slot.bytes, slot.memory_offset = block.ra, block.size_bytes, block.memory_offset
            slot.memory_fd = block.memory_fd
        status = lib.s4v_memory_adopt(self._machine, raw, len(blocks), message, _ERROR_BYTES)
        if status == 0:
            return
        text = ffi.string(message).decode("utf-8", "replace")
        if said_exhausted(text):
            raise DescriptorsError
        raise {lib.S4V_EINVAL: AddressError, lib.S4V_EBUSY: BusyError}.get(status, CoreError)(
            f"memory cannot be taken over: {text}")

    def memory_part(self) -> None:
        """`s4v_memory_part`. Raises CoreError."""
        if lib.s4v_memory_part(self._machine) != 0:
            raise CoreError("the host has not enough memory to let go of the guest's")

    def presence_begin(self) -> tuple[int, int]:
        """`s4v_presence_begin`: the file and the bell, the machine's own. Raises BusyError, CoreError."""
        fd, bell = ffi.new("int32_t *"), ffi.new("int32_t *")
        status = lib.s4v_presence_begin(self._machine, fd, bell)
        if status == lib.S4V_EBUSY:
            raise BusyError("pages of the guest are missing already")
        if status != 0:
            raise CoreError("the host has not enough memory")
        return int(fd[0]), int(bell[0])

    def presence_end(self) -> None:
        """`s4v_presence_end`. Raises BusyError."""
        if lib.s4v_presence_end(self._machine) != 0:
            raise BusyError(f"{self.presence_missing()} pages of the guest are missing")

    # -- from any thread, also while the machine runs

    def barrier(self, timeout_ns: int) -> None:
        """`s4v_barrier`. Raises BusyError."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        if lib.s4v_barrier(self._pointer, timeout_ns) != 0:
            raise BusyError("a strand has been in one hypercall for too long; ask again")

    def presence_missing(self) -> int:
        """`s4v_presence_missing`."""
        return 0 if self._pointer is None else int(lib.s4v_presence_missing(self._pointer))

    def presence_waits(self) -> tuple[int, int, int, int]:
        """`s4v_presence_waits`: how many, and ns in which half of them, 99 %, and the longest were over."""
        if self._pointer is None:
            return 0, 0, 0, 0
        found = ffi.new("s4v_waits *")
        lib.s4v_presence_waits(self._pointer, found)
        return int(found.count), int(found.half_ns), int(found.most_ns), int(found.longest_ns)

    def presence_give_up(self) -> None:
        """`s4v_presence_give_up`."""
        if self._pointer is not None:
            lib.s4v_presence_give_up(self._pointer)

    def dirty_limit(self, pages_per_second: int) -> None:
        """`s4v_dirty_limit`; 0: no limit."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        lib.s4v_dirty_limit(self._pointer, pages_per_second)
