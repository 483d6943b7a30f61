"""What is debugged, as a session sees it: strands that stand still, or run until something is met."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from emulator.errors import EmulatorError

WINDOW_REGISTERS = tuple(f"{bank}{number}" for bank in "li" for number in range(8))
"""What a window's save area holds, in its order (SPARC V9 ABI: 16 words at %sp + bias)."""


class DebugError(EmulatorError):
    """It cannot be done: no such strand, no such memory, a register that cannot be written, no room for more."""

    code = "debug"


class GoneError(DebugError):
    """The guest, its machine, or the way to it is not there any more."""

    code = "debug.gone"


class Reason(enum.Enum):
    """Why all strands stand still."""

    ATTACHED = "attached"
    ASKED = "asked"
    STEP = "step"
    BREAKPOINT = "breakpoint"
    WATCH = "watch"
    DYING = "dying"
    """A strand took a trap at the last level, for which the guest is halted as soon as it goes on."""
    ENDED = "ended"
    """There is no guest any more; `code` is what it gave to MACH_EXIT."""


class Kind(enum.Enum):
    """Which accesses a watchpoint waits for."""

    WRITE = "write"
    READ = "read"
    ACCESS = "access"


@dataclass(frozen=True)
class Stopped:
    """Why it stopped: `va` is the pc of a breakpoint, or the watched address that was accessed."""

    reason: Reason
    strand: int = 0
    va: int = 0
    kind: Kind = Kind.WRITE
    code: int = 0
    text: str = ""


@dataclass(frozen=True)
class Thread:
    """A strand: `state` is running, waiting (it gave its turn away), stopped (not started, or off), error."""

    strand: int
    pid: int
    state: str
    text: str = ""


@dataclass(frozen=True)
class Resume:
    """How to go on: all strands (`only` None), or one; the strand `step` does one instruction, and then all stop."""

    step: int | None = None
    only: int | None = None


class Debuggee(Protocol):
    """A guest with a debugger. Everything but `stop` is for a guest that stands still. Raises DebugError, GoneError."""

    name: str

    def threads(self) -> Sequence[Thread]:
        """Its strands, by ascending number."""

    def registers(self, strand: int) -> Mapping[str, int]:
        """All registers by the core's names."""

    def windows(self, strand: int) -> Sequence[Sequence[int]]:
        """WINDOW_REGISTERS of the callers' windows that are still in the register file, the nearest first."""

    def set_registers(self, strand: int, values: Mapping[str, int]) -> None:
        """Set some."""

    def set_window(self, strand: int, depth: int, values: Mapping[str, int]) -> None:
        """Set some of a caller's window, `depth` of `windows`."""

    def read(self, strand: int, va: int, count: int) -> bytes:
        """Memory as the strand sees it: `count` bytes, or those before the first that is not there (at least one)."""

    def write(self, strand: int, va: int, data: bytes) -> None:
        """Write all of it, or nothing."""

    def breakpoint(self, va: int, on: bool) -> None:
        """Stop before the instruction at an address, whichever strand."""

    def watch(self, va: int, count: int, kind: Kind, on: bool) -> None:
        """Stop after an instruction that accesses one of these bytes."""

    def resume(self, how: Resume) -> None:
        """Go on; `stopped` tells when that has ended."""

    def stop(self) -> None:
        """Stand still soon (Reason.ASKED)."""

    def stopped(self) -> Stopped | None:
        """Why it has stopped since `resume`; None: it runs."""

    def monitor(self, command: str, strand: int) -> str:
        """A command of a person to the emulator; its output."""
