"""Machines that share one virtual time and one budget of instructions."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from emulator.machine import DETERMINISTIC_TOD, Machine
from emulator.server import Server
from emulator.trace import Trace
from emulator.units import parse_size
from ldmd.testing.clock import RoomClock
from ldmd.testing.domain import Domain
from ldmd.testing.errors import BudgetError, RefusedMoveError
from ldmd.testing.machine import RoomMachine, Said
from ldmd.testing.script import Doors, run_script

T = TypeVar("T")
STEP_NS = 1_000_000
HOST_SECONDS = 0.002
TRACE_EVENTS = 200_000
ANSWERED = frozenset({
    "guest.md_update", "guest.dr_cpu", "guest.dr_mem", "guest.dr_crypto", "guest.dr_vio", "guest.system_info",
})  # fmt: skip
"""Requests that are over with the guest's answer."""
ENDING = frozenset({"guest.shutdown", "guest.panic", "guest.suspend_request"})
"""Requests that are over when the guest is in another state, or with a refusal."""
SUSPENDING = frozenset({"guest.suspend", "guest.suspend_request"})


class Room:
    """See the module. A context manager; its files are in `home`, which goes at the end."""

    def __init__(self, *, seed: int = 1, budget_insns: int | None = None) -> None:
        self.seed, self.budget_insns = seed, budget_insns
        # sockets are below it, whose paths may have 107 bytes
        self.home = Path(tempfile.mkdtemp(prefix="s4v-test-"))
        self.machines: list[RoomMachine] = []
        self.captures: list[Path] = []
        self.trace = Trace(most=TRACE_EVENTS)
        self.doors: Doors | None = None
        self.insns = 0
        """Instructions that all guests have completed."""
        self.now_ns = 0
        self.clock = RoomClock(lambda: DETERMINISTIC_TOD + self.now_ns / 1e9)
        self._counted: WeakKeyDictionary[Machine, int] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._awaited: set[tuple[int, int]] = set()  # (server, guest) whose answer or end is awaited
        self._work_ns = 0  # how long guests work before one is suspended
        self._worked = threading.Event()
        self._moving = False

    def add(self, name: str, *, platform: str = "t5-2", memory: str = "16G") -> RoomMachine:
        """Power a machine on; it and the others know each other."""
        machine = RoomMachine(self, name, platform=platform, memory_bytes=parse_size(memory))
        machine.server.events.subscribe(lambda event: self._heard(machine.server, event))
        for other in self.machines:
            other.knows(machine)
            machine.knows(other)
        self.machines.append(machine)
        if self.now_ns:
            machine.server.advance(self.now_ns)
        return machine

    @property
    def domains(self) -> list[Domain]:
        """Of all machines."""
        return [domain for machine in self.machines for domain in machine.domains]

    def fresh(self, stem: str, suffix: str) -> Path:
        """A file of the room that is not there yet."""
        number = sum(1 for each in self.home.iterdir() if each.name.startswith(f"{stem}."))
        return self.home / f"{stem}.{number}{suffix}"

    # -- time

    def advance(self, ns: int) -> None:
        """Let so much virtual time pass on all machines, in turns of STEP_NS. Raises BudgetError."""
        while ns > 0:
            step = min(ns, STEP_NS)
            for machine in self.machines:
                machine.server.advance(step)
            self.now_ns += step
            ns -= step
            self._count()

    def until(self, condition: Callable[[], bool], *, seconds: float, alive: Callable[[], bool] | None = None) -> bool:
        """Let virtual time pass until something holds. False: not within so many seconds, or not `alive` any more."""
        end = self.now_ns + int(seconds * 1e9)
        while not condition():
            if self.now_ns >= end or (alive is not None and not alive()):
                return condition()
            self.advance(STEP_NS)
        return True

    def _count(self) -> None:
        for machine in self.machines:
            for guest in machine.server.guests:
                found = guest.machine
                if found is None:
                    continue
                # one that came from elsewhere brings its count along
                before = self._counted.get(found, found.insns if guest.why == "resumed" else 0)
                self.insns += found.insns - before
                self._counted[found] = found.insns
        if self.budget_insns is not None and self.insns > self.budget_insns:
            raise BudgetError(f"the guests have completed {self.insns:,} instructions; the test allows "
                              f"{self.budget_insns:,} (@pytest.mark.sun4v(budget=...))")

    # -- what managers do

    def operate(self, action: Callable[[], T]) -> T:
        """Have something done that may wait for guests: virtual time passes as long as one of them is to answer.

        In between it stands still, however long the host takes: what guests see does not depend on that.
        """
        result: list[T] = []
        error: list[BaseException] = []

        def run() -> None:
            try:
                result.append(action())
            except BaseException as caught:
                error.append(caught)
            finally:
                done.set()

        done = threading.Event()
        thread = threading.Thread(target=run, name="operation", daemon=True)
        thread.start()
        while not done.wait(HOST_SECONDS):
            self.pump()
        thread.join()
        if error:
            raise error[0]
        for domain in self.domains:
            domain.follow()
        return result[0]

    def run(self, *words: str | Path, stdin: str = "", cwd: str | Path | None = None,
            environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program or script that calls `ldm` for the machines of this room (`ldmd.testing.script`)."""
        return run_script(self, words, stdin=stdin, cwd=cwd, environment=environment)

    def move(self, domain: Domain, target: RoomMachine, *, work_ms: float = 0, check: bool = True,
             dry_run: bool = False) -> Said:
        """`ldm migrate-domain`: a domain goes to another machine, where it works on, console and all.

        `work_ms`: how long (virtual) it works between the copying of its memory and its suspension, which what it has
        written meanwhile is copied after; else it stands still all the while. Raises
        RefusedMoveError where it does not go; with `check` False what `ldm` said is returned in any case.
        """
        self.moving(int(work_ms * 1e6))
        said = domain.machine.ldm(f"migrate-domain -c {'-n ' if dry_run else ''}{domain.name} {target.name}",
                                  check=False)
        if check and said.status:
            raise RefusedMoveError(said.problems)
        return said

    def pump(self) -> None:
        """Let time pass for whom somebody waits."""
        if self._moving and not self._worked.is_set():
            self.advance(self._work_ns)
            self._worked.set()
        while self._awaited:
            self.advance(STEP_NS)

    def moving(self, work_ns: int) -> None:
        """The next migration: its guest works so long before it is suspended."""
        self._work_ns, self._moving = work_ns, False
        self._worked.clear()

    def before(self, server: Server, op: str, arguments: Mapping[str, Any]) -> None:
        """A manager is about to ask its machine for something."""
        if op in SUSPENDING and self._work_ns and not self._worked.is_set():
            self._moving = True
            self._worked.wait()
            self._work_ns = 0
        if op in ANSWERED or op in ENDING:
            with self._lock:
                self._awaited.add((id(server), int(arguments["guest"])))

    def nothing(self, server: Server, op: str, arguments: Mapping[str, Any]) -> None:
        """It was refused."""
        if op in ANSWERED or op in ENDING:
            self._over(server, int(arguments["guest"]))

    def _heard(self, server: Server, event: Mapping[str, Any]) -> None:
        rest = {key: value for key, value in event.items() if key not in ("event", "time")}
        self.trace.instant((server.name, "events"), event["event"], at_ns=self.now_ns, **rest)
        if event["event"] == "guest.state":
            self._over(server, event["guest"])
        elif event["event"] == "guest.reply":
            ending = event["service"] in ("domain-shutdown", "domain-panic", "domain-suspend")
            if not ending or event["result"] != 0:
                self._over(server, event["guest"])

    def _over(self, server: Server, guest: int) -> None:
        with self._lock:
            self._awaited.discard((id(server), guest))

    # -- the end

    def close(self) -> None:
        """All machines off, all files gone. Twice is fine."""
        if self.doors is not None:
            self.doors.close()
        machines, self.machines = self.machines, []
        for machine in machines:
            machine.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Room:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
