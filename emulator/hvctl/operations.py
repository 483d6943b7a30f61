"""The operations of hvctl: arguments checked, then something done on the server. protocol.md describes each.

A handler gets the server, the client's `Session` and the arguments, and returns the result, a Future of it, or an
`Answer` with descriptors. What it raises is an error of the peer's, by the `code` of the exception.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from emulator.descriptors import DescriptorsError, exhausted
from emulator.errors import EmulatorError
from emulator.fields import Fields
from emulator.hvctl.debugging import DEBUGGING
from emulator.hvctl.fault_operations import FAULT_OPERATIONS
from emulator.hvctl.memory_operations import MEMORY_OPERATIONS
from emulator.hvctl.trace_operations import TRACE_OPERATIONS
from emulator.hvctl.wire import close_all
from emulator.netdev import parse_outlet
from emulator.server.errors import ArgumentError, GuestStateError
from emulator.server.events import Event
from emulator.server.guest import Guest
from emulator.server.requests import MAX_DELAY_MS
from emulator.server.server import Server
from emulator.server.spec import GuestSpec, parse_spec
from emulator.server.stateimage import MAX_BYTES as MAX_STATE_BYTES
from emulator.server.stateimage import sealed_memory
from emulator.server.switches import parse_switch

VERSION = (1, 2)
MAX_ID = 255
MAX_SEQ = (1 << 63) - 1
MAX_VARIABLES = 256
MAX_ADVANCE_NS = 3600 * 10**9
LEAST_LIMIT = 16
"""Pages a second: with less a guest would seem dead."""


class VersionError(EmulatorError):
    """The client speaks another major version."""

    code = "version"


class HelloError(EmulatorError):
    """A request before hello."""

    code = "hello"


class UnknownOperationError(EmulatorError):
    """No such operation."""

    code = "op"


@dataclass
class Answer:
    """A result, and descriptors to send with it; those are closed once they are sent."""

    result: dict[str, Any]
    fds: list[int] = field(default_factory=list)


class Session(Protocol):
    """What an operation needs to know of the client."""

    greeted: bool
    debugging: set[int]
    """Guests that this client may have a debugger at, which go when it ends."""

    def open_console(self, guest: Guest, *, replay: bool) -> socket.socket:
        """A console; the client's end of it."""

    def subscribe(self, since: int | None) -> tuple[int, bool]:
        """Send events from now on: `Events.subscribe`."""

    def unsubscribe(self) -> None:
        """Send no more events."""


@dataclass(frozen=True)
class Station:
    """Who the machine process is, for hello. `platform_file`: the file of a server that is not of the catalogue."""

    pid: int
    platform_file: str | None = None


def leave(server: Server, session: Session) -> None:
    """A client has ended: guests it debugs run on."""
    for number in session.debugging:
        with contextlib.suppress(EmulatorError):
            server.ask(number, lambda guest: guest.debug_detach(session))


Result = dict[str, Any] | list[dict[str, Any]] | Answer | Future[Any]


@dataclass(frozen=True)
class Call:
    """One request."""

    server: Server
    session: Session
    station: Station
    args: Fields
    fds: list[int] = field(default_factory=list)
    """Descriptors that came with it; closed when it is done, but those that were taken."""

    def take_fds(self) -> list[int]:
        """The descriptors, the handler's from now on."""
        mine = list(self.fds)
        self.fds.clear()
        return mine

    def guest(self) -> int:
        """The argument `guest`."""
        return self.args.number("guest", 0, MAX_ID)

    def ask(self, action: Callable[[Guest], Any], *, ending: bool = False) -> Future[Any]:
        """Have something done by the guest of the arguments, which end here (`Guest.post`)."""
        number = self.guest()
        self.args.end()
        return self.server.ask(number, action, ending=ending)


def perform(server: Server, session: Session, station: Station, message: dict[str, object],
            fds: Sequence[int] = ()) -> Result:  # fmt: skip
    """What a request asks for. Its descriptors are this function's. Raises EmulatorError."""
    mine = list(fds)
    try:
        return _perform(server, session, station, message, mine)
    finally:
        close_all(mine)


