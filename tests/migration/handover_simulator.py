"""A seeded simulation in virtual time of the shipped state machines: latencies, a link that breaks, disks that fill and
tear their last record, managers and machines that die. Unlike the explorer it has no bound on what goes wrong, and its
journal is bytes.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from migration_world import GOOD, UUID, WORDS, Violation

from ldmd.migration import events as ev
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migration import target as dst
from ldmd.migration.phases import Kind

END = 800.0
"""Seconds after which nobody comes by any more; then all must be over."""
SECONDS = {ev.Timer.ANSWER: 30.0, ev.Timer.RECONNECT: 60.0, ev.Timer.DOUBT: 20.0}


class DiskFullError(Exception):
    """No space: the record was not, or not wholly, written."""


@dataclass
class Disk:
    """A journal file: lines of JSON with a checksum. `synced`: how many bytes a power failure cannot take."""

    rng: Random
    bytes: bytes = b""
    synced: int = 0
    full: bool = False

    def write(self, record: rec.Record) -> None:
        body = json.dumps(rec.plain(record)).encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        if self.full:
            self.bytes += line[: self.rng.randrange(len(line))]
            raise DiskFullError
        self.bytes += line

    def sync(self) -> None:
        self.synced = len(self.bytes)

    def power_fails(self) -> None:
        """What was not synced is there in part, or not at all."""
        self.bytes = self.bytes[: self.rng.randint(self.synced, len(self.bytes))]

    def read(self) -> tuple[rec.Record, ...]:
        """Whole records; a torn last one is cut off, as the journal does when it is opened."""
        records: list[rec.Record] = []
        good = 0
        for line in self.bytes.splitlines(keepends=True):
            head, _, body = line.partition(b" ")
            if not line.endswith(b"\n") or b"%08x" % zlib.crc32(body[:-1]) != head:
                break
            records.append(rec.record_of(json.loads(body)))
            good += len(line)
        self.bytes = self.bytes[:good]
        return tuple(records)


@dataclass
class Node:
    """A manager with its disk, and its machine's `guest`."""

    name: str
    machine: Any
    disk: Disk
    guest: str
    state: Any = None
    up: bool = True
    busy: bool = False
    inbox: list[ev.Event] = field(default_factory=list)
    life: int = 0  # what was begun in an earlier life does not happen
    job: int = 0
    timer: int = 0
    linked: bool = False
    died: bool = False  # the machine with the domain's memory, ever


