"""A debugger at a program of `sun4v run`: a guest without a server, debugged in the turns of its own run loop.

::

    thread gdb                                   the run loop (emulator.runner)
    RemoteDebuggee ── Bench.call ── queue ─────► act: guest.debug.* of emulator.server.guest_debug
                   ◄── Future, events ──────────  meets: what the end of a run means

The requests are those of hvctl (emulator/hvctl/protocol.md), and so are their answers; nothing goes over a socket.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from emulator.errors import EmulatorError
from emulator.gdb.doors import Address, Door
from emulator.gdb.listen import listen
from emulator.gdb.remote import LEAST_VERSION, RemoteDebuggee
from emulator.guest import Stop
from emulator.hvctl.client import CALL_SECONDS, HvctlError
from emulator.machine import Machine
from emulator.server.debugger import Task
from emulator.server.errors import GuestStateError
from emulator.server.guest_debug import RUNNING, GuestDebug
from emulator.server.spec import Block, GuestSpec

NUMBER = 1
"""Of the guest, the only one."""
LEAVE_SECONDS = 5.0
"""So long the client may take to hear that the program has ended."""
ENDED = "the program has ended"


class Standalone(GuestDebug):
    """The machine of a run as a guest that can be debugged."""

    def __init__(self, machine: Machine, name: str, emit: Callable[..., None]) -> None:
        self._machine = machine
        self.state = RUNNING
        self.spec = GuestSpec(
            id=NUMBER, name=name, uuid=str(uuid5(NAMESPACE_URL, f"sun4v:run:{name}")), mac=0,
            vcpus=tuple((each.number, each.number) for each in machine.strands), max_vcpus=len(machine.strands),
            memory=tuple(Block(*block) for block in machine.blocks))  # fmt: skip
        self._emit = emit

    def powered(self) -> Machine:
        """Its machine."""
        return self._machine

    def status(self) -> dict[str, Any]:
        """What `monitor info` wants of guest.status."""
        return {
            "guest": NUMBER, "uuid": self.spec.uuid, "state": self.state, "memory_bytes": self.spec.memory_bytes,
            "soft_state": {"text": self._machine.soft_state.text}, "vcpus": list(self.spec.vcpus),
        }  # fmt: skip

    def reset(self) -> None:
        """Boot again. Raises GuestStateError where there is no firmware to do it."""
        if self._machine.firmware is None:
            raise GuestStateError("there is no firmware that would boot it again")
        self._debug_reset()
        self._machine.reset()

    def over(self, why: str, code: int) -> None:
        """It will not run any more."""
        self._debug_over(why, code)


def _operations(guest: Standalone, owner: object) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
    """`guest.debug.*` and what `monitor` needs besides, for one owner."""

    def standing(act: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
        def checked(args: Mapping[str, Any]) -> Any:
            guest.attached(owner)
            return act(args)

        return checked

    def point(args: Mapping[str, Any]) -> None:
        guest.attached(owner).set_breakpoint(args["va"], args["on"])

    def watch(args: Mapping[str, Any]) -> None:
        guest.attached(owner).set_watch(args["va"], args["bytes"], args["kind"], args["on"])

    return {
        "events.subscribe": lambda _: {}, "events.unsubscribe": lambda _: {},
        "guest.status": lambda _: guest.status(), "guest.reset": lambda _: guest.reset(),
        "console.break": lambda _: guest.powered().console.break_(),
        "guest.debug.attach": lambda _: guest.debug_attach(owner),
        "guest.debug.detach": lambda _: guest.debug_detach(owner),
        "guest.debug.stop": lambda _: guest.attached(owner, standing=False).stop(),
        "guest.debug.resume": lambda args: guest.debug_resume(owner, Task(args["run"], args["step"], args["only"])),
        "guest.debug.info": standing(lambda _: guest.debug_info()),
        "guest.debug.strands": standing(lambda _: guest.debug_strands()),
        "guest.debug.registers": standing(lambda args: guest.debug_registers(args["strand"])),
        "guest.debug.set_registers": standing(
            lambda args: guest.debug_set_registers(args["strand"], args["values"], args.get("window"))),
        "guest.debug.read": standing(lambda args: guest.debug_read(args["strand"], args["va"], args["bytes"])),
        "guest.debug.write": standing(lambda args: guest.debug_write(args["strand"], args["va"], args["data"])),
        "guest.debug.translate": standing(lambda args: guest.debug_translate(args["strand"], args["va"])),
        "guest.debug.breakpoint": point, "guest.debug.watch": watch,
    }  # fmt: skip


class _Pipe:
    """Something that `select` sees."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._out

    def ring(self) -> None:
        try:
            os.write(self._in, b"!")
        except BlockingIOError:
            return  # it is readable as it is

    def hush(self) -> None:
        try:
            os.read(self._out, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)


