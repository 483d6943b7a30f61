"""Simple changes of a configuration for tests of the manager, so that they need no operation: pure, from a seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from uuid import UUID

from ldmd.model import (
    Binding,
    BoundDevice,
    Configuration,
    Cpus,
    DiskServer,
    Domain,
    MemoryAmount,
    MemoryBlock,
    State,
    Vcc,
    Vdisk,
    Vnet,
    Volume,
    Vsw,
)
from ldmd.model.plain import from_plain

GIB = 1 << 30
SHARE = 4
"""Strands of each guest; the control domain keeps the first 32."""


def roomy(configuration: Configuration) -> Configuration:
    """The control domain with 32 strands and 8G, a vds and a vsw: room for guests."""
    primary = configuration.primary
    assert primary.binding is not None
    first = primary.binding.memory[0]
    binding = Binding(id=0, vcpus=tuple((n, n) for n in range(32)),
                      memory=(MemoryBlock(first.ra, first.pa, 8 * GIB),),
                      devices=(BoundDevice("switch", "primary-vsw0", 0, ()),))
    return configuration.with_domain(primary.but(
        binding=binding, cpus=Cpus(vcpus=32), memory=MemoryAmount(size_bytes=8 * GIB),
        disk_servers=(DiskServer(name="primary-vds0", volumes=(Volume(name="vol1", backend="/disks/1"),)),),
        switches=(Vsw(name="primary-vsw0", mac=0x144FF80000),),
        vccs=(Vcc(name="primary-vcc0", first_port=5000, last_port=5100),)))


def guest(number: int, **changes: object) -> Domain:
    """A domain with a disk and a network, inactive."""
    return Domain(
        name=f"ldg{number}", uuid=str(UUID(int=number, version=4)), mac=0x144FF80100 + number,
        hostid=0x84F80000 + number,
        cpus=Cpus(vcpus=SHARE), memory=MemoryAmount(size_bytes=GIB),
        vdisks=(Vdisk(name="disk0", volume="vol1", service="primary-vds0"),),
        vnets=(Vnet(name="net0", service="primary-vsw0", mac=0x144FF90000 + number),)).but(**changes)


def bound(configuration: Configuration, domain: Domain) -> Domain:
    """With the lowest free number, and the strands and memory that go with it."""
    taken = {each.binding.id for each in configuration.domains if each.binding is not None}
    number = next(n for n in range(1, 200) if n not in taken)
    primary = configuration.primary.binding
    assert primary is not None
    base = primary.memory[0].pa + 8 * GIB
    return domain.but(state=State.BOUND, binding=Binding(
        id=number, vcpus=tuple((n, 32 + number * SHARE + n) for n in range(domain.cpus.vcpus)),
        memory=(MemoryBlock(base + number * GIB, base + number * GIB, GIB),),
        console_group=domain.name, console_port=5000 + number, console_service="primary-vcc0",
        devices=(BoundDevice("disk", "disk0", 0, (1,)), BoundDevice("network", "net0", 0, (2,)))))


def in_state(domain: Domain, state: State) -> Domain:
    return domain.but(state=state, started_at=None if state is not State.ACTIVE else 1.7e9)


Change = Callable[[Configuration, Random], Configuration | None]
"""None: it cannot be done to this configuration."""


def _pick(configuration: Configuration, rng: Random, state: State) -> Domain | None:
    found = [each for each in configuration.guests if each.state is state]
    return rng.choice(found) if found else None


def add(configuration: Configuration, rng: Random) -> Configuration | None:
    number = next(n for n in range(1, 99) if configuration.find(f"ldg{n}") is None)
    return configuration.with_domain(guest(number)) if number < 9 else None


def remove(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.INACTIVE)
    return found and configuration.without_domain(found.name)


def bind(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.INACTIVE)
    return found and configuration.with_domain(bound(configuration, found))


def bind_and_start(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.INACTIVE)
    return found and configuration.with_domain(in_state(bound(configuration, found), State.ACTIVE))


def unbind(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.BOUND)
    return found and configuration.with_domain(found.but(state=State.INACTIVE, binding=None))


def start(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.BOUND)
    return found and configuration.with_domain(in_state(found, State.ACTIVE))


def stop(configuration: Configuration, rng: Random) -> Configuration | None:
    found = _pick(configuration, rng, State.ACTIVE)
    return found and configuration.with_domain(in_state(found, State.BOUND))


def variable(configuration: Configuration, rng: Random) -> Configuration | None:
    if not configuration.guests:
        return None
    found = rng.choice(configuration.guests)
    return configuration.with_domain(found.but(variables=(("boot-device", f"disk{rng.randrange(1000)}"),)))


def volume(configuration: Configuration, rng: Random) -> Configuration | None:
    primary, server = configuration.primary, configuration.primary.disk_servers[0]
    more = Volume(name=f"v{rng.getrandbits(32)}", backend="/disks/x")
    servers = (DiskServer(name=server.name, volumes=(*server.volumes, more)),)
    return configuration.with_domain(primary.but(disk_servers=servers))


def shrink(configuration: Configuration, rng: Random) -> Configuration | None:
    """A running guest gives back its last strand."""
    found = _pick(configuration, rng, State.ACTIVE)
    if found is None or found.binding is None or len(found.binding.vcpus) < 2:
        return None
    binding = dataclasses.replace(found.binding, vcpus=found.binding.vcpus[:-1])
    return configuration.with_domain(found.but(binding=binding, cpus=Cpus(vcpus=len(binding.vcpus))))


CHANGES: tuple[Change, ...] = (
    add, add, remove, bind, bind, bind_and_start, unbind, start, start, stop, variable, volume, shrink)


def sequence(first: Configuration, seed: int, count: int) -> list[Configuration]:
    """`first`, then the configuration after each of so many random changes."""
    rng = Random(seed)
    out = [first]
    while len(out) <= count:
        new = rng.choice(CHANGES)(out[-1], rng)
        if new is not None:
            out.append(new)
    return out


def read_back(plain: object) -> Configuration:
    """What `to_plain` made, sent as JSON."""
    return from_plain(Configuration, plain)
