"""The core's calls for a debugger: break- and watchpoints, steps, memory by virtual address."""

from __future__ import annotations

from typing import Any

from emulator._core_cffi import ffi, lib
from emulator.errors import AddressError, StrandError


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
