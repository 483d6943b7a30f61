"""A machine with disks and networks, from plain Python: channels, machine description and servers in one go.

>>> disks, nets = [DiskSpec("root.img")], [NetSpec(Switch())]
>>> with build_domain("512M", disks=disks, nets=nets) as domain:
...     domain.machine.power_on(read_program("vmlinux", arguments="root=/dev/vdiska1"))
...     domain.machine.run(1_000_000)

Channel 0 is the domain services; disks come next, then networks, each in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from emulator.backends.file import Backend
from emulator.backends.images import Access, open_image
from emulator.backends.overlay import Overlay
from emulator.devices.capture import Capture
from emulator.devices.describe import CHANNEL_DEVICES, SWITCH_MAC, aliases, disk_node, net_node
from emulator.devices.ds import DomainServices
from emulator.devices.switch import Port, Switch
from emulator.devices.vdisk import DiskOptions, VirtualDisk
from emulator.devices.vnet import DEFAULT_MTU, VnetPort
from emulator.errors import ConfigError
from emulator.guest import Stop, StopReason
from emulator.machine import DETERMINISTIC_TOD, Machine
from emulator.mdesc import MemorySegment, Resources, VirtualDevice, build, plain_resources
from emulator.mdesc import Port as MdPort
from emulator.platforms import find_platform
from emulator.units import parse_size

__all__ = [
    "CHANNEL_DEVICES", "FIRST_MAC", "SERVICES_CHANNEL", "SWITCH_MAC", "DiskSpec", "Domain", "NetSpec", "build_domain",
    "run_together",
]  # fmt: skip

FIRST_MAC = 0x0014_4FF8_1000
"""Addresses that are given out: of the range for domains, past those of the domains themselves."""
SERVICES_CHANNEL = 0
_NO_BUDGET = (1 << 64) - 1


@dataclass(frozen=True)
class DiskSpec:
    """A disk of a domain. `backend`: a file, opened by the builder and closed with the domain, or an open backend.

    `copy_on_write`: the file is not written; what the guest writes goes to `overlay`, or is lost at the end.
    """

    backend: str | Path | Backend
    name: str = ""
    """Device alias; empty: vdisk and the number."""
    read_only: bool = False
    copy_on_write: bool = False
    overlay: str | Path | None = None
    timeout_seconds: int = 0
    """How long the guest waits for a server that is gone; 0: for ever."""
    options: DiskOptions = field(default_factory=DiskOptions)

    def open(self) -> tuple[Backend, bool]:
        """The backend, and whether it is the builder's to close. Raises ConfigError."""
        if not isinstance(self.backend, str | Path):
            return self.backend, False
        keeps = self.read_only or self.copy_on_write or self.overlay is not None
        base = open_image(self.backend, Access(read_only=keeps))
        if self.read_only or not keeps:
            return base, True
        try:
            return Overlay(base, self.overlay), True
        except ConfigError:
            base.close()
            raise


@dataclass(frozen=True)
class NetSpec:
    """A network interface of a domain. `mac`: None, one that follows from `first_mac` of the builder."""

    switch: Switch
    mac: int | None = None
    name: str = ""
    """Device alias; empty: vnet and the number."""
    pvid: int | None = None  # None: the switch's default
    vids: tuple[int, ...] = ()
    mtu: int = DEFAULT_MTU
    """Largest frame without checksum, VLAN tag included."""
    capture: Capture | None = None


class Domain:
    """A machine with its devices. A context manager; `close` closes what the builder opened."""

    def __init__(self, machine: Machine, backends: list[Backend], ports: list[Port]) -> None:
        self.machine = machine
        self.disks: list[VirtualDisk] = [d for d in machine.devices if isinstance(d, VirtualDisk)]
        self.nets: list[VnetPort] = [d for d in machine.devices if isinstance(d, VnetPort)]
        self._backends = backends
        self._ports = ports

    @property
    def services(self) -> DomainServices:
        """The manager's end of the domain services."""
        device = self.machine.devices["domain-services"]
        assert isinstance(device, DomainServices)
        return device

    def close(self) -> None:
        """Free the machine, unplug its ports, close its disks."""
        self.machine.close()
        for port in self._ports:
            if port.switch is not None:
                port.switch.remove(port)
        _close(self._backends)
        self._ports, self._backends = [], []

    def __enter__(self) -> Domain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_together(domains: Sequence[Domain], ns: int, *, slice_ns: int = 100_000) -> list[Stop]:
    """Run deterministic domains in one time, for so many nanoseconds of it; returns their last stops.

    They take turns, `slice_ns` each; a frame from one to the other arrives in the receiver's next turn. The same
    arguments give the same course of events. Ends early where a guest's console wants to be read, and for a guest
    that has ended; the others catch up at the next call.
    """
    stops: list[Stop] = [Stop(reason=StopReason.TIME, strand=0, insns=0)] * len(domains)
    now = min(domain.machine.time_ns for domain in domains)
    end = max(domain.machine.time_ns for domain in domains) + ns
    while now < end and all(stop.reason is StopReason.TIME for stop in stops):
        now = min(now + slice_ns, end)
        stops = [domain.machine.run(_NO_BUDGET, until_ns=now) for domain in domains]
    return stops


