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
from dataclasses import replace
from typing import Protocol

from emulator.devices.device import ChannelDevice
from emulator.devices.ds_reply import (
    Answer,
    BlockQuery,
    BlockResult,
    CpuAction,
    CpuResult,
    MemoryAction,
    MemoryResult,
    Reply,
    SuspendResult,
    UnitResult,
    UnitStatus,
    VioAction,
    VioResult,
    read_answer,
    reply_number,
)  # fmt: skip
from emulator.devices.ldc_link import Link, Mode
from emulator.devices.state import Fields, Json
from emulator.errors import EmulatorError, StateError

__all__ = [
    "SERVICES", "Answer", "BlockQuery", "BlockResult", "CpuAction", "CpuResult", "DomainServices", "MemoryAction",
    "MemoryResult", "Reply", "ServiceError", "SuspendResult", "UnitResult", "UnitStatus", "VariableResult",
    "VariableStore", "VioAction", "VioResult",
]  # fmt: skip
VERSION = (1, 0)
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


class VariableResult(enum.IntEnum):
    """Answers to a guest that sets or deletes a variable."""

    OK = 0
    NO_SPACE = 1
    BAD_NAME = 2
    BAD_VALUE = 3
    ABSENT = 4


_SET, _DELETE = 0, 1
_VARIABLES = ("var-config", "var-config-backup")
_KEYS = ("keystore", "keystore-backup")
_UNIT_SERVICES = ("dr-cpu", "dr-crypto-mau", "dr-crypto-cwq")
SERVICES = (
    "md-update", "domain-shutdown", "domain-panic", "domain-suspend", *_UNIT_SERVICES, "dr-mem", "dr-vio",
    "system-info", *_VARIABLES, *_KEYS,
)  # fmt: skip
"""What a guest may register. Others are refused as unknown: pri and pri-update, snmp, and what is between Solaris and
its own manager (agent-device, agent-system, fma-*)."""
MAX_UNITS = 200
"""CPUs or crypto units of one request: more do not find room in an answer, which is one message."""
MAX_BLOCKS = 60
"""Memory blocks of one request, for the same reason."""


class VariableStore(Protocol):
    """Where a firmware keeps its configuration variables (`emulator.firmware.variables`)."""

    def save(self) -> dict[str, str]:
        """Values that are set."""

    def outside(self, name: str, value: str | None) -> None:
        """Set a variable, or with None take it back. Raises EmulatorError."""


