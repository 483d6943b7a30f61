"""Operations of hvctl 1.2 about faults (protocol.md, "Faults")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from emulator.server.errors import ArgumentError

if TYPE_CHECKING:
    from emulator.hvctl.operations import Call, Result

MOST_FACTS = 32


def _arm(call: Call) -> Result:
    plan = call.args.raw("plan")
    call.args.end()
    return call.server.faults.arm(plan)


def _status(call: Call) -> Result:
    call.args.end()
    return call.server.faults.injector.status()


def _disarm(call: Call) -> Result:
    call.args.end()
    return call.server.faults.disarm()


def _note(call: Call) -> Result:
    number = call.args.number("rule", 0, 1 << 16)
    facts = call.args.raw("facts")
    call.args.end()
    if not isinstance(facts, dict) or len(facts) > MOST_FACTS:
        raise ArgumentError("facts: a map is wanted")
    plain: dict[str, Any] = {str(key)[:64]: value if isinstance(value, int) else str(value)[:256]
                             for key, value in facts.items()}
    return call.server.faults.note(number, plain)


FAULT_OPERATIONS: Mapping[str, Callable[[Call], Result]] = {
    "faults.arm": _arm,
    "faults.status": _status,
    "faults.disarm": _disarm,
    "faults.note": _note,
}
