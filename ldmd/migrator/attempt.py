"""A thread that owns one state machine of `ldmd.migration`: events in, effects out, each whole before the next.

What a driver must keep (docs/internals/handover.md, "The effects") is kept here for both sides: effects in order;
`JournalFailed` where `Write` or `Sync` fails, `StartFailed` where `StartGuest` does, and the rest dropped; one timer,
which does not fire once it was replaced; no event of a job from before `StopTransfer`; messages only of a connection
that stands, in order, decoded by `records.unpack`.
"""

from __future__ import annotations

import re
import threading
import traceback
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ldmd.clock import Bell
from ldmd.messages import RefusedError
from ldmd.migration import events as ev
from ldmd.migration import records
from ldmd.migration.phases import Phase
from ldmd.migration.source import OVER
from ldmd.migrator.link import Link
from ldmd.migrator.means import SECONDS, Killed, Means
from ldmd.migrator.moves import Round
from ldmd.operations.context import HypervisorError

ROUNDS_KEPT = 256
LEAST_PERCENT = {Phase.CHECK: 0, Phase.PREPARE: 2, Phase.COPY: 5, Phase.SUSPEND: 91, Phase.HANDOFF: 97}


CANCEL = re.compile(r"ldm cancel-operation( -f)? migration")
"""What the texts of the state machines advise."""


class StartFailedError(Exception):
    """`StartGuest` did not succeed, since the machine is gone."""


@dataclass
class _Item:
    """Something to be taken up. `link`, `job`: which of them it belongs to; it is dropped when that is no more."""

    event: ev.Event | None = None
    frame: dict[str, Any] | None = None
    arrival: Link | None = None
    main: bool = True
    act: Callable[[], None] | None = None
    link: int | None = None
    job: int | None = None


