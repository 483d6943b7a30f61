"""A seeded simulation in virtual time of the shipped state machines: latencies, a link that breaks, disks that fill and
tear their last record, managers and machines that die. Unlike the explorer it has no bound on what goes wrong, and its
journal is bytes. What goes wrong: `simulator_mishaps`.

Three ways of a domain's memory: it is copied; it is copied in part, and the rest follows (`WAY.PAGES`); both servers
are on one host, and it is handed over (`WAY.SHARED`): nothing is copied, and a failure of the host is one of both.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum
from random import Random

from migration_world import RUNS, UUID, WORDS, Violation
from simulator_mishaps import COPIES, PHASES, Mishaps, cell
from simulator_parts import Disk, DiskFullError, Node, Pages

from ldmd.migration import events as ev
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migration import target as dst
from ldmd.migration.phases import Kind

END = 800.0
"""Seconds after which nobody comes by any more; then all must be over."""
SECONDS = {ev.Timer.ANSWER: 30.0, ev.Timer.RECONNECT: 60.0, ev.Timer.DOUBT: 20.0}
RECONNECT_SECONDS = 60.0
"""Of workers, whose link is down."""


def good(mid: int) -> str:
    """The digest of an attempt."""
    return f"{mid:032x}"


class WAY(Enum):
    """How memory goes."""

    COPY = "copied"
    PAGES = "pages follow"
    SHARED = "handed over"


class Simulation:
    """One run. `run` returns how many events there were; raises Violation."""

    def __init__(self, seed: int, way: WAY = WAY.COPY) -> None:
        self.rng, self.way = Random(f"{seed} {way.name}"), way
        self.now, self.number = 0.0, 0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.one_host = way is WAY.SHARED
        self.lease_used = self.rng.random() < 0.5
        self.lease: tuple[str, int] = ("s", 0)
        self.s = Node("s", src.Source(), Disk(self.rng), "run", src.State(self.plan(1)))
        self.t = Node("t", dst.Target(), Disk(self.rng), "none", dst.State())
        self.link = 0  # number of the connection that stands, 0: none
        self.links, self.final, self.ran, self.disks, self.attempt = 0, 0, 0, True, 1
        self.attempts = self.rng.choice((1, 1, 3))
        self.arrives = {"s": 0.0, "t": 0.0}
        self.stalled = {"s": 0.0, "t": 0.0}
        self.lease_away, self.spoiled, self.patience = 0.0, False, RECONNECT_SECONDS
        self.pages = Pages()
        self.rescued = self.resumed = self.again = 0
        self.end = END
        self.mishaps = Mishaps(self, self.rng)
        if self.rng.random() < 0.8:
            self.mishaps.plan(*cell(seed, PHASES if way is WAY.PAGES else PHASES[:-1]))

    def plan(self, mid: int) -> src.Plan:
        return src.Plan(mid, UUID, Kind.LIVE, self.lease_used, "system2")

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, (self.now + seconds, self.number, what))

    def run(self) -> int:
        self.at(0.1, lambda: self.event(self.s, ev.Begin()))
        self.at(0.2, self.look_after)
        for _ in range(self.rng.randint(0, 5)):
            seconds = self.rng.expovariate(1 / 2.0) if self.rng.random() < 0.8 else self.rng.uniform(0, 100)
            self.at(seconds, self.mishaps.at_random)
        events = self.go_on()
        self.check_end()
        return events + self.once_more()

    def go_on(self) -> int:
        """Until nothing is left to happen."""
        events = 0
        while self.queue and self.now < 2 * self.end:
            self.now, _, what = heapq.heappop(self.queue)
            what()
            events += 1
            self.mishaps.look()
            if self.s.guest == "run" and self.t.guest in RUNS:
                raise Violation("two copies run")
        return events

    def once_more(self) -> int:
        """Both sides are usable: a domain that stayed is moved, and nothing goes wrong this time."""
        if self.t.state.at is dst.At.OWNER:
            return 0
        self.mishaps.waiting.clear()
        self.again, self.end = 1, self.now + END
        self.try_again()
        self.look_after()
        events = self.go_on()
        self.check_end()
        if self.t.guest != "run" or self.ran != self.attempt:
            raise Violation(f"both were clean, and the domain does not go: {self.s.state} {self.t.state}")
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
                self.ends_flow("stopped")
            case ev.Tell(_, True) if not self.ran or node.state.plan.mid in self.pages.lost:
                raise Violation("success was told, and the target never ran the domain, or lost it")
            case ev.CloseDisks():
                self.disks = False
            case (ev.ResumeGuest() | ev.BootGuest() | ev.StartGuest() | ev.DropImage() | ev.DestroyGuest()
                  | ev.LoseGuest()):
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
            if node.guest in RUNS and node is self.t:
                raise Violation("the target dropped a running domain")
            if node is self.s and self.t.guest == "thinrun":
                raise Violation("the source freed memory of which the target needs pages")
            node.guest = "none"
        elif isinstance(effect, ev.LoseGuest):
            self.lose(node)
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
        elif node.guest not in ("whole", "thin"):
            raise Violation(f"the target started what is {node.guest}")
        else:
            self.runs(node)
        return True

    def lose(self, node: Node) -> None:
        """Pages will not come: the domain is booted anew, at the target alone, and only where that is so."""
        if node is self.s or node.guest not in ("thin", "thinrun"):
            raise Violation(f"{node.name} gave up what is {node.guest}")
        if self.pages.flow or self.pages.cause in ("", "stopped"):
            raise Violation("the target gave up a domain whose pages could have come")
        self.pages.lost.add(node.state.mid)
        node.guest, node.died = "none", True
        self.runs(node)

    def runs(self, node: Node) -> None:
        node.guest = "thinrun" if node.guest == "thin" else "run"
        if node is self.t:
            self.ran = node.state.mid
            if self.disks and not self.s.died:
                raise Violation("the target runs while the source has the disks open")
            if self.lease_used and self.lease != ("t", self.ran):
                raise Violation("the target runs without the lease")
        else:
            self.disks, self.final = True, 0
            self.resumed += self.s.died
            if self.t.guest in ("whole", "thin"):
                self.t.guest = "part"

    def job(self, node: Node, effect: ev.Effect) -> None:
        seconds = self.rng.expovariate(1 / 0.2)
        match effect:
            case ev.StartTransfer():
                seconds = self.rng.uniform(0.01, 0.1) if self.one_host else self.rng.uniform(0.2, 5)
                partial = self.way is WAY.PAGES and self.rng.random() < 0.9
                self.copies(node, seconds, lambda: ev.Converged(partial=partial))
            case ev.SuspendGuest():
                self.finish(node, seconds, self.suspend)
            case ev.SendFinal():
                self.copies(node, seconds, self.send_final)
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

    def copies(self, node: Node, seconds: float, what: Callable[[], ev.Event]) -> None:
        """A job for which the workers' link must stand; when it is down they wait for it."""
        number, life = node.job, node.life

        def fire() -> None:
            if (node.job, node.life) != (number, life):
                return
            if self.now < self.pages.down_until:
                self.at(self.pages.down_until - self.now + 0.01, fire)
            else:
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
        if self.s.state.partial:
            self.pages.number += 1
            self.pages.flow, self.pages.cause = True, ""
            number = self.pages.number
            self.at(self.rng.choice((0.0, 0.3, 3.0, 60.0)), lambda: self.all_came(number))
        return ev.FinalSent(good(mid))

    def create(self) -> ev.Event:
        self.t.guest, self.spoiled = "part", False  # what memory held before is wiped
        return ev.Created()

    def verify(self) -> ev.Event:
        spoiled, self.spoiled = self.spoiled, False
        partial = self.pages.number > 0 and self.s.state.partial
        whole = self.final == self.t.state.mid and self.t.guest == "part" and not spoiled
        if whole:
            self.t.guest = "thin" if partial else "whole"
        return ev.Verified(good(self.t.state.mid) if whole else "f" * 32, partial=partial)

    # -- pages that follow

    def all_came(self, number: int) -> None:
        if number != self.pages.number or not self.pages.flow or not self.t.up:
            return
        if self.now < self.pages.down_until or self.t.guest == "part":
            self.at(max(0.05, self.pages.down_until - self.now), lambda: self.all_came(number))
        elif self.t.guest in ("thin", "thinrun"):
            self.t.guest = "run" if self.t.guest == "thinrun" else "whole"
            self.pages.flow = False
            self.event(self.t, ev.Completed())

    def ends_flow(self, cause: str) -> None:
        """No page comes any more."""
        if self.pages.flow:
            self.pages.flow, self.pages.cause = False, cause

    def workers_miss_each_other(self, node: Node) -> None:
        """The worker of a side has no link for long, and gives up, where it still has to bring or to get something."""
        number, life, flow = node.job, node.life, self.pages.number

        def fire() -> None:
            if (node.job, node.life) != (number, life):
                return
            copies = node.state.at in (COPIES if node is self.s else (dst.At.RECEIVING, dst.At.VERIFYING))
            follows = node is self.t and flow == self.pages.number and node.guest in ("thin", "thinrun")
            if copies or (follows and not self.pages.flow):
                self.event(node, ev.TransferFailed("no link for too long"))

        self.at(self.patience, fire)

    def take_lease(self, node: Node, move: ev.LeaseMove, mid: int) -> ev.Event:
        if self.now < self.lease_away or (not self.again and self.rng.random() < 0.02):
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
            if self.link != link or not other.linked:
                return
            if self.now < self.stalled[node.name]:
                self.at(self.stalled[node.name] - self.now, arrive)
            else:
                self.event(other, ev.Received(rec.unpack(packed)))

        begin = max(self.now, self.stalled[node.name])
        when = max(self.arrives[other.name], begin + self.rng.expovariate(1 / 0.05))
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
        if self.now < self.end:
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
        if self.attempt < self.attempts:
            self.try_again()

    def try_again(self) -> None:
        """Another attempt, where the one of before is over."""
        free = self.s.state.at is src.At.CLOSED and self.s.guest == "run" and not self.s.busy and self.s.up
        if free:
            self.attempt += 1
            self.s.state = src.State(self.plan(self.attempt), linked=self.s.linked)
            self.event(self.s, ev.Begin())

    def kill(self, node: Node) -> None:
        self.cut()
        self.ends_flow("kill")
        self.workers_miss_each_other(self.t if node is self.s else self.s)
        if self.one_host and node is self.s and self.t.state.at in dst.PROMISED:  # the hand-over's connection
            self.event(self.t, ev.TransferFailed("the hand-over ended"))
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
            if node is self.t and node.state.missing:
                self.pages.lost.add(node.state.missing)
            node.guest, node.died = "none", True
            if node is self.t:
                self.ends_flow("machine")
            elif self.s.state.at is src.At.FINAL:
                self.rescued += 1
            self.event(node, ev.MachineDied())

    def check_end(self) -> None:
        """It is over: one copy, and nothing left to say."""
        s, t = self.s, self.t
        where = f"{s.state.at} {s.guest} {t.state.at} {t.guest} {t.state.owned}"
        if {s.guest, t.guest} - {"none", "run"}:
            raise Violation(f"memory is left: {where}")
        there = t.state.at is dst.At.OWNER
        if [s.guest == "run", t.guest == "run"] != [not there, there]:
            raise Violation(f"at the end not one copy runs: {where}")
        if s.state.at is not (src.At.DONE if there else src.At.CLOSED) or t.state.owned:
            raise Violation(f"not settled: {where}")
