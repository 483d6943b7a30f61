"""`sun4v run`: one program, its console on the host's, until it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from emulator.guest import Stop, StopReason
from emulator.loader import Image
from emulator.machine import Machine
from emulator.terminal import HostConsole
from emulator.traps import trap_name

if TYPE_CHECKING:
    from emulator.gdb.standalone import Bench
    from emulator.run_faults import RunFaults
    from emulator.timeline import Timeline

EXIT_DIED = 3  # the guest died
EXIT_LIMIT = 124  # --max-insns reached; the status timeout(1) uses
EXIT_INTERRUPTED = 130  # SIGINT or Ctrl-]
EXIT_PIPE = 141  # standard output went away

SLICE_INSNS = 4_000_000  # between two looks at the console: some ten milliseconds
FEED_INSNS = 1 << 16  # in virtual time input is given at multiples of it
SLICE_SECONDS = 0.02  # the same in real time, however many strands are busy or idle
REAL_TIME_INSNS = 1 << 40
COMPARE_OFF = 1 << 63  # INT_DIS of TICK_CMPR and STICK_CMPR; in TICK and STICK themselves the bit is NPT
MAX_TL = 2  # MAXPTL; a trap below it stops a strand only for want of a fault status area
LAST_WORDS = {
    StopReason.RESET: "the guest asked for a restart (MACH_SIR), and there is no firmware to boot it",
    StopReason.EXPIRED: "the guest's watchdog expired (MACH_SET_WATCHDOG)",
    StopReason.SUSPEND: "the guest suspended itself (MACH_SUSPEND), and nobody is there to resume it",
}
TRACE_SLICE_INSNS = 256  # the trace buffer of the core must not overflow


@dataclass(frozen=True)
class Outcome:
    """How the program ended: exit status of `sun4v`, and a report for standard error (or "")."""

    status: int
    report: str
    stop: Stop | None = None


@dataclass
class Timing:
    """What `--stats` reports."""

    instructions: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self, outcome: Outcome, machine: Machine) -> str:
        """One line. `seconds` and `mips` are CPU time of this process, `wall_*` time on the clock. `engine`: the one in
        effect; `engine_note`: why it is not the one that was asked for, or ""."""
        statistics = machine.engine_statistics
        return json.dumps(
            {
                "instructions": self.instructions,
                "seconds": round(self.cpu_seconds, 6),
                "mips": _mips(self.instructions, self.cpu_seconds),
                "wall_seconds": round(self.wall_seconds, 6),
                "wall_mips": _mips(self.instructions, self.wall_seconds),
                "reason": outcome.stop.reason.name.lower() if outcome.stop else "none",
                "status": outcome.status,
                "engine": machine.engine,
                "engine_note": machine.engine_note,
                "translator": asdict(statistics) if statistics.regions else None,
                **self.more,
            }
        )


def _mips(instructions: int, seconds: float) -> float | None:
    return round(instructions / seconds / 1e6, 3) if seconds > 0 else None


class Session:
    """A machine with a started program, tied to a host console."""

    def __init__(
        self,
        machine: Machine,
        host: HostConsole,
        *,
        max_insns: int | None = None,
        trace: TextIO | None = None,
        reboot: bool = True,
        input_after: str = "",
        timeline: Timeline | None = None,
        bench: Bench | None = None,
        faults: RunFaults | None = None,
    ) -> None:
        """`bench`: where a debugger asks; `faults`: what goes wrong on purpose."""
        self.machine = machine
        self.timeline, self._bench, self.faults = timeline, bench, faults
        self.host = host
        self.max_insns = max_insns
        self.trace = trace
        self.reboot = reboot
        self.timing = Timing()
        self._awaited = input_after.encode()  # output that input waits for; b"": it has come
        self._recent = b""  # end of the output, while something is awaited
        self._pending = b""  # input the guest's queue had no room for
        self._hung_up = False
        self._quiet = False  # the last stop was idle, and no timer was set
        self._last: Stop | None = None

    def run(self) -> Outcome:
        """Run to the end. KeyboardInterrupt, QuitError and BrokenPipeError pass through."""
        if self.trace is not None:
            self.machine.trace()
        if self.machine.deterministic and not self.host.interactive:
            self._pending = self.host.read_all()  # every input stands before the first instruction
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return self._loop()
        finally:
            self.timing.cpu_seconds = time.process_time() - cpu
            self.timing.wall_seconds = time.perf_counter() - wall

    def _loop(self) -> Outcome:
        while True:
            if self._bench is not None:
                self._heed(self._bench)
            self._pump_input(wait=False)
            if self.faults is not None:
                self.faults.look()
                if self.faults.ended:
                    return Outcome(EXIT_DIED, "a fault powered it off", self._last)
            budget = self._slice()
            if budget == 0:
                limit = self.max_insns
                return Outcome(EXIT_LIMIT, f"stopped after {limit} instructions (--max-insns)", self._last)
            self._last = stop = self._advance(budget)
            self.timing.instructions += stop.insns
            self._pump_output()
            if self._bench is not None and self._bench.meets(stop):
                continue
            self._quiet &= stop.reason is StopReason.IDLE
            outcome = self._judge(stop)
            if outcome is not None:
                return outcome

    def _advance(self, budget: int) -> Stop:
        asked = None if self._bench is None else self._bench.advance()
        if asked is None and self.faults is not None and self.machine.deterministic:
            return self.machine.run(self.faults.budget(budget), until_ns=self.faults.until_ns())
        return asked or self.machine.run(budget, seconds=SLICE_SECONDS)

    def _heed(self, bench: Bench) -> None:
        """What the debugger asks for; while it has the guest stand, nothing else happens but that keys are kept."""
        bench.act()
        while bench.stands:
            self._await_input()
            bench.act()

    def _slice(self) -> int:
        wanted = SLICE_INSNS if self.machine.deterministic else REAL_TIME_INSNS
        if self.trace is not None or self.timeline is not None:
            wanted = TRACE_SLICE_INSNS
        if self.machine.deterministic and (self._awaited or self._pending):
            wanted = min(wanted, FEED_INSNS - self.timing.instructions % FEED_INSNS)
        if self.max_insns is None:
            return wanted
        return min(wanted, self.max_insns - self.timing.instructions)

    def _pump_input(self, *, wait: bool) -> None:
        if not self._pending and not self.host.ended:
            self._pending = self.host.read(wait=wait, also=self._bench.rings if self._bench else None)
            if self.host.take_break():
                self.machine.console.break_()
        if self._pending and not self._awaited and self._may_feed:
            taken = self.machine.console.feed(self._pending)
            self._pending = self._pending[taken:]
        if self.host.ended and not self._pending and not self._hung_up:
            if self.machine.firmware is None:  # an operating system would end what it runs on its console
                self.machine.console.hangup()
            self._hung_up = True

    @property
    def _may_feed(self) -> bool:
        """In virtual time input comes at instructions that do not depend on how the run is cut, as by --trace."""
        if not self.machine.deterministic or self.host.interactive or self._last is None:
            return True
        return self._last.reason is not StopReason.BUDGET or self.timing.instructions % FEED_INSNS == 0

    def _await_input(self) -> None:
        """Until there is input, or a debugger asks for something."""
        if self._bench is not None and (self.host.ended or self._pending):
            self._bench.await_request()
        else:
            self._pump_input(wait=True)

    @property
    def _debugged(self) -> bool:
        return self._bench is not None and self._bench.attached

    def _pump_output(self) -> None:
        if self.timeline is not None:
            self.timeline.collect()
        if data := self.machine.console.read():
            self.host.write(data)
            if self.timeline is not None:
                self.timeline.say(data)
            if self._awaited:
                self._recent = (self._recent + data)[-len(self._awaited) - len(data) :]
                if self._awaited in self._recent:
                    self._awaited = b""
        if self.trace is not None and (lines := self.machine.read_trace()):
            self.trace.write(lines)

    def _judge(self, stop: Stop) -> Outcome | None:
        """The outcome, or None where the program goes on."""
        match stop.reason:
            case StopReason.EXIT:
                assert stop.exit_code is not None
                return Outcome(stop.exit_code & 0xFF, "", stop)
            case StopReason.WATCHDOG:
                return Outcome(EXIT_DIED, self._death(stop), stop)
            case StopReason.RESET | StopReason.FIRMWARE if self.machine.firmware:
                return self._judge_firmware(stop)
            case StopReason.RESET | StopReason.EXPIRED | StopReason.SUSPEND:
                return Outcome(EXIT_DIED, LAST_WORDS[stop.reason], stop)
            case StopReason.IDLE if not self._at_rest(stop):
                pass
            case StopReason.IDLE if self._hung_up and not self._debugged:
                text = "the guest waits for ever: no strand runs, no timer is set, and the input has ended"
                return Outcome(EXIT_DIED, text, stop)
            case StopReason.IDLE:
                self._await_input()
        return None

    def _judge_firmware(self, stop: Stop) -> Outcome | None:
        """A restart, or a wait for input at the prompt."""
        if stop.reason is StopReason.RESET:
            if not self.reboot:
                return Outcome(0, "", stop)
            if self._bench is not None:
                self._bench.was_reset()
            self.machine.reset()
        elif self.machine.firmware is not None and self.machine.firmware.working:
            self._pump_input(wait=False)
        elif self._hung_up and not self._debugged:
            return Outcome(EXIT_DIED, "the firmware waits at its prompt, and the input has ended", stop)
        else:
            self._await_input()
        return None

    def _at_rest(self, stop: Stop) -> bool:
        """True where nothing but input can make the guest go on.

        In real time the core comes back while its strands wait for a timer, so that the input is looked at. A timer
        may come between its return and our look: only the second idle stop in a row without one counts.
        """
        before, self._quiet = self._quiet, stop.insns == 0 and not self._timer_ahead()
        return before and self._quiet

    def _timer_ahead(self) -> bool:
        """True where a strand has a timer that has not come yet, or the watchdog is on."""
        if self.machine.watchdog_ms:
            return True
        for strand in self.machine.strands:
            for clock in ("tick", "stick"):
                compare = strand[f"{clock}_cmpr"]
                if compare & COMPARE_OFF == 0 and compare > strand[clock] & (COMPARE_OFF - 1):
                    return True
        return False

    def _death(self, stop: Stop) -> str:
        strand = self.machine.strand(stop.strand)
        trap = stop.trap_type or 0
        lines = [f"the guest died: {_trap(trap)} on strand {stop.strand}, pc {strand['pc']:#x}, TL {strand['tl']}"]
        if strand["tl"] < MAX_TL:  # not nested too deep: the report of the trap had nowhere to go
            lines.append("no MMU fault status area is configured to report it in (MMU_FAULT_AREA_CONF)")
        for level in range(1, strand["tl"] + 1):  # the trap at level 1 is where the trouble began
            lines.append(f"trap level {level}: {_trap(strand[f'tt{level}'])} at pc {strand[f'tpc{level}']:#x}")
        return "\n".join([*lines, strand.print().rstrip()])


def _trap(trap_type: int) -> str:
    return f"trap {trap_type:#05x} ({trap_name(trap_type)})"


def prepare(machine: Machine, image: Image, path: Path, args: Sequence[str]) -> None:
    """Load and start; with arguments, argv[0] is the name of the file."""
    machine.boot(image, args=[path.name, *args] if args else ())
