"""A debugger at a guest: what it has set, whether the guest stands, and what the end of a run means for it.

All strands stand, or run. While they stand nothing of the guest moves: the console keeps what is typed, frames wait in
their networks, and in real time STICK and timers go on where they were (TOD is put right). docs/internals/debugging.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import EmulatorError
from emulator.guest import Stop, StopReason
from emulator.machine import Machine
from emulator.machine_debug import Watch
from emulator.server.errors import ArgumentError

STEP_ALONE_INSNS = 1_000_000
"""Of a strand that runs alone, between two looks at what was posted."""
KINDS: Mapping[str, Watch] = {"write": Watch.WRITE, "read": Watch.READ, "access": Watch.ACCESS}


class DebugError(EmulatorError):
    """A debugger's request that cannot be done."""

    code = "debug"


@dataclass
class Task:
    """What the guest was let go for: `step` one instruction of a strand; `only` that strand runs."""

    run: int = 0
    step: int | None = None
    only: int | None = None
    wake_va: int | None = None
    """A breakpoint of ours, where a strand that waits and is to be stepped goes on."""
    stepped: bool = False
    """The stop to be judged is a step's."""


@dataclass
class Debugger:
    """For the guest's turn only. `emit` makes an event of the guest."""

    machine: Machine
    owner: object
    emit: Callable[..., None]
    name: str
    clock: Callable[[], float] = time.time
    standing: bool = True
    breakpoints: set[int] = field(default_factory=set)
    watches: set[tuple[int, int, str]] = field(default_factory=set)
    task: Task = field(default_factory=Task)
    doomed: Stop | None = None
    """A trap at the last level: told first, and the guest's end as soon as it goes on."""
    _since: float = 0.0
    _owed: float = 0.0  # part of a second that TOD is behind

    def __post_init__(self) -> None:
        self._since = self.clock()

    # -- standing and going

    def stand(
        self, reason: str, *, strand: int | None = None, va: int = 0, access: str = "write", text: str = ""
    ) -> None:
        """From now on nothing runs."""
        self._forget_wake()
        self.standing, self._since = True, self.clock()
        self.emit("guest.debug.stopped", run=self.task.run, **self.place(reason, strand, va=va, access=access, text=text))

    def place(
        self, reason: str, strand: int | None, *, va: int = 0, access: str = "write", text: str = ""
    ) -> dict[str, Any]:
        """A stop as plain data; without a strand, at the first that runs."""
        running = [each.number for each in self.machine.strands if each.state.name == "RUNNING"]
        awake = [number for number in running if not self.waits(number)]
        first = (awake or running or [self.machine.strands[0].number])[0]
        return {"reason": reason, "strand": first if strand is None else strand, "va": va, "access": access, "text": text}

    def resume(self, task: Task) -> None:
        """Go on. Raises DebugError."""
        if not self.standing:
            raise DebugError(f"{self.name} runs already")
        numbers = {each.number for each in self.machine.strands}
        for strand in (task.step, task.only):
            if strand is not None and strand not in numbers:
                raise DebugError(f"{self.name} has no virtual CPU {strand}")
        self.task = task
        if task.step is not None and self.waits(task.step):
            task.wake_va = self.machine.strand(task.step)["pc"]
            if task.wake_va not in self.breakpoints:
                self.machine.add_breakpoint(task.wake_va)
        self._catch_up()
        self.standing = False

    def _catch_up(self) -> None:
        """The guest's clocks go on where they were; TOD is the host's."""
        if self.machine.deterministic:
            return
        self._owed += max(0.0, self.clock() - self._since)
        seconds = int(self._owed)
        self._owed -= seconds
        self.machine.go(seconds)

    def stop(self) -> None:
        """As asked; of one that stands already nothing is told."""
        if not self.standing:
            self.stand("asked")

    def release(self) -> None:
        """The debugger leaves: nothing of it stays."""
        self._forget_wake()
        for va in self.breakpoints:
            self.machine.remove_breakpoint(va)
        for va, length, kind in self.watches:
            self._set_watch(va, length, kind, on=False)
        self.breakpoints.clear()
        self.watches.clear()
        if self.standing:
            self._catch_up()
            self.standing = False

    def forget(self) -> None:
        """After a reset all strands run that can; a step that was asked for has ended."""
        self._forget_wake()
        self.doomed = None
        if not self.standing:
            self.task = Task(run=self.task.run)

    def waits(self, strand: int) -> bool:
        """Has it given its turn away (CPU_YIELD)?"""
        return bool(self.machine.strand(strand)["waiting"])

    # -- turns

    def advance(self) -> Stop | None:
        """Its own way to run, until a stop; None: the guest's."""
        task, machine = self.task, self.machine
        if self.doomed is not None:
            return self.doomed
        if task.step is not None and task.wake_va is None:
            task.stepped = True
            return machine.step(task.step)
        if task.only is not None and not self.waits(task.only):
            return machine.run(STEP_ALONE_INSNS, only=task.only)
        return None

    def lost(self) -> bool:
        """Has the strand that it waits for been taken away? Then the guest stands."""
        numbers = {each.number for each in self.machine.strands}
        if {self.task.step, self.task.only} - {None} <= numbers:
            return False
        self.stand("asked", text="the virtual CPU was removed")
        return True

    def meets(self, stop: Stop) -> bool:
        """Is this the end of a run that the debugger waits for? Then the guest stands, and nothing else follows."""
        stepped, self.task.stepped = self.task.stepped, False
        match stop.reason:
            case StopReason.BREAKPOINT:
                return self._breakpoint(stop)
            case StopReason.WATCHPOINT:
                return self._watchpoint(stop, done=stepped)
            case StopReason.WATCHDOG if stop is not self.doomed:
                self.doomed = stop
                self.stand("dying", strand=stop.strand, va=stop.address or 0)
                return True
            case StopReason.STEP | StopReason.IDLE | StopReason.FIRMWARE | StopReason.CHANNEL if stepped:
                self.stand("step", strand=self.task.step)
                return True
        return False

    def _breakpoint(self, stop: Stop) -> bool:
        va = stop.address or 0
        if stop.strand == self.task.step and va == self.task.wake_va:
            self._forget_wake()  # the strand is awake: its step comes next
            return False
        if va not in self.breakpoints:
            return False  # another strand, at the place where one is to wake
        self.stand("breakpoint", strand=stop.strand, va=va)
        return True

    def _watchpoint(self, stop: Stop, *, done: bool) -> bool:
        """The client is told after the access. A step that took a trap instead has not come to it: it will again."""
        if not done:
            stop = self.machine.step(stop.strand)
            if stop.reason is not StopReason.WATCHPOINT:
                return False
        va, met = stop.watched or 0, Watch(stop.watch_kind or 0)
        kinds = [kind for at, length, kind in sorted(self.watches) if at <= va < at + length and KINDS[kind] & met]
        self.stand("watch", strand=stop.strand, va=va, access=kinds[0] if kinds else "write")
        return True

    def _forget_wake(self) -> None:
        va, self.task.wake_va = self.task.wake_va, None
        if va is not None and va not in self.breakpoints:
            self.machine.remove_breakpoint(va)

    # -- what is set

    def set_breakpoint(self, va: int, on: bool) -> None:
        """Raises AddressError, BusyError; twice is fine."""
        if (va in self.breakpoints) == on:
            return
        if on:
            self.machine.add_breakpoint(va)
            self.breakpoints.add(va)
        else:
            self.machine.remove_breakpoint(va)
            self.breakpoints.discard(va)

    def set_watch(self, va: int, length: int, kind: str, on: bool) -> None:
        """Raises ArgumentError, AddressError, BusyError; twice is fine."""
        if kind not in KINDS:
            raise ArgumentError(f"kind: one of {', '.join(KINDS)} is wanted")
        watch = (va, length, kind)
        if (watch in self.watches) == on:
            return
        self._set_watch(va, length, kind, on=on)
        (self.watches.add if on else self.watches.discard)(watch)

    def _set_watch(self, va: int, length: int, kind: str, *, on: bool) -> None:
        (self.machine.add_watchpoint if on else self.machine.remove_watchpoint)(va, length, KINDS[kind])
