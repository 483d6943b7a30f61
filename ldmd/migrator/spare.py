"""The manager's end of a process that is kept ready to become workers (emulator/stream/spare.py).

It is started some seconds after the manager, or by the first migration, and lives as long as the manager. Where it is
gone, or does not answer, a worker is started as any program is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading

from ldmd.migrator.worker import Life, start_process

WARM_SECONDS = 3.0
ANSWER_SECONDS = 10.0
"""How long it may take to start, with all of its modules, and to fork."""


class ForkedLife:
    """A worker that is nobody's child here: a descriptor of the process says when it has ended, whatever takes its
    number then."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd
        self.returncode: int | None = None
        """None while it runs, as far as was looked."""

    def __del__(self) -> None:
        os.close(self._pidfd)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(None if timeout is None else max(0, int(timeout * 1000))):
            raise subprocess.TimeoutExpired("migration worker", timeout or 0.0)
        self.returncode = 0
        return 0


class Spares:
    """One such process, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False
        self._timer: threading.Timer | None = None

    def warm_later(self, seconds: float = WARM_SECONDS) -> None:
        """Have the process ready in a while; a manager that is just starting has other things to do."""
        self._timer = threading.Timer(seconds, self.warm)
        self._timer.daemon = True
        self._timer.start()

    def warm(self) -> None:
        """Have it start, if it does not run. Without one every worker is started anew, which is slower and no more."""
        with self._lock, contextlib.suppress(OSError):
            self._begin()

    def start(self, end: socket.socket) -> Life:
        """A worker with one end of a pair, as `start_process` makes it. Raises OSError."""
        try:
            with self._lock:
                return self._forked(end)
        except OSError:
            return start_process(end)

    def close(self) -> None:
        """It ends; workers that run are not touched."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._closed = True
            self._end()

    def _begin(self) -> socket.socket:
        if self._closed:
            raise OSError("the manager ends")
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._control is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(ANSWER_SECONDS)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "emulator.stream.spare", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._control = ours
        return self._control

    def _forked(self, end: socket.socket) -> ForkedLife:
        control = self._begin()
        fds: list[int] = []
        try:
            socket.send_fds(control, [b"w"], [end.fileno()])
            word, fds, _, _ = socket.recv_fds(control, 4, 1)
            if len(word) == 4 and len(fds) == 1:
                return ForkedLife(int.from_bytes(word, "little"), fds.pop())
            raise OSError("no worker was made")
        except OSError:
            for fd in fds:
                os.close(fd)
            self._end()  # whatever it is doing: the next one is a new one
            raise

    def _end(self) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is None:
            return
        try:
            process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
