"""Faults of `sun4v run`: a plan armed at one machine without a server, struck between two stretches of its run."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from emulator.devices.vdisk import VirtualDisk
from emulator.devices.vnet import VnetPort
from emulator.faults.disk import FaultyDisk
from emulator.faults.frames import FrameFaults
from emulator.faults.injector import Firing, Injector
from emulator.faults.points import BY_NAME, Place
from emulator.faults.rules import FaultsError, Plan
from emulator.machine import Machine
from emulator.server.faulting import LEAST_WAIT, pull_the_cord, strike

if TYPE_CHECKING:
    from emulator.trace import Trace

ELSEWHERE = ("link", "link.frame")
"""Points of a server that this machine has not."""
MS = 1_000_000


@dataclass(frozen=True)
class Name:
    """What rules call the domain by."""

    name: str


def check_plan(plan: Plan) -> None:
    """Raises FaultsError for rules that can never fire here."""
    wrong = [f"fault[{number}].point: {rule.point} is of machine rooms, not of `sun4v run`"
             for number, rule in enumerate(plan.rules)
             if rule.point in ELSEWHERE or BY_NAME[rule.point].place is not Place.MACHINE]
    if wrong:
        raise FaultsError(wrong)


class RunFaults:
    """`emulator.server.faulting.Struck` and `Clockwork` in one. All of it is for the run loop."""

    def __init__(self, machine: Machine, plan: Plan, name: str, *, trace: Trace | None = None) -> None:
        """Raises FaultsError."""
        check_plan(plan)
        self.spec, self.machine = Name(name), machine
        self.injector = Injector(tell=self._tell, clock_ns=lambda: machine.time_ns - self._begun_ns)
        self.ended = False
        """A rule has powered it off."""
        self._trace, self._order = trace, 0
        self._begun_ns = machine.time_ns
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        frames = FrameFaults(self.injector, self.later)
        for device in machine.devices:
            if isinstance(device, VirtualDisk):
                device.backend = FaultyDisk(device.backend, self.injector, domain=name, disk=_name(device),
                                            real_time=not machine.deterministic)
            elif isinstance(device, VnetPort) and device.port.switch is not None:
                device.port.name, device.port.switch.faults = f"{name}/{_name(device)}", frames
        self.injector.arm(plan)

    def _tell(self, firing: Firing) -> None:
        if self._trace is not None:
            rest = firing.plain()
            self._trace.instant((self.spec.name, "faults"), f"{firing.point} {firing.action}",
                                at_ns=self.machine.time_ns, ordinal=rest["ordinal"], rule=rest["rule"], **rest["facts"])

    # -- the run loop

    def look(self) -> None:
        """What is due, while its strands rest."""
        while self._later and self._later[0][0] <= self.now_ms:
            heapq.heappop(self._later)[2]()
        for rule in self.injector.due(self.now_ms, domain=None):
            if rule.point == "machine":
                pull_the_cord()
        strike(self, self.machine, self)

    def budget(self, most: int) -> int:
        """So many instructions may be run before something may be due."""
        counts = [rule.at_insns - self.machine.insns for rule in self.injector.plan.rules if rule.at_insns is not None]
        return min([most, *(count for count in counts if count > 0)])

    def until_ns(self) -> int | None:
        """The same in the machine's time."""
        times = [self._later[0][0]] if self._later else []
        times += [at for at in [self.injector.next_ms()] if at is not None]
        least = self.machine.time_ns + int(LEAST_WAIT * 1e9)
        return max(self._begun_ns + int(min(times) * MS), least) if times else None

    def report(self) -> dict[str, Any]:
        """What has fired."""
        status = self.injector.status()
        return {"seed": self.injector.plan.seed, "count": status["count"], "digest": status["digest"],
                "firings": status["firings"]}

    # -- for strike

    @property
    def now_ms(self) -> float:
        """The machine's time since the run began."""
        return (self.machine.time_ns - self._begun_ns) / MS

    def later(self, ms: float, action: Callable[[], object]) -> None:
        """Do something so many milliseconds from now."""
        self._order += 1
        heapq.heappush(self._later, (self.now_ms + ms, self._order, action))

    def post(self, action: Callable[[], object]) -> object:
        """At once: its strands rest whenever something is struck."""
        return action()

    @property
    def plugs(self) -> RunFaults:
        """Its disks."""
        return self

    def serve_disks(self, pattern: str, online: bool) -> None:
        """The services behind disks of such names go, or come back."""
        for device in self.machine.devices:
            if isinstance(device, VirtualDisk) and fnmatchcase(_name(device), pattern):
                device.set_online(online)

    def reset(self) -> None:
        """It boots again; a program without firmware cannot."""
        if self.machine.firmware is None:
            self.ended = True
        else:
            self.machine.reset()

    def stop(self) -> None:
        """It is powered off."""
        self.ended = True


def _name(device: VirtualDisk | VnetPort) -> str:
    return device.name.partition(" ")[2].partition(":")[0]
