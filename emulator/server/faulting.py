"""Faults of a server: plans that are armed, timed ones that come due, all firings as numbered events.

Timed rules about a domain are looked at when its turn begins: of a deterministic server at the first slice after their
time, so that the same plan fires at the same instructions.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from emulator.errors import EmulatorError
from emulator.faults.frames import FrameFaults
from emulator.faults.injector import Firing, Injector
from emulator.faults.rules import FaultsError, Plan, Rule, parse_plan
from emulator.guest import Strand
from emulator.hypervisor import ErrorAttribute, ErrorKind, ErrorReport
from emulator.machine import Machine
from emulator.netdev import parse_outlet
from emulator.server.errors import ArgumentError

if TYPE_CHECKING:
    from emulator.server.server import Server

LOG = logging.getLogger("sun4v.machine")
LINE = 64
LEAST_WAIT = 0.001


class ServerFaults:
    """`injector` is what all guests look at. From any thread."""

    def __init__(self, server: Server, *, kill: Callable[[], None]) -> None:
        """`kill` ends the machine's process."""
        self._server, self._kill = server, kill
        self._base_ns = 0
        self.injector = Injector(tell=self._tell, clock_ns=self._now_ns)
        self.frames = FrameFaults(self.injector, self.later)
        self._later: list[tuple[float, int, Callable[[], object]]] = []  # a heap: when (ms), order, what
        self._order = 0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def _now_ns(self) -> int:
        scheduler = self._server.scheduler
        return scheduler.now_ns if scheduler else int(self._server.ticks() * 1e9) - self._base_ns

    @property
    def now_ms(self) -> float:
        """Since the power-on in virtual time, else since a plan was armed."""
        return self._now_ns() / 1e6

    def _tell(self, firing: Firing) -> None:
        LOG.info("fault %d: %s %s (rule %d)", firing.ordinal, firing.point, firing.action, firing.rule)
        self._server.events.emit("fault.fired", **firing.plain())

    # -- operations

    def arm(self, table: object) -> dict[str, Any]:
        """These rules and no others. Raises ArgumentError."""
        try:
            plan = parse_plan(table)
        except FaultsError as error:
            raise ArgumentError(f"plan: {'; '.join(error.problems)[:1000]}") from None
        if self._server.scheduler is None:
            self._base_ns = int(self._server.ticks() * 1e9)
        self.injector.arm(plan)
        self._server.events.emit("faults.armed", rules=len(plan.rules), seed=plan.seed)
        for guest in self._server.guests:
            guest.post(guest.reconsider_disks)
        self._server.switches.forget_flows()
        if self.injector.next_ms() is not None:
            self._rouse()
        return self.injector.status()

    def _rouse(self) -> None:
        """Real time: the thread looks when something is due next."""
        with self._lock:
            if self._server.scheduler is None and self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="faults", daemon=True)
                self._thread.start()
        self._woken.set()

    def later(self, ms: float, action: Callable[[], object]) -> None:
        """Do something so many milliseconds from now; of a server in virtual time when a slice begins."""
        with self._lock:
            self._order += 1
            heapq.heappush(self._later, (self._clock_ms() + ms, self._order, action))
        self._rouse()

    def _take_later(self) -> Iterator[Callable[[], object]]:
        now = self._clock_ms()
        while True:
            with self._lock:
                if not self._later or self._later[0][0] > now:
                    return
                _, _, action = heapq.heappop(self._later)
            yield action

    def _clock_ms(self) -> float:
        """What goes on when another plan is armed."""
        return self.now_ms if self._server.scheduler else self._server.ticks() * 1000

    def _wait_ms(self) -> float | None:
        """Real time: until something is due."""
        with self._lock:
            times = [self._later[0][0] - self._clock_ms()] if self._later else []
        times += [at - self.now_ms for at in [self.injector.next_ms()] if at is not None]
        return min(times, default=None)

    def disarm(self) -> dict[str, Any]:
        """No rules. What was done stays done."""
        return self.arm(Plan().plain())

    def note(self, number: int, facts: dict[str, Any]) -> dict[str, Any]:
        """A rule has fired in another process of this machine. Raises ArgumentError."""
        rules = self.injector.plan.rules
        if number >= len(rules):
            raise ArgumentError(f"rule: there are {len(rules)}")
        firing = self.injector.note(number, rules[number], facts)
        self._tell(firing)
        return {"ordinal": firing.ordinal}

    # -- timed rules

    def look(self) -> None:
        """Those that are about no domain, and what was put off."""
        for action in self._take_later():
            action()
        for rule in self.injector.due(self.now_ms, domain=None):
            self._machine_rule(rule)

    def _run(self) -> None:
        """Real time: wake whom a rule is about when its time comes."""
        while not self._closed:
            left = self._wait_ms()
            self._woken.wait(None if left is None else max(LEAST_WAIT, left / 1000))
            self._woken.clear()
            left = self._wait_ms()
            if left is not None and left <= 0 and not self._closed:
                self.look()
                for guest in self._server.guests:
                    guest.post(guest.take_faults)

    def close(self) -> None:
        """The server is going off."""
        self._closed = True
        self._woken.set()

    def _machine_rule(self, rule: Rule) -> None:
        try:
            match rule.point, rule.action:
                case "machine", "kill":
                    self._kill()
                case "link", action:
                    outlet = "none" if action == "unplug" else rule.value("outlet")
                    self._server.networks.plug(rule.value("device"), parse_outlet(outlet))
        except EmulatorError as error:
            LOG.warning("fault %s %s: %s", rule.point, rule.action, error)


