"""An emulated server: its platform and memory, its guests by number, its switches, its events.

Requests about one guest return a Future: they are done in the guest's turn. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from emulator.engines import DEFAULT_ENGINE, check_engine
from emulator.errors import ConfigError
from emulator.machine import DETERMINISTIC_SEED, DETERMINISTIC_TOD, Machine
from emulator.mblocks import Mblock, MemoryMap
from emulator.netdev import Outlet
from emulator.platforms import Platform, find_platform
from emulator.server.console import GuestConsole
from emulator.server.disks import Disks
from emulator.server.errors import GuestStateError, NoGuestError, OffError, SpecError
from emulator.server.events import Events
from emulator.server.faulting import ServerFaults, pull_the_cord
from emulator.server.frame import Housing, describe
from emulator.server.guest import Guest, check_same
from emulator.server.labnet import Home
from emulator.server.links import DETERMINISTIC, Networks
from emulator.server.plugs import Surroundings
from emulator.server.runners import SLICE_NS, Runner, Scheduler, Threads
from emulator.server.spec import GuestSpec
from emulator.server.switches import Switches, SwitchSpec
from emulator.server.tracing import Tracing
from emulator.units import format_size

T = TypeVar("T")
ASIDE_THREADS = 4


class Server:
    """A server that has just been powered on. `memory_bytes`: installed; None: all it can have.

    With `deterministic` time is virtual, and stands still until `advance`, or `scheduler.start`. `clock`: seconds since
    the epoch, for events (default: the host's, or virtual time). `nets`: where network devices are plugged in
    (emulator.netdev). `engine`: how guests' code is executed (emulator.engines); where the host has no translator they
    are interpreted, and `engine_note` says why. Raises ConfigError.
    """

    def __init__(
        self,
        platform: str = "t5-2",
        *,
        name: str = "machine",
        memory_bytes: int | None = None,
        deterministic: bool = False,
        slice_ns: int = SLICE_NS,
        seed: int = DETERMINISTIC_SEED,
        clock: Callable[[], float] | None = None,
        nets: Mapping[str, Outlet] | None = None,
        engine: str = DEFAULT_ENGINE,
    ) -> None:
        self.name = name
        for device, outlet in (nets or {}).items():
            if deterministic and outlet.outward:
                raise ConfigError(f"{device}={outlet}: {DETERMINISTIC}")
        self.platform: Platform = find_platform(platform)
        self.platform_name = platform
        self.memory_bytes = self.platform.memory_bytes if memory_bytes is None else memory_bytes
        self.map = MemoryMap.of_banks(self.platform.fill(self.memory_bytes), self.platform.reserved)
        self.boot = _boot_id(name, deterministic=deterministic)
        self.deterministic = deterministic
        self.engine = check_engine(engine)
        self.engine_note = ""
        if engine != "interpreter":
            with Machine("8K") as probe:
                self.engine_note = probe.prefer_engine(engine)
        self.scheduler = Scheduler(slice_ns=slice_ns) if deterministic else None
        self.clock = clock or (self._virtual_time if deterministic else time.time)
        # what only grows: a host whose clock is set must not end requests
        self.ticks = clock or (self._virtual_time if deterministic else time.monotonic)
        self.started_at = self.clock()
        self.events = Events(self.clock)
        self.tracing = Tracing(self)
        self.faults = ServerFaults(self, kill=pull_the_cord)
        if self.scheduler is not None:
            self.scheduler.on_slice = self.faults.look
        self.networks = Networks(nets, clock=lambda: int(self.ticks() * 1e9), changed=self._links_changed)
        self.networks.faults = self.faults.frames
        self.switches = Switches(self.networks, faults=self.faults.frames)
        self.off = threading.Event()
        """Set when the server was powered off."""
        self._runner: Runner = self.scheduler or Threads()
        self._disks = Disks()
        self._aside: ThreadPoolExecutor | None = None
        self._lock = threading.RLock()  # guests, and who has which strands and memory
        self._guests: dict[int, Guest] = {}
        self._claims: dict[int, GuestSpec] = {}
        self._housing = Housing(
            platform=self.platform, platform_name=platform, deterministic=deterministic, seed=seed,
            tod_seconds=(lambda: int(self.clock())) if deterministic else None, switch=self._switch, faults=self.faults,
            tracing=self.tracing, engine=engine,
        )  # fmt: skip

    def _virtual_time(self) -> float:
        return DETERMINISTIC_TOD + (self.scheduler.now_ns / 1e9 if self.scheduler else 0)

    def _switch(self, name: str) -> SwitchSpec | None:
        found = self.switches.find(name)
        return found[0] if found else None

    # -- guests

    def guest(self, number: int) -> Guest:
        """A guest by number. Raises NoGuestError."""
        guest = self._guests.get(number)
        if guest is None:
            raise NoGuestError(f"there is no guest {number}")
        return guest

    @property
    def guests(self) -> tuple[Guest, ...]:
        """All guests, by ascending number."""
        with self._lock:
            return tuple(guest for _, guest in sorted(self._guests.items()))

    def configure(self, spec: GuestSpec) -> Future[dict[str, Any]]:
        """Make a guest, or change it. What is wrong with the specification is raised at once: SpecError, ConfigError.

        What the guest cannot do in its state is an exception of the future (`Guest.configure`).
        """
        if not spec.control:
            describe(self._housing, spec, generation=1)
        known, guest, before = self._admit(spec)
        if known is None:
            self._runner.add(guest)
            guest.tell("defined", "defined")
            return _done({"generation": spec.generation, "applied": ["created"]})
        return guest.post(lambda: self._configured(guest, spec, before))

    def _admit(self, spec: GuestSpec) -> tuple[Guest | None, Guest, GuestSpec | None]:
        """Strands and memory for a guest: the one that was there, the one that is there now, what was claimed before.

        Raises SpecError, ConfigError, OffError.
        """
        with self._lock:
            if self.off.is_set():
                raise OffError("the machine is being powered off")
            known = self._guests.get(spec.id)
            if known is None and len(self._guests) >= self.platform.max_domains:
                raise ConfigError(f"a {self.platform.title} has at most {self.platform.max_domains} domains")
            if known is not None:
                check_same(known.spec, spec)
            before = self._claims.get(spec.id)
            self._claim(spec)
            return known, known or self._new(spec), before

    def _configured(self, guest: Guest, spec: GuestSpec, before: GuestSpec | None) -> dict[str, Any]:
        """In the guest's turn."""
        try:
            applied = guest.configure(spec)
        except BaseException:
            with self._lock:
                if before is not None:
                    self._claims[spec.id] = before
            raise
        return {"generation": spec.generation, "applied": applied}

    def _new(self, spec: GuestSpec) -> Guest:
        number = spec.id
        around = Surroundings(self._disks, self.switches, wake=lambda: None)
        guest = Guest(
            spec, self._housing, around, events=self.events, poke=lambda: self._runner.poke(number),
            clock=self.clock, ticks=self.ticks,
        )  # fmt: skip
        self._guests[number] = guest
        return guest

    def _claim(self, spec: GuestSpec) -> None:
        """Strands and memory are this guest's from now on. Raises ConfigError where they are not free."""
        others = [claim for number, claim in self._claims.items() if number != spec.id]
        taken = {pid: claim.name for claim in others for _, pid in claim.vcpus}
        for _, pid in spec.vcpus:
            if pid >= self.platform.strands:
                raise SpecError(f"spec.vcpus: a {self.platform.title} has strands 0 to {self.platform.strands - 1}")
            if pid in taken:
                raise SpecError(f"spec.vcpus: strand {pid} is {taken[pid]}'s")
        free = self.map
        for claim in (*others, spec):
            free = free.assign(self._blocks(claim))
        self._claims[spec.id] = spec

    def _blocks(self, spec: GuestSpec) -> list[Mblock]:
        found = []
        for block in spec.memory:
            at = self.map.at(block.pa)
            if at is None:
                raise SpecError(f"spec.memory: there is no memory at physical address {block.pa:#x}")
            found.append(Mblock(block.pa, block.size_bytes, at.node, spec.name, block.ra))
        return found

    def receive(self, spec: GuestSpec) -> Future[None]:
        """Make a guest that is to come from another server (`Guest.receive`); one that is there must not be on.

        Raises SpecError, ConfigError, OffError; what the guest cannot do is an exception of the future, and then a
        guest that was made for it is gone again.
        """
        if spec.control:
            raise SpecError("spec.id: 0 is the control domain, which does not move")
        describe(self._housing, spec, generation=1)
        known, guest, before = self._admit(spec)
        if known is None:
            self._runner.add(guest)
        return guest.post(lambda: self._receive(guest, spec, before))

    def _receive(self, guest: Guest, spec: GuestSpec, before: GuestSpec | None) -> None:
        """In the guest's turn."""
        old = guest.spec
        try:
            guest.receive(spec)
        except BaseException:
            guest.spec = old
            with self._lock:
                if before is not None:
                    self._claims[spec.id] = before
                else:
                    self._guests.pop(spec.id, None)
                    self._claims.pop(spec.id, None)
            if before is None:
                guest.vanish()
            raise

    def aside(self, action: Callable[[], T]) -> Future[T]:
        """Have something done that waits for no guest's turn, and may take milliseconds."""
        with self._lock:
            if self.off.is_set():
                raise OffError("the machine is being powered off")
            if self._aside is None:
                self._aside = ThreadPoolExecutor(ASIDE_THREADS, thread_name_prefix="aside")
            return self._aside.submit(action)

    def destroy(self, number: int) -> Future[None]:
        """A guest that is not on is no more."""
        guest = self.guest(number)

        def leave() -> None:
            guest.leave()
            with self._lock:
                self._guests.pop(number, None)
                self._claims.pop(number, None)
            self.events.emit("guest.state", guest=number, state="defined", why="destroyed", code=0, text="")

        return guest.post(leave)

    def ask(self, number: int, action: Callable[[Guest], T], *, ending: bool = False) -> Future[T]:
        """Have something done in a guest's turn (`Guest.post`). Raises NoGuestError."""
        guest = self.guest(number)
        return guest.post(lambda: action(guest), ending=ending)

    def console(self, number: int) -> GuestConsole:
        """The console of a guest. Raises NoGuestError."""
        return self.guest(number).console

    # -- the rest of the server

    def configure_switches(self, specs: tuple[SwitchSpec, ...]) -> None:
        """These switches and no others; guests on them hear of it in their next turns. Raises SpecError."""
        self.switches.configure(specs)
        for guest in self.guests:
            guest.post(guest.refresh)

    def _links_changed(self) -> None:
        """The link of a network device went up or down: guests behind it hear of it in their next turns."""
        devices = [(row["name"], row["up"]) for row in self.networks.report()]
        self.events.emit("machine.links", devices=dict(devices))
        for guest in self.guests:
            guest.post(guest.refresh)

    def open_networks(self, home: Home) -> None:
        """Join the lab networks of a home, and what devices are plugged into. Raises PlaceError, GuestStateError."""
        if self.deterministic:
            raise GuestStateError(DETERMINISTIC)
        self.networks.open(home)

    def info(self) -> dict[str, Any]:
        """What the server is."""
        return {
            "platform": self.platform.name,
            "memory_bytes": self.memory_bytes,
            "memory": format_size(self.memory_bytes),
            "boot": self.boot,
            "started_at": self.started_at,
            "deterministic": self.deterministic,
            "engine": "interpreter" if self.engine_note else self.engine,
            "engine_note": self.engine_note,
            "domains": len(self._guests),
            "time_ns": self.scheduler.now_ns if self.scheduler else int((self.clock() - self.started_at) * 1e9),
        }

    def advance(self, ns: int) -> int:
        """Move virtual time; returns it. Raises GuestStateError where time is real, or runs by itself."""
        if self.scheduler is None or self.scheduler.free:
            raise GuestStateError("the clock runs by itself")
        return self.scheduler.advance(ns)

    def advance_later(self, ns: int) -> Future[dict[str, Any]]:
        """The same, for a caller that cannot wait. Raises GuestStateError."""
        if self.scheduler is None or self.scheduler.free:
            raise GuestStateError("the clock runs by itself")
        future: Future[dict[str, Any]] = Future()
        if not self.scheduler.threaded:
            future.set_result({"time_ns": self.scheduler.advance(ns)})
        else:
            self.scheduler.advance_to(self.scheduler.now_ns + ns, lambda now: future.set_result({"time_ns": now}))
        return future

    def run_clock(self, run: bool) -> None:
        """Let virtual time run by itself, or stop it. Raises GuestStateError where time is real."""
        if self.scheduler is None:
            raise GuestStateError("the machine's time is real: it cannot be stopped")
        self.scheduler.run_free(run)

    def power_off(self) -> None:
        """Every guest ends at once. Twice is fine."""
        with self._lock:
            if self.off.is_set():
                return
            self.off.set()
        self.faults.close()
        for guest in self.guests:
            guest.post(guest.vanish, ending=True)
        self._runner.close()
        if self._aside is not None:
            self._aside.shutdown()
        self.networks.close()
        self.events.emit("machine.power_off")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()


def _boot_id(name: str, *, deterministic: bool) -> str:
    """Identity of this power-on."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"sun4v {name}") if deterministic else uuid.uuid4())


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future
