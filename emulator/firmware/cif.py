"""The client interface of OpenBoot: services that a program calls by name with an array of 64-bit cells.

A call is ``ta 0xf0`` at the address the program got in %o4, with %o0 the virtual address of the array::

    0  service name (address)    1  number of arguments    2  number of results    3 ...  arguments, then results

%o0 comes back 0, or -1 where there is no such service or no array; then no result cell changes.

Sources: IEEE 1275-1994 chapter 6 and its 64-bit extension; FWARC 2006/052 (services of sun4v); for what clients rely
on, Linux 6.1 arch/sparc/prom and arch/sparc/kernel/head_64.S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.firmware.devtree import text
from emulator.firmware.guestmem import GuestMemory

if TYPE_CHECKING:
    from emulator.firmware.client import Client

MAX_CELLS = 64
"""Arguments and results of a call; the largest call has a dozen."""
MAX_WRITE = 1 << 16
"""Bytes of one `write`; Linux writes a line."""
MASK64 = (1 << 64) - 1
NO = MASK64
"""-1, which most services give for "not found"."""
UNKNOWN = NO


@dataclass(frozen=True)
class Call:
    """One call: who makes it, and with what."""

    strand: int
    memory: GuestMemory
    args: tuple[int, ...]
    results: int

    def arg(self, index: int) -> int:
        """An argument; those left out are 0."""
        return self.args[index] if index < len(self.args) else 0

    def text(self, index: int) -> str:
        """The string an argument points to."""
        return self.memory.text(self.arg(index))

    def handle(self, index: int) -> int:
        """A phandle or ihandle: the low 32 bits, as callers pass them sign- or zero-extended."""
        return self.arg(index) & 0xFFFF_FFFF


class NoService(Exception):  # noqa: N818 - an answer to the client
    """The service is not there, or refuses these arguments as a whole: %o0 = -1."""


class Hang(Exception):  # noqa: N818
    """The call does not return now: the firmware has taken over, or the strand has gone."""


Service = Callable[["Client", Call], Sequence[int]]
SERVICES: dict[str, Service] = {}


def service(*names: str) -> Callable[[Service], Service]:
    """Register a service under its names."""

    def register(function: Service) -> Service:
        for name in names:
            SERVICES[name] = function
        return function

    return register


def perform(client: Client, strand: int, memory: GuestMemory, array: int) -> int:
    """Make the call whose array stands at a virtual address; returns %o0. Raises GuestFault, Hang."""
    name_at, nargs, nrets = memory.cells(array, 3)
    if nargs > MAX_CELLS or nrets > MAX_CELLS:
        return UNKNOWN
    args = memory.cells(array + 24, nargs)
    results_at = array + 24 + 8 * nargs
    memory.check_store(results_at, 8 * nrets)
    name = memory.text(name_at)
    function = SERVICES.get(name)
    if function is None:
        return UNKNOWN
    try:
        results = function(client, Call(strand, memory, tuple(args), nrets))
    except NoService:
        return UNKNOWN
    cells = b"".join((value & MASK64).to_bytes(8, "big") for value in results[:nrets])
    memory.write(results_at, cells)
    return 0


# -- device tree


@service("peer")
def _peer(client: Client, call: Call) -> Sequence[int]:
    if call.handle(0) == 0:
        return [client.root().phandle]
    node = client.node_of(call.handle(0))
    following = client.peer(node) if node else None
    return [following.phandle if following else 0]


@service("child")
def _child(client: Client, call: Call) -> Sequence[int]:
    node = client.node_of(call.handle(0))
    return [node.children[0].phandle if node and node.children else 0]


@service("parent")
def _parent(client: Client, call: Call) -> Sequence[int]:
    node = client.node_of(call.handle(0))
    return [node.parent.phandle if node and node.parent else 0]


def _property(client: Client, call: Call) -> bytes | None:
    node = client.node_of(call.handle(0))
    return node.properties.get(call.text(1)) if node else None


@service("getproplen")
def _getproplen(client: Client, call: Call) -> Sequence[int]:
    value = _property(client, call)
    return [NO if value is None else len(value)]


@service("getprop")
def _getprop(client: Client, call: Call) -> Sequence[int]:
    value = _property(client, call)
    if value is None:
        return [NO]
    call.memory.write(call.arg(2), value[: call.arg(3)])
    return [len(value)]


@service("nextprop")
def _nextprop(client: Client, call: Call) -> Sequence[int]:
    node = client.node_of(call.handle(0))
    names = list(node.properties) if node else []
    previous = call.text(1) if call.arg(1) else ""
    if previous and previous not in names:
        return [NO]
    place = names.index(previous) + 1 if previous else 0
    following = names[place] if place < len(names) else ""
    call.memory.write(call.arg(2), text(following))
    return [int(bool(following))]


@service("setprop")
def _setprop(client: Client, call: Call) -> Sequence[int]:
    node, name = client.node_of(call.handle(0)), call.text(1)
    length = call.arg(3)
    if node is None or length > MAX_WRITE:
        return [NO]
    value = call.memory.read(call.arg(2), length)
    return [length if client.set_property(node, name, value) else NO]


@service("finddevice")
def _finddevice(client: Client, call: Call) -> Sequence[int]:
    node = client.find(call.text(0))
    return [node.phandle if node else NO]


def _copy_path(call: Call, path: str | None) -> Sequence[int]:
    if path is None:
        return [NO]
    data = path.encode("latin-1", "replace")
    call.memory.write(call.arg(1), (data + b"\0")[: call.arg(2)])
    return [len(data)]


@service("instance-to-path", "instance-to-interposed-path")
def _instance_to_path(client: Client, call: Call) -> Sequence[int]:
    return _copy_path(call, client.instance_path(call.handle(0)))


@service("instance-to-package")
def _instance_to_package(client: Client, call: Call) -> Sequence[int]:
    node = client.instance_node(call.handle(0))
    return [node.phandle if node else NO]


@service("package-to-path")
def _package_to_path(client: Client, call: Call) -> Sequence[int]:
    node = client.node_of(call.handle(0))
    return _copy_path(call, node.path if node else None)


@service("canon")
def _canon(client: Client, call: Call) -> Sequence[int]:
    node = client.find(call.text(0))
    return _copy_path(call, node.path if node else None)


# -- instances


@service("open")
def _open(client: Client, call: Call) -> Sequence[int]:
    return [client.open(call.text(0))]


@service("close")
def _close(client: Client, call: Call) -> Sequence[int]:
    client.close(call.handle(0))
    return []


@service("read")
def _read(client: Client, call: Call) -> Sequence[int]:
    length = min(call.arg(2), 1 << 24)
    call.memory.check_store(call.arg(1), length)
    data = client.read(call.handle(0), length)
    if data is None:
        return [MASK64 - 1]
    call.memory.write(call.arg(1), data)
    return [len(data)]


@service("write")
def _write(client: Client, call: Call) -> Sequence[int]:
    length = min(call.arg(2), MAX_WRITE)
    return [client.write(call.handle(0), call.memory.read(call.arg(1), length))]


@service("seek")
def _seek(client: Client, call: Call) -> Sequence[int]:
    return [client.seek(call.handle(0), (call.arg(1) & 0xFFFF_FFFF) << 32 | call.arg(2) & MASK64)]


@service("call-method")
def _call_method(client: Client, call: Call) -> Sequence[int]:
    return client.method(call.handle(1), call.text(0), call)


@service("claim")
def _claim(client: Client, call: Call) -> Sequence[int]:
    return [client.claim(call.arg(0), call.arg(1), call.arg(2))]


@service("release")
def _release(client: Client, call: Call) -> Sequence[int]:
    client.release(call.arg(0), call.arg(1))
    return []


# -- control


@service("interpret")
def _interpret(client: Client, call: Call) -> Sequence[int]:
    return client.interpret(call.text(0), call.args[1:])


@service("test")
def _test(_client: Client, call: Call) -> Sequence[int]:
    return [0 if call.text(0) in SERVICES else NO]


@service("test-method")
def _test_method(_client: Client, _call: Call) -> Sequence[int]:
    return [NO]


@service("milliseconds")
def _milliseconds(client: Client, _call: Call) -> Sequence[int]:
    return [client.milliseconds()]


@service("enter")
def _enter(client: Client, call: Call) -> Sequence[int]:
    client.enter(call.strand)
    return []


@service("exit")
def _exit(client: Client, call: Call) -> Sequence[int]:
    client.leave(call.strand)
    raise Hang


@service("boot")
def _boot(client: Client, call: Call) -> Sequence[int]:
    client.boot(call.strand, call.text(0) if call.arg(0) else "")
    raise Hang


@service("SUNW,power-off")
def _power_off(client: Client, call: Call) -> Sequence[int]:
    client.power_off(call.strand)
    raise Hang


@service("SUNW,set-trap-table", "SUNW,sun4v-set-trap-table")
def _set_trap_table(client: Client, call: Call) -> Sequence[int]:
    client.set_trap_table(call)
    return []


@service("SUNW,soft-state-supported")
def _soft_state_supported(_client: Client, _call: Call) -> Sequence[int]:
    return []


@service("SUNW,start-cpu-by-cpuid")
def _start_cpu_by_cpuid(client: Client, call: Call) -> Sequence[int]:
    if not client.start_cpu(call.arg(0), call.arg(1), call.arg(2)):
        raise NoService
    return []


@service("SUNW,start-cpu")
def _start_cpu(client: Client, call: Call) -> Sequence[int]:
    number = _cpu_number(client, call)
    if number is None or not client.start_cpu(number, call.arg(1), call.arg(2)):
        raise NoService
    return []


def _cpu_number(client: Client, call: Call) -> int | None:
    node = client.node_of(call.handle(0))
    value = node.properties.get("cpuid") if node else None
    return None if value is None else int.from_bytes(value, "big")


@service("SUNW,stop-cpu-by-cpuid")
def _stop_cpu(client: Client, call: Call) -> Sequence[int]:
    if not client.stop_cpu(call.arg(0), call.strand):
        raise NoService
    return []


@service("SUNW,stop-self", "SUNW,idle-self")
def _stop_self(client: Client, call: Call) -> Sequence[int]:
    client.stop_cpu(call.strand, call.strand)
    raise Hang


@service("SUNW,set-sun4v-api-version")
def _set_api_version(client: Client, call: Call) -> Sequence[int]:
    return client.api_version(call.arg(0), (call.arg(1), call.arg(2)))


@service("SUNW,get-sun4v-api-version")
def _get_api_version(client: Client, call: Call) -> Sequence[int]:
    return client.api_version(call.arg(0), None)
