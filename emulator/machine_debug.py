"""A machine under a debugger: breakpoints, watchpoints, steps, memory by virtual address. Between runs.

The guest sees nothing of it: no byte, no mark and no digest changes by what is set here.
"""

from __future__ import annotations

from dataclasses import replace

from emulator import _core
from emulator._core_debug import WATCH_READ, WATCH_WRITE
from emulator.errors import AddressError
from emulator.guest import Stop, StopReason
from emulator.machine_moving import MachineMoving

_SERVED = (StopReason.FIRMWARE, StopReason.CHANNEL, StopReason.KICK)


class MachineDebug(MachineMoving):
    """The part of `Machine` that is about debugging."""

    def _goes_on(self, raw: _core.CoreStop) -> bool:
        """See `Machine`."""
        raise NotImplementedError

    def step(self, strand: int | None = None) -> Stop:
        """One step of a strand, with breakpoints ignored: the trap that is pending, or one instruction.

        Reason STEP, or WATCHPOINT where the instruction did what is watched for, or what else ends a run; IDLE: it does
        not run. Without `strand`, the one whose turn it is: such steps are the same as a run. Raises StrandError.
        """
        self.devices.poll()
        raw = self._core.step(strand)
        stop = Stop.from_core(raw)
        if stop.reason in _SERVED and (self._goes_on(raw) or stop.reason is StopReason.CHANNEL):
            return replace(stop, reason=StopReason.STEP, channel=None)
        return stop

    def add_breakpoint(self, va: int) -> None:
        """Stop before the instruction at virtual address `va` (real address while the MMU is off)."""
        self._core.breakpoint_add(va)

    def remove_breakpoint(self, va: int) -> None:
        """Take a breakpoint away."""
        self._core.breakpoint_remove(va)

    def add_watchpoint(self, va: int, length: int, *, write: bool = True, read: bool = False) -> None:
        """Stop before an instruction that writes, or reads, one of `length` bytes at `va`.

        Of what hypervisor, firmware and devices do nothing is seen. Raises AddressError, and BusyError beyond 64.
        """
        self._core.watchpoint_add(va, length, WATCH_WRITE * write | WATCH_READ * read)

    def remove_watchpoint(self, va: int, length: int, *, write: bool = True, read: bool = False) -> None:
        """Take one away. Raises AddressError."""
        self._core.watchpoint_remove(va, length, WATCH_WRITE * write | WATCH_READ * read)

    def read_virtual(self, strand: int, va: int, length: int) -> bytes:
        """Memory as a strand sees it, privileged: what is reached of it, from the first byte on. Raises StrandError."""
        return self._core.va_read(strand, va, length)

    def write_virtual(self, strand: int, va: int, data: bytes) -> None:
        """Write such memory, whatever its protection: all, or nothing. Raises AddressError, StrandError."""
        if len(self._core.va_read(strand, va, len(data))) < len(data):
            raise AddressError(f"strand {strand} does not reach all of {va:#x}..{va + len(data) - 1:#x}")
        if self._core.va_write(strand, va, data) < len(data):
            raise AddressError(f"not all of {va:#x}..{va + len(data) - 1:#x} can be written")

    def translate(self, strand: int, va: int) -> int | None:
        """Real address behind a virtual one, by what the strand's MMU knows now; None: nothing. Raises StrandError."""
        return self._core.va_translate(strand, va)

    def windows(self, strand: int) -> list[list[int]]:
        """%l0-%l7, %i0-%i7 of the callers' windows that are in the register file (CANRESTORE), the nearest first."""
        return [self._core.window_get(strand, depth) for depth in range(self.strand(strand)["canrestore"])]

    def set_window(self, strand: int, depth: int, values: dict[int, int]) -> None:
        """Set registers (0-15: %l0-%l7, %i0-%i7) of a caller's window. Raises StrandError."""
        whole = self._core.window_get(strand, depth)
        for index, value in values.items():
            whole[index] = value
        self._core.window_set(strand, depth, whole)

    def trace(self, on: bool = True) -> None:
        """Turn the instruction trace on or off; read it with `read_trace`."""
        self._core.trace_enable(on)

    def read_trace(self) -> str:
        """Trace lines since the last call, one per instruction."""
        return self._core.trace_read()
