"""The core's calls for a guest that moves to another server: state without memory, barrier, limit, clock."""

from __future__ import annotations

from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import BusyError, ClosedError, CoreError, StateError

_ERROR_BYTES = 512


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

    # -- from any thread, also while the machine runs

    def barrier(self, timeout_ns: int) -> None:
        """`s4v_barrier`. Raises BusyError."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        if lib.s4v_barrier(self._pointer, timeout_ns) != 0:
            raise BusyError("a strand has been in one hypercall for too long; ask again")

    def dirty_limit(self, pages_per_second: int) -> None:
        """`s4v_dirty_limit`; 0: no limit."""
        if self._pointer is None:
            raise ClosedError("the machine is closed")
        lib.s4v_dirty_limit(self._pointer, pages_per_second)
