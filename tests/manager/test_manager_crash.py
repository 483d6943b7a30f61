"""ldmd dies at every step of random sequences of changes, in a real process, on a machine that lives on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import changes
import pytest
from fakeserver import MachineServer
from manager_support import FakeMachine, make_manager

from ldmd.model import Configuration, State
from ldmd.model.plain import to_plain
from ldmd.planner.guestspec import guest_specs, runs
from ldmd.planner.invariants import problems
from ldmd.store import Store

COUNT = 40


class Zygote:
    """The process that forks one child for each run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_child.py"))], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)

    def run(self, **order: Any) -> tuple[int, list[str]]:
        """(exit status of the child, what it said)."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        said = []
        for line in self._process.stdout:
            if line.startswith("end "):
                return int(line.split()[1]), said
            said.append(line.strip())
        raise AssertionError(f"the zygote ended: {said}")

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    found = Zygote()
    yield found
    found.close()


def look(store: Path, machine: FakeMachine) -> Configuration:
    """What the next ldmd finds: it agrees with the machine, and nothing is given out twice."""
    manager = make_manager(store=Store(store), machine=machine)
    configuration = manager.configuration
    manager.store.close()
    assert list(problems(configuration)) == []
    assert {number: guest.spec for number, guest in machine.guests.items()} == guest_specs(configuration)
    for domain in configuration.guests:
        if domain.binding is not None:
            assert (machine.guests[domain.binding.id].state == "running") is runs(domain), domain.name
    return configuration


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nothing_acknowledged_is_lost_and_nothing_is_half_done(zygote: Zygote, seed: int, tmp_path: Path) -> None:
    print(f"seed {seed}")
    rng, machine, store = Random(seed), FakeMachine(), tmp_path / "store.sqlite"
    server = MachineServer(machine, tmp_path / "hvctl.sock")
    try:
        order = {"socket": str(server.path), "store": str(store), "seed": seed, "count": COUNT}
        status, said = zygote.run(**order, first=True, root=None, reached=COUNT, crash=0, kill=False)
        assert status == 0, said
        root = look(store, machine)
        path = changes.sequence(root, seed, COUNT)
        reached, where = 0, Counter[str]()
        while reached < COUNT:
            running = {number: guest.starts for number, guest in machine.guests.items() if guest.state == "running"}
            status, said = zygote.run(**order, first=False, root=to_plain(root), reached=reached,
                                      crash=rng.randrange(1, 24), kill=bool(rng.randrange(2)))
            acknowledged = [int(line.split()[1]) for line in said if line.startswith("ack")]
            assert status in (0, 111, -9), said
            where.update(line.split()[1] for line in said if line.startswith("crash"))
            reached = acknowledged[-1] if acknowledged else reached
            server.machine.listen(lambda event: None)  # the look is another ldmd, in this process
            found = look(store, machine)
            machine.listen(server._event)
            wanted = [path[reached], *path[reached + 1 : reached + 2]]
            assert found in wanted, (said, "neither all nor nothing of the change that was under way")
            reached += wanted.index(found)
            undisturbed(machine, running, path[: reached + 1])
        assert len(where) >= 8, where
        assert look(store, machine) == path[-1]
    finally:
        server.close()


def undisturbed(machine: FakeMachine, running: dict[int, int], path: list[Configuration]) -> None:
    """A guest that ran and shall run still runs: it was started again only if a change stopped it in between."""
    starts = Counter[tuple[int, str]]()
    for old, new in pairwise(path):
        for domain in new.guests:
            before = old.find(domain.name)
            if domain.state is State.ACTIVE and domain.binding is not None and (
                    before is None or before.state is not State.ACTIVE):
                starts[domain.binding.id, domain.uuid] += 1
    for number in running:
        guest = machine.guests.get(number)
        if guest is not None and guest.state == "running":
            assert guest.starts <= starts[number, guest.spec["uuid"]], f"guest {number} was started without need"
