"""A strand as a client sees it: registers by name, running by budget, typed reasons for stopping."""

from __future__ import annotations

import enum
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

from emulator import _core
from emulator.errors import ConfigError, RegisterError

_MASK64 = (1 << 64) - 1


class StopReason(enum.Enum):
    """Why a run returned (`S4V_STOP_*` of csrc/sun4v.h)."""

    BUDGET = 0
    """The budget is used up, to the instruction."""
    EXIT = 1
    """The guest called MACH_EXIT; `Stop.exit_code` is its argument."""
    WATCHDOG = 2
    """A trap at MAXTL, or one that needs a fault area where none is set; `Stop.trap_type`."""
    CONSOLE = 3
    """Console output waits to be read before the guest goes on."""
    IDLE = 4
    """Every strand waits and no timer is set: only outside input can wake the guest."""
    BREAKPOINT = 5
    """The next instruction, at `Stop.address`, has a breakpoint."""
    KICK = 6
    """`Machine.kick()` was called."""
    RESET = 7
    """The guest called MACH_SIR: it asks to be restarted."""
    SUSPEND = 8
    """The guest called MACH_SUSPEND: nothing runs until `Machine.resume()`."""
    EXPIRED = 9
    """The time the guest gave MACH_SET_WATCHDOG is up; its watchdog is off now."""
    CHANNEL = 10
    """The guest sent on `Stop.channel`, configured a queue of it, or made room there."""
    FIRMWARE = 11
    """The firmware holds the machine at its prompt: only console input makes it go on."""

    TIME = 12
    """The time given to `Machine.run` is up: `seconds` of the host, or `until_ns` of the machine's clock."""
    WATCHPOINT = 13
    """The instruction at `Stop.address` is about to access `Stop.watched`; after `Machine.step`: it has."""
    STEP = 14
    """`Machine.step` has done what it was asked."""


class StrandState(enum.Enum):
    """State of a strand, numbered as the CPU_STATE hypercall has it."""

    STOPPED = 1
    RUNNING = 2
    ERROR = 3


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a run ended.

    `insns` counts the instructions completed during this run, over all strands that ran. `exit_code` is set
    for EXIT, `trap_type` for WATCHDOG, `channel` for CHANNEL, `address` (virtual, of the next instruction) for
    BREAKPOINT, WATCHPOINT, STEP and WATCHDOG, `watched` (virtual) and `watch_kind` (1 write, 2 read, 3 both) for
    WATCHPOINT; the others are None.
    """

    reason: StopReason
    strand: int
    insns: int
    exit_code: int | None = None
    trap_type: int | None = None
    address: int | None = None
    channel: int | None = None
    watched: int | None = None
    watch_kind: int | None = None

    @classmethod
    def from_core(cls, raw: _core.CoreStop) -> Stop:
        """Type what the core returned."""
        reason = StopReason(raw.reason)
        watched = reason is StopReason.WATCHPOINT
        stepped = reason in (StopReason.BREAKPOINT, StopReason.STEP)
        with_address = watched or stepped or reason is StopReason.WATCHDOG
        return cls(
            reason=reason,
            strand=raw.strand,
            insns=raw.insns,
            exit_code=raw.code if reason is StopReason.EXIT else None,
            trap_type=raw.tt if reason is StopReason.WATCHDOG else None,
            address=raw.address if with_address else None,
            channel=raw.code if reason is StopReason.CHANNEL else None,
            watched=raw.code if watched else None,
            watch_kind=raw.tt if watched else None,
        )


def check_budget(budget_insns: int) -> int:
    """A budget the core can take: 0 .. 2**64-1. Raises ConfigError."""
    if not 0 <= budget_insns <= _MASK64:
        raise ConfigError(f"not a budget of instructions: {budget_insns}")
    return budget_insns


class Registers(MutableMapping[str, int]):
    """Registers of a strand by name.

    ``g0..g7 o0..o7 l0..l7 i0..i7`` (current window), ``f0..f31`` (single), ``d0..d62`` (double), ``pc npc ccr
    asi fprs fsr gsr y tick stick pstate tl gl pil tba cwp cansave canrestore cleanwin otherwin wstate softint
    tick_cmpr stick_cmpr tpc1 tnpc1 tstate1 tt1 ...``. Values are 64-bit and unsigned; a negative value is
    stored as its two's complement. Raises RegisterError for a name that is none, ReadOnlyRegisterError for
    one that cannot be written.
    """

    def __init__(self, core: _core.Core, strand: int) -> None:
        self._core = core
        self._strand = strand

    def __getitem__(self, name: str) -> int:
        return self._core.reg_get(self._strand, _core.reg_find(name))

    def __setitem__(self, name: str, value: int) -> None:
        if not -(1 << 63) <= value <= _MASK64:
            raise RegisterError(f"{value:#x} does not fit register {name!r}: 64 bits")
        self._core.reg_set(self._strand, _core.reg_find(name), value & _MASK64)

    def __delitem__(self, name: str) -> None:
        raise RegisterError(f"register {name!r} cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return (_core.reg_name(index) for index in range(_core.reg_count()))

    def __len__(self) -> int:
        return _core.reg_count()

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            _core.reg_find(name)
        except RegisterError:
            return False
        return True


class Strand:
    """One hardware thread. Made by `Machine`, not by clients."""

    def __init__(self, core: _core.Core, number: int) -> None:
        self._core = core
        self._regs = Registers(core, number)
        self.number = number

    @property
    def regs(self) -> Registers:
        """Registers by name; also through ``strand["pc"]``."""
        return self._regs

    def __getitem__(self, name: str) -> int:
        return self._regs[name]

    def __setitem__(self, name: str, value: int) -> None:
        self._regs[name] = value

    @property
    def state(self) -> StrandState:
        """STOPPED until started, RUNNING, or ERROR after a trap at MAXTL."""
        return StrandState(self._core.strand_state(self.number))

    @property
    def insns(self) -> int:
        """Instructions this strand has completed."""
        return self._core.strand_insns(self.number)

    def start(self, pc: int, *, arg: int = 0, rtba: int = 0) -> None:
        """Start as the CPU_START hypercall does.

        Privileged, MMU off (addresses are real), TL 0, PIL 15, execution at real address `pc`, `arg` in %o0,
        trap base `rtba`. Raises StrandError where the strand runs already, AddressError where `pc` is not in
        memory.
        """
        if pc % 4 or not 0 <= pc <= _MASK64:
            raise ConfigError(f"not an instruction address: {pc:#x}")
        self._core.strand_start(self.number, pc, rtba=rtba, arg=arg & _MASK64)

    def fail(self) -> None:
        """It is broken: in state ERROR for good, as after a trap at MAXTL. Between runs. Raises StrandError."""
        self._core.strand_fail(self.number)

    def hold(self, on: bool) -> None:
        """Between runs: it executes nothing until it is let go, and its guest sees only that. Raises StrandError.

        Not part of the state: a machine that is saved and loaded elsewhere runs there.
        """
        self._core.strand_hold(self.number, on=on)

    def run(self, budget_insns: int) -> Stop:
        """Run this strand alone for at most `budget_insns` instructions."""
        return Stop.from_core(self._core.strand_run(self.number, check_budget(budget_insns)))

    def step(self) -> Stop:
        """Run one instruction."""
        return self.run(1)

    def print(self) -> str:
        """All registers as text, several to a line."""
        return self._core.strand_print(self.number)

    def __repr__(self) -> str:
        return f"<Strand {self.number}>"
