"""A manager without a process: a store in memory, virtual time, and a machine that is a faithful peer of hvctl.

    manager = make_manager()                          # a T5-2 with 64G, started, factory default
    outcome = manager.execute("add-domain", {"domains": ["ldg1"]})
    machine_of(manager).emit_state(1, "panic")        # what the machine would tell

`FakeMachine` keeps guests, checks what the real machine checks (unknown guests, states, strands and memory given out
twice), emits events, and answers domain services as it is told. It runs no code.
"""

from __future__ import annotations

import copy
import heapq
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from emulator.units import parse_size
from ldmd.clock import Bell
from ldmd.jobs import Outcome
from ldmd.log import Log
from ldmd.manager import Manager
from ldmd.model import Configuration
from ldmd.operations.context import HypervisorError
from ldmd.operations.registry import OPERATIONS, Operation
from ldmd.store import MEMORY, Store

_NUMBERS = itertools.count(1)
EPOCH = 1_700_000_000.0


class VirtualClock:
    """Time that passes when somebody waits. `at` schedules what happens then."""

    def __init__(self, start: float = EPOCH) -> None:
        self.time = start
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._due, (self.time + seconds, next(self._numbers), action))

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        """Until the bell rings, or the time is over, whichever is due first."""
        deadline = self.time + seconds
        while bell.rings == heard and self._due and self._due[0][0] <= deadline:
            self.time, _, action = heapq.heappop(self._due)
            action()
        if bell.rings == heard:
            self.time = deadline

    def advance(self, seconds: float) -> None:
        """Let time pass with nobody waiting."""
        deadline = self.time + seconds
        while self._due and self._due[0][0] <= deadline:
            self.time, _, action = heapq.heappop(self._due)
            action()
        self.time = deadline


@dataclass
class FakeGuest:
    spec: dict[str, Any]
    state: str = "defined"
    why: str = ""
    code: int = 0
    services: list[str] = field(default_factory=list)
    soft_state: dict[str, Any] = field(default_factory=lambda: {"normal": False, "text": ""})
    firmware: bool = True
    started_at: float | None = None
    starts: int = 0
    util: float = 0.0


