"""How a guest stands, as plain data (emulator/hvctl/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emulator.guest import StrandState
from emulator.machine import Machine
from emulator.machine_resources import Busy
from emulator.server.plugs import Plugs

if TYPE_CHECKING:
    from emulator.server.guest import Guest


STANDS_TEXT, WATCHED_TEXT = "stopped by a debugger", "running under a debugger"
"""In place of the soft state while a debugger is attached: its system does not run normally, and is not moved (G63)."""
LEAST_WINDOW_NS = 500_000_000
"""Utilization is over this time at least, however often it is asked for."""


class Utilization:
    """How busy the strands of a guest were since it was asked before. From any thread, but one at a time."""

    def __init__(self) -> None:
        self._before: Busy | None = None
        self._last: Busy | None = None
        self._known: dict[int, float] = {}

    def take(self, busy: Busy) -> dict[int, float]:
        """Percent by virtual CPU, with a new sample. Two questions within a short time have one answer."""
        if self._last is None:
            self._last = busy
            return {}
        if busy.time_ns - self._last.time_ns >= LEAST_WINDOW_NS or self._before is None:
            self._before, self._last = self._last, busy
            self._known = busy.utilization(self._before)
        return self._known


@dataclass(frozen=True)
class Snapshot:
    """What was seen of a machine at its last rest; other threads may read it while it runs."""

    normal: bool = False
    text: str = ""
    firmware: bool = False
    insns: int = 0
    engine: str = ""
    engine_note: str = ""
    strands: dict[int, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    paths: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    crypto: tuple[dict[str, object], ...] = ()

    def ended(self) -> Snapshot:
        """After the machine's end: only the count of instructions stays."""
        return replace(Snapshot(), insns=self.insns)


def take_snapshot(machine: Machine, services: tuple[str, ...], plugs: Plugs | None) -> Snapshot:
    """Of a machine at rest."""
    soft = machine.soft_state
    firmware = machine.firmware
    return Snapshot(
        normal=soft.normal,
        text=soft.text,
        firmware=firmware is not None and firmware.in_charge,
        insns=machine.insns,
        engine=machine.engine,
        engine_note=machine.engine_note,
        strands={strand.number: strand.state.name.lower() for strand in machine.strands},
        services=services,
        errors=plugs.errors if plugs else {},
        paths=plugs.paths if plugs else {},
        counters=plugs.counters if plugs else {},
        crypto=_crypto(machine),
    )


def _crypto(machine: Machine) -> tuple[dict[str, object], ...]:
    done = machine.crypto_counters
    return tuple(
        {"kind": unit.kind, "devino": unit.ino, "jobs": done[unit.ino][0], "errors": done[unit.ino][1]}
        for unit in machine.crypto_units
    ) if done else ()  # fmt: skip


def _soft_state(guest: Guest) -> dict[str, Any]:
    debugger = guest.debugger
    if debugger is not None:
        return {"normal": False, "text": STANDS_TEXT if debugger.standing else WATCHED_TEXT}
    return {"normal": guest.snapshot.normal, "text": guest.snapshot.text}


def status(guest: Guest) -> dict[str, Any]:
    """Of a guest, whatever its state."""
    spec, seen, used = guest.spec, guest.snapshot, guest.utilization()
    stopped = StrandState.STOPPED.name.lower()
    return {
        "guest": spec.id,
        "name": spec.name,
        "uuid": spec.uuid,
        "state": "running" if spec.control else guest.state,
        "why": guest.why,
        "code": guest.code,
        "text": guest.text,
        "soft_state": _soft_state(guest),
        "firmware": seen.firmware,
        "started_at": guest.started_at,
        "insns": seen.insns,
        "engine": seen.engine,
        "engine_note": seen.engine_note,
        "vcpus": [
            {"vid": vid, "pid": pid, "state": seen.strands.get(vid, stopped), "util": round(used.get(vid, 0.0), 2)}
            for vid, pid in spec.vcpus
        ],
        "services": list(seen.services),
        "memory_bytes": spec.memory_bytes,
        "missing_pages": guest.missing_pages,
        "generation": spec.generation,
        "disks": dict(seen.errors),
        "paths": dict(seen.paths),
        "disk_io": dict(seen.counters),
        "crypto": list(seen.crypto),
    }