def _close(backends: list[Backend]) -> None:
    for backend in backends:
        backend.close()


def build_domain(
    memory: str | int = "256M",
    *,
    disks: Sequence[DiskSpec] = (),
    nets: Sequence[NetSpec] = (),
    strands: int = 1,
    platform: str = "t5-2",
    cpu_arch: str = "native",
    deterministic: bool = False,
    blocks: Sequence[tuple[int, int, int]] | None = None,
    first_mac: int = FIRST_MAC,
    variables: dict[str, str] | None = None,
    change: Callable[[Resources], Resources] | None = None,
) -> Domain:
    """A domain with disks, networks and domain services. Nothing is started.

    With `blocks` its memory is these (real address, physical address, bytes), and not `memory`.

    `first_mac` is the address of its first interface; two domains of one switch need different ones. `change` may
    alter the resources before the machine description is made from them. Raises ConfigError.
    """
    server = find_platform(platform)
    plain = plain_resources(server, strands, parse_size(memory), cpu_arch=cpu_arch)
    if blocks is not None:
        plain = replace(plain, memory=tuple(MemorySegment(ra, size, pa) for ra, pa, size in blocks))
    disk_channels = range(SERVICES_CHANNEL + 1, SERVICES_CHANNEL + 1 + len(disks))
    net_channels = range(disk_channels.stop, disk_channels.stop + len(nets))
    macs = [first_mac + number if spec.mac is None else spec.mac for number, spec in enumerate(nets)]
    resources = replace(
        plain,
        mac_address=(macs or [first_mac])[0],
        devices=(*_disk_nodes(disks, disk_channels), *_net_nodes(nets, net_channels, macs)),
        domain_services=(MdPort(0, (SERVICES_CHANNEL,)),),
        devaliases=tuple(aliases(
            [(_name(disk, "vdisk", n), n) for n, disk in enumerate(disks)],
            [(_name(net, "vnet", n), n) for n, net in enumerate(nets)],
        ).items()),
        variables=tuple((variables or {}).items()),
    )
    resources = change(resources) if change else resources
    machine = Machine(
        memory if blocks is None else None, blocks=blocks, strands=strands, platform=platform, cpu_arch=cpu_arch,
        deterministic=deterministic, machine_description=build(server, resources),
    )  # fmt: skip
    opened: list[Backend] = []
    ports: list[Port] = []
    try:
        machine.attach(DomainServices("domain-services", SERVICES_CHANNEL, variables=variables))
        for number, (spec, channel) in enumerate(zip(disks, disk_channels, strict=True)):
            backend, ours = spec.open()
            opened += [backend] if ours else []
            machine.attach(VirtualDisk(_name(spec, "vdisk", number), channel, backend, options=spec.options))
        for number, (net, channel) in enumerate(zip(nets, net_channels, strict=True)):
            ports.append(_plug(net, _name(net, "vnet", number)))
            if deterministic:
                ports[-1].clock = lambda: DETERMINISTIC_TOD * 1_000_000_000 + machine.time_ns
            else:
                ports[-1].wake = machine.wake
            machine.attach(VnetPort(ports[-1].name, channel, ports[-1], address=SWITCH_MAC, mtu=net.mtu))
    except BaseException:
        Domain(machine, opened, ports).close()
        raise
    return Domain(machine, opened, ports)


def _disk_nodes(disks: Sequence[DiskSpec], channels: Sequence[int]) -> Iterator[VirtualDevice]:
    for number, (disk, channel) in enumerate(zip(disks, channels, strict=True)):
        yield disk_node(number, (channel,), timeout_seconds=disk.timeout_seconds)


def _net_nodes(nets: Sequence[NetSpec], channels: Sequence[int], macs: Sequence[int]) -> Iterator[VirtualDevice]:
    for number, (net, channel, mac) in enumerate(zip(nets, channels, macs, strict=True)):
        yield net_node(
            number, channel, mac=mac, default_vlan=net.switch.default_vlan, pvid=net.pvid, vids=net.vids,
            frame_bytes=net.mtu,
        )  # fmt: skip


def _name(spec: DiskSpec | NetSpec, kind: str, number: int) -> str:
    return spec.name or f"{kind}{number}"


def _plug(spec: NetSpec, name: str) -> Port:
    pvid = spec.switch.default_vlan if spec.pvid is None else spec.pvid
    port = spec.switch.add(Port(name, pvid=pvid, vids=spec.vids))
    if spec.capture is not None:
        port.record(spec.capture)
    return port
