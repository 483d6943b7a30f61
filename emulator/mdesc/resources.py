"""What a domain has, as the builder of its machine description wants to be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from emulator.chips import find_chip
from emulator.mdesc.devices import CWQ_INO, MAU_INO, RNG_COMPATIBLE
from emulator.mdesc.model import MachineDescription, Value, split_strings
from emulator.platforms import Platform

Properties = tuple[tuple[str, Value], ...]
Texts = tuple[tuple[str, str], ...]

DEFAULT_MAC = 0x0014_4FF8_0001
"""The second address of the range that domains take theirs from: 00:14:4f:f8:00:00 to 00:14:4f:fb:ff:ff."""


@dataclass(frozen=True)
class Vcpu:
    """A virtual CPU and the hardware strand of the server it is bound to, which says what it shares with others."""

    id: int
    strand: int


@dataclass(frozen=True)
class MemorySegment:
    """A real address range. `pa`: where it lies in the server's memory (address-congruence-offset); None: not told."""

    ra: int
    size_bytes: int
    pa: int | None = None


@dataclass(frozen=True)
class Port:
    """A port of a virtual device or of domain services: its id, the LDC channels it uses, further properties."""

    id: int
    channels: tuple[int, ...]
    properties: Properties = ()


@dataclass(frozen=True)
class VirtualDevice:
    """A client or server of virtual I/O. `kind` is a key of `emulator.mdesc.devices.CHANNEL_DEVICES`."""

    kind: str
    cfg_handle: int  # for a disk its number
    properties: Properties = ()
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class CryptoUnit:
    """A modular arithmetic unit (``mau``, T1 to T3) or cipher unit (``cwq``, T2 and T3) and the vcpus of its core."""

    kind: str
    id: int
    vcpus: tuple[int, ...]
    ino: int


@dataclass(frozen=True, kw_only=True)
class LatencyGroup:
    """Memory that is equally far from some vcpus: indexes of `Resources.memory`, ids of vcpus, picoseconds."""

    latency_ps: int
    address_match: int
    address_mask: int
    memory: tuple[int, ...]
    vcpus: tuple[int, ...]


@dataclass(frozen=True)
class Watchdog:
    """Limits of MACH_SET_WATCHDOG in milliseconds. Told only where the hypervisor has the call."""

    resolution_ms: int
    max_timeout_ms: int


@dataclass(frozen=True, kw_only=True)
class Resources:
    """A domain's resources and names. Only `vcpus` and `memory` are needed."""

    vcpus: tuple[Vcpu, ...]
    memory: tuple[MemorySegment, ...]
    cpu_arch: str = "native"
    generation: int = 1
    """``md-generation#``: must grow with every change while the domain is bound."""
    max_cpus: int | None = None
    """CPUs that the domain may grow to; None: those it has. Linux sizes its CPU mondo queue by it."""
    mac_address: int = DEFAULT_MAC
    hostid: int | None = None  # None: 0x84 and the low 24 bits of the MAC address
    serial: int | None = None
    uuid: str | None = None
    domaining: bool = True
    """``domaining-enabled``: Linux uses LDC, virtual devices and MACH_EXIT only where it is 1."""
    devices: tuple[VirtualDevice, ...] = ()
    domain_services: tuple[Port, ...] = ()
    firmware_services: tuple[Port, ...] = ()
    """Domain services of the firmware, under the openboot node."""
    variables: Texts = ()
    devaliases: Texts = ()
    keys: Texts = ()
    latency_groups: tuple[LatencyGroup, ...] = ()
    crypto_units: tuple[CryptoUnit, ...] = ()
    rng_units: int = 0
    console_channel: int | None = None
    """LDC channel of a console that is served by another domain; a guest's CONS_* calls do not show it."""
    console_buffer_bytes: int | None = None
    """Hint for CONS_READ and CONS_WRITE."""
    watchdog: Watchdog | None = None
    tick_hz: int | None = None
    stick_hz: int | None = None
    """Rates that the guest was told before it moved here; None: the server's."""


WATCHDOG = Watchdog(1000, 31_536_000_000)
"""What the hypervisor's MACH_SET_WATCHDOG does (csrc/hyp/services.h)."""


def plain_resources(platform: Platform, vcpus: int, size_bytes: int, *, cpu_arch: str = "native") -> Resources:
    """What a bare `Machine` has.

    Virtual CPUs on the first strands of the server, one segment of memory at real address 0, the hypervisor's
    watchdog, its random numbers where the chip has a generator, and the crypto units of the cores (T1 to T3).
    """
    return Resources(
        vcpus=tuple(Vcpu(n, n) for n in range(vcpus)),
        memory=(MemorySegment(0, size_bytes),),
        cpu_arch=cpu_arch,
        watchdog=WATCHDOG,
        rng_units=int(platform.chip in RNG_COMPATIBLE),
        crypto_units=core_units(platform, range(vcpus)),
    )


def core_units(platform: Platform, vcpus: Iterable[int]) -> tuple[CryptoUnit, ...]:
    """The crypto units of the cores under these vcpus, each on the strand of its number."""
    per_core = find_chip(platform.chip).strands_per_core
    cores: dict[int, list[int]] = {}
    for vcpu in sorted(vcpus):
        cores.setdefault(vcpu // per_core, []).append(vcpu)
    inos = {"mau": MAU_INO, "cwq": CWQ_INO}
    return tuple(
        CryptoUnit(kind, core, tuple(members), inos[kind] + core)
        for kind in platform.crypto
        for core, members in cores.items()
    )


def described_units(md: MachineDescription) -> tuple[CryptoUnit, ...]:
    """The crypto units that a description tells a guest of; those without an interrupt or a cpu are left out."""
    units = []
    for index in md.find("exec-unit"):
        node = md[index]
        kind = node.get("type")
        words = (split_strings(kind) or ()) if isinstance(kind, bytes) else (kind,)
        ino, number = node.get("ino"), node.get("id")
        cpus = tuple(id_ for cpu in md.linked(node, "cpu", arc="back") if isinstance(id_ := cpu.get("id"), int))
        if words and words[0] in ("mau", "cwq") and isinstance(ino, int) and cpus:
            units.append(CryptoUnit(str(words[0]), number if isinstance(number, int) else 0, cpus, ino))
    return tuple(units)
