"""Who runs the guests: a thread for each in real time, one scheduler for all in virtual time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from emulator.server.guest import RUNNING, Guest

SLICE_NS = 1_000_000
"""Virtual time of a guest's turn; a frame from one guest to another arrives in the receiver's next one."""
STACK_BYTES = 1 << 20


class Runner(Protocol):
    """Gives guests their turns."""

    def add(self, guest: Guest) -> None:
        """A guest that is new."""

    def poke(self, number: int) -> None:
        """Something waits for a guest. From any thread."""

    def close(self) -> None:
        """No more turns. The guests have vanished."""


class Threads:
    """Real time: each guest has a thread as long as it exists. A guest with nothing to do costs nothing."""

    def __init__(self) -> None:
        self._woken: dict[int, threading.Event] = {}
        self._threads: dict[int, threading.Thread] = {}

    def add(self, guest: Guest) -> None:
        """Start its thread."""
        number = guest.spec.id
        woken = self._woken[number] = threading.Event()
        thread = threading.Thread(target=self._run, args=(guest, woken), name=f"guest-{number}", daemon=True)
        self._threads[number] = thread
        thread.start()
        woken.set()

    def poke(self, number: int) -> None:
        """Wake the guest's thread."""
        woken = self._woken.get(number)
        if woken is not None:
            woken.set()

    def _run(self, guest: Guest, woken: threading.Event) -> None:
        while not guest.gone:
            woken.wait(guest.requests.patience())
            woken.clear()
            while not guest.gone and guest.turn():
                pass

    def close(self) -> None:
        """Wait for the threads."""
        for woken in list(self._woken.values()):
            woken.set()
        for thread in list(self._threads.values()):
            if thread is not threading.current_thread():
                thread.join(timeout=30)


class Scheduler:
    """Virtual time: guests take turns of SLICE_NS in the order of their numbers, all in one thread.

    Same requests at the same times, same course of events. The clock moves by `advance`, or, with `free`, by itself,
    not faster than the host's. `start` gives the scheduler a thread of its own; without one, requests are done at once
    by whoever makes them, and `advance` runs the guests in the caller's thread.
    """

    def __init__(self, *, slice_ns: int = SLICE_NS, host_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.now_ns = 0
        self.free = False
        self._slice_ns, self._host_ns = slice_ns, host_ns
        self._target_ns = 0
        self._guests: tuple[Guest, ...] = ()
        self._lags: dict[int, int] = {}  # by guest: our clock less its machine's
        self._lock = threading.RLock()  # without a thread: one caller at a time
        self._list_lock = threading.Lock()
        self._woken = threading.Event()
        self._moved = threading.Condition()
        self._waiters: list[tuple[int, Callable[[int], None]]] = []
        self._thread: threading.Thread | None = None
        self._inside = False
        self._closed = False
        self.on_slice: Callable[[], None] = lambda: None
        self._anchor: tuple[int, int] | None = None  # host's and our time when the clock began to run freely

    def start(self) -> None:
        """Run in a thread, with the clock running freely."""
        self.free = True
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def add(self, guest: Guest) -> None:
        """A guest that is new."""
        with self._list_lock:
            self._guests = tuple(sorted((*self._guests, guest), key=lambda each: each.spec.id))
        self.poke(guest.spec.id)

    def poke(self, number: int) -> None:
        """Do what was posted: soon, or at once."""
        del number
        if self._thread is not None:
            self._woken.set()
            return
        with self._lock:
            if not self._inside:
                self._act()

    def run_free(self, free: bool) -> None:
        """Let the clock run by itself, or stop it."""
        self.free, self._anchor = free, None
        self._target_ns = 0
        self._woken.set()

    def advance(self, ns: int) -> int:
        """Move the clock by so much, with all guests running; returns the time then. The clock must be stopped."""
        with self._lock:
            end = self.now_ns + ns
            if self._thread is None:
                while self.now_ns < end:
                    self._slice(min(self._slice_ns, end - self.now_ns))
                return self.now_ns
            self._target_ns = end
            self._woken.set()
            with self._moved:
                self._moved.wait_for(lambda: self.now_ns >= end or self._closed or self.free)
            return self.now_ns

    @property
    def threaded(self) -> bool:
        """Has it a thread of its own?"""
        return self._thread is not None

    def advance_to(self, ns: int, reached: Callable[[int], None]) -> None:
        """As `advance`, for a caller that cannot wait: `reached` is called with the time, in the scheduler's thread."""
        with self._list_lock:
            self._waiters.append((ns, reached))
        self._target_ns = max(self._target_ns, ns)
        self._woken.set()

    def _tell(self) -> None:
        """Whom the time that has come was promised."""
        with self._list_lock:
            due = [each for each in self._waiters if each[0] <= self.now_ns or self._closed or self.free]
            self._waiters = [each for each in self._waiters if each not in due]
        for _, reached in due:
            reached(self.now_ns)
        with self._moved:
            self._moved.notify_all()

    def _act(self) -> None:
        """Let every guest do what was posted, also by another guest's turn."""
        inside, self._inside = self._inside, True
        try:
            while waiting := [guest for guest in self._guests if guest.waiting]:
                for guest in waiting:
                    guest.act()
        finally:
            self._inside = inside
        if any(guest.gone for guest in self._guests):
            with self._list_lock:
                self._guests = tuple(guest for guest in self._guests if not guest.gone)

    def _slice(self, ns: int) -> None:
        self.on_slice()
        self._act()
        self._inside = True
        try:
            for guest in self._guests:
                self._turn(guest, ns)
        finally:
            self._inside = False
        self.now_ns += ns
        self._act()

    def _turn(self, guest: Guest, ns: int) -> None:
        """Up to the end of the slice. A guest that is held by something does not make up for it later."""
        number, end = guest.spec.id, self.now_ns + ns
        if guest.machine is None or guest.state != RUNNING:
            guest.requests.expire()
            self._lags.pop(number, None)
            return
        lag = self._lags.setdefault(number, self.now_ns - guest.machine.time_ns)
        while guest.turn(until_ns=end - lag):
            pass
        machine = guest.machine
        if machine is None or guest.state != RUNNING:
            self._lags.pop(number, None)
        elif machine.time_ns < end - lag:
            self._lags[number] = end - machine.time_ns

    def _run(self) -> None:
        while not self._closed:
            self._woken.clear()
            self._act()
            step = self._step()
            if step > 0:
                self._slice(step)
            self._tell()
            if step <= 0:
                self._woken.wait(self._pause())
        self._act()
        self._tell()

    def _step(self) -> int:
        """How far the clock may move now."""
        if not self.free:
            return min(self._slice_ns, self._target_ns - self.now_ns)
        if not any(guest.state == RUNNING for guest in self._guests):
            self._anchor = None
            return 0
        return 0 if self._ahead() > 0 else self._slice_ns

    def _ahead(self) -> int:
        """Nanoseconds that our clock is before the host's. One that fell behind by a second does not hurry after it."""
        host_ns = self._host_ns()
        host, own = self._anchor or (host_ns, self.now_ns)
        ahead = (self.now_ns - own) - (host_ns - host)
        self._anchor = (host_ns, self.now_ns) if ahead < -1_000_000_000 else (host, own)
        return ahead

    def _pause(self) -> float | None:
        """How long to wait for a poke; None: for ever."""
        if not self.free or self._anchor is None:
            return None
        return max(self._ahead(), self._slice_ns) / 1e9

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._woken.set()
        if self._thread is None:
            with self._lock:
                self._act()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout=30)
        self._tell()
