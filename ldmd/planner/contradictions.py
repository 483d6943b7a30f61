"""What must hold of every configuration, whatever operation made it. A breach is a defect of an operation.

Looked at before each commit, so that a mistake is refused instead of stored: nothing given out twice, names unique,
states that fit the bindings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from emulator.mblocks import SYS
from ldmd.model import PRIMARY, Configuration, Domain, State
from ldmd.planner.server import empty_memory, platform_of, strands_per_core

UNBOUND = frozenset({State.INACTIVE, State.BINDING})


def contradictions(configuration: Configuration) -> Iterator[str]:
    """Each breach as a sentence; nothing where all is well."""
    domains = configuration.domains
    if not domains or domains[0].name != PRIMARY:
        yield "the first domain is not the control domain"
        return
    yield from _twice("domain", (domain.name for domain in domains))
    yield from _twice("uuid", (domain.uuid for domain in domains))
    yield from _twice("service", _services(domains))
    for domain in domains:
        yield from _domain(domain)
    bound = [domain for domain in domains if domain.binding is not None]
    yield from _given_out(configuration, bound)
    for pending in configuration.pending:
        if configuration.find(pending.domain.name) is None:
            yield f"a delayed reconfiguration of {pending.domain.name}, which is no domain"


def _twice(what: str, values: Iterable[object]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{what} {value} is there {count} times"


def _services(domains: Iterable[Domain]) -> Iterator[str]:
    for domain in domains:
        for services in (domain.disk_servers, domain.switches, domain.vccs, domain.vsans, domain.vdpcss):
            yield from (service.name for service in services)


def _domain(domain: Domain) -> Iterator[str]:
    if (domain.binding is None) is not (domain.state in UNBOUND):
        yield f"{domain.name} is {domain.state} {'without' if domain.binding is None else 'with'} a binding"
    for kind, devices in (("vdisk", domain.vdisks), ("vnet", domain.vnets), ("vhba", domain.vhbas)):
        yield from (f"{domain.name}: {each}" for each in _twice(kind, (device.name for device in devices)))
    binding = domain.binding
    if binding is None:
        return
    if domain.control is not (binding.id == 0):
        yield f"{domain.name} has guest number {binding.id}"
    for what, values in (
        ("virtual CPU", [vid for vid, _ in binding.vcpus]),
        ("channel", [channel for device in binding.devices for channel in device.channels]),
        ("device", [(device.kind, device.number) for device in binding.devices]),
    ):
        yield from (f"{domain.name}: {each}" for each in _twice(what, values))


def _given_out(configuration: Configuration, bound: list[Domain]) -> Iterator[str]:
    """Strands, memory, crypto units, guest numbers and console ports."""
    bindings = [(domain, domain.binding) for domain in bound if domain.binding is not None]
    yield from _twice("guest number", (binding.id for _, binding in bindings))
    yield from _twice("strand", (pid for _, binding in bindings for _, pid in binding.vcpus))
    yield from _twice("crypto unit of core", (core for _, binding in bindings for core in binding.crypto))
    strands = platform_of(configuration.server).strands
    cores = strands // strands_per_core(configuration.server)
    for domain, binding in bindings:
        if any(not 0 <= pid < strands for _, pid in binding.vcpus):
            yield f"{domain.name} has a strand that the server has not"
        if any(not 0 <= core < cores for core in binding.crypto):
            yield f"{domain.name} has a crypto unit that the server has not"
    yield from _memory(configuration, bound)
    groups: dict[int, str] = {}
    for _, binding in bindings:
        if binding.console_port is not None:
            owner = groups.setdefault(binding.console_port, binding.console_group)
            if owner != binding.console_group:
                yield f"console port {binding.console_port} belongs to groups {owner} and {binding.console_group}"


def _memory(configuration: Configuration, bound: list[Domain]) -> Iterator[str]:
    """Blocks overlap neither each other nor firmware's, and lie where the server has memory."""
    blocks = sorted((block.pa, block.size_bytes, domain.name)
                    for domain in bound if domain.binding is not None for block in domain.binding.memory)
    room = [(block.pa, block.end) for block in empty_memory(configuration.server).blocks if block.owner != SYS]
    end, last, index = 0, "", 0
    for pa, size, name in blocks:
        if size <= 0 or pa < end:
            yield f"memory at {pa:#x} of {name} is also {last}'s"
        while index < len(room) and room[index][1] <= pa:
            index += 1
        if not _inside(room, index, pa, pa + size):
            yield f"memory at {pa:#x} of {name} is not there, or firmware's"
        end, last = max(end, pa + size), name


def _inside(room: list[tuple[int, int]], index: int, pa: int, end: int) -> bool:
    """True where the piece is covered by free memory from `index` on, which may be cut at the ends of nodes."""
    while index < len(room) and room[index][0] <= pa:
        if room[index][1] >= end:
            return True
        pa = max(pa, room[index][1])
        index += 1
    return False