def _perform(server: Server, session: Session, station: Station, message: dict[str, object],
             fds: list[int]) -> Result:  # fmt: skip
    op, args = message.get("op"), message.get("args", {})
    if not isinstance(op, str):
        raise ArgumentError("op: the name of an operation is wanted")
    handler = OPERATIONS.get(op)
    if handler is None:
        raise UnknownOperationError(f"unknown operation {op[:80]!r}")
    if not session.greeted and op != "hello":
        raise HelloError("the first request is hello")
    return handler(Call(server, session, station, Fields(args, "", ArgumentError), fds))


def _hello(call: Call) -> Result:
    version = call.args.items("version", most=2)
    call.args.text("client", "", most=256)
    call.args.end()
    if len(version) != 2 or not all(isinstance(part, int) and not isinstance(part, bool) for part in version):
        raise ArgumentError("version: [major, minor] is wanted")
    if version[0] != VERSION[0]:
        raise VersionError(f"this machine speaks hvctl {VERSION[0]}.{VERSION[1]}, not {version[0]}.{version[1]}")
    call.session.greeted = True
    server = call.server
    return {
        "version": list(VERSION), "machine": server.name, "boot": server.boot, "platform": server.platform.name,
        "platform_toml": call.station.platform_file, "memory": server.memory_bytes, "pid": call.station.pid,
    }  # fmt: skip


def _info(call: Call) -> Result:
    call.args.end()
    return call.server.info() | {"pid": call.station.pid}


def _power_off(call: Call) -> Result:
    call.args.end()
    call.server.power_off()
    return {}


def _advance(call: Call) -> Result:
    ns = call.args.number("ns", 0, MAX_ADVANCE_NS)
    call.args.end()
    return call.server.advance_later(ns)


def _clock(call: Call) -> Result:
    run = call.args.flag("run")
    call.args.end()
    call.server.run_clock(run)
    return {}


def _configure_services(call: Call) -> Result:
    switches = call.args.each("switches", parse_switch, [])
    call.args.raw("services", None)  # of other kinds nothing is to be done here
    call.args.end()
    call.server.configure_switches(switches)
    return {}


def _list_services(call: Call) -> Result:
    call.args.end()
    return {"switches": call.server.switches.report()}


def _list_networks(call: Call) -> Result:
    call.args.end()
    return {"devices": call.server.networks.report()}


def _plug_network(call: Call) -> Result:
    device, outlet = call.args.text("device", most=64), call.args.text("outlet", most=256)
    call.args.end()
    call.server.networks.plug(device, parse_outlet(outlet))
    return {}


def _record_network(call: Call) -> Result:
    net, path = call.args.text("net", most=256), call.args.optional_text("path")

    def act(guest: Guest) -> dict[str, Any]:
        guest.record(net, path)
        return {}

    return call.ask(act)


def _subscribe(call: Call) -> Result:
    since = call.args.optional("since", 0, MAX_SEQ)
    call.args.end()
    seq, lost = call.session.subscribe(since)
    return {"seq": seq, "lost": lost}


def _unsubscribe(call: Call) -> Result:
    call.args.end()
    call.session.unsubscribe()
    return {}


# -- guests


def _configure(call: Call) -> Result:
    spec: GuestSpec = parse_spec(call.args.raw("spec"))
    call.args.end()
    return call.server.configure(spec)


def _list(call: Call) -> Result:
    call.args.end()
    return [guest.status() for guest in call.server.guests]


def _status(call: Call) -> Result:
    return call.ask(lambda guest: guest.status())


def _spec(call: Call) -> Result:
    return call.ask(lambda guest: guest.spec.plain())


def _nothing(action: Callable[[Guest], object]) -> Callable[[Call], Result]:
    """An operation that is a method of the guest and gives nothing."""

    def handler(call: Call) -> Result:
        def act(guest: Guest) -> dict[str, Any]:
            action(guest)
            return {}

        return call.ask(act)

    return handler


def _destroy(call: Call) -> Result:
    number = call.guest()
    call.args.end()
    return _then_nothing(call.server.destroy(number))


