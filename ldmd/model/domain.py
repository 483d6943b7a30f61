"""A logical domain: what it is called, what it asks for, what state it is in, what it was given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ldmd.model.binding import Binding
from ldmd.model.guest import DEFAULT_VCONS, Policy, Vcons, Vdisk, Vdpcc, Vhba, Vnet
from ldmd.model.services import DiskServer, Vcc, Vdpcs, Vsan, Vsw

PRIMARY = "primary"
"""Name of the control domain."""


class State(StrEnum):
    """Of a domain, as `ldm list` prints it."""

    INACTIVE = "inactive"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    SUSPENDED = "suspended"


class System(StrEnum):
    """Of a service domain's operating system, as far as is known: services are there while it runs."""

    UNKNOWN = "unknown"
    """It has never said that it runs: the domain is on, and its services count as there."""
    RUNS = "runs"
    GONE = "gone"
    """It ran, and has panicked or begun anew since: its services come back with it."""


class FailurePolicy(StrEnum):
    """What happens to the slaves of a domain that fails."""

    IGNORE = "ignore"
    PANIC = "panic"
    RESET = "reset"
    STOP = "stop"


class BootPolicy(StrEnum):
    """Verified boot (3.4)."""

    NONE = "none"
    WARNING = "warning"
    ENFORCE = "enforce"


@dataclass(frozen=True, kw_only=True)
class Cpus:
    """CPU constraint: so many virtual CPUs, or whole cores. With `whole_core` the count is cores times strands each."""

    vcpus: int = 0
    whole_core: bool = False
    cores: int = 0  # with whole_core
    cids: tuple[int, ...] = ()  # named cores, which make physical-bindings=core
    max_cores: int | None = None  # None: unlimited


@dataclass(frozen=True, kw_only=True)
class MemoryAmount:
    """Memory constraint. `mblocks`: (physical address, size) of named blocks, which make physical-bindings=memory."""

    size_bytes: int = 0
    mblocks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain. Names of devices are unique within it; names of services within the server."""

    name: str
    uuid: str
    mac: int
    automatic_mac: bool = True
    hostid: int
    cpu_arch: str = "native"  # "native", "generic", "migration-class1", "sparc64-class1"
    failure_policy: FailurePolicy = FailurePolicy.IGNORE
    masters: tuple[str, ...] = ()
    extended_mapin_space: bool = True
    shutdown_group: int = 15
    rc_add_policy: str = ""  # or "iov"
    perf_counters: tuple[str, ...] = ()  # of "global", "htstrand", "strand"
    boot_policy: BootPolicy = BootPolicy.WARNING

    cpus: Cpus = Cpus()
    memory: MemoryAmount = MemoryAmount()
    crypto: int = 0
    vdisks: tuple[Vdisk, ...] = ()
    vnets: tuple[Vnet, ...] = ()
    vhbas: tuple[Vhba, ...] = ()
    vdpccs: tuple[Vdpcc, ...] = ()
    vcons: Vcons = DEFAULT_VCONS
    variables: tuple[tuple[str, str], ...] = ()  # OpenBoot's, by name
    policies: tuple[Policy, ...] = ()
    io: tuple[str, ...] = ()  # buses ("pci_0"), PCIe endpoints ("/SYS/MB/PCIE1") and virtual functions it owns
    io_without: tuple[str, ...] = ()  # endpoints behind its buses that it gave up; the others are its own

    disk_servers: tuple[DiskServer, ...] = ()
    switches: tuple[Vsw, ...] = ()
    vccs: tuple[Vcc, ...] = ()
    vsans: tuple[Vsan, ...] = ()
    vdpcss: tuple[Vdpcs, ...] = ()

    state: State = State.INACTIVE
    binding: Binding | None = None
    started_at: float | None = None  # seconds since the epoch, of the last start
    degraded: bool = False
    system: System = System.UNKNOWN

    @property
    def control(self) -> bool:
        """True for the control domain."""
        return self.name == PRIMARY

    @property
    def serves(self) -> bool:
        """True for a service domain."""
        return bool(self.disk_servers or self.switches or self.vccs or self.vsans or self.vdpcss)

    def but(self, **changes: Any) -> Domain:
        """The same with some fields changed; of a domain that is down nothing is known of a system in it."""
        changed = replace(self, **changes)
        if changed.system is not System.UNKNOWN and changed.state not in _RUNNING:
            return replace(changed, system=System.UNKNOWN)
        return changed


_RUNNING = (State.ACTIVE, State.STOPPING, State.SUSPENDED)
