"""What several test processes of one host share: things that are built once, turns, and TCP ports.

`make test` runs a process on every processor (tests/workers.py), and a developer may run another beside it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Below the ports that hosts give to whoever asks for any: what is given out here nobody gets by chance.
PORTS = range(20000, 32000)


@contextmanager
def only_one(file: Path) -> Iterator[int]:
    """One process at a time is in here, of all that name this file. Gives its descriptor."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield held.fileno()


def free_ports(count: int = 2) -> int:
    """The first of some ports in a row that nobody has, and that no other test is given for long."""
    with only_one(Path(tempfile.gettempdir()) / f"sun4v-test-ports-{os.getuid()}") as last:
        for _ in range(len(PORTS)):
            first = int(os.pread(last, 16, 0) or PORTS[0])
            if first + count > PORTS[-1]:
                first = PORTS[0]
            os.ftruncate(last, 0)
            os.write(last, b"%d" % (first + count))
            if _are_free(range(first, first + count)):
                return first
    raise OSError(f"no {count} free ports in a row in {PORTS}")


def _are_free(ports: range) -> bool:
    with ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Turns:
    """Tests side by side, and now and then one alone: between the processes of one run.

    Who wants to be alone stands in the door until all others are through with theirs; nobody gets past it meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._door = folder / "door"
        self._inside = (folder / "inside").open("a")

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        with only_one(self._door):
            fcntl.flock(self._inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(self._inside, fcntl.LOCK_UN)
