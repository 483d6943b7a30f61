"""A trace of everything on a server, from `start` to `stop`: strands, consoles, events."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING, Any

from emulator.errors import EmulatorError
from emulator.machine import Machine
from emulator.server.errors import ArgumentError, GuestStateError
from emulator.server.events import Event
from emulator.timeline import Timeline
from emulator.trace import Trace

if TYPE_CHECKING:
    from emulator.server.server import Server

TURN_SECONDS = 10.0


class Tracing:
    """`trace` is None while nothing is traced, which is all that guests look at."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.trace: Trace | None = None
        self._lock = threading.Lock()
        self._timelines: dict[int, tuple[Machine, Timeline]] = {}

    def start(self, trace: Trace | None = None) -> None:
        """Begin. One that is under way, whose client may be gone, is dropped."""
        with self._lock:
            self.trace = trace or Trace()
            self._server.events.unsubscribe(self._heard)
            self._server.events.subscribe(self._heard)
        for guest in self._server.guests:
            guest.post(guest.settle_trace)

    def stop(self, path: str) -> dict[str, Any]:
        """End, and write the file. Raises GuestStateError where none is under way, ArgumentError."""
        trace = self.trace
        if trace is None:
            raise GuestStateError("no trace is under way")
        self.trace = None
        self._server.events.unsubscribe(self._heard)
        for future in [guest.post(guest.settle_trace) for guest in self._server.guests]:
            with contextlib.suppress(EmulatorError, LateError):
                future.result(TURN_SECONDS)
        try:
            trace.write(path)
        except OSError as error:
            raise ArgumentError(f"path: {path}: {error.strerror or error}") from None
        return {"events": len(trace)}

    def _heard(self, event: Event) -> None:
        trace = self.trace
        if trace is not None:
            rest = {key: value for key, value in event.items() if key not in ("event", "time", "at_ns")}
            at_ns = int((event["time"] - self._server.started_at) * 1e9)
            trace.instant((self._server.name, "events"), event["event"], at_ns=at_ns, **rest)

    # -- in a guest's turn

    def look(self, number: int, name: str, machine: Machine, said: bytes) -> None:
        """After a run."""
        trace = self.trace
        known = self._timelines.get(number)
        if trace is None or (known is not None and (known[0] is not machine or known[1].trace is not trace)):
            self.forget(number)
            known = None
        if trace is None:
            return
        if known is None:
            known = self._timelines[number] = machine, Timeline(machine, trace, f"{self._server.name}/{name}")
        known[1].collect()
        if said:
            trace.text((f"{self._server.name}/{name}", "console"), said, at_ns=machine.time_ns)

    def forget(self, number: int) -> None:
        """The guest has ended, or the trace has."""
        known = self._timelines.pop(number, None)
        if known is not None:
            with contextlib.suppress(EmulatorError):
                known[1].close()

