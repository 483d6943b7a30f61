"""The core's calls for a debugger: break- and watchpoints, steps, memory by virtual address, callers' windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, StrandError

_WINDOW_REGISTERS = 16


class DebugCalls:
    """`_machine` is that of `Core`."""

    _machine: Any

    def breakpoint_add(self, va: int) -> None:
        """`s4v_breakpoint_add`. Raises AddressError."""
        status = lib.s4v_breakpoint_add(self._machine, va)
        if status == lib.S4V_ENOMEM:
            raise AddressError(f"no breakpoint at {va:#x}: there are as many as a machine can have")
        if status != 0:
            raise AddressError(f"no breakpoint at {va:#x}: not the address of an instruction")

    def breakpoint_remove(self, va: int) -> None:
        """`s4v_breakpoint_remove`. Raises AddressError."""
        if lib.s4v_breakpoint_remove(self._machine, va) != 0:
            raise AddressError(f"there is no breakpoint at {va:#x}")

    def watchpoint_add(self, va: int, size: int, kind: int) -> None:
        """`s4v_watchpoint_add`. Raises AddressError."""
        status = lib.s4v_watchpoint_add(self._machine, va, size, kind)
        if status == lib.S4V_ENOMEM:
            raise AddressError(f"no watchpoint at {va:#x}: there are as many as a machine can have")
        if status != 0:
            raise AddressError(f"no watchpoint for {size} bytes at {va:#x}: empty, or beyond the address space")

    def watchpoint_remove(self, va: int, size: int, kind: int) -> None:
        """`s4v_watchpoint_remove`. Raises AddressError."""
        if lib.s4v_watchpoint_remove(self._machine, va, size, kind) != 0:
            raise AddressError(f"there is no such watchpoint for {size} bytes at {va:#x}")

    def va_read(self, strand: int, va: int, size: int) -> bytes:
        """`s4v_va_read`: what could be reached, from the first byte on. Raises StrandError."""
        buffer = bytearray(size)
        done = lib.s4v_va_read(self._machine, strand, va, ffi.from_buffer(buffer), size)
        if done < 0:
            raise StrandError(f"no strand {strand}")
        return bytes(buffer[:done])

    def va_write(self, strand: int, va: int, content: bytes) -> int:
        """`s4v_va_write`: how many bytes could be reached. Raises StrandError."""
        done = int(lib.s4v_va_write(self._machine, strand, va, content, len(content)))
        if done < 0:
            raise StrandError(f"no strand {strand}")
        return done

    def va_translate(self, strand: int, va: int) -> int | None:
        """`s4v_va_translate`: the real address; None: there is none. Raises StrandError."""
        ra = ffi.new("uint64_t *")
        status = lib.s4v_va_translate(self._machine, strand, va, ra)
        if status == lib.S4V_ENOENT:
            raise StrandError(f"no strand {strand}")
        return int(ra[0]) if status == 0 else None

    def window_get(self, strand: int, depth: int) -> list[int]:
        """`s4v_window_get`: %l0-%l7, %i0-%i7. Raises StrandError."""
        values = ffi.new("uint64_t[]", _WINDOW_REGISTERS)
        if lib.s4v_window_get(self._machine, strand, depth, values) != 0:
            raise StrandError(f"strand {strand} has no window {depth} before the current one")
        return list(values)

    def window_set(self, strand: int, depth: int, values: Sequence[int]) -> None:
        """`s4v_window_set`. Raises StrandError."""
        raw = ffi.new("uint64_t[]", list(values[:_WINDOW_REGISTERS]))
        if len(values) != _WINDOW_REGISTERS or lib.s4v_window_set(self._machine, strand, depth, raw) != 0:
            raise StrandError(f"strand {strand} has no window {depth} before the current one")
