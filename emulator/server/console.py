"""The console of a guest: what it wrote last, who listens, what was typed and not yet taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

REPLAY_BYTES = 64 << 10
"""Output that is kept for who comes late."""
INPUT_BYTES = 64 << 10
"""Input that may wait for the guest; more is lost, as on a serial line."""
Sink = Callable[[bytes], None]


class GuestConsole:
    """Output goes to all sinks, input waits in one queue. Safe from any thread.

    `wake` is called when input has come. A sink must be quick, and must not raise.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._sinks: list[Sink] = []
        self._input = bytearray()
        self._break = False

    # -- the clients' side

    def attach(self, sink: Sink, *, replay: bool = False) -> None:
        """Call `sink` with all output from now on, with `replay` first with what is kept."""
        with self._lock:
            if replay and self._kept:
                sink(b"".join(self._kept)[-REPLAY_BYTES:])
            self._sinks.append(sink)

    def detach(self, sink: Sink) -> None:
        """No more calls of `sink`; one that was not there is fine."""
        with self._lock:
            if sink in self._sinks:
                self._sinks.remove(sink)

    def type(self, data: bytes) -> int:
        """Bytes for the guest; returns how many found room."""
        with self._lock:
            taken = data[: INPUT_BYTES - len(self._input)]
            self._input += taken
        self._wake()
        return len(taken)

    def send_break(self) -> None:
        """A break on the line."""
        with self._lock:
            self._break = True
        self._wake()

    # -- the guest's side

    @property
    def typed(self) -> bool:
        """Does input wait?"""
        return bool(self._input) or self._break

    def take_break(self) -> bool:
        """Was there a break since the last call?"""
        with self._lock:
            found, self._break = self._break, False
            return found

    def feed(self, feed: Callable[[bytes], int]) -> None:
        """Hand input to the guest's queue: `feed` returns how many bytes it took."""
        with self._lock:
            waiting = bytes(self._input)
        if waiting:
            taken = feed(waiting)
            with self._lock:
                del self._input[:taken]

    @property
    def untaken(self) -> tuple[bytes, bool]:
        """What was typed and the guest has not taken, which stays; and was there a break?"""
        with self._lock:
            return bytes(self._input), self._break

    def restore(self, typed: bytes, *, broken: bool) -> None:
        """Input that a guest brings along comes before what was typed here."""
        with self._lock:
            self._input[:0] = typed
            self._break = self._break or broken

    def forget_input(self) -> None:
        """The guest was stopped: what was typed for it is lost."""
        with self._lock:
            self._input.clear()
            self._break = False

    def write(self, data: bytes) -> None:
        """Output of the guest."""
        with self._lock:
            self._kept.append(data)
            self._kept_bytes += len(data)
            while self._kept_bytes - len(self._kept[0]) >= REPLAY_BYTES:
                self._kept_bytes -= len(self._kept.popleft())
            for sink in self._sinks:
                sink(data)