class FakeMachine:
    """Peer of hvctl without strands. Everything it was asked is in `calls`.

    refuse[op] = HypervisorError(...) (or a function of the arguments that may return one) makes an op fail.
    answers[op] = what a guest's domain services reply: {"result": ..., "reason": ...}, after `reply_after` seconds;
    None: it never answers. A guest has the services that `boot_os` gave it.
    """

    def __init__(self, platform: str = "t5-2", memory: str = "64G", *, name: str = "alpha",
                 clock: VirtualClock | None = None) -> None:
        self.name, self.platform, self.memory_bytes = name, platform, parse_size(memory)
        self.clock = clock or VirtualClock()
        self.boot = "boot-1"
        self.guests: dict[int, FakeGuest] = {}
        self.switches: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refuse: dict[str, Any] = {}
        self.answers: dict[str, dict[str, Any] | None] = {}
        self.reply_after = 0.1
        self._listener: Callable[[Mapping[str, Any]], None] | None = None
        self._events = itertools.count(1)
        self._requests = itertools.count(1)

    # -- the peer of hvctl

    def listen(self, on_event: Callable[[Mapping[str, Any]], None]) -> None:
        self._listener = on_event

    def call(self, op: str, /, **arguments: Any) -> Any:
        arguments = copy.deepcopy(arguments)
        self.calls.append((op, arguments))
        trouble = self.refuse.get(op)
        if callable(trouble):
            trouble = trouble(arguments)
        if trouble is not None:
            raise trouble
        method = getattr(self, "op_" + op.replace(".", "_"), None)
        if method is None:
            raise HypervisorError("op", f"unknown op {op}")
        return copy.deepcopy(method(**arguments))

    def ops(self, *names: str) -> list[str]:
        """Names of the ops that were asked (of those named, if any)."""
        return [op for op, _ in self.calls if not names or op in names]

    def _guest(self, number: int) -> FakeGuest:
        if number not in self.guests:
            raise HypervisorError("no-guest", f"there is no guest {number}")
        return self.guests[number]

    def _running(self, number: int) -> FakeGuest:
        guest = self._guest(number)
        if guest.state != "running":
            raise HypervisorError("state", f"guest {number} is {guest.state}")
        return guest

    def op_hello(self, version: list[int], client: str) -> dict[str, Any]:
        if version[0] != 1:
            raise HypervisorError("version", "only version 1")
        return {"version": [1, 0], "machine": self.name, "boot": self.boot, "platform": self.platform,
                "platform_toml": "", "memory": self.memory_bytes, "pid": 1}

    def op_machine_info(self) -> dict[str, Any]:
        return {"platform": self.platform, "memory_bytes": self.memory_bytes, "boot": self.boot,
                "started_at": EPOCH, "deterministic": True, "domains": len(self.guests)}

    def op_guest_configure(self, spec: dict[str, Any]) -> dict[str, Any]:
        number = spec["id"]
        self._check(number, spec)
        old = self.guests.get(number)
        if old is None:
            # the control domain is on as soon as the machine has it
            self.guests[number] = FakeGuest(spec, state="running" if number == 0 else "defined")
        else:
            if number and old.state == "running" and (old.spec["uuid"], old.spec["mac"], old.spec["cpu_arch"]) != (
                    spec["uuid"], spec["mac"], spec["cpu_arch"]):
                raise HypervisorError("running", f"guest {number} runs; uuid, mac and cpu_arch cannot change")
            old.spec = spec
        return {"generation": spec["generation"]}

    def _check(self, number: int, spec: dict[str, Any]) -> None:
        """Nothing is given out twice."""
        strands = {pid for _, pid in spec["vcpus"]}
        if len(strands) != len(spec["vcpus"]):
            raise HypervisorError("spec", "a strand twice in one guest")
        for other, guest in self.guests.items():
            if other == number:
                continue
            if both := strands & {pid for _, pid in guest.spec["vcpus"]}:
                raise HypervisorError("busy", f"strand {min(both)} belongs to guest {other}")
            for _, pa, size in spec["memory"]:
                for _, start, length in guest.spec["memory"]:
                    if pa < start + length and start < pa + size:
                        raise HypervisorError("busy", f"memory at {pa:#x} belongs to guest {other}")

    def op_guest_list(self) -> list[dict[str, Any]]:
        return [self.status(number) for number in sorted(self.guests)]

    def op_guest_status(self, guest: int) -> dict[str, Any]:
        self._guest(guest)
        return self.status(guest)

    def status(self, number: int) -> dict[str, Any]:
        guest = self.guests[number]
        return {
            "guest": number, "name": guest.spec["name"], "uuid": guest.spec["uuid"], "state": guest.state,
            "why": guest.why, "code": guest.code, "soft_state": guest.soft_state, "firmware": guest.firmware,
            "started_at": guest.started_at, "insns": 0,
            "vcpus": [{"vid": vid, "pid": pid, "state": "running" if guest.state == "running" else "stopped",
                       "util": guest.util} for vid, pid in guest.spec["vcpus"]],
            "services": guest.services, "memory_bytes": sum(size for _, _, size in guest.spec["memory"]),
            "generation": guest.spec["generation"],
        }

    def op_guest_start(self, guest: int) -> dict[str, Any]:
        found = self._guest(guest)
        if found.state == "running":
            raise HypervisorError("state", f"guest {guest} runs already")
        found.state, found.why, found.started_at = "running", "started", self.clock.now()
        found.starts += 1
        found.firmware, found.services = True, []
        self.emit("guest.state", guest=guest, state="running", why="started", code=0)
        return {}

    def op_guest_stop(self, guest: int) -> dict[str, Any]:
        self._running(guest)
        if guest == 0:
            raise HypervisorError("state", "the control domain is not stopped this way")
        self._off(guest, "stopped")
        return {}

    def _off(self, number: int, why: str) -> None:
        guest = self.guests[number]
        guest.state, guest.why, guest.services, guest.started_at = "halted", why, [], None
        guest.soft_state = {"normal": False, "text": ""}
        self.emit("guest.state", guest=number, state="halted", why=why, code=0)

    def op_guest_reset(self, guest: int) -> dict[str, Any]:
        found = self._running(guest)
        found.firmware, found.services, found.started_at = True, [], self.clock.now()
        self.emit("guest.state", guest=guest, state="running", why="reset", code=0)
        return {}

    def op_guest_destroy(self, guest: int) -> dict[str, Any]:
        if self._guest(guest).state == "running":
            raise HypervisorError("state", f"guest {guest} runs")
        del self.guests[guest]
        return {}

    def op_service_configure(self, switches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        self.switches = switches
        return {}

    def op_network_list(self) -> dict[str, Any]:
        return {"devices": []}

    def op_guest_variables(self, guest: int) -> dict[str, str]:
        return dict(self._guest(guest).spec["variables"])

    def op_guest_set_variables(self, guest: int, set: dict[str, str], remove: list[str]) -> dict[str, Any]:
        variables = self._guest(guest).spec["variables"]
        variables.update(set)
        for name in remove:
            variables.pop(name, None)
        return {}

    def op_console_break(self, guest: int) -> dict[str, Any]:
        self._running(guest)
        return {}

    def op_events_subscribe(self, since: int = 0) -> dict[str, Any]:
        return {"seq": 0}

    # -- domain services

    def _service(self, guest: int, service: str, op: str, act: Callable[[], None] | None = None) -> dict[str, Any]:
        if service not in self._running(guest).services:
            raise HypervisorError("no-service", f"guest {guest} has not registered {service}")
        request = next(self._requests)
        answer = self.answers.get(op, {"result": "ok", "reason": ""})
        if answer is not None:
            def reply() -> None:
                if act is not None and answer.get("result") == "ok":
                    act()
                self.emit("guest.reply", guest=guest, request=request, service=service, **answer)
            self.clock.at(self.reply_after, reply)
        return {"request": request}

    def op_guest_shutdown(self, guest: int, delay_ms: int = 0, reboot: bool = False) -> dict[str, Any]:
        def down() -> None:
            self.clock.at(1.0, lambda: self.op_guest_reset(guest) and None if reboot else self._off(guest, "power-off"))
        return self._service(guest, "domain-shutdown", "guest.shutdown", down)

    def op_guest_panic(self, guest: int) -> dict[str, Any]:
        return self._service(guest, "domain-panic", "guest.panic", lambda: self.emit_state(guest, "panic"))

    def op_guest_md_update(self, guest: int) -> dict[str, Any]:
        return self._service(guest, "md-update", "guest.md_update")

    def op_guest_dr_cpu(self, guest: int, action: str, cpus: list[int]) -> dict[str, Any]:
        return self._service(guest, "dr-cpu", "guest.dr_cpu")

    def op_guest_dr_mem(self, guest: int, action: str, blocks: list[list[int]]) -> dict[str, Any]:
        return self._service(guest, "dr-mem", "guest.dr_mem")

    def op_guest_dr_crypto(self, guest: int, kind: str, action: str, cpus: list[int]) -> dict[str, Any]:
        return self._service(guest, f"dr-crypto-{kind}", "guest.dr_crypto")

    def op_guest_dr_vio(self, guest: int, action: str, kind: str, number: int) -> dict[str, Any]:
        return self._service(guest, "dr-vio", "guest.dr_vio")

    # -- what a test makes happen

    def emit(self, event: str, **details: Any) -> None:
        if self._listener is not None:
            self._listener({"event": event, "seq": next(self._events), "time": self.clock.now(), **details})

    def emit_state(self, guest: int, why: str, code: int = 0) -> None:
        """A guest fares so: "power-off", "stopped", "error" end it; "reset", "panic", "watchdog" do not."""
        if why in ("power-off", "stopped", "error"):
            self._off(guest, why)
        else:
            self.guests[guest].services = []
            self.emit("guest.state", guest=guest, state="running", why=why, code=code)

    def boot_os(self, guest: int, *services: str, text: str = "Solaris running") -> None:
        """The guest's operating system came up and registered its services (none named: all)."""
        found = self._running(guest)
        found.firmware = False
        found.services = list(services or ("domain-shutdown", "domain-panic", "md-update", "dr-cpu", "dr-mem",
                                           "dr-crypto-mau", "dr-crypto-cwq", "var-config"))
        found.soft_state = {"normal": True, "text": text}
        self.emit("guest.services", guest=guest, services=found.services)
        self.emit("guest.soft_state", guest=guest, **found.soft_state)

    def power_cycle(self) -> None:
        """The cord was pulled and put back: another power-on, no guests."""
        self.boot = f"boot-{int(self.boot.split('-')[1]) + 1}"
        self.guests, self.switches = {}, []


def make_manager(platform: str = "t5-2", memory: str = "64G", *, seed: int = 1, store: Store | None = None,
                 machine: FakeMachine | None = None, name: str = "alpha", **more: Any) -> Manager:
    """A started manager on a fake machine, which is `machine_of(manager)`; its clock is the machine's."""
    machine = machine or FakeMachine(platform, memory, name=name)
    lines: list[str] = []
    manager = Manager(machine, store or Store(MEMORY), clock=machine.clock, rng=Random(seed),
                      log=Log(lines.append, now=machine.clock.now), **more)
    manager.log_lines = lines  # type: ignore[attr-defined]
    manager.start()
    return manager


def run(manager: Manager, function: Callable[..., Any], *, write: bool = True, **arguments: Any) -> Outcome:
    """Execute a function of a test as an operation: it gets the context (and the arguments, where it takes two)."""
    name = f"test-{next(_NUMBERS)}"
    takes = len(inspect.signature(function).parameters)
    OPERATIONS[name] = Operation(name, lambda *given: function(*given[:takes]), write)
    try:
        return manager.execute(name, arguments)
    finally:
        del OPERATIONS[name]


def commit(manager: Manager, new: Configuration) -> None:
    """Commit a configuration; raises RefusedError."""
    outcome = run(manager, lambda context: context.commit(new))
    if outcome.error is not None:
        raise outcome.error


def machine_of(manager: Manager) -> FakeMachine:
    """The fake machine of a manager."""
    assert isinstance(manager.hypervisor, FakeMachine)
    return manager.hypervisor
