"""A guest: its specification, its machine while it is powered on, and one turn after the other of it.

::

    any thread                         the guest's runner (emulator.server.runners)
    post(action) ──► queue ── poke ──► turn: actions, then input, run, output, what the stop means
                 ◄── Future ──────────┘

All that touches the machine happens in a turn, between two runs. Whatever goes wrong in a turn, be it a defect of a
device, ends this guest and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from emulator.errors import ClosedError, EmulatorError
from emulator.firmware.program import Program, read_program
from emulator.firmware.variables import VariableError, Variables
from emulator.guest import Stop, StopReason
from emulator.hypervisor import SoftState
from emulator.machine import Machine
from emulator.machine_resources import Busy
from emulator.server.console import GuestConsole
from emulator.server.errors import ArgumentError, GuestStateError, NoGuestError, SpecError
from emulator.server.events import Events
from emulator.server.faulting import strike
from emulator.server.frame import Housing, build_machine, memory_descriptors
from emulator.server.guest_debug import GuestDebug
from emulator.server.guest_moving import RECEIVED, RECEIVING, RUNNING, SUSPENDED, GuestMoving
from emulator.server.metrics import sample
from emulator.server.plugs import Plugs, Surroundings
from emulator.server.reconfigure import change_machine
from emulator.server.requests import Requests
from emulator.server.spec import GuestSpec, merged_variables
from emulator.server.stateimage import StateBuffer
from emulator.server.status import Snapshot, Utilization, status, take_snapshot
from emulator.server.stops import Ending, Outcome, judge

LOG = logging.getLogger("sun4v.machine")
T = TypeVar("T")
MAX_REQUESTS = 1024
NO_BUDGET = (1 << 64) - 1
LOOK_SECONDS = 0.01
"""Between two looks at the console of a guest that is writing, or has not taken all its input."""
DEFINED, HALTED = "defined", "halted"


class QueueError(EmulatorError):
    """Too many requests to one guest wait."""

    code = "busy"


class Guest(GuestMoving, GuestDebug):
    """One guest of a server. Public methods without a remark are for its turn only: hand them to `post`."""

    def __init__(
        self, spec: GuestSpec, housing: Housing, around: Surroundings, *, events: Events, poke: Callable[[], None],
        clock: Callable[[], float], ticks: Callable[[], float],
    ) -> None:  # fmt: skip
        self.spec = spec
        self.state, self.why, self.code, self.text = DEFINED, "defined", 0, ""
        self.started_at: float | None = None
        self.snapshot = Snapshot()
        self.console = GuestConsole(self.poke)
        self.requests = Requests(self._emit, events.requests, ticks, self._stands)
        self._housing, self._around = housing, around
        self._events, self._clock, self._runner_poke = events, clock, poke
        self._queue: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._queue_lock = threading.Lock()
        self._kick_lock = threading.Lock()  # nobody kicks a machine while it is being freed
        self._gone = False
        self._machine: Machine | None = None
        self._plugs: Plugs | None = None
        self._soft = SoftState(normal=False, text="")
        self._attentive = False  # look at the console soon again
        self._used = Utilization()
        self._busy: Busy | None = None
        self._idle = 0  # runs in a row that found nothing to do
        self._stopped_at = 0.0  # host's time of day when it was suspended last
        self._program: Program | None = None
        self._new_description = False  # of a received guest: its system is to be told
        self._lent = False  # another machine has its memory too, or will: not to be written when it goes
        self._buffer: StateBuffer | None = None  # for the state of a guest that is received

    # -- from any thread

    def post(self, action: Callable[[], T], *, ending: bool = False) -> Future[T]:
        """Have something done in the guest's turn. From any thread. The future has its result or exception.

        `ending`: the guest ends by it, so that its turn does not wait for pages that are missing any more.
        """
        future: Future[T] = Future()
        with self._queue_lock:
            if self._gone:
                future.set_exception(NoGuestError(f"guest {self.spec.id} is gone"))
                return future
            if len(self._queue) >= MAX_REQUESTS:
                future.set_exception(QueueError(f"{MAX_REQUESTS} requests to guest {self.spec.id} wait"))
                return future
            self._queue.append((action, future))
        if ending:
            self._abandon_missing()
        self.poke()
        return future

    def poke(self) -> None:
        """Something waits for the guest's turn. From any thread."""
        with self._kick_lock:
            if self._machine is not None and not self._housing.deterministic:
                self._machine.kick()
        self._runner_poke()

    def wake(self) -> None:
        """A frame has come for a device. From any thread."""
        with self._kick_lock:
            if self._machine is not None and not self._housing.deterministic:
                self._machine.wake()
        self._runner_poke()

    def status(self) -> dict[str, Any]:
        """How it stands, as plain data. From any thread; of a guest in a run as at its last rest."""
        return status(self)

    def utilization(self) -> dict[int, float]:
        """Percent of the time that each virtual CPU worked since this was asked before. From any thread."""
        with self._kick_lock:
            if self._machine is None:
                return {}
            # a deterministic machine's clock is its own thread's to read
            busy = self._busy if self._housing.deterministic else self._machine.busy()
            return self._used.take(busy) if busy else {}

    # -- turns

    @property
    def machine(self) -> Machine | None:
        """Its machine while it is powered on."""
        return self._machine

    @property
    def plugs(self) -> Plugs | None:
        """The devices of the machine."""
        return self._plugs

    @property
    def waiting(self) -> bool:
        """Do actions wait? From any thread."""
        return bool(self._queue)

    def act(self) -> None:
        """Do what was posted."""
        while self._queue:
            action, future = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = action()
            except EmulatorError as error:
                future.set_exception(error)
            except Exception as error:  # a defect: the client hears of it, the guest goes on
                LOG.exception("guest %d (%s): a request failed", self.spec.id, self.spec.name)
                future.set_exception(error)
            else:
                future.set_result(result)

    def turn(self, until_ns: int | None = None) -> bool:
        """Do what was posted, then run: in real time until something happens, else until the machine's clock shows so.

        True: go on with another turn at once. False: nothing to do until a poke, or until later.
        """
        self.act()
        self.requests.expire()
        machine = self._machine
        if machine is None or self.state != RUNNING or (self.debugger is not None and self.debugger.standing):
            return False
        try:
            if self._housing.faults.injector.armed and not self.take_faults():
                return False
            return self._run(machine, until_ns)
        except Exception as error:
            LOG.exception("guest %d (%s) failed", self.spec.id, self.spec.name)
            self.halt("error", text=f"{type(error).__name__}: {error}")
            return False

    def _run(self, machine: Machine, until_ns: int | None) -> bool:
        if self.console.typed:
            if self.console.take_break():
                machine.console.break_()
            self.console.feed(machine.console.feed)
            self._attentive = True
        debugger = self.debugger
        if debugger is not None and debugger.lost():
            return False
        stop = (debugger.advance() if debugger is not None else None) or self._go(machine, until_ns)
        said = self._look(machine)
        if debugger is not None and debugger.meets(stop):
            return False
        self._idle = self._idle + 1 if stop.reason is StopReason.IDLE and not stop.insns else 0
        outcome = judge(machine, stop, idle=self._idle, text=self._soft.text)
        if isinstance(outcome, Ending):
            return self._end(machine, outcome)
        # firmware may have written behind our back
        self._attentive = said or self.console.typed or stop.reason is StopReason.FIRMWARE
        if outcome is Outcome.WAIT:
            return said or self.console.typed or bool(self._queue)
        return until_ns is None or outcome is Outcome.AGAIN

    def take_faults(self) -> bool:
        """What faults.due says. True: it runs on."""
        machine = self._machine
        if machine is not None and self.state == RUNNING:
            strike(self, machine, self._housing.faults)
        return self._machine is not None and self.state == RUNNING

    def settle_trace(self) -> None:
        """A trace begins or ends."""
        if self._machine is not None:
            self._housing.tracing.look(self.spec.id, self.spec.name, self._machine, b"")

    def sample(self) -> list[tuple[str, dict[str, str], float]]:
        """Its metrics."""
        return [] if self._machine is None else sample(self._machine)

    def reconsider_disks(self) -> None:
        """Rules about its disks have come or gone."""
        if self._plugs is not None:
            self._plugs.reconsider()

    def _go(self, machine: Machine, until_ns: int | None) -> Stop:
        """Let the machine run, as `turn` is to."""
        if until_ns is not None:
            return machine.run(NO_BUDGET, until_ns=until_ns)
        if not self._attentive:
            machine.watch()
        return machine.run(NO_BUDGET, seconds=LOOK_SECONDS if self._attentive else self.requests.patience())

    def _look(self, machine: Machine) -> bool:
        """Console output and soft state. True: there was output."""
        data = machine.console.read()
        if data:
            self.console.write(data)
        if self._housing.tracing.trace is not None:
            self._housing.tracing.look(self.spec.id, self.spec.name, machine, data)
        soft = machine.soft_state
        if soft != self._soft:
            self._soft = soft
            self._emit("guest.soft_state", normal=soft.normal, text=soft.text)
        if self._plugs is not None:
            self._plugs.settle_paths()
        self.snapshot = take_snapshot(machine, self.requests.services, self._plugs)
        if self._housing.deterministic:
            self._busy = machine.busy()
        return bool(data)

    def _notice(self) -> bool:
        """In the middle of a run: the guest has written, or a device has passed something on."""
        if self._machine is not None and self._look(self._machine):
            self._attentive = True
        return self._attentive

    def _end(self, machine: Machine, ending: Ending) -> bool:
        """It asks for a reset, or suspends itself, or is over. True: it goes on."""
        if ending.state == HALTED and ending.why == "power-off" and self.requests.take_reboot():
            ending = Ending(RUNNING, "reset", code=ending.code)
        if ending.state == HALTED:
            self.halt(ending.why, code=ending.code, text=ending.text)
            return False
        if ending.state == RUNNING:
            self.requests.abandon("the guest was reset")
            self._debug_reset()
            machine.reset()
            self._settle_links()
            self._attentive = True
        else:
            if self._plugs is not None:
                self._plugs.links.cut()
            machine.drain()
        self._stopped_at = time.time()
        self.tell(ending.state, ending.why, code=ending.code, text=ending.text)
        return ending.state == RUNNING

    # -- life

    def tell(self, state: str, why: str, *, code: int = 0, text: str = "") -> None:
        """Another state."""
        self.state, self.why, self.code, self.text = state, why, code, text
        self._emit("guest.state", state=state, why=why, code=code, text=text)

    def _emit(self, kind: str, **fields: Any) -> None:
        self._events.emit(kind, guest=self.spec.id, **fields)

    def start(self) -> None:
        """Power on: OpenBoot does what the variables say.

        Raises GuestStateError, ConfigError, and ImageError or BootError for a kernel file.
        """
        if self.spec.control:
            raise GuestStateError("the control domain runs as long as the machine is on")
        if self._machine is not None:
            raise GuestStateError(f"{self.spec.name} is on already")
        program = self._read_program()
        machine = build_machine(self._housing, self.spec)
        plugs = Plugs(machine, self._surroundings(machine), guest=self.spec.name)
        try:
            variables = Variables.lenient(dict(self.spec.variables), changed=self._variable_set)
            self.requests.connect(machine, self.spec, on_variable=self._variable_set)
            plugs.apply(self.spec)
            plugs.links.join()
            machine.power_on(program, variables=variables)
        except BaseException:
            plugs.close()
            machine.close()
            self.requests.abandon("the guest could not be started")
            raise
        self._hold(machine, plugs)
        self.started_at = self._clock()
        self.tell(RUNNING, "started")

    def _hold(self, machine: Machine, plugs: Plugs) -> None:
        """A machine that is new."""
        machine.on_notice = self._notice
        self._plugs = plugs
        with self._kick_lock:
            self._machine = machine
        self._attentive, self._idle = True, 0
        self._used, self._busy = Utilization(), None
        self._soft = SoftState(normal=False, text="")
        self.snapshot = take_snapshot(machine, (), plugs)

    def _read_program(self) -> Program | None:
        boot = self.spec.boot
        if not boot.kernel:
            return None
        return read_program(boot.kernel, initrd=boot.initrd or None, arguments=boot.arguments)

    def _surroundings(self, machine: Machine) -> Surroundings:
        clock = None
        if self._housing.deterministic:
            started_ns = int(self._clock() * 1e9)
            clock = lambda: started_ns + machine.time_ns  # noqa: E731
        return Surroundings(
            self._around.disks, self._around.switches, self.wake, clock, self._housing.faults.injector)

    def stop(self, *, taken: bool = False) -> None:
        """Power off at once; `taken`: it goes on elsewhere. Raises GuestStateError where it is not on."""
        if self._machine is None and self.state != HALTED:
            raise GuestStateError(f"{self.spec.name} is not on")
        if taken and self.state != SUSPENDED:
            raise GuestStateError(f"{self.spec.name} is {self.state}: only a suspended guest can have gone elsewhere")
        self._debug_over("stopped", 0)
        self._free()
        self.tell(DEFINED, "taken" if taken else "stopped")

    def halt(self, why: str, *, code: int = 0, text: str = "") -> None:
        """It has ended."""
        self._debug_over(why, code)
        self._free()
        self.tell(HALTED, why, code=code, text=text)

    def _free(self) -> None:
        """Machine and devices go, whatever state they are in."""
        self._housing.tracing.forget(self.spec.id)
        with self._kick_lock:
            machine, self._machine = self._machine, None
        plugs, self._plugs = self._plugs, None
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer.close()
        self._let_go(machine)
        self.requests.abandon("the guest has ended")
        self.console.forget_input()
        self.started_at = None
        for close in (plugs.close if plugs else None, machine.close if machine else None):
            try:
                if close:
                    close()
            except Exception:
                LOG.exception("guest %d (%s): trouble at its end", self.spec.id, self.spec.name)
        self.snapshot = self.snapshot.ended()

    def _let_go(self, machine: Machine | None) -> None:
        """Before its devices are closed, which may write: memory that another machine has, or may have, is not touched;
        what came here and never ran is scrubbed, since others have its descriptors.
        """
        lent, self._lent = self._lent, False
        if machine is not None and lent:
            machine.part()
        elif machine is not None and self.state in (RECEIVING, RECEIVED):
            machine.scrub()

    def reset(self) -> None:
        """Back to OpenBoot. Raises GuestStateError where it is not on."""
        machine = self._arrived()
        self.requests.abandon("the guest was reset")
        self._debug_reset()
        machine.reset()
        self._settle_links()
        self._attentive = True
        self.tell(RUNNING, "reset")

    def _settle_links(self) -> None:
        """A guest that begins anew reads its machine description: no end is what it was."""
        if self._plugs is not None:
            self._plugs.links.settle()

    def suspend(self) -> None:
        """Let its strands stand still, and what was asked of its disks be done.

        Raises GuestStateError where it does not run.
        """
        machine = self.powered()
        if self.state != RUNNING:
            raise GuestStateError(f"{self.spec.name} is {self.state}")
        self.undebugged("it can be suspended")
        if self._plugs is not None:
            self._plugs.links.cut()
        machine.drain()
        self._stopped_at = time.time()
        self.tell(SUSPENDED, "suspended")

    def resume(self) -> None:
        """Let them go on, with the disks open; a guest that suspended itself hears that all is well.

        One that was received runs here from now on: its disks are opened, its networks plugged in, and its system is
        told of a new machine description. Raises GuestStateError, and BackendError where a disk cannot be opened: then
        it stays as it is.
        """
        machine, plugs = self.powered(), self._plugs
        if self.state not in (SUSPENDED, RECEIVED) or plugs is None:
            raise GuestStateError(f"{self.spec.name} is not suspended")
        if self.state == RECEIVED:
            self._begin_here(machine, plugs)
        elif plugs.released:
            plugs.arrive(unplugged=False)
            machine.describe_disks()
        plugs.links.join()
        if machine.suspended:
            machine.resume()
        self._attentive = True
        self._lent = False  # it is this one's alone: who else has it does not use it any more
        self.tell(RUNNING, "resumed")

    def leave(self) -> None:
        """It is no more: what is posted from now on is refused. Raises GuestStateError where it is on."""
        if self.state in (RECEIVING, RECEIVED):
            self._free()
        if self._machine is not None:
            raise GuestStateError(f"{self.spec.name} is on; stop it first")
        self.vanish()

    def vanish(self) -> None:
        """The same whatever its state, at the end of the server."""
        if self._machine is not None:
            self.halt("power-off", text="the machine was powered off")
        with self._queue_lock:
            self._gone = True
            left, self._queue = self._queue, deque()
        for _, future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(NoGuestError(f"guest {self.spec.id} is gone"))

    @property
    def gone(self) -> bool:
        """Has it left?"""
        return self._gone

    def _arrived(self) -> Machine:
        """The machine of a guest that is not on its way here. Raises GuestStateError."""
        machine = self.powered()
        if self.state in (RECEIVING, RECEIVED):
            raise GuestStateError(f"{self.spec.name} is {self.state}: it is on its way here")
        return machine

    def powered(self) -> Machine:
        """The machine. Raises GuestStateError where it is not on."""
        if self._machine is None:
            raise GuestStateError(f"{self.spec.name} is not on")
        return self._machine

    def send_break(self) -> None:
        """A break on the console. Raises GuestStateError."""
        self.powered()
        self.console.send_break()

    def digest(self) -> dict[str, Any]:
        """SHA-256 over state and memory, and instructions so far. Raises GuestStateError."""
        machine = self.powered()
        return {"digest": machine.digest(), "insns": machine.insns}

    def descriptors(self) -> tuple[dict[str, Any], list[int]]:
        """Its memory as descriptors for another process: the blocks, and copies that are the caller's to close.

        Raises GuestStateError where it is not on.
        """
        return memory_descriptors(self.powered())

    # -- what it is

    def configure(self, spec: GuestSpec) -> list[str]:
        """Be what the specification says; returns what was changed in the running guest.

        Raises ConfigError, and GuestStateError for what cannot change while it is on; then nothing was changed.
        """
        changed: list[str] = []
        if self.state in (RECEIVING, RECEIVED):
            spec = spec.but(variables=self.spec.variables)  # those that count come with it
            if _without_links(spec) != _without_links(self.spec):
                raise GuestStateError(f"{self.spec.name} is {self.state}: it cannot be changed before it runs here")
            changed = self.relink(spec)
        if self._machine is not None and self.state not in (RECEIVING, RECEIVED) and self._plugs is not None:
            changed = change_machine(self._machine, self._plugs, self._housing, old=self.spec, new=spec)
            if self.state == RUNNING and any(each.startswith("link on channel") for each in changed):
                self.requests.tell_description()
        self.spec = spec
        if self._machine is not None:
            self.snapshot = take_snapshot(self._machine, self.requests.services, self._plugs)
        return changed

    def record(self, net: str, path: str | None) -> None:
        """Record a network's frames into a file; None: no more. Raises GuestStateError, ConfigError."""
        self.powered()
        assert self._plugs is not None
        try:
            self._plugs.record(net, path)
        except OSError as error:
            raise ArgumentError(f"path: {path}: {error.strerror or error}") from None

    def refresh(self) -> None:
        """The switches have changed."""
        if self._plugs is not None:
            self._plugs.refresh()

    def variables(self) -> dict[str, str]:
        """OpenBoot's variables: names and values of those that are set."""
        firmware = self._machine.firmware if self._machine else None
        return firmware.variables.save() if firmware else dict(self.spec.variables)

    def set_variables(self, changes: dict[str, str | None]) -> None:
        """Set variables, or with None take them back: all, or none. Raises ArgumentError."""
        firmware = self._machine.firmware if self._machine else None
        stored = firmware.variables if firmware else Variables.lenient(dict(self.spec.variables))
        try:
            trial = Variables.lenient(stored.save())
            for name, value in changes.items():
                trial.outside(name, value)
        except VariableError as error:
            raise ArgumentError(str(error)) from None
        for name, value in changes.items():
            stored.outside(name, value)
        kept = trial.save()
        self.spec = merged_variables(self.spec, {name: kept.get(name) for name in changes})

    def _variable_set(self, name: str, value: str | None) -> None:
        """Firmware or guest has set a variable."""
        self.spec = merged_variables(self.spec, {name: value})
        self.requests.said.say("guest.variable", name, name=name, value=value)


def _without_links(spec: GuestSpec) -> GuestSpec:
    """Links come and go with other guests, also while this one is on its way."""
    return spec.but(generation=None, nets=tuple(replace(net, peers=()) for net in spec.nets))


def check_same(old: GuestSpec, new: GuestSpec) -> None:
    """A specification for a guest that is there: the number decides. Raises SpecError for another UUID."""
    if old.uuid != new.uuid:
        raise SpecError(f"spec.uuid: guest {old.id} is {old.uuid}; destroy it first")


__all__ = ["DEFINED", "HALTED", "RUNNING", "SUSPENDED", "ClosedError", "Guest", "check_same"]
