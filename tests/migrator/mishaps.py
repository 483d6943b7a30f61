"""What can go wrong with a migration, each at a chosen phase, side and step; and how it is repaired."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from migrator_support import Pair, Site, cancel
from moving_machine import PAGE, WORK_AT

from ldmd.messages import RefusedError
from ldmd.migration import source as src
from ldmd.migration.phases import Phase
from ldmd.migrator.means import Killed
from ldmd.migrator.sourceside import SourceSide
from ldmd.migrator.targetside import TargetSide

KINDS = ("kill", "machine", "worker", "cut", "stall", "damage", "cut-data", "stall-data", "damage-data",
         "damage-memory", "full", "cancel")
"""kill: the manager. cut, stall, damage: the link of the managers; with -data, that of the workers."""
SIDES = ("alpha", "beta")
PAGES = len(Phase) + 1
"""The phase in which the domain runs at the target and pages are missing; the others are the product's."""
PHASES = {int(phase): phase.name for phase in Phase} | {PAGES: "PAGES"}
MATRIX = tuple(itertools.product((int(phase) for phase in Phase), KINDS, SIDES))
MATRIX_OF_PAGES = tuple(itertools.product((*(int(phase) for phase in Phase), PAGES, PAGES, PAGES), KINDS, SIDES))
STEPS_OF_A_PHASE = 12
COUNTED: Counter[tuple[str, str, str, str]] = Counter()
"""(way of the memory, mishap, side, phase in which it came): how often, of all runs of this process."""


def cell(seed: int, matrix: tuple[tuple[int, str, str], ...] = MATRIX) -> tuple[int, str, str]:
    """All of the matrix comes within its length of seeds, in an order of its own each time."""
    turn, place = divmod(seed, len(matrix))
    order = list(matrix)
    Random(f"matrix {turn}").shuffle(order)
    return order[place]


def phase_of(site: Site) -> int:
    """The farthest of a side's attempts."""
    found = [0]
    for each in site.migrations.attempts():
        follows = (isinstance(each, SourceSide) and each.state.at is src.At.SERVING) or (
            isinstance(each, TargetSide) and each.state.missing != 0)
        found.append(PAGES if follows else int(each.state.phase))
    return max(found)


def table() -> list[str]:
    """What of all of it really came, for people."""
    lines: list[str] = []
    for way in sorted({each[0] for each in COUNTED}):
        phases = [name for number, name in PHASES.items() if number < PAGES or way == "pages follow"]
        lines.append(f"{way}: mishap and side x phase of that side in which it came")
        lines.append(" " * 21 + "".join(f"{name:>9}" for name in phases))
        for kind, side in itertools.product(KINDS, SIDES):
            row = "".join(f"{COUNTED[way, kind, side, name]:9}" for name in phases)
            lines.append(f"{kind:14} {side:6}{row}")
    return lines


