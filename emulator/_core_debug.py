"""The core's calls for a debugger: breakpoints, watchpoints, memory by virtual address, windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, BusyError, RegisterError, StrandError

WATCH_WRITE, WATCH_READ = 1, 2
"""S4V_WATCH_*."""
_WINDOW_REGISTERS = 16


class DebugCalls:
    """`_machine` is that of `Core`. All of them between runs."""

    _machine: Any

    def breakpoint_add(self, va: int) -> None:
        """Stop before the instruction at `va`. Raises AddressError, BusyError."""
        status = lib.s4v_breakpoint_add(self._machine, va)
        if status == lib.S4V_ENOMEM:
            raise BusyError("there are as many breakpoints as there can be")
        if status != 0:
            raise AddressError(f"{va:#x} is no instruction's address: a multiple of 4 is wanted")

    def breakpoint_remove(self, va: int) -> None:
        """Take a breakpoint away. Raises AddressError."""
        if lib.s4v_breakpoint_remove(self._machine, va) != 0:
            raise AddressError(f"there is no breakpoint at {va:#x}")

    def watchpoint_add(self, va: int, length: int, access: int) -> None:
        """Stop before an instruction that accesses one of these bytes; WATCH_*. Raises AddressError, BusyError."""
        status = lib.s4v_watchpoint_add(self._machine, va, length, access)
        if status == lib.S4V_ENOMEM:
            raise BusyError("there are as many watchpoints as there can be")
        if status != 0:
            raise AddressError(f"addresses {va:#x}, {length} bytes, cannot be watched")

    def watchpoint_remove(self, va: int, length: int, access: int) -> None:
        """Take a watchpoint away. Raises AddressError."""
        if lib.s4v_watchpoint_remove(self._machine, va, length, access) != 0:
            raise AddressError(f"there is no such watchpoint at {va:#x}")

    def va_read(self, strand: int, va: int, length: int) -> bytes:
        """Memory as a strand sees it, up to the first byte that is not there. Raises StrandError."""
        buffer = ffi.new("char[]", max(length, 1))
        count = lib.s4v_va_read(self._machine, strand, va, buffer, length)
        if count < 0:
            raise StrandError(f"no strand {strand}")
        return bytes(ffi.buffer(buffer, count))

    def va_write(self, strand: int, va: int, data: bytes) -> int:
        """Write such memory, up to the first byte that is not there; how many were written. Raises StrandError."""
        count = int(lib.s4v_va_write(self._machine, strand, va, ffi.from_buffer(data), len(data)))
        if count < 0:
            raise StrandError(f"no strand {strand}")
        return count

    def va_translate(self, strand: int, va: int) -> int | None:
        """Real address behind a strand's virtual one; None: it has no translation. Raises StrandError."""
        ra = ffi.new("uint64_t *")
        status = lib.s4v_va_translate(self._machine, strand, va, ra)
        if status == lib.S4V_ENOENT:
            raise StrandError(f"no strand {strand}")
        return int(ra[0]) if status == 0 else None

    def window_get(self, strand: int, depth: int) -> list[int]:
        """%l0-%l7 and %i0-%i7 of the caller's window, 0 the nearest. Raises StrandError: it is not in the file."""
        values = ffi.new("uint64_t[]", _WINDOW_REGISTERS)
        if lib.s4v_window_get(self._machine, strand, depth, values) != 0:
            raise StrandError(f"strand {strand} has no such window")
        return list(values)

    def window_set(self, strand: int, depth: int, values: Sequence[int]) -> None:
        """Set them. Raises StrandError, RegisterError."""
        if len(values) != _WINDOW_REGISTERS:
            raise RegisterError(f"a window has {_WINDOW_REGISTERS} registers")
        if lib.s4v_window_set(self._machine, strand, depth, ffi.new("uint64_t[]", list(values))) != 0:
            raise StrandError(f"strand {strand} has no such window")
