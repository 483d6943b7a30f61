"""Servers whose lists are known: those of the product's guides and of published outputs."""

from __future__ import annotations

from typing import Any

from ldmd.model import (
    Binding,
    BoundDevice,
    Configuration,
    Cpus,
    DiskServer,
    Domain,
    MemoryAmount,
    MemoryBlock,
    Server,
    State,
    Vcc,
    Vdisk,
    Vnet,
    Volume,
    Vsw,
)

GIB, MIB = 1 << 30, 1 << 20
NOW = 1_700_000_000.0


def seconds(days: int = 0, hours: int = 0, minutes: int = 0) -> int:
    return ((days * 24 + hours) * 60 + minutes) * 60


def strands(first: int, count: int) -> tuple[tuple[int, int], ...]:
    return tuple((n, first + n) for n in range(count))


def domain(name: str, **changes: Any) -> Domain:
    number = sum(name.encode()) & 0xFFFF
    start: dict[str, Any] = {
        "uuid": f"00000000-0000-4000-8000-{number:012x}", "mac": 0x00144FF80000 | number, "hostid": 0x84F80000 | number}
    return Domain(name=name, **{**start, **changes})


def primary(**changes: Any) -> Domain:
    """As in a published output: 16 virtual CPUs, 32G, up for 45 days."""
    start: dict[str, Any] = {
        "shutdown_group": 0, "state": State.ACTIVE, "started_at": NOW - seconds(45, 8, 6),
        "cpus": Cpus(vcpus=16), "memory": MemoryAmount(size_bytes=32 * GIB),
        "binding": Binding(id=0, vcpus=strands(0, 16), memory=(MemoryBlock(0x20000000, 0x20000000, 32 * GIB),)),
        "io": ("pci_0", "pci_1"),
        "disk_servers": (DiskServer(name="primary-vds0", volumes=(
            Volume(name="vol1", backend="/dev/zvol/dsk/rpool/vol1"),
            Volume(name="iso", backend="/export/sol.iso", options=("ro",)))),),
        "switches": (Vsw(name="primary-vsw0", mac=0x00144FFB54F2, net_dev="net0", id=0, inter_vnet_link="on"),),
        "vccs": (Vcc(name="primary-vcc0", first_port=5000, last_port=5100),),
    }
    return domain("primary", **{**start, **changes})


def guest(name: str, number: int, **changes: Any) -> Domain:
    """A bound domain with a disk and a network interface."""
    start: dict[str, Any] = {
        "state": State.BOUND, "cpus": Cpus(vcpus=8), "memory": MemoryAmount(size_bytes=2 * GIB),
        "vdisks": (Vdisk(name="vdisk0", volume="vol1", service="primary-vds0"),),
        "vnets": (Vnet(name="vnet0", service="primary-vsw0", mac=0x00144FF80000 + number),),
        "binding": Binding(
            id=number, vcpus=strands(16 * number, 8), console_port=4999 + number, console_group=name,
            console_service="primary-vcc0", memory=(MemoryBlock(0x80000000, number * 64 * GIB, 2 * GIB),),
            devices=(BoundDevice("disk", "vdisk0", 0, (1,)), BoundDevice("network", "vnet0", 0, (2,)))),
    }
    return domain(name, **{**start, **changes})


def configuration(*domains: Domain, platform: str = "t5-2", memory: int = 1024 * GIB) -> Configuration:
    return Configuration(server=Server(name="alpha", platform=platform, memory_bytes=memory), domains=domains)


def status(number: int, util: float, *, count: int = 16, text: str = "Solaris running", normal: bool = True,
           firmware: bool = False) -> dict[str, Any]:
    """What the machine says of a guest."""
    return {"guest": number, "soft_state": {"normal": normal, "text": text}, "firmware": firmware,
            "vcpus": [{"vid": vid, "pid": vid, "state": "running", "util": util} for vid in range(count)]}
