"""How a guest stands, as plain data (emulator/hvctl/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emulator.guest import StrandState
from emulator.machine import Machine
from emulator.server.plugs import Plugs

if TYPE_CHECKING:
    from emulator.server.guest import Guest


@dataclass(frozen=True)
class Snapshot:
    """What was seen of a machine at its last rest; other threads may read it while it runs."""

    normal: bool = False
    text: str = ""
    firmware: bool = False
    insns: int = 0
    strands: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)

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
        strands=tuple(strand.state.name.lower() for strand in machine.strands),
        services=services,
        errors=plugs.errors if plugs else {},
    )


def status(guest: Guest) -> dict[str, Any]:
    """Of a guest, whatever its state."""
    spec, seen = guest.spec, guest.snapshot
    stopped = StrandState.STOPPED.name.lower()
    return {
        "guest": spec.id,
        "name": spec.name,
        "uuid": spec.uuid,
        "state": "running" if spec.control else guest.state,
        "why": guest.why,
        "code": guest.code,
        "text": guest.text,
        "soft_state": {"normal": seen.normal, "text": seen.text},
        "firmware": seen.firmware,
        "started_at": guest.started_at,
        "insns": seen.insns,
        "vcpus": [
            {"vid": vid, "pid": pid, "state": seen.strands[n] if n < len(seen.strands) else stopped, "util": 0.0}
            for n, (vid, pid) in enumerate(spec.vcpus)
        ],
        "services": list(seen.services),
        "memory_bytes": spec.memory_bytes,
        "generation": spec.generation,
        "disks": dict(seen.errors),
    }