class Simulation:
    """One run. `run` returns how many events there were; raises Violation."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now, self.number = 0.0, 0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.lease_used = self.rng.random() < 0.5
        self.lease: tuple[str, int] = ("s", 0)
        plan = src.Plan(1, UUID, Kind.LIVE, self.lease_used, "system2")
        self.s = Node("s", src.Source(), Disk(self.rng), "run", src.State(plan))
        self.t = Node("t", dst.Target(), Disk(self.rng), "none", dst.State())
        self.link = 0  # number of the connection that stands, 0: none
        self.links, self.final, self.ran, self.disks, self.attempt = 0, 0, 0, True, 1
        self.attempts = self.rng.choice((1, 1, 3))
        self.arrives = {"s": 0.0, "t": 0.0}

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, (self.now + seconds, self.number, what))

    def run(self) -> int:
        self.at(0.1, lambda: self.event(self.s, ev.Begin()))
        self.at(0.2, self.look_after)
        for _ in range(self.rng.randint(0, 6)):
            self.at(self.rng.expovariate(1 / 2.0) if self.rng.random() < 0.8 else self.rng.uniform(0, 100), self.mishap)
        events = 0
        while self.queue and self.now < 2 * END:
            self.now, _, what = heapq.heappop(self.queue)
            what()
            events += 1
            if self.s.guest == "run" and self.t.guest == "run":
                raise Violation("two copies run")
        self.check_end()
        return events

    # -- managers

    def event(self, node: Node, event: ev.Event) -> None:
        if node.up:
            node.inbox.append(event)
            self.take(node)

    def take(self, node: Node) -> None:
        while node.up and not node.busy and node.inbox:
            node.state, effects = node.machine.step(node.state, node.inbox.pop(0))
            node.busy = True
            self.perform(node, list(effects), node.life)

    def perform(self, node: Node, effects: list[ev.Effect], life: int) -> None:
        if node.life != life:
            return
        if not effects:
            node.busy = False
            self.take(node)
            return
        effect, rest = effects[0], effects[1:]
        slow = isinstance(effect, ev.Sync | ev.StartGuest | ev.ResumeGuest | ev.DropImage)

        def go() -> None:
            if node.life != life:
                return
            try:
                after = rest if self.effect(node, effect) else []
            except DiskFullError:
                node.inbox.insert(0, ev.JournalFailed())
                after = []
            self.perform(node, after, life)

        if slow:
            self.at(self.rng.expovariate(1 / 0.003), go)
        else:
            go()

    def effect(self, node: Node, effect: ev.Effect) -> bool:
        """False: it failed, and the rest is dropped."""
        match effect:
            case ev.Write(record):
                node.disk.write(record)
            case ev.Sync():
                node.disk.sync()
            case ev.Send(message):
                self.send(node, message)
            case ev.SetTimer(timer):
                node.timer += 1
                if timer is not None:
                    self.later(node, "timer", SECONDS[timer], ev.Expired(timer))
            case ev.StopTransfer():
                node.job += 1
            case ev.Tell(_, True) if not self.ran:
                raise Violation("success was told, and the target never ran the domain")
            case ev.CloseDisks():
                self.disks = False
            case ev.ResumeGuest() | ev.BootGuest() | ev.StartGuest() | ev.DropImage() | ev.DestroyGuest():
                return self.guest(node, effect)
            case _:
                self.job(node, effect)
        return True

    def later(self, node: Node, what: str, seconds: float, event: ev.Event) -> None:
        number, life = getattr(node, what), node.life

        def fire() -> None:
            if (getattr(node, what), node.life) == (number, life):
                self.event(node, event)

        self.at(seconds, fire)

    def guest(self, node: Node, effect: ev.Effect) -> bool:
        if isinstance(effect, ev.DropImage | ev.DestroyGuest):
            if node.guest == "run" and node is self.t:
                raise Violation("the target dropped a running domain")
            node.guest = "none"
        elif isinstance(effect, ev.BootGuest):
            if not node.died:
                raise Violation(f"{node.name} rebooted a domain whose machine never died")
            if node.guest == "none":
                self.runs(node)
        elif isinstance(effect, ev.ResumeGuest):
            if node.guest == "stop" and self.ran:
                raise Violation("old memory was resumed after the target had run")
            if node.guest == "stop":
                self.runs(node)
        elif node.guest == "none":
            node.inbox.insert(0, ev.StartFailed())
            return False
        elif node.guest != "whole":
            raise Violation(f"the target started what is {node.guest}")
        else:
            self.runs(node)
        return True

    def runs(self, node: Node) -> None:
        node.guest = "run"
        if node is self.t:
            self.ran = node.state.mid
            if self.disks and not self.s.died:
                raise Violation("the target runs while the source has the disks open")
            if self.lease_used and self.lease != ("t", self.ran):
                raise Violation("the target runs without the lease")
        else:
            self.disks, self.final = True, 0
            if self.t.guest == "whole":
                self.t.guest = "part"

    def job(self, node: Node, effect: ev.Effect) -> None:
        seconds = self.rng.expovariate(1 / 0.2)
        match effect:
            case ev.StartTransfer():
                self.later(node, "job", self.rng.uniform(0.2, 5), ev.Converged())
            case ev.SuspendGuest():
                self.finish(node, seconds, self.suspend)
            case ev.SendFinal():
                self.finish(node, seconds, self.send_final)
            case ev.Preflight(offer):
                self.later(node, "job", seconds, ev.Checked(offer))
            case ev.CreateDomain():
                self.finish(node, seconds, self.create)
            case ev.Verify():
                self.finish(node, seconds, self.verify)
            case ev.Lease(move, mid):
                self.finish(node, seconds, lambda: self.take_lease(node, move, mid))

    def finish(self, node: Node, seconds: float, what: Callable[[], ev.Event]) -> None:
        number, life = node.job, node.life

        def fire() -> None:
            if (node.job, node.life) == (number, life):
                self.event(node, what())

        self.at(seconds, fire)

    def suspend(self) -> ev.Event:
        if self.s.guest != "run":
            return ev.Suspended("the machine failed")
        self.s.guest = "stop"
        return ev.Suspended()

    def send_final(self) -> ev.Event:
        mid = self.s.state.plan.mid
        self.final = mid if self.s.guest == "stop" else 0
        return ev.FinalSent(GOOD[mid])

    def create(self) -> ev.Event:
        self.t.guest = "part"
        return ev.Created()

    def verify(self) -> ev.Event:
        whole = self.final == self.t.state.mid and self.t.guest == "part"
        if whole:
            self.t.guest = "whole"
        return ev.Verified(GOOD[self.t.state.mid] if whole else "f" * 32)

    def take_lease(self, node: Node, move: ev.LeaseMove, mid: int) -> ev.Event:
        if self.rng.random() < 0.05:
            return ev.LeaseAnswered(ev.LeaseWord.UNREACHABLE)
        may = {ev.LeaseMove.HOLD: self.lease[0] != "t", ev.LeaseMove.TAKE: self.lease == ("s", mid),
               ev.LeaseMove.RECLAIM: self.lease in (("s", mid), ("b", mid)), ev.LeaseMove.REGAIN: self.lease[1] == mid}
        if not may[move]:
            return ev.LeaseAnswered(ev.LeaseWord.LOST)
        self.lease = ({ev.LeaseMove.HOLD: "s", ev.LeaseMove.TAKE: "t"}.get(move, "b"), mid)
        return ev.LeaseAnswered(ev.LeaseWord.TAKEN)

    # -- network

    def send(self, node: Node, message: rec.Message) -> None:
        other, link = (self.t, self.link) if node is self.s else (self.s, self.link)
        if not link or not node.linked:
            return
        packed = rec.pack(message)

        def arrive() -> None:
            if self.link == link and other.linked:
                self.event(other, ev.Received(rec.unpack(packed)))

        when = max(self.arrives[other.name], self.now + self.rng.expovariate(1 / 0.05))
        self.arrives[other.name] = when  # a connection keeps the order
        self.at(when - self.now, arrive)

    def cut(self) -> None:
        self.link = 0
        for node in (self.s, self.t):
            if node.linked:
                node.linked = False
                life = node.life
                self.at(self.rng.expovariate(1 / 0.5), lambda node=node, life=life: self.hear_cut(node, life))

    def hear_cut(self, node: Node, life: int) -> None:
        if node.life == life and not node.linked:
            self.event(node, ev.LinkDown())

    def connect(self) -> None:
        settled = self.s.state.at in (src.At.NEW, src.At.LEASING, src.At.CLOSED, src.At.BROKEN)
        if self.link or settled or not (self.s.up and self.t.up):
            return
        self.links += 1
        self.link = self.links
        for node in (self.s, self.t):
            node.linked = True
            self.event(node, ev.LinkUp())

    # -- what goes wrong, and who comes by

    def look_after(self) -> None:
        """Now and then: connections, the power-on policy of the manager, a person with a broken disk."""
        self.pass_by()
        if self.now < END:
            self.at(self.rng.uniform(0.5, 20), self.look_after)

    def pass_by(self) -> None:
        here = self.s.state.at in (src.At.CLOSED, src.At.ABORTED) and not self.s.inbox
        for node, has in ((self.s, here), (self.t, self.t.state.at is dst.At.OWNER)):
            if node.up and not node.busy and has and node.guest == "none" and node.died:
                self.runs(node)
            if node.up and node.state.at in (src.At.BROKEN, dst.At.BROKEN):
                node.disk.full = False
                self.kill(node)
        self.connect()
        free = self.s.state.at is src.At.CLOSED and self.s.guest == "run" and not self.s.busy
        if free and self.attempt < self.attempts:
            self.attempt += 1
            plan = src.Plan(self.attempt, UUID, Kind.LIVE, self.lease_used, "system2")
            self.s.state = src.State(plan, linked=self.s.linked)
            self.event(self.s, ev.Begin())

    def kill(self, node: Node) -> None:
        self.cut()
        node.up, node.busy, node.linked = False, False, False
        node.life += 1
        node.inbox.clear()
        self.at(self.rng.uniform(0.1, 90), lambda life=node.life: self.restart(node, life))

    def restart(self, node: Node, life: int) -> None:
        if node.life != life or node.up:
            return
        node.up = True
        records = node.disk.read()
        if node is self.s:
            plan = src.plan_of(UUID, records)
            node.state = src.State(plan or node.state.plan)
        else:
            node.state = dst.State()
        self.event(node, ev.Restarted(records, WORDS[node.guest]))

    def die(self, node: Node) -> None:
        if node.guest != "none":
            node.guest, node.died = "none", True
            self.event(node, ev.MachineDied())

    def mishap(self) -> None:
        node = self.rng.choice((self.s, self.t))
        what = self.rng.choice(("kill", "die", "outage", "cut", "cut", "cancel", "full"))
        if what == "kill":
            self.kill(node)
        elif what == "die":
            self.die(node)
        elif what == "outage":
            self.kill(node)
            node.died = node.died or node.guest != "none"
            node.guest = "none"
            node.disk.power_fails()
        elif what == "cut":
            self.cut()
        elif what == "cancel":
            self.event(node, ev.Cancel())
        else:
            node.disk.full = True
            self.at(self.rng.uniform(0.5, 50), lambda: setattr(node.disk, "full", False))

    def check_end(self) -> None:
        """It is over: one copy, and nothing left to say."""
        s, t = self.s, self.t
        where = f"{s.state.at} {s.guest} {t.state.at} {t.guest} {t.state.owned}"
        there = t.state.at is dst.At.OWNER
        if [s.guest == "run", t.guest == "run"] != [not there, there]:
            raise Violation(f"at the end not one copy runs: {where}")
        if s.state.at is not (src.At.DONE if there else src.At.CLOSED) or t.state.owned:
            raise Violation(f"not settled: {where}")
