"""Configurations for tests of the manager's planner."""

from __future__ import annotations

from random import Random
from typing import Any

from ldmd.model import (
    Configuration,
    Cpus,
    DiskServer,
    Domain,
    MemoryAmount,
    Server,
    State,
    Vcc,
    Vdisk,
    Vnet,
    Volume,
    Vsw,
)
from ldmd.planner.factory import factory_default

GIB = 1 << 30
MIB = 1 << 20


def fresh(platform: str = "t5-2", gib: int = 64, name: str = "alpha") -> Configuration:
    """A server in factory-default."""
    return factory_default(Server(name=name, platform=platform, memory_bytes=gib * GIB), rng=Random(1), started_at=0.0)


def shrunk(platform: str = "t5-2", gib: int = 64, *, cores: int = 2, memory_gib: int = 4) -> Configuration:
    """A server whose control domain has a few cores and little memory, and one service of each kind."""
    configuration = fresh(platform, gib)
    primary = configuration.primary
    assert primary.binding is not None
    per_core = 8
    vcpus = primary.binding.vcpus[: cores * per_core]
    first = primary.binding.memory[0]
    keep = memory_gib * GIB
    memory = (type(first)(first.ra, first.pa, keep),)
    return configuration.with_domain(primary.but(
        cpus=Cpus(vcpus=len(vcpus)), memory=MemoryAmount(size_bytes=keep), crypto=0,
        binding=primary.binding.but(vcpus=vcpus, memory=memory, crypto=()),
        vccs=(Vcc(name="primary-vcc0", first_port=5000, last_port=5100),),
        disk_servers=(DiskServer(name="primary-vds0", volumes=(Volume(name="vol1", backend="/disk1"),
                                                               Volume(name="vol2", backend="/disk2"))),),
        switches=(Vsw(name="primary-vsw0", mac=0x00144FF80001),),
    ))


def guest(name: str, **changes: Any) -> Domain:
    """An inactive domain with little."""
    number = sum(name.encode())
    fields: dict[str, Any] = {
        "uuid": f"00000000-0000-4000-8000-{number:012x}", "mac": 0x00144FF80100 + number, "hostid": 0x84F80100 + number,
        "cpus": Cpus(vcpus=8), "memory": MemoryAmount(size_bytes=GIB), "perf_counters": (), **changes}
    return Domain(name=name, **fields)


def disk(name: str, volume: str = "vol1", **changes: Any) -> Vdisk:
    return Vdisk(name=name, volume=volume, service="primary-vds0", **changes)


def net(name: str, number: int = 0, **changes: Any) -> Vnet:
    return Vnet(name=name, service="primary-vsw0", mac=0x00144FF90000 + number, **changes)


def with_state(configuration: Configuration, name: str, state: State) -> Configuration:
    domain = configuration.find(name)
    assert domain is not None
    return configuration.with_domain(domain.but(state=state))