def _then_nothing(future: Future[None]) -> Future[dict[str, Any]]:
    after: Future[dict[str, Any]] = Future()

    def done(before: Future[None]) -> None:
        error = before.exception()
        after.set_exception(error) if error else after.set_result({})

    future.add_done_callback(done)
    return after


def _shutdown(call: Call) -> Result:
    delay = call.args.number("delay_ms", 0, MAX_DELAY_MS, 0)
    reboot = call.args.flag("reboot", False)
    return call.ask(lambda guest: guest.requests.shutdown(delay, reboot=reboot))


def _panic(call: Call) -> Result:
    return call.ask(lambda guest: guest.requests.panic())


def _md_update(call: Call) -> Result:
    return call.ask(lambda guest: guest.requests.md_update())


def _dr_cpu(call: Call) -> Result:
    action, cpus = call.args.text("action"), call.args.numbers("cpus", 0, 0xFFFE)
    return call.ask(lambda guest: guest.requests.cpu(action, cpus))


def _dr_mem(call: Call) -> Result:
    action, blocks = call.args.text("action"), call.args.tuples("blocks", 2)
    return call.ask(lambda guest: guest.requests.memory(action, [(block[0], block[1]) for block in blocks]))


def _dr_crypto(call: Call) -> Result:
    kind, action = call.args.text("kind"), call.args.text("action")
    cpus = call.args.numbers("cpus", 0, 0xFFFE)
    return call.ask(lambda guest: guest.requests.crypto(kind, action, cpus))


def _dr_vio(call: Call) -> Result:
    action, kind = call.args.text("action"), call.args.text("kind", most=64)
    number = call.args.number("number", 0, (1 << 64) - 1)
    return call.ask(lambda guest: guest.requests.vio(action, kind, number))


def _system_info(call: Call) -> Result:
    names = call.args.texts("names")
    return call.ask(lambda guest: guest.requests.system_info(names))


def _variables(call: Call) -> Result:
    return call.ask(lambda guest: guest.variables())


def _set_variables(call: Call) -> Result:
    changes: dict[str, str | None] = dict(call.args.pairs("set", {}, most=8192))
    removed: Sequence[str] = call.args.texts("remove", [])
    if len(changes) + len(removed) > MAX_VARIABLES or changes.keys() & set(removed):
        raise ArgumentError(f"set, remove: at most {MAX_VARIABLES} variables, each in one of both")
    changes |= dict.fromkeys(removed)

    def act(guest: Guest) -> dict[str, Any]:
        guest.set_variables(changes)
        return {}

    return call.ask(act)


def _digest(call: Call) -> Result:
    return call.ask(lambda guest: guest.digest())


def _descriptors(call: Call) -> Result:
    def act(guest: Guest) -> Answer:
        result, fds = guest.descriptors()
        return Answer(result, fds)

    return call.ask(act)


# -- a guest that moves (since 1.1)


def _stop(call: Call) -> Result:
    taken = call.args.flag("taken", False)

    def act(guest: Guest) -> dict[str, Any]:
        guest.stop(taken=taken)
        return {}

    return call.ask(act, ending=not taken)


def _suspend(call: Call) -> Result:
    """Not of a guest to which pages are missing: its turn may wait for one for as long as nobody brings it."""
    number = call.guest()
    call.args.end()
    missing = call.server.guest(number).missing_pages
    if missing:
        raise GuestStateError(f"{missing} pages of the guest's memory have not come yet; it can be stopped")

    def act(guest: Guest) -> dict[str, Any]:
        guest.suspend()
        return {}

    return call.server.ask(number, act)


def _suspend_request(call: Call) -> Result:
    def act(guest: Guest) -> dict[str, Any]:
        guest.undebugged("it can be suspended")
        return guest.requests.suspend()

    return call.ask(act)


def _save_state(call: Call) -> Result:
    def act(guest: Guest) -> Answer:
        image = guest.save_state()
        return Answer({"bytes": len(image), "sha256": hashlib.sha256(image).digest()}, [sealed_memory(image)])

    return call.ask(act)


def _receive(call: Call) -> Result:
    spec = parse_spec(call.args.raw("spec"))
    call.args.end()
    return _then_nothing(call.server.receive(spec))


