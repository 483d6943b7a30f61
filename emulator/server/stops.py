"""What the end of a run means for a guest."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from emulator.guest import Stop, StopReason
from emulator.machine import Machine
from emulator.traps import trap_name

MAX_TL = 2
ITSELF = 1
"""Code of `suspended`: the guest called MACH_SUSPEND; 0: it was stopped from outside."""


class Outcome(enum.Enum):
    """The guest goes on."""

    ON = "on"
    AGAIN = "again"
    """At once, also in deterministic mode: the run was cut short."""
    WAIT = "wait"
    """Only input, or a request, can make it go on."""


@dataclass(frozen=True)
class Ending:
    """It does not go on as it was: another state (running: after a reset), and why."""

    state: str
    why: str
    code: int = 0
    text: str = ""


def judge(  # noqa: PLR0911 - one line for each reason
    machine: Machine, stop: Stop, *, idle: int, text: str
) -> Outcome | Ending:
    """What to do after a run. `idle`: such stops in a row; `text`: of the soft state."""
    match stop.reason:
        case StopReason.EXIT:
            return Ending("halted", "power-off", code=stop.exit_code or 0)
        case StopReason.WATCHDOG:
            return Ending("halted", "watchdog", code=stop.trap_type or 0, text=death(machine, stop))
        case StopReason.RESET:
            return Ending("running", "panic" if "panick" in text.lower() else "reset")
        case StopReason.EXPIRED:
            return Ending("running", "watchdog", text="the time given to MACH_SET_WATCHDOG is over")
        case StopReason.SUSPEND:
            return Ending("suspended", "suspended", code=ITSELF, text="the guest suspended itself (MACH_SUSPEND)")
        case StopReason.FIRMWARE:
            working = machine.firmware is not None and machine.firmware.working
            return Outcome.ON if working else Outcome.WAIT
        case StopReason.IDLE:
            # A timer that came between the core's look at timers and its end shows up in a second run.
            return Outcome.WAIT if idle > 1 else Outcome.ON
        case StopReason.CONSOLE | StopReason.KICK | StopReason.BUDGET:
            return Outcome.AGAIN
    return Outcome.ON


def death(machine: Machine, stop: Stop) -> str:
    """Of a strand that took a trap at the last level: where, and what led there."""
    strand = machine.strand(stop.strand)
    number, level = stop.trap_type or 0, strand["tl"]
    words = [f"trap {number:#05x} ({trap_name(number)}) on strand {stop.strand}, pc {strand['pc']:#x}, TL {level}"]
    words += [f"level {n}: trap {strand[f'tt{n}']:#05x} at pc {strand[f'tpc{n}']:#x}" for n in range(1, level + 1)]
    return "; ".join(words)
