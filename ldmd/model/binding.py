"""What a domain has been given: numbers, strands, memory, channels. It exists while a domain is bound or active."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class MemoryBlock:
    """Real address, physical address, size; all in bytes."""

    ra: int
    pa: int
    size_bytes: int


@dataclass(frozen=True)
class BoundDevice:
    """A virtual device's number in the guest (``disk@number``) and its LDC channels there.

    `kind`: "disk", "network", "vhba", "switch" or "vdpcc"; the first channel goes to the service, for a network further
    ones to other vnets of the switch.
    """

    kind: str
    name: str
    number: int
    channels: tuple[int, ...]
    peers: tuple[int, ...] = ()  # of a network: MAC addresses of those at the other ends of the further channels


@dataclass(frozen=True, kw_only=True)
class Binding:
    """All that was given to a domain."""

    id: int  # of the domain in the hypervisor: 0 is the control domain
    vcpus: tuple[tuple[int, int], ...] = ()  # (virtual CPU, hardware strand), ascending
    memory: tuple[MemoryBlock, ...] = ()  # by ascending real address
    crypto: tuple[int, ...] = ()  # cores whose MAU (and CWQ) it has
    console_group: str = ""
    console_port: int | None = None  # None: the control domain, whose console is the SP's
    console_service: str = ""
    devices: tuple[BoundDevice, ...] = ()

    def device(self, kind: str, name: str) -> BoundDevice | None:
        """A device by kind and name."""
        return next((each for each in self.devices if (each.kind, each.name) == (kind, name)), None)

    @property
    def memory_bytes(self) -> int:
        """All its memory."""
        return sum(block.size_bytes for block in self.memory)

    def but(self, **changes: Any) -> Binding:
        """The same with some fields changed."""
        return replace(self, **changes)
