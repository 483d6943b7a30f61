"""`guest.debug.*` of hvctl (since 1.2): a debugger's requests, carried out in the guest's turn.

A debugger belongs to the connection that attached it, and goes when that ends.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from emulator.server.debugger import Debugger, Task
from emulator.server.errors import ArgumentError
from emulator.server.guest import Guest
from emulator.server.guest_debug import MAX_READ_BYTES

if TYPE_CHECKING:
    from emulator.hvctl.operations import Call

MAX_VA = (1 << 64) - 1
MAX_STRAND = 4095
MAX_WATCH_BYTES = 1 << 32
MAX_RUN = (1 << 63) - 1
MAX_REGISTERS = 256


def attach(call: Call) -> Future[Any]:
    """Stop the guest, and have it."""
    session, number = call.session, call.guest()
    call.args.end()
    session.debugging.add(number)
    return call.server.ask(number, lambda guest: guest.debug_attach(session))


def _done(call: Call, act: Callable[[Guest], Any]) -> Future[Any]:
    """Have it done; where it gives nothing, an empty map is the answer."""

    def answer(guest: Guest) -> Any:
        result = act(guest)
        return {} if result is None else result

    return call.ask(answer)


def _ask(call: Call, act: Callable[[Guest, Debugger], Any], *, standing: bool = True) -> Future[Any]:
    """The same for a guest that has its debugger in this connection and stands; without `standing`, or runs."""
    session = call.session
    return _done(call, lambda guest: act(guest, guest.attached(session, standing=standing)))


def detach(call: Call) -> Future[Any]:
    """Let it run on."""
    session = call.session
    return _done(call, lambda guest: guest.debug_detach(session))


def resume(call: Call) -> Future[Any]:
    """Go on, all or one; event guest.debug.stopped tells the end."""
    session = call.session
    task = Task(call.args.number("run", 0, MAX_RUN), call.args.optional("step", 0, MAX_STRAND),
                call.args.optional("only", 0, MAX_STRAND))  # fmt: skip
    if task.only is not None and task.step is not None and task.only != task.step:
        raise ArgumentError("only, step: of two strands one cannot be stepped while the other runs alone")
    return _done(call, lambda guest: guest.debug_resume(session, task))


def stop(call: Call) -> Future[Any]:
    """Stand still."""
    return _ask(call, lambda _, debugger: debugger.stop(), standing=False)


def info(call: Call) -> Future[Any]:
    """Of the guest as a whole."""
    return _ask(call, lambda guest, _: guest.debug_info())


def strands(call: Call) -> Future[Any]:
    """Every strand."""
    return _ask(call, lambda guest, _: guest.debug_strands())


def _strand(call: Call) -> int:
    return call.args.number("strand", 0, MAX_STRAND)


def registers(call: Call) -> Future[Any]:
    """Of one strand."""
    strand = _strand(call)
    return _ask(call, lambda guest, _: guest.debug_registers(strand))


def set_registers(call: Call) -> Future[Any]:
    """Some of one strand, or of a caller's window."""
    strand = _strand(call)
    window = call.args.optional("window", 0, 7)
    values = call.args.raw("values")
    if not isinstance(values, dict) or len(values) > MAX_REGISTERS:
        raise ArgumentError("values: a map of registers is wanted")
    for name, value in values.items():
        plain = isinstance(name, str) and isinstance(value, int) and not isinstance(value, bool)
        if not plain or not 0 <= value <= MAX_VA:
            raise ArgumentError("values: names of registers and 64-bit numbers are wanted")
    return _ask(call, lambda guest, _: guest.debug_set_registers(strand, values, window))


def read(call: Call) -> Future[Any]:
    """Memory by virtual address."""
    strand = _strand(call)
    va, count = call.args.number("va", 0, MAX_VA), call.args.number("bytes", 0, MAX_READ_BYTES)
    return _ask(call, lambda guest, _: guest.debug_read(strand, va, count))


def write(call: Call) -> Future[Any]:
    """Memory by virtual address."""
    strand = _strand(call)
    va, data = call.args.number("va", 0, MAX_VA), call.args.raw("data")
    if not isinstance(data, bytes) or len(data) > MAX_READ_BYTES:
        raise ArgumentError(f"data: at most {MAX_READ_BYTES} bytes are wanted")
    return _ask(call, lambda guest, _: guest.debug_write(strand, va, data))


def translate(call: Call) -> Future[Any]:
    """Real and physical address behind a virtual one."""
    strand = _strand(call)
    va = call.args.number("va", 0, MAX_VA)
    return _ask(call, lambda guest, _: guest.debug_translate(strand, va))


def breakpoint_(call: Call) -> Future[Any]:
    """Set one, or take it away."""
    va, on = call.args.number("va", 0, MAX_VA), call.args.flag("on")
    return _ask(call, lambda _, debugger: debugger.set_breakpoint(va, on))


def watch(call: Call) -> Future[Any]:
    """Set a watchpoint, or take it away."""
    va = call.args.number("va", 0, MAX_VA)
    count, kind = call.args.number("bytes", 1, MAX_WATCH_BYTES), call.args.text("kind", most=16)
    on = call.args.flag("on")
    return _ask(call, lambda _, debugger: debugger.set_watch(va, count, kind, on))


DEBUGGING: dict[str, Callable[[Call], Future[Any]]] = {
    "guest.debug.attach": attach,
    "guest.debug.detach": detach,
    "guest.debug.resume": resume,
    "guest.debug.stop": stop,
    "guest.debug.info": info,
    "guest.debug.strands": strands,
    "guest.debug.registers": registers,
    "guest.debug.set_registers": set_registers,
    "guest.debug.read": read,
    "guest.debug.write": write,
    "guest.debug.translate": translate,
    "guest.debug.breakpoint": breakpoint_,
    "guest.debug.watch": watch,
}
