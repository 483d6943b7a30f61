"""The Logical Domains Manager of one server: single writer, operations as jobs, events of the machine.

Everything it needs of the world is passed in: the machine (`ldmd.hvctl.Link`, or anything with `call` and `listen`),
the store, clock, chance, log. docs/internals/manager.md tells the rules.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Protocol

import ldmd.operations
from ldmd.clock import Bell, Clock, HostClock
from ldmd.committer import GONE, Committer
from ldmd.events import Reactions
from ldmd.faults import ManagerFaults
from ldmd.jobs import LOCAL, Caller, Job, JobBook, OnLine, Outcome
from ldmd.log import Log
from ldmd.macprobe import Neighbours
from ldmd.messages import RefusedError, message, refuse
from ldmd.migrationrecord import MemoryRecords
from ldmd.model import Configuration, Domain, Server
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Hypervisor, HypervisorError
from ldmd.operations.migrations import Migrations, Records
from ldmd.operations.registry import OPERATIONS, Operation
from ldmd.planner.consoles import consoles
from ldmd.planner.factory import factory_default
from ldmd.planner.invariants import problems
from ldmd.poweron import after_power_on
from ldmd.spconfigs import StoredSettings, StoredSpConfigs
from ldmd.store import Record, Step, Store

REPLIES_KEPT = 256
READS_UNWRITTEN = 32
"""The history of commands that only read is written in groups of so many, or with the next one that writes."""
HVCTL_VERSION = (1, 2)


class Machine(Hypervisor, Protocol):
    """A hypervisor that also tells what happens."""

    def listen(self, on_event: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `on_event` with every event from now on; it may be called while a request is under way."""


class Movers(Protocol):
    """What the manager asks of whoever moves domains (`ldmd.migrator.migrations`)."""

    def check_writer(self, command: str, arguments: Mapping[str, Any]) -> None:
        """Refuse an operation that may not run now."""

    def check_change(self, old: Configuration, new: Configuration) -> None:
        """Refuse a change of a domain that a migration holds."""

    def takes(self, domain: Domain, event: Mapping[str, Any]) -> bool:
        """True: this event of a guest's state is the migration's alone."""

    def before_agreement(self, stored: Configuration, *, power_on: bool) -> Configuration:
        """What the store says, without what only a machine that is gone could have had."""

    def not_started(self, loaded: Configuration) -> Configuration:
        """What a power-on comes up with, without starting what a migration holds or has moved away."""

    def powered_on(self) -> None:
        """The machine is another process than before: what it had in memory is lost."""


def load_operations() -> None:
    """Import every module of `ldmd.operations`, so that what they register is there."""
    for module in pkgutil.iter_modules(ldmd.operations.__path__):
        importlib.import_module(f"ldmd.operations.{module.name}")