def _state_buffer(call: Call) -> Result:
    size = call.args.number("bytes", 1, MAX_STATE_BYTES)
    return call.ask(lambda guest: Answer({}, [guest.state_buffer(size)]))


def _load_state(call: Call) -> Result:
    sha256 = call.args.raw("sha256")
    if not isinstance(sha256, bytes) or len(sha256) != hashlib.sha256().digest_size:
        raise ArgumentError("sha256: 32 bytes are wanted")

    def act(guest: Guest) -> dict[str, Any]:
        guest.load_state(sha256)
        return {}

    return call.ask(act)


def _barrier(call: Call) -> Result:
    guest = call.server.guest(call.guest())
    call.args.end()
    return _then_nothing(call.server.aside(guest.barrier))


def _limit(call: Call) -> Result:
    guest = call.server.guest(call.guest())
    pages = call.args.optional("pages_per_second", LEAST_LIMIT, MAX_SEQ)
    call.args.end()
    return _then_nothing(call.server.aside(lambda: guest.limit_dirty(pages)))


# -- consoles


def _open_console(call: Call) -> Result:
    number, replay = call.guest(), call.args.flag("replay", False)
    call.args.end()
    with call.session.open_console(call.server.guest(number), replay=replay) as end:
        return Answer({}, [end.detach()])


OPERATIONS: dict[str, Callable[[Call], Result]] = {
    "hello": _hello,
    "machine.info": _info,
    "machine.power_off": _power_off,
    "machine.advance": _advance,
    "machine.clock": _clock,
    "service.configure": _configure_services,
    "service.list": _list_services,
    "network.list": _list_networks,
    "network.plug": _plug_network,
    "network.record": _record_network,
    "events.subscribe": _subscribe,
    "events.unsubscribe": _unsubscribe,
    "guest.configure": _configure,
    "guest.list": _list,
    "guest.status": _status,
    "guest.spec": _spec,
    "guest.start": _nothing(lambda guest: guest.start()),
    "guest.stop": _stop,
    "guest.reset": _nothing(lambda guest: guest.reset()),
    "guest.suspend": _suspend,
    "guest.resume": _nothing(lambda guest: guest.resume()),
    "guest.destroy": _destroy,
    "guest.shutdown": _shutdown,
    "guest.panic": _panic,
    "guest.md_update": _md_update,
    "guest.dr_cpu": _dr_cpu,
    "guest.dr_mem": _dr_mem,
    "guest.dr_crypto": _dr_crypto,
    "guest.dr_vio": _dr_vio,
    "guest.system_info": _system_info,
    "guest.variables": _variables,
    "guest.set_variables": _set_variables,
    "guest.digest": _digest,
    "guest.suspend_request": _suspend_request,
    "guest.save_state": _save_state,
    "guest.release_disks": _nothing(lambda guest: guest.release_disks()),
    "guest.receive": _receive,
    "guest.state_buffer": _state_buffer,
    "guest.load_state": _load_state,
    "memory.descriptors": _descriptors,
    "memory.barrier": _barrier,
    "memory.limit": _limit,
    **FAULT_OPERATIONS,
    **TRACE_OPERATIONS,
    **MEMORY_OPERATIONS,
    "console.open": _open_console,
    "console.break": _nothing(lambda guest: guest.send_break()),
    **DEBUGGING,
}


def error_answer(error: BaseException) -> dict[str, str]:
    """The error of an answer: code and text, never a trace."""
    if exhausted(error):
        error = DescriptorsError()
    if not isinstance(error, EmulatorError):
        return {"code": "internal", "text": "a defect of the machine process; its log has the trace"}
    code = error.code
    # exceptions of deeper layers have codes of their own below these
    for prefix in ("config", "image", "boot", "channel", "strand", "address", "unit"):
        if code == prefix or code.startswith(f"{prefix}."):
            code = "config"
    return {"code": code, "text": str(error)}


__all__ = ["OPERATIONS", "VERSION", "Answer", "Event", "Result", "Session", "Station", "error_answer", "leave",
           "perform"]  # fmt: skip
