"""Domain services as the manager speaks them: requests to a guest, and the variables a guest stores.

The link is started from this side as soon as the guest has configured its queue; the guest then says hello and
registers its services. A request is a method of `DomainServices`; it returns a `Reply` that is filled in while the
guest runs.

::

    message  type (4), bytes behind these 8 (4), payload
    data     handle of the service (8), payload of the service

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter on domain services; Linux 6.1, arch/sparc/kernel/ds.c.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from emulator.devices.device import ChannelDevice
from emulator.devices.ldc_link import Link, Mode
from emulator.devices.state import Fields, Json
from emulator.errors import EmulatorError, StateError

VERSION = (1, 0)
MAX_SERVICES = 256
MAX_PENDING = 1024
MAX_VARIABLES = 1024
MAX_NAME, MAX_VALUE = 256, 2048
_HEADER = struct.Struct(">II")
_M64 = (1 << 64) - 1


class Kind(enum.IntEnum):
    """Types of messages."""

    INIT_REQ = 0
    INIT_ACK = 1
    INIT_NACK = 2
    REG_REQ = 3
    REG_ACK = 4
    REG_NACK = 5
    UNREG = 6
    UNREG_ACK = 7
    UNREG_NACK = 8
    DATA = 9
    NACK = 10


class RegisterResult(enum.IntEnum):
    """Why a service is refused."""

    VERSION = 1
    DUPLICATE = 2
    HANDLE = 3
    UNKNOWN = 4


class ServiceError(EmulatorError):
    """The guest has not registered the service that a request needs."""

    code = "ds.service"


class CpuAction(enum.IntEnum):
    """What dr-cpu and the dr-crypto services are asked for; the numbers are the letters C, U, F, S."""

    CONFIGURE = 0x43
    UNCONFIGURE = 0x55
    FORCE = 0x46
    STATUS = 0x53


@dataclass(frozen=True)
class UnitResult:
    """What became of one CPU or crypto unit.

    `result` 0: done, 1: failed, 2: blocked, 3: the CPU does not respond, 4: it is not in the machine description;
    `status` 0: not present, 1: not configured, 2: configured.
    """

    unit: int
    result: int
    status: int
    text: str = ""

    @property
    def ok(self) -> bool:
        """Did it work?"""
        return self.result == 0


@dataclass
class Reply:
    """The answer to a request, once the guest has given it (`done`)."""

    service: str
    number: int
    done: bool = False
    result: int | None = None
    """0: all is well; None: the session ended before an answer came."""
    reason: str = ""
    units: tuple[UnitResult, ...] = field(default=())
    phases: tuple[int, ...] = field(default=())
    """Of domain-suspend: all results so far, in their order."""

    @property
    def ok(self) -> bool:
        """Did the guest do what was asked for?"""
        return self.done and self.result == 0 and all(unit.ok for unit in self.units)


class SuspendResult(enum.IntEnum):
    """Results of domain-suspend."""

    PRE_SUCCESS = 0
    PRE_FAILURE = 1
    INVALID = 2
    IN_PROGRESS = 3
    FAILURE = 4
    POST_SUCCESS = 5
    POST_FAILURE = 6


class VariableResult(enum.IntEnum):
    """Answers to a guest that sets or deletes a variable."""

    OK = 0
    NO_SPACE = 1
    BAD_NAME = 2
    BAD_VALUE = 3
    ABSENT = 4


_SET, _DELETE = 0, 1
_VARIABLES = ("var-config", "var-config-backup")
_UNIT_SERVICES = ("dr-cpu", "dr-crypto-mau", "dr-crypto-cwq")
SERVICES = ("md-update", "domain-shutdown", "domain-panic", "domain-suspend", *_UNIT_SERVICES, *_VARIABLES)
"""What a guest may register; others are refused as unknown."""
_OK_RESPONSE = 0x6F
_UNIT_RECORD = struct.Struct(">IIII")


class VariableStore(Protocol):
    """Where a firmware keeps its configuration variables (`emulator.firmware.variables`)."""

    def save(self) -> dict[str, str]:
        """Values that are set."""

    def outside(self, name: str, value: str | None) -> None:
        """Set a variable, or with None take it back. Raises EmulatorError."""


class DomainServices(ChannelDevice):
    """The manager's end of a guest's domain services.

    Variables that the guest sets go to `store` where there is one (OpenBoot's, from `Machine.power_on` on), and else
    to the dictionary `own_variables`. `on_variable` is called after each change, with None for a variable that is gone;
    `on_register` when a service has come.
    """

    def __init__(
        self,
        name: str,
        number: int,
        *,
        variables: dict[str, str] | None = None,
        on_variable: Callable[[str, str | None], None] | None = None,
        on_register: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(name, number, Link(Mode.STREAM, initiator=True))
        self.own_variables = {} if variables is None else variables
        self.store: VariableStore | None = None
        self.on_variable = on_variable
        self.on_register = on_register
        self.on_services: Callable[[], None] | None = None
        """Called when services have come or gone."""
        self.on_reply: Callable[[Reply], None] | None = None
        """Called when a request is answered, or will never be."""
        self._ready = False  # the guest has said hello
        self._services: dict[str, int] = {}  # name -> handle of the guest
        self._waiting: dict[int, Reply] = {}
        self._number = 0

    @property
    def variables(self) -> dict[str, str]:
        """The variables that are set."""
        return self.own_variables if self.store is None else self.store.save()

    # -- requests

    @property
    def services(self) -> tuple[str, ...]:
        """Services the guest has registered."""
        return tuple(self._services)

    def md_update(self) -> Reply:
        """Tell the guest that its machine description has changed."""
        return self._request("md-update")

    def shutdown(self, delay_ms: int = 0) -> Reply:
        """Ask the guest to shut down."""
        return self._request("domain-shutdown", struct.pack(">I", delay_ms & 0xFFFF_FFFF))

    def panic(self) -> Reply:
        """Ask the guest to panic, for a dump."""
        return self._request("domain-panic")

    def suspend(self) -> Reply:
        """Ask the guest to suspend: `done` when it says that it will, or will not; more `phases` may follow."""
        return self._request("domain-suspend", bytes(8))

    def cpu(self, action: CpuAction, cpus: Sequence[int]) -> Reply:
        """Ask the guest to take up CPUs, or to let go of them, or how they stand."""
        return self._request("dr-cpu", struct.pack(f">II{len(cpus)}I", action, len(cpus), *cpus))

    def crypto(self, kind: str, action: CpuAction, cpus: Sequence[int]) -> Reply:
        """As `cpu`, for the crypto units (`kind` mau or cwq) of the cores of CPUs; they are not counted."""
        return self._request(f"dr-crypto-{kind}", struct.pack(f">I{len(cpus)}I", action, *cpus))

    def _request(self, service: str, body: bytes = b"") -> Reply:
        handle = self._services.get(service)
        if handle is None:
            raise ServiceError(f"the guest has no service {service}")
        if len(self._waiting) >= MAX_PENDING:
            raise ServiceError(f"{MAX_PENDING} requests wait for answers of the guest")
        self._number += 1
        reply = self._waiting[self._number] = Reply(service, self._number)
        self._send(Kind.DATA, struct.pack(">QQ", handle, self._number) + body)
        self.flush()
        return reply

    # -- the session

    def _send(self, kind: Kind, payload: bytes) -> None:
        self.link.send(_HEADER.pack(kind, len(payload)) + payload)

    def link_lost(self, why: str) -> None:
        """Services are gone, and answers will not come, but for a guest that suspends: it tells the next session."""
        self._ready = False
        gone = bool(self._services)
        self._services.clear()
        kept = {}
        for number, reply in self._waiting.items():
            if reply.service == "domain-suspend" and reply.phases:
                kept[number] = reply
            else:
                self._done(reply, why)
        self._waiting = kept
        if gone and self.on_services:
            self.on_services()

    def _done(self, reply: Reply, why: str | None = None) -> None:
        reply.done = True
        reply.reason = reply.reason if why is None else why
        if self.on_reply:
            self.on_reply(reply)

    def message(self, data: bytes) -> None:
        """A message of the guest. One that is malformed ends the session."""
        kind, length = _HEADER.unpack_from(data) if len(data) >= _HEADER.size else (None, 0)
        payload = data[_HEADER.size :]
        if kind is None or length > len(payload):
            self.drop_link("a message of domain services that is too short")
            return
        payload = payload[:length]
        handlers: dict[int, Callable[[bytes], None]] = {
            Kind.INIT_REQ: self._hello, Kind.REG_REQ: self._register, Kind.UNREG: self._unregister,
            Kind.DATA: self._data, Kind.NACK: self._refused,
        }  # fmt: skip
        handler = handlers.get(kind)
        if handler is None or (not self._ready and kind != Kind.INIT_REQ):
            return
        try:
            handler(payload)
        except struct.error:
            self.drop_link("a message of domain services that is too short")

    def _hello(self, payload: bytes) -> None:
        major, minor = struct.unpack_from(">HH", payload)
        if major != VERSION[0]:
            self._send(Kind.INIT_NACK, struct.pack(">H2x", VERSION[0] if major > VERSION[0] else 0))
            return
        self._ready = True
        self._send(Kind.INIT_ACK, struct.pack(">H2x", min(minor, VERSION[1])))

    def _register(self, payload: bytes) -> None:
        handle, major, _ = struct.unpack_from(">QHH", payload)
        # Linux puts the name four bytes further on, behind padding, and without a NUL.
        name = payload[12:].lstrip(b"\0").split(b"\0")[0].decode("ascii", "replace")
        why = None
        if name not in SERVICES:
            why = RegisterResult.UNKNOWN
        elif major != VERSION[0]:
            why = RegisterResult.VERSION
        elif name in self._services or handle in self._services.values():
            why = RegisterResult.DUPLICATE
        if why is not None:
            major = VERSION[0] if why is RegisterResult.VERSION else 0
            self._send(Kind.REG_NACK, struct.pack(">QQH6x", handle, why, major))
            return
        self._services[name] = handle
        self._send(Kind.REG_ACK, struct.pack(">QH6x", handle, VERSION[1]))
        if self.on_register:
            self.on_register(name)
        if self.on_services:
            self.on_services()

    def _unregister(self, payload: bytes) -> None:
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        if name is not None:
            del self._services[name]
            if self.on_services:
                self.on_services()
        self._send(Kind.UNREG_NACK if name is None else Kind.UNREG_ACK, struct.pack(">Q", handle))

    def _name_of(self, handle: int) -> str | None:
        return next((name for name, known in self._services.items() if known == handle), None)

    def _data(self, payload: bytes) -> None:
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        if name is None:
            self._send(Kind.NACK, struct.pack(">QQ", handle, RegisterResult.HANDLE))
        elif name in _VARIABLES:
            self._variable(handle, payload[8:])
        else:
            self._answered(name, payload[8:])

    def _refused(self, payload: bytes) -> None:
        """The guest knows nothing of a handle: what was asked of that service gets no answer."""
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        for number, reply in list(self._waiting.items()):
            if reply.service == name:
                del self._waiting[number]
                self._done(reply, "the guest does not know the service")

    # -- answers

    def _answered(self, name: str, body: bytes) -> None:
        number, result = struct.unpack_from(">QI", body)
        reply = self._waiting.get(number)
        if reply is None or reply.service != name:
            return
        if name in _UNIT_SERVICES:
            reply.result = 0 if result == _OK_RESPONSE else 1
            reply.units, reply.reason = _unit_results(name, body)
        elif name == "domain-suspend":
            reply.result = result
            reply.phases = (*reply.phases, result)[-16:]
            reply.reason = _text(body[16:])
        else:
            reply.result = result
            reply.reason = _text(body[12:])
        if name != "domain-suspend" or result not in (SuspendResult.PRE_SUCCESS, SuspendResult.IN_PROGRESS):
            del self._waiting[number]
        self._done(reply)

    def _variable(self, handle: int, body: bytes) -> None:
        (command,) = struct.unpack_from(">I", body)
        words = body[4:].split(b"\0")
        name = words[0].decode("latin-1")
        if command not in (_SET, _DELETE):
            return
        if command == _SET:
            result = self._set_variable(name, words[1].decode("latin-1") if len(words) > 2 else None)
        elif name not in self.variables:
            result = VariableResult.ABSENT
        else:
            self._keep(name, None)
            result = VariableResult.OK
        self._send(Kind.DATA, struct.pack(">QII", handle, command + 2, result))
        if result is VariableResult.OK and self.on_variable:
            self.on_variable(name, self.variables.get(name))

    def _set_variable(self, name: str, value: str | None) -> VariableResult:
        if not name or len(name) > MAX_NAME or not name.isprintable() or " " in name:
            return VariableResult.BAD_NAME
        if value is None or len(value) > MAX_VALUE:
            return VariableResult.BAD_VALUE
        if name not in self.variables and len(self.variables) >= MAX_VARIABLES:
            return VariableResult.NO_SPACE
        return VariableResult.OK if self._keep(name, value) else VariableResult.BAD_VALUE

    def _keep(self, name: str, value: str | None) -> bool:
        """Set a variable, or with None take it back. False: the store refuses it."""
        if self.store is not None:
            try:
                self.store.outside(name, value)
            except EmulatorError:
                return False
        elif value is None:
            self.own_variables.pop(name, None)
        else:
            self.own_variables[name] = value
        return True

    # -- state

    def save_session(self) -> dict[str, Json]:
        """Services and outstanding requests by number, and the variables."""
        services: dict[str, Json] = dict(self._services)
        variables: dict[str, Json] = dict(self.own_variables)
        return {
            "ready": self._ready, "services": services, "number": self._number, "variables": variables,
            "pending": {str(number): reply.service for number, reply in self._waiting.items()},
            "suspending": [number for number, reply in self._waiting.items() if reply.phases],
        }  # fmt: skip

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave; replies of before are not those of the saved requests."""
        self.link_lost("another state was loaded")
        self._waiting.clear()
        self._ready = fields.flag("ready")
        known = fields.fields("services")
        self._services = {name: known.number(name, _M64) for name in SERVICES if name in known}
        self._number = fields.number("number", _M64)
        pending = fields.texts("pending", count=MAX_PENDING)
        if not all(number.isdecimal() and len(number) <= 20 for number in pending):
            raise StateError("the state of a device is damaged: pending")
        suspending = fields.numbers("suspending", _M64, count=MAX_PENDING) if "suspending" in fields else ()
        self._waiting = {int(number): Reply(service, int(number)) for number, service in pending.items()}
        for number in suspending:
            reply = self._waiting.get(number)
            if reply is not None and reply.service == "domain-suspend":
                reply.done, reply.result, reply.phases = True, 0, (SuspendResult.PRE_SUCCESS,)
        stored = fields.texts("variables", count=MAX_VARIABLES)
        self.own_variables.clear()
        self.own_variables.update(stored)

    def pending(self) -> tuple[Reply, ...]:
        """Replies that have not come, or of which more may come."""
        return tuple(self._waiting.values())


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "replace")


def _unit_results(name: str, body: bytes) -> tuple[tuple[UnitResult, ...], str]:
    """Records of a response, and its text. dr-cpu counts them and gives each an offset of a text."""
    if name != "dr-cpu":
        records = (body[12:][at : at + 12] for at in range(0, len(body) - 23, 12))
        return tuple(UnitResult(*struct.unpack(">III", record)) for record in records), ""
    _, kind, count = struct.unpack_from(">QII", body)
    if kind != _OK_RESPONSE:
        return (), _text(body[16:])
    found = []
    for n in range(min(count, (len(body) - 16) // _UNIT_RECORD.size)):
        unit, result, status, offset = _UNIT_RECORD.unpack_from(body, 16 + n * _UNIT_RECORD.size)
        found.append(UnitResult(unit, result, status, _text(body[offset:]) if 0 < offset < len(body) else ""))
    return tuple(found), ""
