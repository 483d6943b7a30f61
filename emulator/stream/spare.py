"""A process with everything loaded that becomes a worker by a fork: an interpreter and its modules take a third of a
second to start, a fork some milliseconds.

`python -m emulator.stream.spare FD`: FD is an open SOCK_SEQPACKET unix socket. Each packet that comes is one byte with
one descriptor, the socket of a worker to be (worker.md); the answer is its number as a process, 4 bytes of
little-endian, with its pidfd, or 0 where it could not be made. When the other end is closed this process ends; its
workers end when their own sockets are closed, as they would anyway. One thread, so that a fork has nothing that is
half done.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from emulator.stream.worker import serve


class Spare:
    """The process. `children`: pidfds of workers that were not waited for yet."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()

    def run(self) -> None:
        """Until the manager goes."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd in self._children:
                    poll.unregister(fd)
                    self._children.remove(fd)
                    os.waitid(os.P_PIDFD, fd, os.WEXITED)
                    os.close(fd)
                elif (made := self._asked()) is None:
                    return
                elif made:
                    self._children.add(made)
                    poll.register(made, select.POLLIN)

    def _asked(self) -> int | None:
        """Make a worker: its pidfd, 0 where there is none. None: the manager has gone."""
        word, fds, _, _ = socket.recv_fds(self._control, 1, 4)
        if not word:
            return None
        pid = pidfd = 0
        try:
            if len(fds) == 1:
                pid, pidfd = self._made(fds[0])
        except OSError:
            pid = 0
        finally:
            for fd in fds:
                os.close(fd)
        with contextlib.suppress(OSError):  # a manager that has just gone
            socket.send_fds(self._control, [pid.to_bytes(4, "little")], [pidfd] if pid else [])
        return pidfd

    def _made(self, end: int) -> tuple[int, int]:
        """Fork; the child never comes back."""
        pid = os.fork()
        if pid:
            return pid, os.pidfd_open(pid)
        status = 1
        try:
            os.setsid()
            self._control.close()
            for fd in self._children:
                os.close(fd)
            serve(socket.socket(fileno=end))
            status = 0
        finally:
            os._exit(status)


def main(arguments: Sequence[str]) -> int:
    """FD is the number of the socket."""
    if len(arguments) != 1 or not arguments[0].isdigit():
        print("usage: python -m emulator.stream.spare FD", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal whose manager decides what it means
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.collect()
    gc.freeze()  # what is shared stays shared
    Spare(socket.socket(fileno=int(arguments[0]))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