class Mishap:
    """One thing that goes wrong once: at the n-th step of a side since it is in a phase, or in a later one."""

    def __init__(self, pair: Pair, rng: Random, *, phase: int, what: str, side: str, way: str) -> None:
        self.pair, self.rng, self.way = pair, rng, way
        self.phase, self.what = phase, what
        self.site: Site = pair.alpha if side == "alpha" else pair.beta
        self.came_in = 0  # the phase
        self.left = rng.randrange(STEPS_OF_A_PHASE)
        self.happened, self.repaired = threading.Event(), threading.Event()
        self.armed = True
        self.died = False
        if what == "damage-memory":  # after the last page came, before all is compared
            pair.workers.on = lambda where, worker: self.spoil_memory() if where == "source.sent" else None
            if pair.real is not None:
                pair.real.on_event = lambda event: self.spoil_memory() if event == "state_wanted" else None
        self.where = ""
        self.lasts = rng.choice((0.0, 0.02, 0.1, 0.3, 1.5 if what.startswith("stall") else 0.5))
        """Seconds until it is repaired."""
        self.hurry = rng.choice((0.0, 2.0))
        """Virtual seconds that pass meanwhile, for each 20 ms: with them timers run out before it is repaired."""

    def __str__(self) -> str:
        return (f"{self.what} {self.site.name} {PHASES[self.phase]} {self.where} for {self.lasts}"
                f"{' in a hurry' if self.hurry else ''}")

    def at_step(self, site: Site, where: str) -> None:
        """A step of a side. Raises Killed."""
        if not self.armed or self.happened.is_set() or site is not self.site or self.what == "damage-memory":
            return
        at = phase_of(site)
        if at < self.phase or (at == PAGES and self.phase == PAGES):  # that one is waited for
            return
        if at == self.phase and self.left:
            self.left -= 1
            return
        self.where = where
        self.happen()

    def while_pages_follow(self) -> None:
        """Asked now and then by the test: is this the time?"""
        if self.phase == PAGES and self.armed and not self.happened.is_set() and phase_of(self.site) == PAGES:
            self.where = "waiting"
            with contextlib.suppress(Killed):
                self.happen()

    def count(self) -> None:
        """It came."""
        self.came_in = phase_of(self.site)
        COUNTED[self.way, self.what, self.site.name, PHASES.get(self.came_in, "")] += 1

    def happen(self) -> None:
        """Now. Raises Killed."""
        self.count()
        act: Callable[[], None] = getattr(self, "_" + self.what.replace("-", "_"))
        try:
            act()
        finally:
            self.happened.set()

    # -- what happens

    def _kill(self) -> None:
        self.site.means.dead = True
        raise Killed

    def _machine(self) -> None:
        self.died = bool(self.site.machine.memory)
        self.site.machine.dies()
        threading.Thread(target=self.site.migrations.machine_lost, daemon=True).start()

    def _worker(self) -> None:
        for each in self.site.migrations.attempts():
            work: Any = each
            worker = work._work.worker
            if worker is not None:
                worker._life.kill()

    def _managers(self) -> list[Any]:
        return [each for each in self.pair.relays if each is not None]

    def _workers(self) -> list[Any]:
        return [] if self.pair.real is None else list(self.pair.real.relays)

    def _cut(self) -> None:
        for relay in self._managers():
            relay.cut()

    def _cut_data(self) -> None:
        for relay in self._workers():
            relay.cut()

    def _stall(self) -> None:
        for relay in self._managers():
            relay.stall(*self.rng.choice(((0,), (1,), (0, 1))))

    def _stall_data(self) -> None:
        for relay in self._workers():
            relay.stall(*self.rng.choice(((0,), (1,), (0, 1))))

    def _damage(self) -> None:
        for relay in self._managers():
            relay.damage(self.rng.randrange(2))

    def _damage_data(self) -> None:
        for relay in self._workers():
            relay.damage(self.rng.randrange(2))

    def spoil_memory(self) -> None:
        """A bit of what the target has received, as by a defect of its host: verification must find it."""
        if not self.armed or self.happened.is_set() or self.what != "damage-memory":
            return
        self.happened.set()
        self.count()
        machine = self.pair.beta.machine
        with machine.turn:
            for number, guest in machine.guests.items():
                if guest.state == "receiving" and number in machine.memory:
                    at = PAGE * self.rng.choice((1, WORK_AT // PAGE)) + self.rng.randrange(24)
                    (old,) = machine.peek(number, at, 1)
                    machine.poke(number, at, bytes((old ^ 1 << self.rng.randrange(8),)))

    def _full(self) -> None:
        self.site.full = True

    def _cancel(self) -> None:
        threading.Thread(target=cancel, args=(self.site,), daemon=True).start()

    # -- and after

    def repair(self) -> None:
        """What a host, an init system or a person does then."""
        self.armed = False
        if self.happened.is_set():
            if self.what in ("kill", "full"):
                self.site.kill()
                self.site.machine.up = True  # a manager is started when its machine is on
                self.site.full = False
                self.site.restart()
            if self.what == "machine":
                self.site.machine.up = True
                with contextlib.suppress(RefusedError):  # where its disk is full at this time; a restart comes then
                    self.site.manager.again()
            for relay in (*self._managers(), *self._workers()):
                relay.heal()
        self.repaired.set()
