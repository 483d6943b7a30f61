"""The part of a guest that is about moving: it is saved, or received, and harvested beside its run (`Guest`)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from emulator._core_moving import AdoptedBlock
from emulator.firmware.openboot import PROGRAM_VARIABLES
from emulator.firmware.program import Program
from emulator.firmware.variables import Variables
from emulator.hypervisor import SoftState
from emulator.machine import Machine
from emulator.machine_moving import PageWaits
from emulator.server.console import GuestConsole
from emulator.server.errors import GuestStateError, SpecError
from emulator.server.frame import Housing, build_machine, memory_descriptors
from emulator.server.moving import Journey, describe_here, load_state, save_state
from emulator.server.plugs import Plugs, Surroundings
from emulator.server.requests import Requests
from emulator.server.spec import GuestSpec
from emulator.server.stateimage import StateBuffer
from emulator.server.status import Snapshot, take_snapshot

RUNNING, SUSPENDED, RECEIVING, RECEIVED = "running", "suspended", "receiving", "received"
"""The last two: it comes from another server. Memory is there; the state as well, but it has never run here."""
BARRIER_SECONDS = 5.0
MOST_AWAY_SECONDS = 10**9


class GuestMoving:
    """Methods without a remark are for the guest's turn only. What is declared here is `Guest`'s."""

    spec: GuestSpec
    state: str
    started_at: float | None
    snapshot: Snapshot
    console: GuestConsole
    requests: Requests
    _housing: Housing
    _clock: Callable[[], float]
    _kick_lock: threading.Lock
    _machine: Machine | None
    _plugs: Plugs | None
    _soft: SoftState
    _stopped_at: float
    _program: Program | None
    _new_description: bool
    _buffer: StateBuffer | None
    _lent: bool

    def powered(self) -> Machine:
        """See `Guest`."""
        raise NotImplementedError

    def tell(self, state: str, why: str, *, code: int = 0, text: str = "") -> None:
        """See `Guest`."""
        raise NotImplementedError

    def _read_program(self) -> Program | None:
        raise NotImplementedError

    def _surroundings(self, machine: Machine) -> Surroundings:
        raise NotImplementedError

    def _hold(self, machine: Machine, plugs: Plugs) -> None:
        raise NotImplementedError

    def _variable_set(self, name: str, value: str | None) -> None:
        raise NotImplementedError

    def save_state(self) -> bytes:
        """Its state without memory, for `load_state` of another server. Raises GuestStateError, StateError."""
        machine, plugs = self.powered(), self._plugs
        if self.state != SUSPENDED or plugs is None:
            raise GuestStateError(f"{self.spec.name} is {self.state}: suspend it first")
        uptime = self._clock() - (self.started_at or self._clock())
        journey = Journey(int(self._stopped_at * 1000), max(0, int(uptime * 1000)), self.requests.reboots)
        return save_state(self.spec, machine, plugs, self.console, journey=journey)

    def release_disks(self) -> None:
        """Close what is behind its disks, for another server to open; `resume` opens it again.

        Raises GuestStateError.
        """
        self.powered()
        if self.state != SUSPENDED or self._plugs is None:
            raise GuestStateError(f"{self.spec.name} is {self.state}: suspend it first")
        self._plugs.release()

    def receive(self, spec: GuestSpec) -> None:
        """Be a guest that comes from another server: with memory, which somebody else writes, and nothing else yet.

        Raises GuestStateError where it is on, SpecError, ConfigError, and ImageError or BootError for a kernel file.
        """
        if self._machine is not None:
            raise GuestStateError(f"{self.spec.name} is on already")
        if spec.crypto:
            raise SpecError("spec.crypto: a guest is given crypto units after it has come")
        self.spec = spec
        self._program = self._read_program()
        machine = build_machine(self._housing, spec)
        plugs = Plugs(machine, self._surroundings(machine), guest=spec.name)
        try:
            self.requests.connect(machine, spec, on_variable=self._variable_set)
            plugs.prepare(spec)
        except BaseException:
            plugs.close()
            machine.close()
            self.requests.abandon("the guest could not be received")
            raise
        self._hold(machine, plugs)
        self.tell(RECEIVING, "receiving")

    def state_buffer(self, size_bytes: int) -> int:
        """A descriptor to write the state to; a copy, the caller's to close. Raises GuestStateError."""
        self._receives()
        if self._buffer is not None:
            self._buffer.close()
        self._buffer = StateBuffer(size_bytes)
        return self._buffer.copy()

    def load_state(self, sha256: bytes) -> None:
        """Take over the state in the buffer. Raises StateError, GuestStateError: then it still waits for a state."""
        machine, plugs = self._receives()
        if self._buffer is None or plugs is None:
            raise GuestStateError(f"{self.spec.name} has no state yet: ask for a buffer first")
        image = self._buffer.read(sha256)
        variables = Variables.lenient({}, changed=self._variable_set)
        journey = load_state(
            image, self.spec, machine, plugs, self.console, program=self._program, variables=variables
        )
        self._buffer.close()
        self._buffer = None
        self._take_variables(variables.save())
        whole = self.spec.but(variables=tuple(variables.save().items()))
        self._new_description = describe_here(machine, self._housing, whole)
        self._stopped_at = journey.stopped_ms / 1000
        self.started_at = self._clock() - journey.uptime_ms / 1000
        self.requests.continue_(reboot=journey.reboot)
        self._soft = machine.soft_state
        self.snapshot = take_snapshot(machine, self.requests.services, plugs)
        self.tell(RECEIVED, "received")

    def lend(self) -> tuple[dict[str, Any], list[int]]:
        """Its memory, for another machine of this host to have it one day: `descriptors`, and when this guest goes
        without having been resumed, nothing is written to that memory any more. Raises GuestStateError.
        """
        machine = self.powered()
        if self.state not in (RUNNING, SUSPENDED):
            raise GuestStateError(f"{self.spec.name} is {self.state}")
        found = memory_descriptors(machine)
        self._lent = True
        return found

    def adopt(self, blocks: Sequence[AdoptedBlock]) -> None:
        """Have another guest's memory, which stays that one's until `resume`: nothing here writes it before, and a
        guest that goes before lets go of it. Raises GuestStateError, AddressError: then it has its own as before.
        """
        machine, _ = self._receives()
        machine.adopt(blocks)
        self._lent = True

    def begin_missing(self) -> list[int]:
        """Pages of its memory will come while it runs (`Machine.begin_missing`): two descriptors, the caller's.

        Raises GuestStateError.
        """
        machine, _ = self._receives()
        return [os.dup(fd) for fd in machine.begin_missing()]

    def end_missing(self) -> PageWaits:
        """They are all here; how long the guest has waited for them. Raises GuestStateError, BusyError."""
        machine = self.powered()
        waits = machine.page_waits
        machine.end_missing()
        return waits

    def _take_variables(self, own: dict[str, str]) -> None:
        """Variables that the guest has set and who specified it has not heard of; not those of a kernel file's boot."""
        told = Variables.lenient(dict(self.spec.variables)).save()
        names = (own.keys() | told.keys()) - (PROGRAM_VARIABLES if self._program else set())
        for name in sorted(names):
            if own.get(name) != told.get(name):
                self._variable_set(name, own.get(name))

    def _receives(self) -> tuple[Machine, Plugs | None]:
        machine = self.powered()
        if self.state != RECEIVING:
            raise GuestStateError(f"{self.spec.name} is {self.state}, and does not wait for a state")
        return machine, self._plugs

    def relink(self, spec: GuestSpec) -> list[str]:
        """Other links for a guest that is on its way here."""
        machine, plugs = self.powered(), self._plugs
        changed = plugs.links.want(spec.nets) if plugs is not None else []
        if self.state == RECEIVED:
            self._new_description |= describe_here(machine, self._housing, spec)
        return changed

    def _begin_here(self, machine: Machine, plugs: Plugs) -> None:
        """A guest that was received runs for the first time."""
        plugs.arrive(unplugged=True)
        machine.describe_disks()
        away = 0 if self._housing.deterministic else round(time.time() - self._stopped_at)
        machine.go(min(max(away, 0), MOST_AWAY_SECONDS))
        if self._new_description and not machine.suspended:  # that one reads it by itself
            self.requests.tell_description()

    def barrier(self) -> None:
        """`Machine.barrier`. From any thread. Raises GuestStateError, BusyError."""
        with self._kick_lock:
            self.powered().barrier(BARRIER_SECONDS)

    @property
    def missing_pages(self) -> int:
        """Pages that are still to come. From any thread."""
        with self._kick_lock:
            return 0 if self._machine is None else self._machine.missing_pages

    def give_up_missing(self) -> None:
        """They will not come; it is to be stopped. From any thread. Raises GuestStateError."""
        with self._kick_lock:
            self.powered().give_up_missing()

    def _abandon_missing(self) -> None:
        """It is being stopped, and will be told so before it goes on. From any thread."""
        with self._kick_lock:
            if self._machine is not None and self._machine.missing_pages:
                if not self._housing.deterministic:
                    self._machine.kick()
                self._machine.give_up_missing()

    def limit_dirty(self, pages_per_second: int | None) -> None:
        """`Machine.limit_dirty`. From any thread. Raises GuestStateError."""
        with self._kick_lock:
            self.powered().limit_dirty(pages_per_second)
