"""The process that is kept ready to become workers: it makes them, outlives them, and can be done without."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ldmd.migrator.spare import ForkedLife, Spares
from ldmd.migrator.worker import ENDED, Worker

PATIENCE = 60.0


class Told:
    """The events of a worker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def wait(self, name: str) -> dict[str, Any]:
        """The event of that name, once it has come."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(each["event"] == name for each in self._events), PATIENCE), name
            return next(each for each in self._events if each["event"] == name)


@pytest.fixture
def spares() -> Iterator[Spares]:
    made = Spares()
    yield made
    made.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def running(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_are_forks_of_one_process_and_end_by_themselves(spares: Spares) -> None:
    spares.warm()
    first, second = Told(), Told()
    one, other = Worker(first, start=spares.start), Worker(second, start=spares.start)
    pids = first.wait("hello")["pid"], second.wait("hello")["pid"]
    parents = {parent_of(pid) for pid in pids}
    assert len(set(pids)) == 2 and len(parents) == 1 and os.getpid() not in parents
    one.stop()
    assert not running(pids[0]) and running(pids[1])
    other.kill()
    assert second.wait(ENDED)
    assert not running(pids[1])
    assert running(parents.pop())


def test_a_worker_outlives_the_manager_s_spare_and_dies_with_its_socket(spares: Spares) -> None:
    ours, theirs = socket.socketpair()
    life = spares.start(theirs)
    theirs.close()
    assert isinstance(life, ForkedLife)
    spares.close()
    with pytest.raises(subprocess.TimeoutExpired):
        life.wait(0.0)
    ours.close()
    life.wait(PATIENCE)
    assert not running(life.pid)


def test_a_spare_that_was_killed_is_replaced(spares: Spares) -> None:
    told = Told()
    worker = Worker(told, start=spares.start)
    parent = parent_of(told.wait("hello")["pid"])
    os.kill(parent, signal.SIGKILL)
    worker.stop()
    told.wait(ENDED)
    for _ in range(2):  # the first may find out only by asking
        told = Told()
        worker = Worker(told, start=spares.start)
        assert told.wait("hello")["pid"]
        worker.stop()
    told = Told()
    worker = Worker(told, start=spares.start)
    assert parent_of(told.wait("hello")["pid"]) not in (parent, os.getpid())
    worker.stop()


def test_without_a_spare_a_worker_is_started(spares: Spares) -> None:
    spares.close()
    told = Told()
    worker = Worker(told, start=spares.start)
    assert parent_of(told.wait("hello")["pid"]) == os.getpid()
    worker.stop()
    assert told.wait(ENDED)


def test_what_is_no_request_makes_no_worker() -> None:
    made = Spares()
    made.warm()
    process, control = made._process, made._control
    assert process is not None and control is not None
    control.send(b"w")  # no descriptor
    assert socket.recv_fds(control, 4, 1)[:2] == (bytes(4), [])
    made.close()
    assert process.returncode == 0
