"""Two managers, two machines, a network and a storage lease, around the shipped state machines: what can happen next.

A `World` is immutable; `Rules.moves` gives every step that is possible from it. What a step finds wrong is raised as
`Violation`. The budgets in a world bound what may still go wrong. Effects of one list are carried out in pieces, so
that a crash, or the other side, can come between any two that anybody could notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any, NamedTuple

from ldmd.migration import events as ev
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migration import target as dst
from ldmd.migration.phases import Kind

UUID = "00000000-0000-4000-8000-000000000001"
GOOD = {mid: f"{mid:032x}" for mid in (1, 2, 3)}


def keep_hashes(module: ModuleType) -> None:
    """Have the frozen objects of a module compute their hash once: exploring does little else than look worlds up."""
    for kind in vars(module).values():
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__:
            kind.__hash__ = _kept(kind.__hash__)  # type: ignore[method-assign]


def _kept(compute: Callable[[Any], int]) -> Callable[[Any], int]:
    def kept(self: Any) -> int:
        found = self.__dict__.get("_hash")
        if found is None:
            found = self.__dict__["_hash"] = compute(self)
        return int(found)

    return kept


for _module in (ev, rec, src, dst):
    keep_hashes(_module)


class Violation(AssertionError):
    """A property does not hold."""


class Side(NamedTuple):
    """One machine room: the manager (`up`, `state`, `todo`, `job`, `timer`), its disk, and the machine's `guest`.

    guest: "none", "run", "stop" (suspended); at the target also "part" (image not whole, or stale), "whole", "thin"
    (verified, but pages are missing) and "thinrun" (that one, running).
    """

    up: bool
    state: Any
    todo: tuple[Any, ...] = ()
    job: Any = None
    timer: Any = None
    disk: tuple[Any, ...] = ()
    cache: tuple[Any, ...] = ()
    guest: str = "none"
    died: bool = False  # the machine died, and the manager was not told yet
    lost: bool = False  # for ever


class Budget(NamedTuple):
    """What may still happen."""

    kills: int = 0  # of a manager
    deaths: int = 0  # of a machine
    outages: int = 0  # of a whole host, with what was not synced
    losses: int = 0  # of a host for ever
    cuts: int = 0
    cancels: int = 0
    faults: int = 0  # a job or the journal fails
    attempts: int = 1


class World(NamedTuple):
    """All of it. `net`: two queues (stream) or two sets (soup), of what s and t sent. `link`: who thinks it stands."""

    s: Side
    t: Side
    net: tuple[Any, Any]
    link: tuple[bool, bool]
    lease: tuple[str, int]
    budget: Budget
    ran: int = 0  # mid by which the target ran the domain
    final: int = 0  # mid whose FINAL says what the source's domain is now
    disks: bool = True  # the source has the backends open
    dead: tuple[bool, bool] = (False, False)  # the machine with the memory died, once
    told: bool = False
    fenced: bool = False
    serving: bool = False  # the workers of a partial image both live


SOURCE_MEMORY = ("run", "stop")
RUNS = ("run", "thinrun")
YIELDS = (ev.Sync, ev.ResumeGuest, ev.BootGuest, ev.StartGuest, ev.DropImage, ev.DestroyGuest, ev.LoseGuest)
JOBS = (ev.StartTransfer, ev.SuspendGuest, ev.SendFinal, ev.Preflight, ev.CreateDomain, ev.Verify, ev.Lease)
WORDS = {"none": ev.Guest.NONE, "run": ev.Guest.RUNNING, "stop": ev.Guest.SUSPENDED, "part": ev.Guest.IMAGE,
         "whole": ev.Guest.IMAGE, "thin": ev.Guest.PARTIAL, "thinrun": ev.Guest.PARTIAL}
Move = tuple[str, World]


def matters(effect: ev.Effect) -> bool:
    """False for what only people see, and for connecting, which is possible here whenever the source wants it."""
    told = isinstance(effect, ev.Tell) and not effect.success
    return not told and not isinstance(effect, ev.Show | ev.Connect | ev.Disconnect)


def bare(effect: ev.Effect) -> ev.Effect:
    """Without the reason of an abort, which decides nothing: fewer worlds that differ in nothing else."""
    if isinstance(effect, ev.Write) and isinstance(effect.record, rec.Aborted):
        return ev.Write(rec.Aborted(effect.record.mid, ""))
    return effect


class Rules:
    """The moves, for a kind of domain, with or without a lease, over a stream or a soup of messages."""

    def __init__(self, *, source: src.Source | None = None, target: dst.Target | None = None, kind: Kind = Kind.LIVE,
                 lease: bool = False, soup: bool = False, partial: bool = False,
                 spoil: Callable[[list[ev.Effect]], list[ev.Effect]] | None = None) -> None:
        self.source, self.target = source or src.Source(), target or dst.Target()
        self.kind, self.lease, self.soup, self.spoil, self.partial = kind, lease, soup, spoil, partial
        self.memo: dict[tuple[Any, Any], tuple[Any, tuple[Any, ...]]] = {}

    def plan(self, mid: int) -> src.Plan:
        return src.Plan(mid, UUID, self.kind, self.lease, "system2")

    def start(self, budget: Budget) -> World:
        guest = "run" if self.kind is Kind.LIVE else "none"
        state = src.State(self.plan(1), guest=WORDS[guest])
        empty: Any = frozenset() if self.soup else ()
        return World(Side(True, state, guest=guest), Side(True, dst.State()), (empty, empty), (False, False), ("s", 0),
                     budget)

    # -- one event at one side

    def think(self, machine: Any, state: Any, event: ev.Event) -> tuple[Any, tuple[Any, ...]]:
        key = (state, event)
        if key not in self.memo:
            after, effects = machine.step(state, event)
            effects = self.spoil(effects) if self.spoil else effects
            self.memo[key] = (after, tuple(bare(each) for each in effects if matters(each)))
        return self.memo[key]

    def event(self, world: World, who: str, event: ev.Event) -> World:
        side: Side = getattr(world, who)
        state, effects = self.think(self.source if who == "s" else self.target, side.state, event)
        world = world._replace(**{who: side._replace(state=state, todo=effects)})
        return self.go_on(world, who, first=True)

    def go_on(self, world: World, who: str, *, first: bool) -> World:
        """Carry out effects, up to the next one before which something else may come."""
        while todo := getattr(world, who).todo:
            if isinstance(todo[0], YIELDS):
                if first:
                    return world
                first = True
            first = first or isinstance(todo[0], YIELDS)
            world = world._replace(**{who: getattr(world, who)._replace(todo=todo[1:])})
            world = self.effect(world, who, todo[0])
        return world

    def effect(self, world: World, who: str, effect: ev.Effect) -> World:
        side: Side = getattr(world, who)

        def put(**changes: Any) -> World:
            return world._replace(**{who: side._replace(**changes)})

        match effect:
            case ev.Write(record):
                return put(cache=(*side.cache, record))
            case ev.Sync():
                return put(disk=side.disk + side.cache, cache=())
            case ev.Send(message):
                return self.send(world, who, message)
            case ev.SetTimer(timer):
                return put(timer=timer)
            case ev.StopTransfer():
                return put(job=None)._replace(serving=False)
            case ev.Tell(_, success):
                if success and not world.ran and self.kind is Kind.LIVE:
                    raise Violation("success was told, and the target never ran the domain")
                return world._replace(told=True) if success else world
            case ev.CloseDisks():
                return world._replace(disks=False)
            case _ if isinstance(effect, JOBS):
                return put(job=effect)
            case ev.ResumeGuest() | ev.BootGuest() | ev.DestroyGuest() | ev.LoseGuest():
                return self.at_source(world, effect) if who == "s" else self.at_target(world, effect)
            case ev.StartGuest() | ev.DropImage():
                return self.at_target(world, effect)
            case _:
                return world

    def at_source(self, world: World, effect: ev.Effect) -> World:
        guest = world.s.guest
        if isinstance(effect, ev.DestroyGuest):
            if not any(isinstance(each, rec.Owned) for each in world.t.disk) and not world.t.lost:
                raise Violation("the source destroyed the domain, and the target does not own it")
            if world.t.guest == "thinrun" and not world.t.lost:
                raise Violation("the source destroyed memory of which the target still fetches pages")
            return world._replace(s=world.s._replace(guest="none"))
        if isinstance(effect, ev.LoseGuest):
            if not world.fenced:
                raise Violation("the source gave up what it has, and nobody said that the target is dead")
            return self.source_runs(world)
        if isinstance(effect, ev.BootGuest):
            if not world.dead[0]:
                raise Violation("the source rebooted a domain whose machine never died")
            return self.source_runs(world) if guest == "none" else world
        if guest == "stop" and world.ran and not world.fenced:
            raise Violation("the source resumed old memory after the target had run")
        return self.source_runs(world) if guest in SOURCE_MEMORY else world

    def source_runs(self, world: World) -> World:
        """It runs: so whatever the target has of it is stale."""
        if self.lease and world.lease[0] == "t" and not world.fenced:
            raise Violation("the source runs without the storage lease")
        t = world.t._replace(guest="part") if world.t.guest in ("whole", "thin") else world.t
        return self.check(world._replace(s=world.s._replace(guest="run"), t=t, disks=True, final=0))

    def at_target(self, world: World, effect: ev.Effect) -> World:
        guest = world.t.guest
        if isinstance(effect, ev.DropImage):
            if guest in RUNS:
                raise Violation("the target dropped a running domain")
            return world._replace(t=world.t._replace(guest="none"))
        if isinstance(effect, ev.LoseGuest):
            if guest not in ("thin", "thinrun"):
                raise Violation("the target gave up a domain that is whole")
            if world.serving:
                raise Violation("the target gave up a domain whose pages could have come")
            lost = world._replace(t=world.t._replace(guest="none"), dead=(world.dead[0], True))
            return self.target_runs(lost)
        if isinstance(effect, ev.BootGuest) and not world.dead[1]:
            raise Violation("the target rebooted a domain whose machine never died")
        if guest in RUNS and isinstance(effect, ev.StartGuest):
            raise Violation("the target started a domain that runs")
        if guest == "part":
            raise Violation("the target started an image that is not what the source has")
        if guest == "none" and isinstance(effect, ev.StartGuest):
            return self.event(world._replace(t=world.t._replace(todo=())), "t", ev.StartFailed())
        return self.target_runs(world)

    def target_runs(self, world: World) -> World:
        if world.disks and not world.s.lost and not world.dead[0]:
            raise Violation("the target runs while the source has the disks open")
        if self.lease and world.lease != ("t", world.t.state.mid):
            raise Violation("the target runs without the storage lease")
        now = "thinrun" if world.t.guest == "thin" else "run"
        return self.check(world._replace(t=world.t._replace(guest=now), ran=world.t.state.mid))

    def check(self, world: World) -> World:
        if world.s.guest == "run" and world.t.guest in RUNS and not world.s.lost and not world.t.lost:
            raise Violation("two copies run")
        return world

    # -- the network

    def send(self, world: World, who: str, message: rec.Message) -> World:
        here = "st".index(who)
        net = list(world.net)
        if self.soup:
            net[here] = net[here] | {message}
        elif all(world.link) and message not in net[here][-1:]:
            net[here] = (*net[here], message)
        return world._replace(net=tuple(net))

    def deliveries(self, world: World) -> Iterator[Move]:
        for here, (sender, receiver) in enumerate((("s", "t"), ("t", "s"))):
            side: Side = getattr(world, receiver)
            if not self.free(side) or not world.link[1 - here]:
                continue
            queue = world.net[here]
            for message in sorted(queue, key=repr) if self.soup else queue[:1]:
                after = world
                if not self.soup:
                    net = list(world.net)
                    net[here] = queue[1:]
                    after = world._replace(net=tuple(net))
                yield f"{sender}>{receiver} {message}", self.event(after, receiver, ev.Received(message))

    @staticmethod
    def free(side: Side) -> bool:
        return side.up and not side.todo and not side.lost

    def links(self, world: World) -> Iterator[Move]:
        if not any(world.link) and self.free(world.s) and self.free(world.t) and self.wants(world):
            world = world._replace(link=(True, True), net=world.net if self.soup else ((), ()))
            yield "link up", self.event(self.event(world, "s", ev.LinkUp()), "t", ev.LinkUp())
        elif world.link[0] != world.link[1]:
            who = "s" if world.link[0] else "t"
            if self.free(getattr(world, who)):
                yield f"{who} link down", self.unlink(world, who)
        elif all(world.link) and world.budget.cuts:
            cut = world._replace(budget=world.budget._replace(cuts=world.budget.cuts - 1))
            for who in "st":
                if self.free(getattr(world, who)):
                    yield f"cut, {who} sees it", self.unlink(cut, who)

    def unlink(self, world: World, who: str) -> World:
        here = "st".index(who)
        link, net = list(world.link), list(world.net)
        link[here] = False
        if not self.soup:
            net[1 - here] = ()
        return self.event(world._replace(link=tuple(link), net=tuple(net)), who, ev.LinkDown())

    @staticmethod
    def wants(world: World) -> bool:
        return world.s.state.at not in (src.At.NEW, src.At.LEASING, src.At.CLOSED, src.At.BROKEN)

    # -- everything that can happen

    def moves(self, world: World) -> Iterator[Move]:
        """Moves that need no bad luck come with a small letter or an arrow, those that spend a budget with "!"."""
        for who in "st":
            side: Side = getattr(world, who)
            if side.lost:
                continue
            if not side.up:
                yield f"{who} restart", self.restart(world, who)
            elif side.todo:
                yield f"{who} goes on: {side.todo[0]}", self.go_on(world, who, first=False)
            else:
                yield from self.own_moves(world, who)
            yield from self.disasters(world, who)
        yield from self.deliveries(world)
        yield from self.links(world)
        yield from self.people(world)

    def own_moves(self, world: World, who: str) -> Iterator[Move]:
        side: Side = getattr(world, who)
        if side.died:
            bare = world._replace(**{who: side._replace(died=False)})
            yield f"{who} hears that the machine died", self.event(bare, who, ev.MachineDied())
            return
        if side.job is not None:
            yield from self.job_ends(world._replace(**{who: side._replace(job=None)}), who, side.job)
        if side.timer is not None and (self.soup or not all(world.link) or not world.net["st".index(who)]):
            bare = world._replace(**{who: side._replace(timer=None)})
            yield f"{who} {side.timer.value} expires", self.event(bare, who, ev.Expired(side.timer))
        if who == "t" and side.guest == "thinrun" and world.serving:  # the worker has the memory
            done = world._replace(t=side._replace(guest="run"))
            yield "the last page is there", self.event(done, who, ev.Completed())
            yield from self.fault(world._replace(serving=False), who, ev.TransferFailed("no"))
        elif who == "t" and side.guest == "thin" and world.serving:  # before the domain is the target's
            done = world._replace(t=side._replace(guest="whole"))
            yield "the last page is there early", self.event(done, who, ev.Completed())
            yield from self.fault(world._replace(serving=False), who, ev.TransferFailed("no"))
        elif who == "t" and side.guest == "thinrun" and not world.serving:
            yield "no page comes any more", self.event(world, who, ev.TransferFailed("no"))
        if side.guest == "none" and self.kind is Kind.LIVE and world.dead["st".index(who)]:
            if who == "s" and side.state.at in (src.At.NEW, src.At.CLOSED, src.At.ABORTED):
                yield "s boots it after the power-on", self.source_runs(world)
            if who == "t" and side.state.at is dst.At.OWNER:
                yield "t boots it after the power-on", self.target_runs(world)

    def restart(self, world: World, who: str) -> World:
        side: Side = getattr(world, who)
        if who == "s":
            plan = src.plan_of(UUID, side.disk + side.cache)
            state: Any = src.State(plan or self.plan(side.state.plan.mid))
        else:
            state = dst.State()
        side = side._replace(up=True, state=state, died=False)
        records = side.disk + side.cache
        world = world._replace(**{who: side})
        return self.event(world, who, ev.Restarted(records, WORDS[side.guest]))

    def job_ends(self, world: World, who: str, job: ev.Effect) -> Iterator[Move]:
        side: Side = getattr(world, who)
        match job:
            case ev.StartTransfer():
                if all(world.link):
                    yield "converged", self.event(world, who, ev.Converged(partial=self.partial))
                yield from self.fault(world, who, ev.TransferFailed("no"))
            case ev.SuspendGuest():
                if side.guest == "run":
                    after = world._replace(s=side._replace(guest="stop"))
                    yield "suspended", self.event(after, who, ev.Suspended())
                yield from self.fault(world, who, ev.Suspended("no"))
            case ev.SendFinal():
                mid = side.state.plan.mid
                sent = world._replace(final=mid, serving=self.partial)
                yield "final sent", self.event(sent, who, ev.FinalSent(GOOD[mid]))
            case ev.Preflight(offer):
                yield "checked", self.event(world, who, ev.Checked(offer))
                yield from self.fault(world, who, ev.Checked(offer, ("no",)))
            case ev.CreateDomain():
                made = world._replace(t=side._replace(guest="part"))
                yield "created", self.event(made, who, ev.Created())
                yield from self.fault(world, who, ev.Created(("no",)))
            case ev.Verify():
                good = "thin" if self.partial else "whole"
                whole = good if world.final == side.state.mid and side.guest == "part" else side.guest
                done = world._replace(t=side._replace(guest=whole))
                yield "verified", self.event(done, who, ev.Verified(GOOD[side.state.mid], partial=self.partial))
                yield from self.fault(world, who, ev.Verified("f" * 32))
            case ev.Lease(move, mid):
                yield from self.lease_ends(world, who, move, mid)

    def fault(self, world: World, who: str, event: ev.Event) -> Iterator[Move]:
        if world.budget.faults:
            spent = world._replace(budget=world.budget._replace(faults=world.budget.faults - 1))
            yield f"! {event}", self.event(spent, who, event)

    def lease_ends(self, world: World, who: str, move: ev.LeaseMove, mid: int) -> Iterator[Move]:
        holder = world.lease
        mine = (("s", mid), ("b", mid))
        allowed = {ev.LeaseMove.HOLD: holder[0] in "sb", ev.LeaseMove.TAKE: holder == ("s", mid),
                   ev.LeaseMove.RECLAIM: holder in mine, ev.LeaseMove.REGAIN: holder[1] == mid}[move]
        new = {ev.LeaseMove.HOLD: "s", ev.LeaseMove.TAKE: "t"}.get(move, "b")
        if allowed:
            taken = world._replace(lease=(new, mid))
            yield f"lease {new}", self.event(taken, who, ev.LeaseAnswered(ev.LeaseWord.TAKEN))
        else:
            yield "lease lost", self.event(world, who, ev.LeaseAnswered(ev.LeaseWord.LOST))
        yield from self.fault(world, who, ev.LeaseAnswered(ev.LeaseWord.UNREACHABLE))

    def disasters(self, world: World, who: str) -> Iterator[Move]:
        side: Side = getattr(world, who)
        here = "st".index(who)
        budget = world.budget
        link = tuple(up and n != here for n, up in enumerate(world.link))
        down = side._replace(up=False, todo=(), job=None, timer=None, died=False)
        after = world._replace(link=link, serving=False)
        if budget.kills and side.up:
            yield f"! kill ldmd {who}", after._replace(budget=budget._replace(kills=budget.kills - 1), **{who: down})
        dead = tuple(old or n == here for n, old in enumerate(world.dead))
        if budget.deaths and side.guest != "none":
            gone = side._replace(guest="none", died=side.up)
            yield f"! machine {who} dies", world._replace(dead=dead, budget=budget._replace(deaths=budget.deaths - 1),
                                                         **{who: gone})
        gone = down._replace(guest="none", cache=())
        if budget.outages:
            yield f"! host {who} dies", after._replace(
                dead=dead, budget=budget._replace(outages=budget.outages - 1), **{who: gone})
        if budget.losses:
            yield f"! host {who} is lost", after._replace(
                dead=dead, budget=budget._replace(losses=budget.losses - 1), **{who: gone._replace(lost=True)})
        if budget.faults and side.up and side.todo and isinstance(side.todo[0], ev.Sync):
            spent = world._replace(budget=budget._replace(faults=budget.faults - 1))
            for disk in (side.disk, side.disk + side.cache):
                failed = spent._replace(**{who: side._replace(todo=(), disk=disk, cache=())})
                yield f"! journal {who} fails", self.event(failed, who, ev.JournalFailed())

    def people(self, world: World) -> Iterator[Move]:
        s, t, budget = world.s, world.t, world.budget
        if self.free(s) and s.state.at is src.At.NEW and (s.guest == "run" or self.kind is not Kind.LIVE):
            yield "begin", self.event(world, "s", ev.Begin())
        again = s.state.at in (src.At.ABORTED, src.At.CLOSED) and (s.guest == "run" or self.kind is not Kind.LIVE)
        if self.free(s) and again and budget.attempts > 1:
            mid = s.state.plan.mid + 1
            state = src.State(self.plan(mid), linked=world.link[0], guest=WORDS[s.guest])
            fresh = world._replace(s=s._replace(state=state, job=None, timer=None),
                                   budget=budget._replace(attempts=budget.attempts - 1))
            yield "! another attempt", self.event(fresh, "s", ev.Begin())
        for who, side in (("s", s), ("t", t)):
            if side.up and side.state.at in (src.At.BROKEN, dst.At.BROKEN) and not side.lost:
                here = "st".index(who)
                link = tuple(up and n != here for n, up in enumerate(world.link))
                down = side._replace(up=False, todo=(), job=None, timer=None)
                yield f"person restarts ldmd {who}", world._replace(link=link, serving=False, **{who: down})
        yield from self.cancels(world)

    def cancels(self, world: World) -> Iterator[Move]:
        """A person who says -f tells the truth: the other host is lost, or the domain is not there and cannot be."""
        s, t, budget = world.s, world.t, world.budget
        busy = s.state.at in src.OPEN or s.state.at in (src.At.RELEASED, src.At.RECLAIMING, src.At.SERVING)
        if self.free(s) and busy and budget.cancels:
            spent = world._replace(budget=budget._replace(cancels=budget.cancels - 1))
            yield "! cancel at s", self.event(spent, "s", ev.Cancel())
        if self.free(s) and s.state.at in (src.At.RELEASED, src.At.SERVING) and t.lost:
            yield "person: cancel -f at s", self.event(world._replace(fenced=True), "s", ev.Cancel(True, "op"))
        if self.free(t) and t.state.at in dst.PROMISED and s.lost:
            yield "person: cancel -f at t", self.event(world, "t", ev.Cancel(True, "op"))


def clean(world: World) -> bool:
    """It is over: exactly one copy runs (or has the domain), both sides know, nothing is left to clear."""
    s, t = world.s, world.t
    if not all(side.lost or (side.up and not side.todo and not side.died) for side in (s, t)):
        return False
    if t.lost and s.lost:
        return True
    there = t.state.at is dst.At.OWNER and not t.lost
    if not t.lost and t.state.at not in (dst.At.NONE, dst.At.OWNER):
        return False
    if s.lost:
        return t.guest == ("run" if there and t.state.kind is Kind.LIVE else "none")
    if there:
        return s.state.at is src.At.DONE and not t.state.owned and s.guest == "none" and _runs(world, "t")
    settled = (src.At.CLOSED, src.At.ABORTED, src.At.DONE) if t.lost else (src.At.CLOSED,)
    if t.lost and s.state.at is src.At.DONE:
        return s.guest == "none"
    return s.state.at in settled and _runs(world, "s") and (t.lost or t.guest == "none")


def _runs(world: World, who: str) -> bool:
    side: Side = getattr(world, who)
    kind = world.s.state.plan.kind
    return side.guest == "run" or kind is not Kind.LIVE


def needs_nobody(name: str) -> bool:
    """A move that happens by itself: no bad luck, nobody acts."""
    return not name.startswith(("!", "cut", "person"))


def without_luck(name: str) -> bool:
    """A move that happens by itself, or that a person may do."""
    return not name.startswith(("!", "cut"))
