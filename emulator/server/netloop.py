"""The thread that moves frames between wires and segments: sockets that are ready, things to do, timers.

One for all networks of a machine. What happens in it never waits; a callback that fails is logged and ends
nothing else.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable

from emulator.devices.framing import FramingError
from emulator.server.wires import StreamWire, Wire

LOG = logging.getLogger("sun4v.machine")
Action = Callable[[], None]


class Loop:
    """`start` runs it in a thread. All methods but `later` and `stalled` are for that thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._actions: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Action]] = []
        self._timer_number = 0
        self._ends: dict[Wire, Callable[[Wire, str], None]] = {}
        self._closing = False
        self._thread: threading.Thread | None = None
        self._selector.register(self._event, selectors.EVENT_READ, self._drain)

    def start(self) -> None:
        """Run in a thread."""
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after what was asked for before."""
        if self._thread is None:
            return
        self.later(self._close)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=30)

    def _close(self) -> None:
        self._closing = True

    # -- from any thread

    def later(self, action: Action) -> None:
        """Have something done in the loop's thread, in the order of asking."""
        self._actions.put(action)
        with contextlib.suppress(OSError):
            os.eventfd_write(self._event, 1)

    def stalled(self, wire: StreamWire) -> None:
        """Something waits for a wire's socket."""
        self.later(lambda: self._interest(wire))

    # -- in the thread

    def after(self, seconds: float, action: Action) -> None:
        """Do something at a later time."""
        self._timer_number += 1
        heapq.heappush(self._timers, (self._clock() + seconds, self._timer_number, action))

    def listen(self, listener: socket.socket, ready: Action) -> None:
        """Call `ready` when somebody knocks."""
        self._selector.register(listener, selectors.EVENT_READ, lambda _: ready())

    def unlisten(self, listener: socket.socket) -> None:
        """No more of that."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(listener)

    def watch(self, wire: Wire, ended: Callable[[Wire, str], None]) -> None:
        """Take what a wire brings; `ended` is called with the cause when it brings no more."""
        self._ends[wire] = ended
        self._selector.register(wire.fileno(), selectors.EVENT_READ, lambda events: self._ready(wire, events))
        self._interest(wire)

    def drop(self, wire: Wire) -> None:
        """Close a wire; nobody is told."""
        if self._ends.pop(wire, None) is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(wire.fileno())
        wire.close()

    def _interest(self, wire: Wire) -> None:
        if wire in self._ends and wire.fileno() >= 0:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wire.writing else 0)
            self._selector.modify(wire.fileno(), events, lambda events: self._ready(wire, events))

    def _ready(self, wire: Wire, events: int) -> None:
        if wire not in self._ends:
            return
        try:
            if events & selectors.EVENT_WRITE:
                wire.write()
                if not wire.writing:
                    self._interest(wire)
            if events & selectors.EVENT_READ:
                wire.read()
        except (OSError, EOFError, FramingError) as error:
            if (ended := self._ends.get(wire)) is not None:
                self.drop(wire)
                ended(wire, str(error))

    def _drain(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        while not self._actions.empty():
            self._guarded(self._actions.get())

    def _guarded(self, action: Action) -> None:
        try:
            action()
        except Exception:  # a defect: of one wire, not of all
            LOG.exception("networks: something failed")

    def _run(self) -> None:
        while not self._closing:
            patience = max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
            for key, events in self._selector.select(patience):
                self._guarded(lambda call=key.data, events=events: call(events))  # type: ignore[misc]
            while self._timers and self._timers[0][0] <= self._clock():
                self._guarded(heapq.heappop(self._timers)[2])
        for wire in list(self._ends):
            self.drop(wire)
        self._selector.close()
        os.close(self._event)
