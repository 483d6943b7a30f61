"""A machine under a debugger: break- and watchpoints, steps, memory as a strand sees it.

All of it between runs. When a run has ended every strand stands, whichever of them met something. The guest notices
nothing: breakpoints are in no memory, watched pages in no translation, and a deterministic machine that was stopped and
went on has the digests of one that was not.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from emulator import _core
from emulator._core_observe import EngineStatistics, StrandCounts, StrandEvent
from emulator.devices.device import Devices
from emulator.errors import AddressError
from emulator.firmware.openboot import OpenBoot
from emulator.guest import Stop, StopReason

ANY_STRAND = 0xFFFFFFFF
_MASK64 = (1 << 64) - 1


class Watch(enum.Flag):
    """What a watchpoint watches for (`S4V_WATCH_*`). An atomic instruction is both."""

    WRITE = 1
    READ = 2
    ACCESS = 3


class MachineDebug:
    """The part of `Machine` that a debugger uses."""

    _core: _core.Core
    devices: Devices
    firmware: OpenBoot | None

    def add_breakpoint(self, va: int) -> None:
        """Stop before the instruction at virtual address `va` (real address while the MMU is off), in any context.

        A strand that has been stopped by it goes on past it. At most 256; one that is added twice is removed twice.
        Raises AddressError.
        """
        self._core.breakpoint_add(_address(va))

    def observe(self, events: int) -> None:
        """Keep so many events of strands (traps, hypercalls, stretches) from now on; 0: none. Raises ConfigError."""
        self._core.observe(events)

    def read_events(self) -> tuple[list[StrandEvent], int]:
        """Those that were kept since the last call, oldest first, and how many found no room."""
        return self._core.read_events()

    def hcall_name(self, trap: int, function: int) -> str:
        """Name of a hypercall."""
        return self._core.hcall_name(trap, function)

    def strand_counts(self, strand: int) -> StrandCounts:
        """Instructions, traps, MMU misses, hypercalls of a strand. Raises StrandError."""
        return self._core.strand_counts(strand)

    @property
    def engine_statistics(self) -> EngineStatistics:
        """What the translator has done so far; between runs."""
        return self._core.engine_statistics()

    @property
    def dirty_pages(self) -> int:
        """Pages that are marked as written; the marks stay."""
        return self._core.dirty_count()

    def remove_breakpoint(self, va: int) -> None:
        """Take a breakpoint away. Raises AddressError."""
        self._core.breakpoint_remove(_address(va))

    def add_watchpoint(self, va: int, size: int, kind: Watch = Watch.WRITE) -> None:
        """Stop before an instruction that accesses any of `size` bytes at `va`, in any context.

        Loads, stores and atomics of instructions, not what hypervisor, firmware or devices do. The stop's `watched` and
        `watch_kind` say what was met; the next run goes on past the instruction. At most 64. Raises AddressError.
        """
        self._core.watchpoint_add(_address(va), _address(size), kind.value)

    def remove_watchpoint(self, va: int, size: int, kind: Watch = Watch.WRITE) -> None:
        """Take a watchpoint away. Raises AddressError."""
        self._core.watchpoint_remove(_address(va), _address(size), kind.value)

    def step(self, strand: int | None = None) -> Stop:
        """One step of a strand; None: of the one whose turn it is, so that steps are what a run would do.

        The strand takes the trap that is pending, or executes one instruction, which counts or traps. STEP;
        WATCHPOINT where the instruction, which is done, met one; IDLE where the strand does not run; or what else
        ends a run, CONSOLE among it. Breakpoints do not stop a step. Raises StrandError.
        """
        self.devices.poll()
        while self.devices.go_on():
            self.devices.poll()
        held = self.firmware.hold() if self.firmware else None
        if held is not None:
            return Stop(reason=held, strand=0, insns=0, exit_code=0 if held is StopReason.EXIT else None)
        raw = self._core.step(ANY_STRAND if strand is None else strand)
        if raw.reason == StopReason.FIRMWARE.value and self.firmware is not None:
            self.firmware.serve(raw.strand, raw.tt)
        elif raw.reason != StopReason.CHANNEL.value or not self.devices.service(raw.code):
            return Stop.from_core(raw)
        return replace(Stop.from_core(raw), reason=StopReason.STEP, address=self._pc(raw.strand), channel=None)

    def _pc(self, strand: int) -> int:
        return self._core.reg_get(strand, _core.reg_find("pc"))

    def read_virtual(self, strand: int, va: int, size: int) -> bytes:
        """Up to `size` bytes at virtual address `va` as privileged loads of the strand would find them now.

        By its translations: soft TLB, permanent mappings, TSBs; the guest's own miss handlers are not asked. Shorter
        where an address has no translation or no memory. Changes nothing. Raises StrandError.
        """
        return self._core.va_read(strand, _address(va), size)

    def write_virtual(self, strand: int, va: int, content: bytes) -> int:
        """Write to memory by virtual address, read-only pages too; returns how many bytes had a place.

        Pages become dirty, and changed instructions take effect. Raises StrandError.
        """
        return self._core.va_write(strand, _address(va), content)

    def translate(self, strand: int, va: int) -> int | None:
        """Real address behind a virtual one, found as `read_virtual` does; None: there is none. Raises StrandError."""
        return self._core.va_translate(strand, _address(va))

    def windows(self, strand: int) -> list[list[int]]:
        """%l0-%l7, %i0-%i7 of the callers' windows that are in the register file (CANRESTORE), the nearest first.

        What belongs to another address space (OTHERWIN) is not among them. Raises StrandError.
        """
        return [self._core.window_get(strand, depth)
                for depth in range(self._core.reg_get(strand, _core.reg_find("canrestore")))]  # fmt: skip

    def set_window(self, strand: int, depth: int, values: dict[int, int]) -> None:
        """Set registers (0-15: %l0-%l7, %i0-%i7) of a caller's window. Raises StrandError."""
        whole = self._core.window_get(strand, depth)
        for index, value in values.items():
            whole[index] = value
        self._core.window_set(strand, depth, whole)


def _address(value: int) -> int:
    if not 0 <= value <= _MASK64:
        raise AddressError(f"not a number of 64 bits: {value:#x}")
    return value
