"""What test processes share: a test that is alone is alone, and no port is given twice."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest
from host_shares import Turns, free_ports


def wait_for_the_door(folder: Path) -> None:
    """Until somebody stands in it."""
    while True:
        with (folder / "door").open("a") as door:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return


def test_who_wants_to_be_alone_waits_and_is_waited_for(tmp_path: Path) -> None:
    told: list[str] = []

    def take(turn: str, *, alone: bool) -> None:
        with Turns(tmp_path).turn(alone=alone):
            told.append(turn)

    first, second = Turns(tmp_path), Turns(tmp_path)
    with first.turn(alone=False), second.turn(alone=False):  # side by side
        alone = threading.Thread(target=take, args=("alone",), kwargs={"alone": True})
        alone.start()
        wait_for_the_door(tmp_path)
        after = threading.Thread(target=take, args=("after",), kwargs={"alone": False})
        after.start()
        assert told == []
    alone.join()
    after.join()
    assert told == ["alone", "after"]


def test_ports_are_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given: list[int] = []

    def ask() -> None:
        given.extend(free_ports(3) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ports = [first + n for first in given for n in range(3)]
    assert len(given) == 60 and len(set(ports)) == len(ports)


def test_ports_begin_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("host_shares.PORTS", range(20000, 20040))
    given = [free_ports(4) for _ in range(12)]
    assert all(first >= 20000 and first + 4 <= 20040 for first in given) and given[0] in given[1:]
