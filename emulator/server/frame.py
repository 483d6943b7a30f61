"""From the specification of a guest to its machine: resources, machine description, the machine itself.

A *frame* is the machine without its devices, which `emulator.server.plugs` adds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator.chips import find_chip
from emulator.devices.describe import FRAME_EXTRA, SWITCH_MAC, aliases, disk_node, net_node
from emulator.machine import Machine
from emulator.mdesc import CryptoUnit, MachineDescription, MemorySegment, Resources, Vcpu, VirtualDevice, build
from emulator.mdesc import Port as MdPort
from emulator.mdesc.devices import CWQ_INO, MAU_INO, RNG_COMPATIBLE
from emulator.mdesc.resources import WATCHDOG
from emulator.platforms import Platform
from emulator.server.faulting import ServerFaults
from emulator.server.spec import GuestSpec, Net
from emulator.server.switches import SwitchSpec
from emulator.server.tracing import Tracing


@dataclass(frozen=True, kw_only=True)
class Housing:
    """What all guests of a server have in common."""

    platform: Platform
    platform_name: str
    """As `Machine` takes it: a name, or the path of a file."""
    deterministic: bool
    engine: str
    """That is wanted (emulator.engines); a host that has no translator interprets."""
    seed: int
    """Of the guests' random numbers, where the server is deterministic."""
    tod_seconds: Callable[[], int] | None
    """Time of day for a guest that starts; None: the host's."""
    switch: Callable[[str], SwitchSpec | None]
    faults: ServerFaults
    tracing: Tracing


def crypto_units(platform: Platform, spec: GuestSpec) -> tuple[CryptoUnit, ...]:
    """The crypto units of the cores that the guest is given, with those of its vcpus that are on them."""
    per_core = find_chip(platform.chip).strands_per_core
    inos = {"mau": MAU_INO, "cwq": CWQ_INO}
    units = []
    for kind in platform.crypto:
        for core in spec.crypto:
            vcpus = tuple(vid for vid, pid in spec.vcpus if pid // per_core == core)
            if vcpus:  # a unit whose core the guest has no strand of is of no use to it
                units.append(CryptoUnit(kind, core, vcpus, inos[kind] + core))
    return tuple(units)


@dataclass(frozen=True)
class Clock:
    """Rates of TICK and STICK that a guest was told when it was started, perhaps on another server."""

    tick_hz: int
    stick_hz: int


def describe(
    housing: Housing, spec: GuestSpec, *, generation: int, clock: Clock | None = None
) -> MachineDescription:
    """The machine description of a guest; `clock`: of one that has come from elsewhere, or may have.

    Raises ConfigError for what the server does not have.
    """
    platform = housing.platform
    disks = [
        disk_node(disk.number, [path.channel for path in disk.paths], timeout_seconds=disk.timeout)
        for disk in spec.disks
    ]
    resources = Resources(
        vcpus=tuple(Vcpu(vid, pid) for vid, pid in spec.vcpus),
        memory=tuple(MemorySegment(block.ra, block.size_bytes, block.pa) for block in spec.memory),
        cpu_arch=spec.cpu_arch,
        generation=generation,
        max_cpus=spec.max_vcpus,
        mac_address=spec.mac,
        hostid=spec.hostid,
        uuid=spec.uuid,
        devices=(*disks, *(_net(housing, net) for net in spec.nets)),
        domain_services=(MdPort(0, (spec.services_channel,)),),
        variables=spec.variables,
        devaliases=_aliases(spec),
        crypto_units=crypto_units(platform, spec),
        rng_units=int(platform.chip in RNG_COMPATIBLE),
        watchdog=WATCHDOG,
        tick_hz=clock.tick_hz if clock else None,
        stick_hz=clock.stick_hz if clock else None,
    )
    return build(platform, resources)


def _net(housing: Housing, net: Net) -> VirtualDevice:
    switch = housing.switch(net.switch)
    return net_node(
        net.number, net.channel, mac=net.mac, default_vlan=switch.default_vlan if switch else 1, pvid=net.pvid,
        vids=net.vids, frame_bytes=net.mtu + FRAME_EXTRA, switch_mac=switch.mac if switch else SWITCH_MAC,
        link_states=net.linkprop == "phys-state", peers=net.peers,
    )  # fmt: skip


def _aliases(spec: GuestSpec) -> tuple[tuple[str, str], ...]:
    own = aliases([(disk.name, disk.number) for disk in spec.disks], [(net.name, net.number) for net in spec.nets])
    return tuple((own | dict(spec.aliases)).items())


def memory_descriptors(machine: Machine) -> tuple[dict[str, Any], list[int]]:
    """Blocks of a guest's memory as plain data, and copies of the descriptors behind them, each of them once."""
    blocks: list[dict[str, int]] = []
    fds: list[int] = []
    places: dict[int, int] = {}
    for block in machine.memory_descriptors():
        for fd in (block.memory_fd, block.map_fd):
            if fd not in places:
                places[fd] = len(fds)
                fds.append(os.dup(fd))
        blocks.append({
            "ra": block.ra, "pa": block.pa, "size": block.size_bytes, "memory": places[block.memory_fd],
            "map": places[block.map_fd], "memory_offset": block.memory_offset,
            "page_map_offset": block.page_map_offset, "region_map_offset": block.region_map_offset,
        })  # fmt: skip
    return {"blocks": blocks}, fds


def build_machine(housing: Housing, spec: GuestSpec) -> Machine:
    """The machine of a guest, with nothing started. Raises ConfigError."""
    machine = Machine(
        blocks=[(block.ra, block.pa, block.size_bytes) for block in spec.memory],
        strands=[vid for vid, _ in spec.vcpus],
        max_strands=spec.max_vcpus,
        platform=housing.platform_name,
        cpu_arch=spec.cpu_arch,
        deterministic=housing.deterministic,
        tod_seconds=housing.tod_seconds() if housing.tod_seconds else None,
        rng_seed=housing.seed * 1009 + spec.id if housing.deterministic else None,
        machine_description=describe(housing, spec, generation=1),
    )
    machine.prefer_engine(housing.engine)
    return machine