class Attempt:
    """One side of the migration of one domain. `post` and `arrive` from any thread; all else in its own."""

    side = ""

    def __init__(self, means: Means, uuid: str, machine: Any, state: Any) -> None:
        self.means, self.uuid = means, uuid
        self.machine, self.state = machine, state
        self.carried: Any = None  # the state whose effects were all carried out
        self.told: list[str] = []
        self.tellings = 0
        self.percent = 0
        self.taken_up = False  # by a later manager, or left in doubt: who began it waits no more
        self.reached = Phase.CHECK  # the furthest phase; the state of an attempt that ended has none of its own
        self.progress: dict[str, Any] = {}
        self.rounds: list[Round] = []
        self.started = means.manager.clock.now()
        self._bell = Bell()
        self._lock = threading.Lock()
        self._inbox: deque[_Item] = deque()
        self._links: dict[int, Link] = {}
        self._main = 0  # number of the connection that stands, 0: none
        self._arrivals = 0
        self._reply = 0  # the link whose frame is being taken up
        self._job = 0
        self._timer: tuple[ev.Timer, float] | None = None
        self._over = False
        self._ended = threading.Event()
        self._busy = False
        self._thread = threading.Thread(target=self._run, name=f"migration-{self.side}", daemon=True)

    @property
    @abstractmethod
    def name(self) -> str:
        """The domain's name here, "" where it has none."""

    # -- from other threads

    def start(self) -> None:
        """Begin to take events up."""
        self._thread.start()

    def post(self, event: ev.Event, *, job: int | None = None) -> None:
        """An event. `job`: number of the job that ended with it."""
        self._put(_Item(event=event, job=job))

    def act(self, what: Callable[[], None], *, job: int | None = None) -> None:
        """Have something done by the thread."""
        self._put(_Item(act=what, job=job))

    def arrive(self, link: Link, *, main: bool = True) -> None:
        """A connection that was let in, not started yet. Not `main`: of an older attempt; it only gets answers."""
        self._put(_Item(arrival=link, main=main))

    def _put(self, item: _Item) -> None:
        with self._lock:
            late = self._over
            if not late:
                self._inbox.append(item)
        if late and item.arrival is not None:
            item.arrival.close(at_once=True)
        self._bell.ring()

    @property
    def idle(self) -> bool:
        """Nothing waits to be taken up, and nothing is being carried out."""
        with self._lock:
            return not self._inbox and not self._busy

    def entering(self, at: Any) -> bool:
        """Is it in this state, and what belongs to that still under way? Later events of it are no such thing."""
        return self.state.at is at and not self.idle and (self.carried is None or self.carried.at is not at)

    def end(self) -> None:
        """The manager ends: the thread, the links and the worker go; nothing is decided by that."""
        with self._lock:
            self._over = True
        self._ended.set()
        self._bell.ring()
        self.means.manager.bell.ring()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(10)
        for link in (*self._links.values(), *self._untaken()):
            link.close(at_once=True)
        for link in tuple(self._links.values()):
            link.join()
        self._job += 1  # a job that is just starting a worker hears that it is too late
        self.stop_work()

    def _untaken(self) -> list[Link]:
        """Connections that came when nobody took them up any more."""
        with self._lock:
            found = [item.arrival for item in self._inbox if item.arrival is not None]
            self._inbox.clear()
        return found

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._over and not self.means.dead:
                heard = self._bell.rings
                item = self._next()
                if item is None:
                    self.means.manager.clock.wait(self._bell, heard, self._left())
                    continue
                self._take(item)
                with self._lock:
                    self._busy = False
                self.means.manager.bell.ring()
        except Killed:
            pass
        finally:
            self._busy = False

    def _left(self) -> float:
        if self._timer is None:
            return 3600.0
        return max(0.0, self._timer[1] - self.means.manager.clock.monotonic())

    def _next(self) -> _Item | None:
        with self._lock:
            if self._inbox:
                self._busy = True
                return self._inbox.popleft()
            if self._timer is not None and self.means.manager.clock.monotonic() >= self._timer[1]:
                timer, self._timer = self._timer[0], None
                self._busy = True
                return _Item(event=ev.Expired(timer))
        return None

    def _take(self, item: _Item) -> None:
        if (item.link is not None and item.link not in self._links) or (item.job is not None and item.job != self._job):
            return
        self._reply = item.link or 0
        try:
            if item.arrival is not None:
                self._arrived(item.arrival, main=item.main)
            elif item.frame is not None:
                self._frame(item.frame, item.link or 0)
            elif item.act is not None:
                item.act()
            elif isinstance(item.event, ev.LinkDown):
                self._link_gone(item.link or 0)
            elif item.event is not None:
                self.step(item.event)
        except Exception as error:
            self._defect(error)
        finally:
            self._reply = 0

    def _defect(self, error: Exception) -> None:
        """An effect failed that cannot fail: what is true is not known, so nothing happens until a restart."""
        self.means.check()
        self.log(f"defect: {error!r}: {traceback.format_exc()}")
        self.step(ev.JournalFailed())

    def step(self, event: ev.Event) -> None:
        """One event and its effects."""
        self.means.check()
        self.taken_up = self.taken_up or isinstance(event, ev.Restarted)
        queue: deque[ev.Event] = deque([event])
        while queue:
            self.state, effects = self.machine.step(self.state, queue.popleft())
            follow = self._perform(effects)
            if follow is not None:
                queue.append(follow)
        self.carried = self.state
        if self.state.at not in OVER:
            self.reached = self.state.phase
            if isinstance(event, ev.Restarted):
                self.percent = LEAST_PERCENT[self.reached]
        self.stepped()

    def _perform(self, effects: list[ev.Effect]) -> ev.Event | None:
        """All of them; what to tell the machine where one failed."""
        for effect in effects:
            name = type(effect).__name__
            self.means.check()
            self.means.step(f"{self.side}.{name}.begin")
            try:
                self._effect(effect)
            except StartFailedError:
                return ev.StartFailed()
            except RefusedError as error:
                if not isinstance(effect, ev.Write | ev.Sync):
                    raise
                self.log(f"the journal: {error.text}")
                return ev.JournalFailed()
            self.means.step(f"{self.side}.{name}.done")
        return None

    def _effect(self, effect: ev.Effect) -> None:
        manager = self.means.manager
        match effect:
            case ev.Write(record):
                self.journal.write(self.uuid, record)
            case ev.Sync():
                self.journal.sync()
            case ev.Send(message):
                self._send(message)
            case ev.SetTimer(timer):
                seconds = 0.0 if timer is None else self.seconds(timer)
                self._timer = None if timer is None else (timer, manager.clock.monotonic() + seconds)
            case ev.Show():
                self.shown()
            case ev.Tell(text, success):
                self.tell(text, success=success)
            case ev.StopTransfer():
                self._job += 1
                self.stop_work()
            case _:
                self.carry_out(effect)

    def seconds(self, timer: ev.Timer) -> float:
        """How long a timer runs."""
        return SECONDS[timer]

    # -- links

    def _arrived(self, link: Link, *, main: bool) -> None:
        if main and self._main:
            self._drop_link(self._main)
        self._arrivals += 1
        number = self._arrivals
        self._links[number] = link
        link.start(lambda frame: self._put(_Item(frame=frame, link=number)),
                   lambda why: self._put(_Item(event=ev.LinkDown(), link=number)))
        if main:
            self._main = number
            self.greet()
            self.step(ev.LinkUp())

    def _drop_link(self, number: int) -> None:
        """It is of no use any more."""
        link = self._links.get(number)
        if link is not None:
            link.close(at_once=True)
            self._link_gone(number)

    def _link_gone(self, number: int) -> None:
        self._links.pop(number, None)
        if number == self._main:
            self._main = 0
            self.step(ev.LinkDown())

    def drop_links(self) -> None:
        """`Disconnect`: what was said goes out, and then it ends."""
        for link in self._links.values():
            link.close()

    def say(self, frame: dict[str, Any], *, reply: bool = False) -> bool:
        """A frame that is no message of the handover."""
        number = self._reply if reply and self._reply in self._links else self._main
        link = self._links.get(number)
        return link is not None and link.send(frame)

    def _send(self, message: records.Message) -> None:
        """To the connection that asked, else to the one that stands; dropped where there is none."""
        self.before_send(message)
        bodies = [records.pack(message)]
        if self.means.faults is not None:
            bodies = self.means.faults.outgoing(self, type(message).__name__, bodies[0])
        for body in bodies:
            self.say({"type": "message", "body": body}, reply=True)

    def cut_links(self) -> None:
        """Every connection breaks, without a word."""
        for link in tuple(self._links.values()):
            link.close(at_once=True)

    def _frame(self, frame: dict[str, Any], number: int) -> None:
        """A frame of the peer: whatever it says is checked; what breaks the rules ends the connection."""
        try:
            if frame.get("type") == "message":
                body = frame.get("body")
                if not isinstance(body, bytes):
                    raise records.RecordError("a body expected")
                event: ev.Event | None = ev.Received(records.unpack(body))
            else:
                event = None
                self.heard(frame)
        except (records.RecordError, RefusedError) as error:
            self.log(f"the peer broke the protocol: {error!s:.300}")
            self._drop_link(number)
            return
        times = 1
        if isinstance(event, ev.Received) and self.means.faults is not None:
            times = self.means.faults.incoming(self, type(event.message).__name__)
        for _ in range(times if event is not None else 0):
            assert event is not None
            self.step(event)

    def pause(self) -> bool:
        """Let some time pass before something is tried again; False: the manager ends."""
        self._ended.wait(self.means.retry_seconds)
        return not self._over

    # -- jobs

    def ask_lease(self, move: ev.LeaseMove, mid: int) -> None:
        """Job (LeaseAnswered): a compare-and-set of the storage lease; one that cannot be reached is an answer too."""
        def ask(number: int) -> ev.Event:
            del number
            leases = self.means.leases
            return ev.LeaseAnswered(
                ev.LeaseWord.UNREACHABLE if leases is None else leases.move(self.uuid, mid, move))

        self.run_job(ask, failed=lambda why: ev.LeaseAnswered(ev.LeaseWord.UNREACHABLE))

    def run_job(self, work: Callable[[int], ev.Event | None], *, failed: Callable[[str], ev.Event]) -> None:
        """Work in a thread of its own; the event it returns, or `failed` makes, comes unless it was stopped."""
        number = self._job

        def body() -> None:
            try:
                event = work(number)
            except (HypervisorError, RefusedError, OSError, ValueError) as error:
                event = failed(str(getattr(error, "text", "")) or str(error) or type(error).__name__)
            except Killed:
                return
            except Exception as error:
                self.log(f"defect: {error!r}: {traceback.format_exc()}")
                event = failed(f"internal error: {error!r}")
            if event is not None and not self.means.dead:
                self.post(event, job=number)

        threading.Thread(target=body, name=f"migration-{self.side}-job", daemon=True).start()

    # -- what the sides do

    @property
    @abstractmethod
    def journal(self) -> Any:
        """The journal of this side."""

    @abstractmethod
    def carry_out(self, effect: ev.Effect) -> None:
        """All effects that `Attempt` does not know."""

    @abstractmethod
    def heard(self, frame: dict[str, Any]) -> None:
        """A frame that is no message of the handover. Raises RecordError, RefusedError where it is wrong."""

    @abstractmethod
    def stop_work(self) -> None:
        """End the worker."""

    def greet(self) -> None:
        """A connection stands: what has to be said before the state machine hears of it."""

    def before_send(self, message: records.Message) -> None:
        """What has to be said before a message."""

    def stepped(self) -> None:
        """An event was taken up, and its effects carried out."""

    def shown(self) -> None:
        """The phase changed."""
        phase = self.state.phase
        self.percent = max(self.percent, LEAST_PERCENT[phase])
        self.means.manager.publish("migration-phase", domain=self.name, uuid=self.uuid, side=self.side,
                                   phase=int(phase), percent=self.percent)
        if self.side == "source" and phase is Phase.SUSPEND:
            self.say({"type": "progress", "percent": self.percent})

    def tell(self, text: str, *, success: bool) -> None:
        """Something for a person."""
        text = CANCEL.sub(rf"\g<0> {self.name}", text)  # the machines know no name
        self.tellings += bool(text)
        if text:
            self.told.append(text)
            del self.told[:-16]
            self.log(text)

    def log(self, text: str) -> None:
        """A line of the log."""
        self.means.manager.log.notice(f"migration of {self.name or self.uuid} ({self.side}): {text}")