class DomainServices(ChannelDevice):
    """The manager's end of a guest's domain services.

    Variables that the guest sets go to `store` where there is one (OpenBoot's, from `Machine.power_on` on), and else
    to the dictionary `own_variables`; keys of its keystore to `keys`. Callbacks, all on the thread that runs
    the machine:

    * `on_variable` after each change by the guest, with None for a variable that is gone;
    * `on_register` when a service has come, `on_services` with all that there are after each change of them;
    * `on_reply` when an answer has come, or when it is sure that none will.

    `clock` gives seconds, of the host or of the guest, and is asked when a request is sent and by `expire`.
    """

    def __init__(
        self,
        name: str,
        number: int,
        *,
        variables: dict[str, str] | None = None,
        on_variable: Callable[[str, str | None], None] | None = None,
        on_register: Callable[[str], None] | None = None,
        on_services: Callable[[tuple[str, ...]], None] | None = None,
        on_reply: Callable[[Reply], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(name, number, Link(Mode.STREAM, initiator=True))
        self.own_variables = {} if variables is None else variables
        self.keys: dict[str, str] = {}
        self.store: VariableStore | None = None
        self.on_variable = on_variable
        self.on_register = on_register
        self.on_services = on_services
        self.on_reply = on_reply
        self.clock = clock or (lambda: 0.0)
        self._ready = False  # the guest has said hello
        self._services: dict[str, int] = {}  # name -> handle of the guest
        self._waiting: dict[int, Reply] = {}
        self._actions: dict[int, int] = {}  # of waiting dr-mem requests: the answers do not say
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

    @property
    def reads_descriptions(self) -> bool:
        """Will the guest take a new machine description at any time? Linux 6.1 crashes on its first md-update where no
        process keeps /dev/mdesc open (docs/internals/virtual-devices.md); what may be suspended is no Linux.
        """
        return {"md-update", "domain-suspend"} <= set(self._services)

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
        _check_count(len(cpus), MAX_UNITS, "CPUs")
        return self._request("dr-cpu", struct.pack(f">II{len(cpus)}I", action, len(cpus), *cpus))

    def crypto(self, kind: str, action: CpuAction, cpus: Sequence[int]) -> Reply:
        """As `cpu`, for the crypto units (`kind` mau or cwq) of the cores of CPUs; they are not counted."""
        _check_count(len(cpus), MAX_UNITS, "crypto units")
        return self._request(f"dr-crypto-{kind}", struct.pack(f">I{len(cpus)}I", action, *cpus))

    def memory(self, action: MemoryAction, blocks: Sequence[tuple[int, int]] = ()) -> Reply:
        """Ask the guest to take up blocks of memory (real address, bytes), to let go of them, which pages cannot go;
        without blocks, how far it has come (STATUS), or to stop (CANCEL)."""
        _check_count(len(blocks), MAX_BLOCKS, "memory blocks")
        records = b"".join(struct.pack(">QQ", *block) for block in blocks)
        self._number += 1
        reply = self._post("dr-mem", struct.pack(">IIQ", action, len(blocks), self._number) + records)
        self._actions[reply.number] = action
        self.flush()
        return reply

    def vio(self, action: VioAction, name: str, device: int) -> Reply:
        """Ask the guest to take up a virtual device, or to let go of it.

        `name` and `device` are those of its node in the machine description, such as disk, and its cfg-handle.
        """
        text = name.encode("ascii", "replace")[:64] + b"\0"
        return self._request("dr-vio", struct.pack(">QI", device, action) + text)

    def system_info(self, names: Sequence[str]) -> Reply:
        """Ask the guest for facts about itself, such as uts-release: `Reply.answer.values`."""
        text = b"".join(name.encode("ascii", "replace") + b"\0" for name in names)
        _check_count(len(text), 1024, "bytes of names")
        self._number += 1
        reply = self._post("system-info", struct.pack(">I", 0) + text)
        self.flush()
        return reply

    def _request(self, service: str, body: bytes = b"") -> Reply:
        self._number += 1
        reply = self._post(service, struct.pack(">Q", self._number) + body)
        self.flush()
        return reply

    def _post(self, service: str, body: bytes) -> Reply:
        """Send a request, whose number is the last one given out."""
        handle = self._services.get(service)
        if handle is None:
            raise ServiceError(f"the guest has no service {service}")
        if len(self._waiting) >= MAX_PENDING:
            raise ServiceError(f"{MAX_PENDING} requests wait for answers of the guest")
        reply = self._waiting[self._number] = Reply(service, self._number, asked_at=self.clock())
        self._send(Kind.DATA, struct.pack(">Q", handle) + body)
        return reply

    # -- requests that get no answer

    def give_up(self, reply: Reply, why: str = "the guest did not answer") -> None:
        """Wait no longer for an answer; one that comes late is dropped. Nothing, where it has come already."""
        if self._waiting.get(reply.number) is reply:
            self._settle(reply, replace(reply.answer, done=True, result=None, reason=why))

    def expire(self, seconds: float) -> tuple[Reply, ...]:
        """Give up all requests that are older by the clock; they are returned. A suspend that is under way is kept."""
        now = self.clock()
        old = [reply for reply in self._waiting.values() if now - reply.asked_at > seconds and not reply.done]
        for reply in old:
            self.give_up(reply)
        return tuple(old)

    def _settle(self, reply: Reply, answer: Answer) -> None:
        """A reply has its answer; more may follow only for a suspend."""
        reply.answer = answer
        if not reply.more_follows:
            self._waiting.pop(reply.number, None)
            self._actions.pop(reply.number, None)
        if self.on_reply:
            self.on_reply(reply)

    # -- the session

    def _send(self, kind: Kind, payload: bytes) -> None:
        self.link.send(_HEADER.pack(kind, len(payload)) + payload)

    def link_lost(self, why: str) -> None:
        """Services are gone, and answers will not come, but for a guest that suspends: it tells the next session."""
        self._ready = False
        had = bool(self._services)
        self._services.clear()
        for reply in list(self._waiting.values()):
            if not reply.more_follows:
                self._settle(reply, replace(reply.answer, done=True, result=None, reason=why))
        if had and self.on_services:
            self.on_services(())

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
            self.on_services(self.services)

    def _unregister(self, payload: bytes) -> None:
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        self._send(Kind.UNREG_NACK if name is None else Kind.UNREG_ACK, struct.pack(">Q", handle))
        if name is None:
            return
        del self._services[name]
        self._lose(name, "the guest has taken the service back")
        if self.on_services:
            self.on_services(self.services)

    def _lose(self, name: str, why: str) -> None:
        """What was asked of a service gets no answer."""
        for reply in list(self._waiting.values()):
            if reply.service == name:
                self._settle(reply, replace(reply.answer, done=True, result=None, reason=why))

    def _name_of(self, handle: int) -> str | None:
        return next((name for name, known in self._services.items() if known == handle), None)

    def _data(self, payload: bytes) -> None:
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        if name is None:
            self._send(Kind.NACK, struct.pack(">QQ", handle, RegisterResult.HANDLE))
        elif name in _VARIABLES:
            self._variable(handle, payload[8:])
        elif name in _KEYS:
            self._key(handle, payload[8:])
        else:
            self._answered(name, payload[8:])

    def _refused(self, payload: bytes) -> None:
        """The guest knows nothing of a handle: what was asked of that service gets no answer."""
        (handle,) = struct.unpack_from(">Q", payload)
        name = self._name_of(handle)
        if name is not None:
            self._lose(name, "the guest does not know the service")

    # -- answers

    def _answered(self, name: str, body: bytes) -> None:
        number = reply_number(name, body)
        if number is None:  # the oldest one
            number = next((n for n, reply in self._waiting.items() if reply.service == name), 0)
        reply = self._waiting.get(number)
        if reply is not None and reply.service == name:
            self._settle(reply, read_answer(name, body, reply.answer, action=self._actions.get(number)))

    # -- variables and keys

    def _variable(self, handle: int, body: bytes) -> None:
        command, name, value = _read_change(body)
        if command not in (_SET, _DELETE):
            return
        if command == _SET and value is None:
            result = VariableResult.BAD_VALUE if _good_name(name) else VariableResult.BAD_NAME
        else:
            result = self._change(name, value if command == _SET else None)
        self._send(Kind.DATA, struct.pack(">QII", handle, command + 2, result))
        if result is VariableResult.OK and self.on_variable:
            self.on_variable(name, self.variables.get(name))

    def _change(self, name: str, value: str | None) -> VariableResult:
        if value is not None:
            return self._set_variable(name, value)
        if name not in self.variables:
            return VariableResult.ABSENT
        return VariableResult.OK if self._keep(name, None) else VariableResult.BAD_NAME

    def _key(self, handle: int, body: bytes) -> None:
        """Keys of the guest's keystore (wanboot): stored, and never shown to anybody but who asks for `keys`."""
        command, name, value = _read_change(body)
        if command not in (_SET, _DELETE):
            return
        if command == _DELETE:
            result = VariableResult.ABSENT if self.keys.pop(name, None) is None else VariableResult.OK
        else:
            result = _check_value(name, value, self.keys)
            if result is VariableResult.OK and value is not None:
                self.keys[name] = value
        self._send(Kind.DATA, struct.pack(">QII", handle, command + 2, result))

    def _set_variable(self, name: str, value: str) -> VariableResult:
        result = _check_value(name, value, self.variables)
        if result is not VariableResult.OK:
            return result
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
        """Services and outstanding requests by number, the variables and the keys."""
        services: dict[str, Json] = dict(self._services)
        variables: dict[str, Json] = dict(self.own_variables)
        keys: dict[str, Json] = dict(self.keys)
        return {
            "ready": self._ready, "services": services, "number": self._number, "variables": variables, "keys": keys,
            "pending": {str(number): reply.service for number, reply in self._waiting.items()},
            "suspending": [number for number, reply in self._waiting.items() if reply.phases],
            "actions": {str(number): str(action) for number, action in self._actions.items()},
        }  # fmt: skip

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave; replies of before are not those of the saved requests."""
        self.link_lost("another state was loaded")
        self._waiting.clear()
        self._actions.clear()
        self._ready = fields.flag("ready")
        known = fields.fields("services")
        self._services = {name: known.number(name, _M64) for name in SERVICES if name in known}
        self._number = fields.number("number", _M64)
        pending = _numbered(fields, "pending")
        actions = _numbered(fields, "actions") if "actions" in fields else {}
        suspending = fields.numbers("suspending", _M64, count=MAX_PENDING) if "suspending" in fields else ()
        now = self.clock()
        self._waiting = {number: Reply(service, number, asked_at=now) for number, service in pending.items()}
        for number, action in actions.items():
            if number in self._waiting and action.isdecimal() and len(action) <= 10:
                self._actions[number] = int(action)
        for number in suspending:
            reply = self._waiting.get(number)
            if reply is not None and reply.service == "domain-suspend":
                reply.answer = Answer(True, 0, phases=(SuspendResult.PRE_SUCCESS,))
        for own, name in ((self.own_variables, "variables"), (self.keys, "keys")):
            stored = fields.texts(name, count=MAX_VARIABLES) if name in fields else {}
            own.clear()
            own.update(stored)

    def pending(self) -> tuple[Reply, ...]:
        """Replies that have not come, or of which more may come."""
        return tuple(self._waiting.values())


def _numbered(fields: Fields, name: str) -> dict[int, str]:
    """Texts by number, as JSON has them."""
    texts = fields.texts(name, count=MAX_PENDING)
    if not all(number.isascii() and number.isdecimal() and len(number) <= 20 for number in texts):
        raise StateError(f"the state of a device is damaged: {name}")
    return {int(number): text for number, text in texts.items()}


def _check_count(count: int, most: int, what: str) -> None:
    if count > most:
        raise ServiceError(f"{count} {what} in one request: at most {most}; ask in several")


def _read_change(body: bytes) -> tuple[int, str, str | None]:
    """Command, name, value of a message that sets or deletes; None: there is no value. Raises struct.error."""
    (command,) = struct.unpack_from(">I", body)
    words = body[4:].split(b"\0")
    return command, words[0].decode("latin-1"), words[1].decode("latin-1") if len(words) > 2 else None


def _good_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable() and " " not in name


def _check_value(name: str, value: str | None, known: dict[str, str]) -> VariableResult:
    if not _good_name(name):
        return VariableResult.BAD_NAME
    if value is None or len(value) > MAX_VALUE:
        return VariableResult.BAD_VALUE
    if name not in known and len(known) >= MAX_VARIABLES:
        return VariableResult.NO_SPACE
    return VariableResult.OK
