"""A guest of a machine's process as a debuggee: `guest.debug.*` of hvctl (emulator/hvctl/protocol.md).

Registers are asked for once in a stop. The machine tells by an event when the guest has stopped; each `resume` has a
number, so that an event of an earlier one is not taken for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from emulator.gdb.debuggee import DebugError, GoneError, Kind, Reason, Resume, Stopped, Thread
from emulator.gdb.monitor import run_command
from emulator.hvctl.client import Hvctl, HvctlError

READ_BYTES = 64 << 10
"""Of one request."""
_GONE = ("unreachable", "closed", "no-guest", "state")
LEAST_VERSION = (1, 2)


class Way(Protocol):
    """How requests come to a machine and events from it: `Hvctl`, or something like it. Raises HvctlError."""

    def fileno(self) -> int:
        """Readable when something has come."""

    def call(self, op: str, /, **arguments: Any) -> Any:
        """A request; its result."""

    def events(self, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """Events as they come, until none does for `seconds`."""

    def pending(self) -> list[dict[str, Any]]:
        """Events that have come beside answers."""

    def close(self) -> None:
        """No more requests."""


def connect_debuggee(path: Path, guest: int, name: str) -> RemoteDebuggee:
    """A guest of a machine's process. Raises HvctlError, DebugError for a machine that knows no debugger."""
    machine = Hvctl(path, client="sun4v gdb")
    if tuple(machine.hello["version"]) < LEAST_VERSION:
        version = ".".join(map(str, machine.hello["version"]))
        machine.close()
        raise DebugError(f"the machine speaks hvctl {version}, which knows no debugger: power it off and on again")
    return RemoteDebuggee(machine, guest, name)


class RemoteDebuggee:
    """`emulator.gdb.serve.Attachable`. It has a connection of its own, whose end detaches, whatever became of us."""

    def __init__(self, machine: Way, guest: int, name: str) -> None:
        self.name, self.guest = name, guest
        self._machine = machine
        self._attached = False
        self._number = 0
        self._stopped: Stopped | None = None
        self._known: dict[int, Mapping[str, Any]] = {}

    def close(self) -> None:
        """End the connection."""
        self._machine.close()

    def fileno(self) -> int:
        """Readable when an event has come."""
        return self._machine.fileno()

    def call(self, op: str, /, **arguments: Any) -> Any:
        """A request about this guest. Raises DebugError, GoneError."""
        try:
            return self._machine.call(op, guest=self.guest, **arguments)
        except HvctlError as error:
            if error.code == "no-guest":
                raise GoneError(f"{self.name} is not on this machine any more: unbound, or moved to another") from None
            raise (GoneError if error.code in _GONE else DebugError)(str(error)) from None

    # -- coming and going

    def attach(self) -> Stopped:
        """Stop the guest. Raises DebugError."""
        self._known.clear()
        try:
            self._machine.call("events.subscribe")
        except HvctlError as error:
            raise GoneError(str(error)) from None
        stopped = self.call("guest.debug.attach")
        self._attached = True
        return _stopped(stopped)

    def detach(self) -> None:
        """Let it run on."""
        self._known.clear()
        if not self._attached:
            return
        self._attached = False
        try:
            self._machine.call("guest.debug.detach", guest=self.guest)
            self._machine.call("events.unsubscribe")
            self._machine.pending()
        except HvctlError:
            pass  # it has gone, or was detached by its end

    def pump(self) -> None:
        """Take events. Raises GoneError where the machine has gone."""
        events = list(self._machine.events(seconds=0))
        if not events:
            self.call("guest.status")  # or there is none, for the connection has ended
            events = self._machine.pending()
        for event in events:
            self._note(event)

    def _note(self, event: Mapping[str, Any]) -> None:
        if event.get("guest") != self.guest:
            return
        if event["event"] == "guest.debug.stopped" and event["run"] == self._number:
            self._stopped = _stopped(event)
        elif event["event"] == "guest.debug.ended":
            self._attached = False
            self._stopped = Stopped(Reason.ENDED, code=event["code"], text=event["why"])

    # -- emulator.gdb.debuggee.Debuggee

    def threads(self) -> Sequence[Thread]:
        """Its strands."""
        return [Thread(each["strand"], each["pid"], each["state"], each["text"])
                for each in self.call("guest.debug.strands")]  # fmt: skip

    def _registers(self, strand: int) -> Mapping[str, Any]:
        if strand not in self._known:
            self._known[strand] = self.call("guest.debug.registers", strand=strand)
        return self._known[strand]

    def registers(self, strand: int) -> Mapping[str, int]:
        """All registers."""
        values: Mapping[str, int] = self._registers(strand)["values"]
        return values

    def windows(self, strand: int) -> Sequence[Sequence[int]]:
        """Callers' windows."""
        windows: Sequence[Sequence[int]] = self._registers(strand)["windows"]
        return windows

    def set_registers(self, strand: int, values: Mapping[str, int]) -> None:
        """Set some."""
        self._known.clear()
        self.call("guest.debug.set_registers", strand=strand, values=dict(values))

    def set_window(self, strand: int, depth: int, values: Mapping[str, int]) -> None:
        """Set some of a caller's."""
        self._known.clear()
        self.call("guest.debug.set_registers", strand=strand, window=depth, values=dict(values))

    def read(self, strand: int, va: int, count: int) -> bytes:
        """Memory."""
        data: bytes = self.call("guest.debug.read", strand=strand, va=va, bytes=min(count, READ_BYTES))
        return data

    def write(self, strand: int, va: int, data: bytes) -> None:
        """Memory."""
        self._known.clear()
        self.call("guest.debug.write", strand=strand, va=va, data=data)

    def breakpoint(self, va: int, on: bool) -> None:
        """Set, or take away."""
        self.call("guest.debug.breakpoint", va=va, on=on)

    def watch(self, va: int, count: int, kind: Kind, on: bool) -> None:
        """Set, or take away."""
        self.call("guest.debug.watch", va=va, bytes=count, kind=kind.value, on=on)

    def resume(self, how: Resume) -> None:
        """Go on."""
        self._known.clear()
        self._stopped = None
        self._number += 1
        self.call("guest.debug.resume", run=self._number, step=how.step, only=how.only)

    def stop(self) -> None:
        """Stand still soon."""
        self.call("guest.debug.stop")

    def stopped(self) -> Stopped | None:
        """Has it?"""
        for event in self._machine.pending():  # beside an answer
            self._note(event)
        return self._stopped

    def monitor(self, command: str, strand: int) -> str:
        """A person's command."""
        self._known.clear()
        return run_command(self, command, strand)


def _stopped(event: Mapping[str, Any]) -> Stopped:
    return Stopped(Reason(event["reason"]), event["strand"], event["va"], Kind(event["access"]), text=event["text"])
