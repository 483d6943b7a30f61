"""The manager's end of a migration worker (emulator/stream/worker.md): a process for one side of one migration.

`Worker` starts it, sends requests with descriptors, and hands its events to a function, in order, in a thread of its
own. `ended` comes last and once, whatever became of the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from emulator.hvctl.wire import MAX_REQUEST, Receiver, WireError, send

STOP_SECONDS = 5.0
ENDED = "ended"
"""Event of our own: the worker is gone."""


class Life(Protocol):
    """What a started worker is to us."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self, timeout: float | None = None) -> Any:
        """Until it has ended. Raises subprocess.TimeoutExpired."""


Start = Callable[[socket.socket], Life]


def start_process(end: socket.socket) -> Life:
    """The worker as a process of its own, with one end of the pair."""
    return subprocess.Popen(
        [sys.executable, "-m", "emulator.stream.worker", str(end.fileno())], pass_fds=[end.fileno()],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


class Worker:
    """One worker. `on_event` gets every event; {"event": "ended"} is the last."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None], *, start: Start = start_process) -> None:
        """Raises OSError where no process can be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._life = start(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket, self._on_event = ours, on_event
        self._sending = threading.Lock()
        self._stopped = self._left = False
        self._thread = threading.Thread(target=self._read, name="migration-worker", daemon=True)
        self._thread.start()

    def request(self, op: str, fds: Sequence[int] = (), /, **members: Any) -> bool:
        """Send one; the descriptors stay the caller's. False: the worker is gone, which its event says too."""
        try:
            with self._sending:
                send(self._socket, {"op": op, **members}, fds)
            return True
        except (OSError, WireError):
            return False

    def stop(self) -> None:
        """End it, and wait for that: nothing of it is in anybody's memory afterwards."""
        self._stopped = True
        self.request("stop")
        try:
            self._life.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._life.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._life.wait(STOP_SECONDS)
        self._close()

    def kill(self) -> None:
        """At once, as when the manager's own process ends."""
        self._stopped = True
        self._life.kill()
        self._close()

    def leave(self) -> None:
        """The manager ends, and it need not: one that still has pages for a guest goes on alone, others end."""
        self._stopped = self._left = True
        self._close()

    def fail(self) -> None:
        """Its process ends by itself, as far as we know: its event says so."""
        self._life.kill()

    def stall(self, seconds: float) -> None:
        """Its process stands still for so long."""
        pid = getattr(self._life, "pid", None)
        if pid is None:
            return  # a thread of ours; who tests with one is refused such a rule (`RoomMachine.arm`)
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(seconds, self._go_on, (pid,))
        timer.daemon = True
        timer.start()

    def _go_on(self, pid: int) -> None:
        if getattr(self._life, "returncode", 0) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _read(self) -> None:
        receiver = Receiver(self._socket, max_bytes=MAX_REQUEST)
        why = "it ended"
        try:
            while (frame := receiver.receive()) is not None:
                if not self._stopped and isinstance(frame.message.get("event"), str):
                    self._on_event(dict(frame.message))
        except (WireError, OSError) as error:
            why = str(error)
        receiver.close()
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._life.wait(0 if self._left else STOP_SECONDS)  # no process is left behind as a zombie
        self._on_event({"event": ENDED, "why": why})
