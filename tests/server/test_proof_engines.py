"""A guest moves between machines that translate and machines that interpret, and nobody can tell.

Virtual time; the run that stays on an interpreting machine is the measure, to the bit.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moving_support import move
from server_support import Room, labos_spec
from test_moving import MS, SCRIPT, SEED, Pair, disks
from test_power import DEADLINE, Rack

from emulator import Machine
from emulator.hvctl.client import Hvctl

WORDS = ("--deterministic", "--platform", "t5-2")
LINES = ("dirty 20000 4194304", "crypto", "dirty check")


@pytest.fixture(scope="module", autouse=True)
def translator() -> None:
    """Skips where this host has none."""
    with Machine("8K") as machine:
        if note := machine.prefer_engine("translator"):
            pytest.skip(note)


class Unlike(Pair):
    """The second server translates; `translated`: the most host code it had when the guest left it."""

    def __init__(self) -> None:
        super().__init__("t5-2", "t5-2")
        for number, engine in enumerate(("interpreter", "translator")):
            self.rooms[number].close()
            self.rooms[number] = Room("t5-2", name=f"s{number}", engine=engine)
        self.translated = 0

    def move(self, to: int | None = None, *, spec: dict[str, Any] | None = None) -> None:
        machine = self.room.server.guest(1).machine
        assert machine is not None
        assert machine.engine == self.room.status(1)["engine"] == ("interpreter", "translator")[self.home]
        assert self.home or machine._core.native_bytes() == 0
        self.translated = max(self.translated, machine._core.native_bytes())
        super().move(to, spec=spec)


def test_moves_between_engines_are_no_moves(tmp_path: Path) -> None:
    """At random instants from one to the other and back: console, disk, digest, count of instructions."""
    ends = []
    for chance in (None, random.Random(SEED)):
        disk = tmp_path / ("moved" if chance else "stays")
        with Unlike() as pair:
            pair.start(labos_spec(1, disks=disks(disk), vcpus=[[0, 1], [1, 2]], max_vcpus=4))
            pair.run(SCRIPT, chance=chance)
            ends.append((pair.text, pair.room.call("guest.digest", guest=1), disk.read_bytes()))
            print("seed", SEED, "moves", pair.moves, "bytes of host code", pair.translated)
            assert pair.translated > 1000 if chance else pair.moves == 0
    stays, moved = ends
    assert moved[0] == stays[0]
    assert moved[2] == stays[2]
    assert moved[1] == stays[1]


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    found = Rack(tmp_path)
    yield found
    found.close()


def state_of(client: Hvctl) -> str:
    saved, (fd,) = client.call_fds("guest.save_state", guest=1)
    os.close(fd)
    return str(saved["sha256"])


def type_line(client: Hvctl, line: str) -> None:
    """Type to a guest that stands still: it goes on when the line has come."""
    client.call("guest.suspend", guest=1)
    _, fds = client.call_fds("console.open", guest=1, replay=False)
    before = state_of(client)
    with socket.socket(fileno=fds[0]) as console:
        console.sendall(line.encode() + b"\r")
        for _ in range(DEADLINE * 100):
            if state_of(client) != before:
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError(f"{line!r} does not come")
    client.call("guest.resume", guest=1)


def align(clients: list[Hvctl]) -> None:
    """All begin at the same time of day, from where it stands still. Each has run by itself since it was powered on."""
    for client in clients:
        client.call("machine.clock", run=False)
    now = [client.call("machine.info")["time_ns"] for client in clients]
    for client, ns in zip(clients, now, strict=True):
        client.call("machine.advance", ns=max(now) - ns)


def run_lines(clients: list[Hvctl], *, moving: bool) -> tuple[dict[str, Any], list[str]]:
    """labos works through its lines, on one machine, or turn and turn about on both: its digest, and the engines."""
    def advance(ms: int) -> None:
        for client in clients:
            client.call("machine.advance", ns=ms * MS)

    here, there = clients[0], clients[-1]
    here.call("guest.configure", spec=labos_spec(1))
    here.call("guest.start", guest=1)
    advance(700)
    engines = []
    for line in LINES:
        type_line(here, line)
        advance(7)
        engines.append(here.call("guest.status", guest=1)["engine"])
        if moving:
            move(here, there, here.call("guest.spec", guest=1))
            here, there = there, here
        advance(300)
    digest: dict[str, Any] = here.call("guest.digest", guest=1)
    here.call("guest.stop", guest=1)
    return digest, engines


@pytest.mark.slow
def test_machine_processes_of_two_engines(rack: Rack) -> None:
    """By `sun4v power-on --engine`, which is kept for the next time."""
    plain = ("--engine", "interpreter")
    with (rack.on("a", *WORDS, "--engine", "translator") as a, rack.on("b", *WORDS, *plain) as b,
          rack.on("c", *WORDS, *plain) as c):
        align([a, b, c])
        assert {each["name"]: each["engine"] for each in json.loads(rack.run("machines", "--json"))} == {
            "a": "translator", "b": "interpreter", "c": "interpreter",
        }  # fmt: skip
        moved, engines = run_lines([a, b], moving=True)
        assert engines == ["translator", "interpreter", "translator"]
        stayed, engines = run_lines([c], moving=False)
        assert set(engines) == {"interpreter"}
    assert moved == stayed
    assert moved["insns"] > 1_000_000
    rack.run("power-off", "--force", "a")
    with rack.on("a") as a:
        assert a.call("machine.info")["engine"] == "translator"