class Bench:
    """`emulator.gdb.remote.Way` for the thread of GDB; `settle`, `advance`, `meets` are the run loop's."""

    hello: Mapping[str, Any] = {"version": list(LEAST_VERSION)}

    def __init__(self, machine: Machine, name: str, *, wait: bool = False) -> None:
        """`wait`: nothing runs before a debugger has come and let it go on."""
        self.guest = Standalone(machine, name, self._tell)
        self._operations = _operations(self.guest, self)
        self._queue: deque[tuple[str, Mapping[str, Any], Future[Any]]] = deque()
        self._events: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()
        self._asked, self._told = _Pipe(), _Pipe()
        self._waits, self._closed = wait, False

    # -- the thread of GDB

    def fileno(self) -> int:
        """Readable when something was told, or the program has ended."""
        return self._told.fileno()

    def call(self, op: str, /, **arguments: Any) -> Any:
        """A request, carried out by the run loop. Raises HvctlError."""
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise HvctlError("closed", ENDED)
            self._queue.append((op, arguments, future))
            self._asked.ring()
            if not self.guest.powered().deterministic:
                self.guest.powered().kick()
        try:
            result = future.result(CALL_SECONDS)
        except LateError:
            raise HvctlError("late", "the program's run loop does not answer") from None
        except HvctlError:
            raise
        except EmulatorError as error:
            raise HvctlError(error.code, str(error)) from None
        return {} if result is None else result

    def events(self, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """What was told; `seconds` of waiting are not needed here."""
        if not self._closed:
            self._told.hush()
        yield from self.pending()

    def pending(self) -> list[dict[str, Any]]:
        """The same."""
        found = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def close(self) -> None:
        """See `end`."""

    def _tell(self, kind: str, **fields: Any) -> None:
        self._events.append({"event": kind, "guest": NUMBER, **fields})
        self._told.ring()

    # -- the run loop

    @property
    def attached(self) -> bool:
        """Is a debugger there?"""
        return self.guest.debugger is not None

    @property
    def stands(self) -> bool:
        """Must nothing run?"""
        debugger = self.guest.debugger
        if debugger is not None:
            self._waits = False
            return debugger.standing or debugger.lost()
        return self._waits

    @property
    def rings(self) -> int:
        """A descriptor that is readable when a request waits."""
        return self._asked.fileno()

    def await_request(self) -> None:
        """Until one waits."""
        select.select([self.rings], [], [])

    def act(self) -> None:
        """Carry out what was asked for."""
        self._asked.hush()
        while self._queue:
            op, arguments, future = self._queue.popleft()
            try:
                future.set_result(self._operations[op](arguments))
            except (EmulatorError, ValueError, KeyError) as error:
                wrong = error if isinstance(error, EmulatorError) else HvctlError("args", f"{op}: {error}")
                future.set_exception(wrong)

    def advance(self) -> Stop | None:
        """The debugger's own way to run, until a stop; None: as ever."""
        return None if self.guest.debugger is None else self.guest.debugger.advance()

    def meets(self, stop: Stop) -> bool:
        """Is this the end of a run that the debugger waits for?"""
        return self.guest.debugger is not None and self.guest.debugger.meets(stop)

    def was_reset(self) -> None:
        """The program has asked to be booted again, and is."""
        self.guest._debug_reset()

    def end(self, why: str, code: int) -> None:
        """Nothing runs any more, and nothing is answered."""
        self.guest.over(why, code)
        with self._lock:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
        for _, _, future in left:
            future.set_exception(HvctlError("closed", ENDED))
        self._told.ring()

    def free(self) -> None:
        """The thread of GDB has ended."""
        self._asked.close()
        self._told.close()


class GdbServer:
    """`bench` for the run loop, and a thread that lets clients in at `address`. Raises ConfigError."""

    def __init__(
        self, machine: Machine, name: str, address: Address, *, wait: bool, say: Callable[[str], None]
    ) -> None:
        self.bench = Bench(machine, name, wait=wait)
        self._door = Door(address)
        self._say, self._closed = say, False
        self._thread = threading.Thread(target=self._serve, name="gdb", daemon=True)
        say(f"{name}: target remote {self._door.address}" + (", which lets it begin" if wait else ""))
        self._thread.start()

    def _serve(self) -> None:
        try:
            listen(self._door, RemoteDebuggee(self.bench, NUMBER, self.bench.guest.spec.name), self._say, once=False)
        except EmulatorError:
            return  # the program has ended

    def close(self, why: str, code: int) -> None:
        """The program has ended: a client is told. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        self.bench.end(why, code)
        self._thread.join(LEAVE_SECONDS)
        if not self._thread.is_alive():
            self.bench.free()