def pull_the_cord() -> None:
    """The end of this process, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


class Named(Protocol):
    """What rules choose a domain by."""

    @property
    def name(self) -> str:
        """Of the domain."""


class Disks(Protocol):
    """A domain's disks."""

    def serve_disks(self, pattern: str, online: bool) -> None:
        """The services behind disks of such names go, or come back."""


class Struck(Protocol):
    """A guest, as far as faults strike it."""

    @property
    def spec(self) -> Named:
        """What it is."""

    @property
    def machine(self) -> Machine | None:
        """Its machine while it is on."""

    @property
    def plugs(self) -> Disks | None:
        """Its devices."""

    def post(self, action: Callable[[], Any]) -> Any:
        """Have something done while its strands rest."""

    def reset(self) -> None:
        """Back to its firmware."""

    def stop(self) -> None:
        """Off."""


class Clockwork(Protocol):
    """What is due, and what will be."""

    @property
    def injector(self) -> Injector:
        """The rules."""

    @property
    def now_ms(self) -> float:
        """Of the rules' time."""

    def later(self, ms: float, action: Callable[[], object]) -> None:
        """Do something so many milliseconds from now."""


def strike(guest: Struck, machine: Machine, faults: Clockwork) -> None:
    """What is due for a guest, in its turn."""
    for rule in faults.injector.due(faults.now_ms, domain=guest.spec.name, insns=machine.insns):
        try:
            _strike(guest, machine, rule, faults)
        except EmulatorError as error:
            LOG.warning("fault %s %s: %s", rule.point, rule.action, error)
        if guest.machine is not machine:
            return  # it has ended


def _strike(guest: Struck, machine: Machine, rule: Rule, faults: Clockwork) -> None:
    match rule.point, rule.action:
        case "memory", "uncorrected":
            machine.poison(rule.value("ra"), rule.value("bytes"))
        case "memory", "corrected":
            machine.report_error(_strand(machine), ErrorReport(
                kind=ErrorKind.UNCORRECTED, attributes=ErrorAttribute.MEMORY,
                address=rule.value("ra") // LINE * LINE, size_bytes=LINE))
        case "memory", "flip":
            byte = machine.memory.read(rule.value("ra"), 1)[0] ^ 1 << rule.value("bit") % 8
            machine.memory.write(rule.value("ra"), bytes([byte]))
        case "cpu", "fail":
            machine.strand(rule.value("cpu")).fail()
        case "cpu", "stall":
            _hold([machine.strand(rule.value("cpu"))], guest, machine, faults, rule.value("ms"))
        case "domain", "stall":
            _hold(machine.strands, guest, machine, faults, rule.value("ms"))
        case "disk", "away":
            _send_away(guest, machine, faults, rule)
        case "cpu", "report":
            machine.report_error(rule.value("cpu"), ErrorReport(
                kind=ErrorKind.UNCORRECTED, attributes=ErrorAttribute.CPU | ErrorAttribute.INT_REGISTERS))
        case "domain", "reset":
            guest.reset()
        case "domain", _:
            guest.stop()


def _hold(strands: Iterable[Strand], guest: Struck, machine: Machine, faults: Clockwork, ms: float) -> None:
    """Strands of a guest at rest execute nothing for so long."""
    held = tuple(strands)
    for strand in held:
        strand.hold(True)

    def let_go() -> None:
        if guest.machine is machine:
            for strand in held:
                with contextlib.suppress(EmulatorError):  # it was taken away meanwhile
                    strand.hold(False)

    faults.later(ms, lambda: guest.post(let_go))


def _send_away(guest: Struck, machine: Machine, faults: Clockwork, rule: Rule) -> None:
    """The service of disks goes for a while."""
    pattern = dict(rule.select).get("disk", "*")

    def put(online: bool) -> None:
        if guest.machine is machine and guest.plugs is not None:
            guest.plugs.serve_disks(pattern, online)

    put(False)
    faults.later(rule.value("ms"), lambda: guest.post(lambda: put(True)))


def _strand(machine: Machine) -> int:
    """The strand that hears of an error of the domain: the first that runs."""
    running = [strand.number for strand in machine.strands if strand.state.name == "RUNNING"]
    return (running or [machine.strands[0].number])[0]