class Manager:
    """See the module. `start` before anything else, `close` at the end."""

    def __init__(self, hypervisor: Machine, store: Store, *, clock: Clock | None = None, rng: Random | None = None,
                 log: Log | None = None, step: Step = lambda name: None) -> None:
        load_operations()
        self.hypervisor, self.store = hypervisor, store
        self.clock: Clock = clock or HostClock()
        self.rng: Random = rng or SystemRandom()
        self.log = log or Log()
        self.bell = Bell()
        self.book = JobBook()
        self.replies: OrderedDict[int, Mapping[str, Any]] = OrderedDict()
        self.spconfigs = StoredSpConfigs(self)
        self.settings = StoredSettings(self)
        self._committer = Committer(hypervisor, store, self.log, step=step)
        self._reactions = Reactions(self)
        self._lock = threading.Lock()
        self._inbox: deque[Mapping[str, Any]] = deque()
        self._watchers: list[Callable[[Mapping[str, Any]], None]] = []
        self._unwritten: list[Record] = []
        self._recording = threading.Lock()  # guards the list above
        self._configuration: Configuration | None = None
        self._unsure = False  # what the store holds is not known
        self.boot = ""
        self.neighbours: Neighbours | None = None  # who answers for MAC addresses; None: nobody is asked
        self.listening: Callable[[], Collection[int]] = frozenset  # TCP ports of this host that are taken
        self.migrations: Migrations | None = None  # what moves domains; None: nothing does
        self.movers: Movers | None = None
        self.records: Records = MemoryRecords()
        self.faults: ManagerFaults | None = None  # what is armed against this process

    # -- start and end

    def start(self) -> None:
        """Read the store, settle what a crash left, agree with the machine. Raises RefusedError, HypervisorError."""
        with self._lock:
            self.log.levels |= self.store.get("log") or {}
            self._begin(*self._hello())
        self.hypervisor.listen(self.handle)
        self._pump()

    def _begin(self, server: Server, boot: str) -> None:
        stored = self.store.load()
        if boot != self.boot:
            self.replies.clear()  # the numbers of requests begin anew
        self.boot = boot
        if stored is None:
            fresh = factory_default(server, rng=self.rng, started_at=self.clock.now())
            self.store.write(None, fresh)
            stored = self._configuration = fresh
        elif stored.server.name != server.name:
            refuse("machine.other", store=stored.server.name, machine=server.name)
        else:
            self._keep_good()
        before = self._committer.settle(stored)
        # a machine in virtual time has the same identity at each power-on; but then it has no guest, not even number 0
        power_on = self.store.get("boot") != boot or not self.hypervisor.call("guest.list")
        if self.movers is not None:
            kept = self.movers.before_agreement(before, power_on=power_on)
            if kept != before:
                self.store.write(before, kept, urgent=True)
                before = kept
        self._configuration = now = before
        if power_on:
            now = after_power_on(before, server, self.spconfigs, rng=self.rng, now=self.clock.now(), log=self.log)
            now = now if self.movers is None else self.movers.not_started(now)
        now = self._committer.agree(now, power_on=power_on)
        if now != before:
            self.store.write(before, now, urgent=True)
            self._configuration = now
        if power_on:
            self.store.put("boot", boot, urgent=True)

    def _keep_good(self) -> None:
        try:
            self.store.keep_good()
        except RefusedError as error:
            self.log.warning(f"no copy of the store was made: {error.text}")

    def again(self) -> None:
        """The connection to the machine was lost and is back: agree anew. Raises RefusedError, HypervisorError."""
        with self._lock:
            boot = self.boot
            self._begin(*self._hello())
        if self.movers is not None and self.boot != boot:
            self.movers.powered_on()
        self._pump()

    def _hello(self) -> tuple[Server, str]:
        """The hardware, and the uuid of its power-on."""
        hello = self.hypervisor.call("hello", version=list(HVCTL_VERSION), client="ldmd")
        text = hello.get("platform_toml") or ""
        if text and "\n" not in text:
            try:
                text = Path(text).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                refuse("machine.platform", path=hello["platform_toml"], problem=error)
        return Server(name=hello["machine"], platform=hello["platform"], memory_bytes=hello["memory"],
                      platform_toml=text), str(hello["boot"])

    def close(self) -> None:
        """Write what is not written, close the store. Jobs that wait are cancelled."""
        for job in self.book.running():
            self.cancel(job["job"])
        with self._lock:
            self._write_history()
            self.store.close()

    # -- what is true

    @property
    def configuration(self) -> Configuration:
        """What is true now: an immutable value, which any thread may read."""
        if self._configuration is None:
            raise RuntimeError("the manager was not started")
        return self._configuration

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The lock, for those who change the configuration and are no operation."""
        self._lock.acquire()
        try:
            self._drain()
            yield
        finally:
            self._lock.release()
            self._pump()

    def commit(self, new: Configuration, *, moving: bool = False, receiving: int | None = None) -> None:
        """Make it true, on behalf of the operation that holds the lock.

        `moving`: it is the migration's own change; `receiving`: the guest that is made for one that comes.
        """
        old = self.configuration
        if new != old:
            if self.movers is not None and not moving:
                self.movers.check_change(old, new)
            for problem in problems(new):
                refuse("manager.conflict", problem=problem)
            if self._unsure:
                refuse("store.unsure", path=self.store.path)
            try:
                self._committer.commit(old, new, receiving=receiving)
            except RefusedError as error:
                self._unsure = error.code == "store.unsure"
                raise
            self._configuration = new
            self.bell.ring()
            self.publish_changes(old, new)

    def note(self, new: Configuration) -> None:
        """Record what became true by itself (an event of the machine), under the lock. Never refused."""
        old = self.configuration
        if new == old:
            return
        self._configuration = new
        if self._unsure:
            return
        try:
            self.store.write(old, new, urgent=True)
        except RefusedError as error:
            # the machine's state is found again at the next start; what is true is not undone by a full disk
            self.log.warning(f"{error.text}; the state of the domains is only in memory")
        self._committer.follow(old, new)
        self.publish_changes(old, new)

    # -- operations

    def execute(self, command: str, arguments: Mapping[str, Any], *, caller: Caller = LOCAL,
                on_line: OnLine | None = None, line: str = "",
                begun: Callable[[int], None] = lambda job: None) -> Outcome:
        """Carry out a sub-command. Never raises for what the user or the machine did: the outcome says it.

        `line`: the command as it was typed, for the history. `begun` is told the job's number.
        """
        job = Job(self, self.book.number(), command, dict(arguments), caller, self.clock.now(), on_line=on_line)
        line = line or f"ldm {command}"
        self.log.cmd(f"{line} [{caller.user}]")
        result, error = None, None
        self.book.begin(job)
        try:
            begun(job.id)
            found = self._allowed(command, caller)
            result = self._write(found, job) if found.write else self._read(found, job)
        except RefusedError as refused:
            error = refused
        except HypervisorError as failed:
            error = self._machine_error(failed)
        except Exception as problem:
            self.log.warning(f"{command}: {traceback.format_exc()}")
            error = message("internal", command=command, problem=repr(problem))
        finally:
            self.book.end(job, "" if error is None else error.code)
        self._record(job, line, error)
        return Outcome(0 if error is None else 1, result, tuple(job.lines), error, job.id)

    def _machine_error(self, error: HypervisorError) -> RefusedError:
        if error.code in GONE:
            return message("machine.unreachable", machine=self.configuration.server.name, problem=error.text)
        return message("machine.refused", op="", why=error.code, problem=error.text)

    @staticmethod
    def _allowed(command: str, caller: Caller) -> Operation:
        found = OPERATIONS.get(command)
        if found is None:
            refuse("command.unknown", name=command)
        if found.write and caller.role != "write":
            refuse("access.write", user=caller.user, file="access.toml")
        return found

    def _read(self, operation: Operation, job: Job) -> Any:
        job.pinned = self.configuration
        return operation.function(job, Arguments(job.arguments))

    def _write(self, operation: Operation, job: Job) -> Any:
        self._lock.acquire()
        try:
            self._drain()
            job.check_cancelled()
            if self.movers is not None:
                self.movers.check_writer(job.command, job.arguments)
            return operation.function(job, Arguments(job.arguments))
        finally:
            self._lock.release()
            self._pump()

    def wait(self, job: Job | None, condition: Callable[[], bool], seconds: float) -> bool:
        """`Context.wait`: gives the lock away while it waits. Without a job: nobody can cancel it."""
        deadline = self.clock.monotonic() + seconds
        if job is not None and job.pinned is not None:
            raise RuntimeError(f"{job.command} only reads and may not wait")
        while True:
            heard = self.bell.rings
            self._drain()
            if job is not None:
                job.check_cancelled()
            if condition():
                return True
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self._lock.release()
            try:
                self._pump()
                self.clock.wait(self.bell, heard, left)
            finally:
                self._lock.acquire()

    def cancel(self, job: int) -> bool:
        """Ask a running operation to stop at its next `wait`."""
        found = self.book.find(job)
        if found is None:
            return False
        found.cancelled = True
        self.bell.ring()
        return True

    # -- history

    def _record(self, job: Job, line: str, error: RefusedError | None) -> None:
        self.log.cmd("OK" if error is None else f"{error.code}: {error.record}")
        text = "OK" if error is None else error.record
        with self._recording:
            self._unwritten.append(Record(job.started_at, job.caller.user, line, job.status, text))
            many = len(self._unwritten) >= READS_UNWRITTEN
        wrote = job.pinned is None
        # who only reads never waits for one who writes
        if (wrote or many) and self._lock.acquire(blocking=wrote):
            try:
                self._write_history()
            finally:
                self._lock.release()
            self._pump()

    def remember(self, caller: str, line: str, *, text: str = "") -> None:
        """A line of the history for what another manager's command did here. `text`: why it failed, or ""."""
        with self.turn():
            with self._recording:
                self._unwritten.append(Record(self.clock.now(), caller, line, int(bool(text)), text or "OK"))
            self._write_history()

    def _write_history(self) -> None:
        """Under the lock. A full disk loses lines of the history, and no more."""
        with self._recording:
            records, self._unwritten = self._unwritten, []
        if records:
            try:
                self.store.add_history(records)
            except RefusedError as error:
                self.log.warning(f"history: {error.text}")

    def history(self, limit: int) -> tuple[Mapping[str, Any], ...]:
        """The last commands, oldest first."""
        with self._recording:
            unwritten = list(self._unwritten)
        records = [*self.store.history(limit), *unwritten][-limit:]
        return tuple({"time": each.time, "caller": each.caller, "line": each.line, "status": each.status,
                      "text": each.text} for each in records)

    # -- events

    def handle(self, event: Mapping[str, Any]) -> None:
        """An event of the machine, from any thread, also from inside a request. Taken up when no operation runs."""
        if event.get("event") == "faults.armed" and self.faults is not None:
            self.faults.refresh()
        self._inbox.append(event)
        self.bell.ring()
        self._pump()

    def _pump(self) -> None:
        """Take up events, unless somebody holds the lock: he will, before he gives it away or right after."""
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self._lock.release()

    def _drain(self) -> None:
        while self._inbox:
            event = self._inbox.popleft()
            try:
                self._reactions.handle(event)
            except Exception:
                self.log.warning(f"event {dict(event)!r:.200}: {traceback.format_exc()}")
            self.bell.ring()

    def keep_reply(self, request: int, event: Mapping[str, Any]) -> None:
        """An answer of domain services, for the operation that waits for it."""
        self.replies[request] = event
        while len(self.replies) > REPLIES_KEPT:
            self.replies.popitem(last=False)

    def watch(self, on_event: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        """Have a function called with each event of the manager, from any thread; returns what ends that."""
        self._watchers.append(on_event)
        return lambda: self._watchers.remove(on_event) if on_event in self._watchers else None

    def publish(self, event: str, **details: Any) -> None:
        """An event for those who watch."""
        if self._watchers:
            row = {"event": event, "time": self.clock.now(), **details}
            for watcher in tuple(self._watchers):
                watcher(row)

    def publish_changes(self, old: Configuration, new: Configuration) -> None:
        """What those who watch are told of every change: states, and consoles."""
        before = {domain.name: domain for domain in old.domains}
        for domain in new.domains:
            was = before.get(domain.name)
            if was is not None and was.state is not domain.state:
                self.publish("domain-state", domain=domain.name, state=str(domain.state), before=str(was.state))
        if consoles(old) != consoles(new):
            self.publish("consoles", consoles=consoles(new))
