"""Binding: all that an inactive domain asks for is given to it, or nothing is and the reason is said.

Order: what it needs must be there; strands; memory near them; crypto units of its cores; console; numbers and channels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from emulator.placement import GRANULE_BOUND
from ldmd.messages import refuse
from ldmd.model import Binding, Configuration, Domain, MemoryAmount, State
from ldmd.planner.channels import lowest_free, settle
from ldmd.planner.consoleplaces import place_console
from ldmd.planner.cpus import bind_vcpus, free_crypto
from ldmd.planner.hardware import hardware, memory_map, to_blocks
from ldmd.planner.memory import Wish, find_room, round_up


def bind(configuration: Configuration, name: str, *, ports_taken: Collection[int] = ()) -> Configuration:
    """With a domain bound. Refuses where it is not inactive or anything it needs is missing.

    `ports_taken`: of the host, by other programs: its console is put elsewhere where that is possible.
    """
    domain = configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    if domain.state is not State.INACTIVE:
        refuse("bind.not-inactive", name=name, state=domain.state)
    _check_needs(configuration, domain)
    bare = configuration.with_domain(domain.but(state=State.BOUND, binding=Binding(id=free_id(configuration, name))))
    given = _with_crypto(_with_memory(_with_cpus(bare, name), name), name)
    return settle(_with_console(given, name, ports_taken))


def _check_needs(configuration: Configuration, domain: Domain) -> None:
    if domain.cpus.vcpus < 1:
        refuse("bind.no-vcpus", name=domain.name)
    if domain.memory.size_bytes < 1:
        refuse("bind.no-memory", name=domain.name)
    check_services(configuration, domain)
    for other in configuration.domains:
        for device in set(domain.io) & set(other.io) if other.name != domain.name else ():
            refuse("bind.io-taken", name=domain.name, device=device, owner=other.name)


def check_services(configuration: Configuration, domain: Domain) -> None:
    """Refuse where a service that a domain's devices use does not exist."""
    for disk in domain.vdisks:
        found = configuration.find_vds(disk.service)
        if found is None:
            refuse("bind.no-vds", name=domain.name, disk=disk.name, service=disk.service)
        if found[1].volume(disk.volume) is None:
            refuse("bind.no-volume", name=domain.name, disk=disk.name, service=disk.service, volume=disk.volume)
    for net in domain.vnets:
        if configuration.find_vsw(net.service) is None:
            refuse("bind.no-vsw", name=domain.name, net=net.name, service=net.service)
    for adapter in domain.vhbas:
        if configuration.find_vsan(adapter.vsan) is None:
            refuse("bind.no-vsan", name=domain.name, adapter=adapter.name, service=adapter.vsan)
    channels = {service.name for each in configuration.domains for service in each.vdpcss}
    for client in domain.vdpccs:
        if client.service not in channels:
            refuse("bind.no-vdpcs", name=domain.name, client=client.name, service=client.service)


def free_id(configuration: Configuration, name: str) -> int:
    """The lowest number that no guest has; 0 is the control domain's."""
    used = {0, *(domain.binding.id for domain in configuration.domains if domain.binding is not None)}
    limit = hardware(configuration).platform.max_domains
    if len(used) >= limit:
        refuse("bind.too-many", name=name, limit=limit)
    return lowest_free(used)


def _bound(configuration: Configuration, name: str) -> tuple[Domain, Binding]:
    domain = configuration.find(name)
    assert domain is not None
    assert domain.binding is not None
    return domain, domain.binding


def _with_cpus(configuration: Configuration, name: str) -> Configuration:
    domain, binding = _bound(configuration, name)
    return configuration.with_domain(domain.but(binding=binding.but(vcpus=bind_vcpus(configuration, domain))))


def _with_memory(configuration: Configuration, name: str) -> Configuration:
    domain, binding = _bound(configuration, name)
    size = round_up(domain.memory.size_bytes, GRANULE_BOUND)
    parts = domain.memory.mblocks
    blocks = find_room(configuration, domain, Wish(size_bytes=size, parts=parts))
    given = to_blocks(memory_map(configuration).assign(sorted(blocks, key=lambda block: block.pa)).owned(name))
    amount = domain.memory if parts else MemoryAmount(size_bytes=size)
    return configuration.with_domain(domain.but(memory=amount, binding=binding.but(memory=given)))


def _with_crypto(configuration: Configuration, name: str) -> Configuration:
    domain, binding = _bound(configuration, name)
    if not domain.crypto:
        return configuration
    if not hardware(configuration).has_crypto_units:
        refuse("crypto.none", chip=hardware(configuration).chip.title)
    free = free_crypto(configuration, domain)
    if len(free) < domain.crypto:
        refuse("crypto.too-few", name=name, asked=domain.crypto, cores=len(free))
    return configuration.with_domain(domain.but(binding=binding.but(crypto=free[: domain.crypto])))


def _with_console(configuration: Configuration, name: str, ports_taken: Collection[int]) -> Configuration:
    domain, binding = _bound(configuration, name)
    place = place_console(configuration, domain, ports_taken)
    return configuration.with_domain(domain.but(binding=binding.but(
        console_group=place.group, console_port=place.port, console_service=place.service)))


def unbind(configuration: Configuration, name: str) -> Configuration:
    """With a domain inactive again. Refuses where it is not bound, or others that are bound use its services."""
    domain = configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    if domain.state is not State.BOUND:
        remedy = f"`ldm stop-domain {name}` first" if domain.state is State.ACTIVE and not domain.control else ""
        refuse("unbind.not-bound", name=name, state=domain.state, help=remedy)
    clients = sorted(set(bound_clients(configuration, domain)))
    if clients:
        refuse("bind.services-used", name=name, clients=", ".join(clients))
    return settle(configuration.with_domain(domain.but(state=State.INACTIVE, binding=None, started_at=None)))


def bound_clients(configuration: Configuration, server: Domain) -> Iterator[str]:
    """Names of the other bound domains that use a service of this one."""
    disks = {service.name for service in server.disk_servers}
    switches = {service.name for service in server.switches}
    sans = {service.name for service in server.vsans}
    consoles = {service.name for service in server.vccs}
    channels = {service.name for service in server.vdpcss}
    for domain in configuration.domains:
        if domain.binding is None or domain.name == server.name:
            continue
        if any(disk.service in disks for disk in domain.vdisks) or any(n.service in switches for n in domain.vnets) or \
                any(each.vsan in sans for each in domain.vhbas) or domain.binding.console_service in consoles or \
                any(client.service in channels for client in domain.vdpccs):
            yield domain.name
