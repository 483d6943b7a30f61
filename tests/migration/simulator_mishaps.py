"""What goes wrong in `handover_simulator`: each kind at each side, at a chosen place of each phase, and at random."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from simulator_parts import Node

from ldmd.migration import events as ev
from ldmd.migration import source as src
from ldmd.migration import target as dst
from ldmd.migration.phases import Phase

if TYPE_CHECKING:
    from handover_simulator import Simulation

KINDS = ("kill", "worker", "machine", "outage", "cut", "stall", "damage", "cut-data", "damage-memory", "full", "lease",
         "cancel")
"""kill: the manager, with its worker. outage: the whole host, with what was not synced. cut, stall, damage (a flipped
bit ends a connection): the managers' link; cut-data: the workers'. full, lease: the disk of the journal, of leases."""
PHASES = (*(phase.name for phase in Phase), "PAGES")
"""The product's, and that in which the domain runs at the target with pages missing."""
OVER = "over"
EVENTS_OF_A_PHASE = 6
DEAD_SECONDS = 20.0
"""Of silence, after which a link is taken for gone."""
COPIES = (src.At.COPYING, src.At.SUSPENDING, src.At.FINISHING)


def cell(seed: int, phases: tuple[str, ...]) -> tuple[str, str, str]:
    """(phase, kind, side): all of them within as many seeds, in an order of its own each time."""
    matrix = list(itertools.product(phases, KINDS, "st"))
    turn, place = divmod(seed, len(matrix))
    Random(f"matrix {turn}").shuffle(matrix)
    return matrix[place]


def phase_of(sim: Simulation) -> str:
    """In which phase the newest attempt is, as the source has it; its end is the target's."""
    if sim.t.state.missing or sim.s.state.at is src.At.SERVING:
        return "PAGES"
    if sim.s.state.at in src.SETTLED and sim.s.state.at is not src.At.NEW:
        return OVER
    phase: Phase = sim.s.state.phase
    return phase.name


class Mishaps:
    """`counted`: (phase, kind, side) of what has happened."""

    def __init__(self, sim: Simulation, rng: Random) -> None:
        self.sim, self.rng = sim, rng
        self.counted: list[tuple[str, str, str]] = []
        self.waiting: list[list[object]] = []  # [phase, events of it that still pass, kind, side]

    def plan(self, phase: str, kind: str, side: str) -> None:
        """It comes when the attempt is in that phase."""
        self.waiting.append([phase, self.rng.randrange(EVENTS_OF_A_PHASE), kind, side])

    def look(self) -> None:
        """After each event."""
        now = phase_of(self.sim) if self.waiting else ""
        for each in tuple(self.waiting):
            phase, left, kind, side = each
            if phase == now and left:
                assert isinstance(left, int)
                each[1] = left - 1
            elif phase == now:
                self.waiting.remove(each)
                self.happen(str(kind), self.sim.s if side == "s" else self.sim.t)

    def at_random(self) -> None:
        """Anything."""
        self.happen(self.rng.choice((*KINDS, "cut")), self.rng.choice((self.sim.s, self.sim.t)))

    def happen(self, kind: str, node: Node) -> None:
        """Now."""
        self.counted.append((phase_of(self.sim), kind, node.name))
        act: Callable[[Node], None] = getattr(self, "_" + kind.replace("-", "_"))
        act(node)

    def _kill(self, node: Node) -> None:
        self.sim.kill(node)

    def _worker(self, node: Node) -> None:
        """The manager hears at once, the other one's worker waits for its link."""
        s, t = self.sim.s, self.sim.t
        if node is s and s.state.at in COPIES:
            self.sim.event(s, ev.TransferFailed("the worker ended"))
        if node is t and t.state.at is dst.At.CREATING:
            self.sim.event(t, ev.Created(("the worker ended",)))
        elif node is t and (t.state.at in (dst.At.RECEIVING, dst.At.VERIFYING) or self.sim.pages.flow):
            self.sim.ends_flow("worker")
            self.sim.event(t, ev.TransferFailed("the worker ended"))
        elif node is s:
            self.sim.ends_flow("worker")
        self.sim.workers_miss_each_other(s if node is t else t)

    def _machine(self, node: Node) -> None:
        self.sim.die(node)

    def _outage(self, node: Node) -> None:
        for each in (self.sim.s, self.sim.t) if self.sim.one_host else (node,):
            self.sim.kill(each)
            if self.sim.t.state.missing and each is self.sim.t:
                self.sim.pages.lost.add(each.state.missing)
            each.died = each.died or each.guest != "none"
            each.guest = "none"
            each.disk.power_fails()

    def _cut(self, node: Node) -> None:
        self.sim.cut()

    _damage = _cut

    def _stall(self, node: Node) -> None:
        """What is on its way from that side, and what follows, comes late; after a long silence the link is gone."""
        seconds = self.rng.choice((0.5, 5.0, 19.0, 60.0))
        self.sim.stalled[node.name] = self.sim.now + seconds
        link = self.sim.link
        if seconds > DEAD_SECONDS:
            self.sim.at(DEAD_SECONDS, lambda: self.sim.cut() if self.sim.link == link else None)

    def _cut_data(self, node: Node) -> None:
        seconds = self.rng.choice((0.5, 10.0, 50.0, 90.0))
        pages = self.sim.pages
        pages.down_until = max(pages.down_until, self.sim.now + seconds)
        if seconds > self.sim.patience:
            self.sim.ends_flow("no link")
            for each in (self.sim.s, self.sim.t):
                self.sim.workers_miss_each_other(each)

    def _damage_memory(self, node: Node) -> None:
        self.sim.spoiled = True

    def _full(self, node: Node) -> None:
        node.disk.full = True
        self.sim.at(self.rng.uniform(0.5, 50), lambda: setattr(node.disk, "full", False))

    def _lease(self, node: Node) -> None:
        self.sim.lease_away = self.sim.now + self.rng.choice((1.0, 30.0))

    def _cancel(self, node: Node) -> None:
        self.sim.event(node, ev.Cancel())
