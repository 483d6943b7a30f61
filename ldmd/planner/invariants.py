"""What holds of every configuration, whatever was done: checked by brute force, each rule on its own.

`problems` lists what is wrong, for tests and for a manager that has read a store or a saved configuration. It uses
nothing of the planner but the facts of the hardware, so that an error there is not an error here as well.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterable, Iterator

from emulator.errors import ConfigError
from ldmd.model import Binding, Configuration, Domain, State
from ldmd.planner.hardware import Hardware, hardware
from ldmd.planner.server import empty_memory

WITHOUT_BINDING = (State.INACTIVE, State.BINDING)
STARTED = (State.ACTIVE, State.STOPPING, State.SUSPENDED)
PAGE = 8 << 10


def problems(configuration: Configuration) -> tuple[str, ...]:
    """Everything that is wrong; () where nothing is."""
    try:
        server = hardware(configuration)
        memory = empty_memory(configuration.server)
    except ConfigError as error:
        return (f"server: {error}",)
    found = [*_names(configuration), *_identities(configuration), *_strands(configuration, server),
             *_crypto(configuration, server), *_memory(configuration, server), *_consoles(configuration)]
    for domain in configuration.domains:
        found += [f"{domain.name}: {problem}" for problem in (
            *_own(domain, server), *_masters(configuration, domain))]
    ids = [domain.binding.id for domain in configuration.domains if domain.binding is not None]
    found += [f"guest id {number} is given twice" for number in _twice(ids)]
    if len(ids) > server.platform.max_domains:
        found.append(f"{len(ids)} domains are bound, the platform has {server.platform.max_domains}")
    known = [(b.pa, b.end) for b in memory.blocks if b.owner is None]
    found += [f"{name}: memory {pa:#x} is not the server's" for name, pa, size in _given(configuration)
              if not _covered(pa, pa + size, known)]
    return tuple(found)


_OWN: dict[int, tuple[weakref.ref[Domain], Hardware, tuple[str, ...]]] = {}
"""By identity of a domain, which never changes: what was found of it before. Ends with the domain."""


def _own(domain: Domain, server: Hardware) -> tuple[str, ...]:
    """What is wrong with a domain whatever else there is. A commit changes one of many: the others are looked up."""
    key = id(domain)
    known = _OWN.get(key)
    if known is not None and known[0]() is domain and known[1] is server:
        return known[2]
    found = (*_state(domain), *_cpus(domain, server), *_amount(domain), *_devices(domain))
    _OWN[key] = weakref.ref(domain, lambda gone: _forget(key, gone)), server, found
    return found


def _forget(key: int, gone: weakref.ref[Domain]) -> None:
    """A domain is no more; another may have its place in memory by now."""
    known = _OWN.get(key)
    if known is not None and known[0] is gone:
        del _OWN[key]


def _twice(values: Iterable[Hashable]) -> list[Hashable]:
    values = list(values)
    if len(set(values)) == len(values):
        return []
    seen: set[Hashable] = set()
    again: list[Hashable] = []
    for value in values:
        if value in seen and value not in again:
            again.append(value)
        seen.add(value)
    return again


def _covered(low: int, high: int, runs: list[tuple[int, int]]) -> bool:
    """True where all of a range is in these ascending ranges, which may touch."""
    for start, end in runs:
        if start <= low < end:
            low = end
        if low >= high:
            return True
    return False


def _names(configuration: Configuration) -> Iterator[str]:
    for name in _twice(domain.name for domain in configuration.domains):
        yield f"domain {name} is there twice"
    if not configuration.domains or not configuration.domains[0].control:
        yield "the first domain is not the control domain"
    pending = [each.domain.name for each in configuration.pending]
    for each in pending:
        if configuration.find(each) is None:
            yield f"delayed reconfiguration of {each}, which is not there"
    for name in _twice(pending):
        yield f"two delayed reconfigurations of {name}"


def _identities(configuration: Configuration) -> Iterator[str]:
    for uuid in _twice(domain.uuid for domain in configuration.domains):
        yield f"uuid {uuid} is given twice"
    macs = [mac for domain in configuration.domains
            for mac in (domain.mac, *(s.mac for s in domain.switches),
                        *(mac for net in domain.vnets for mac in (net.mac, *net.alt_macs)))]
    for mac in _twice(macs):
        yield f"MAC address {mac:#x} is given twice"
    if sum("global" in domain.perf_counters for domain in configuration.domains) > 1:
        yield "perf-counters=global is held twice"


def _bindings(configuration: Configuration) -> Iterator[tuple[Domain, Binding]]:
    return ((domain, domain.binding) for domain in configuration.domains if domain.binding is not None)


def _strands(configuration: Configuration, server: Hardware) -> Iterator[str]:
    given = [strand for _, binding in _bindings(configuration) for _, strand in binding.vcpus]
    for strand in _twice(given):
        yield f"strand {strand} is given twice"
    strands = server.strands
    for strand in given:
        if strand not in strands:
            yield f"strand {strand} is not the server's"


def _crypto(configuration: Configuration, server: Hardware) -> Iterator[str]:
    for core in _twice(core for _, binding in _bindings(configuration) for core in binding.crypto):
        yield f"the crypto unit of core {core} is given twice"
    for domain, binding in _bindings(configuration):
        cores = {server.core_of(strand) for _, strand in binding.vcpus}
        for core in binding.crypto:
            if core not in cores or not server.has_crypto_units:
                yield f"{domain.name}: crypto unit of core {core} without a virtual CPU there"


def _given(configuration: Configuration) -> list[tuple[str, int, int]]:
    return [(domain.name, block.pa, block.size_bytes) for domain, binding in _bindings(configuration)
            for block in binding.memory]


def _memory(configuration: Configuration, server: Hardware) -> Iterator[str]:
    last, holder = -1, ""
    for name, pa, size in sorted(_given(configuration), key=lambda each: each[1]):
        if pa < last:
            yield f"memory {pa:#x} is given to {holder} and {name}"
        last, holder = max(last, pa + size), name
    page = server.platform.largest_page_bytes
    for domain, binding in _bindings(configuration):
        end = 1
        for block in binding.memory:
            if block.size_bytes <= 0 or block.size_bytes % PAGE or (block.ra - block.pa) % page:
                yield f"{domain.name}: block {block.ra:#x} has a wrong size or address"
            if block.ra < end:
                yield f"{domain.name}: block {block.ra:#x} overlaps the one before it"
            end = block.ra + block.size_bytes
        if end > server.ra_limit:
            yield f"{domain.name}: memory ends above the chip's real addresses"


def _consoles(configuration: Configuration) -> Iterator[str]:
    ranges = {vcc.name: range(vcc.first_port, vcc.last_port + 1) for _, vcc in configuration.vccs()}
    groups: dict[int, tuple[str, str]] = {}
    for domain, binding in _bindings(configuration):
        if binding.console_port is None:
            continue  # the control domain, and a guest whose concentrator was removed by force
        if domain.control:
            yield f"{domain.name}: console port {binding.console_port}"
        if binding.console_service in ranges and binding.console_port not in ranges[binding.console_service]:
            yield f"{domain.name}: console port {binding.console_port} is not one of {binding.console_service}"
        group = (binding.console_group, binding.console_service)
        if groups.setdefault(binding.console_port, group) != group:
            yield f"console port {binding.console_port} is given to two groups"


def _state(domain: Domain) -> Iterator[str]:
    if (domain.binding is None) != (domain.state in WITHOUT_BINDING) and domain.state is not State.UNBINDING:
        yield f"{domain.state} and {'no' if domain.binding is None else 'a'} binding"
    if domain.started_at is not None and domain.state not in STARTED and domain.state is not State.STARTING:
        yield f"{domain.state} and a time of start"
    if domain.binding is not None and domain.control != (domain.binding.id == 0):
        yield f"guest id {domain.binding.id}"


def _cpus(domain: Domain, server: Hardware) -> Iterator[str]:
    cpus, binding = domain.cpus, domain.binding
    if cpus.whole_core and (cpus.vcpus != cpus.cores * server.strands_per_core or
                            (cpus.cids and len(cpus.cids) != cpus.cores)):
        yield "whole cores and virtual CPUs do not agree"
    if cpus.max_cores is not None and (not cpus.whole_core or cpus.cores > cpus.max_cores):
        yield "more cores than max-cores"
    if binding is None:
        return
    if len(binding.vcpus) != cpus.vcpus or not binding.vcpus:
        yield f"{len(binding.vcpus)} virtual CPUs bound, {cpus.vcpus} asked for"
    if _twice(vid for vid, _ in binding.vcpus) or list(binding.vcpus) != sorted(binding.vcpus):
        yield "virtual CPUs are not in order"
    cores = {server.core_of(strand) for _, strand in binding.vcpus}
    if cpus.whole_core and len(cores) * server.strands_per_core != len(binding.vcpus):
        yield "whole-core constraint, and parts of cores"
    if cpus.cids and set(cpus.cids) != cores:
        yield "other cores than those named"


def _amount(domain: Domain) -> Iterator[str]:
    memory, binding = domain.memory, domain.binding
    if memory.mblocks and sum(size for _, size in memory.mblocks) != memory.size_bytes:
        yield "the named memory blocks are not its memory"
    if binding is None:
        return
    if binding.memory_bytes != memory.size_bytes or not binding.memory:
        yield f"{binding.memory_bytes} bytes bound, {memory.size_bytes} asked for"
    have = sorted((block.pa, block.pa + block.size_bytes) for block in binding.memory)
    if not all(_covered(pa, pa + size, have) for pa, size in memory.mblocks):
        yield "other memory than the blocks named"
    if len(binding.crypto) != domain.crypto:
        yield f"{len(binding.crypto)} crypto units bound, {domain.crypto} asked for"


def _devices(domain: Domain) -> Iterator[str]:
    binding = domain.binding
    wanted = [*(("disk", each.name) for each in domain.vdisks), *(("network", each.name) for each in domain.vnets),
              *(("vhba", each.name) for each in domain.vhbas), *(("vdpcc", each.name) for each in domain.vdpccs),
              *(("switch", each.name) for each in domain.switches)]
    for device in _twice(wanted):
        yield f"device {device} is there twice"
    if binding is None:
        return
    have = [(device.kind, device.name) for device in binding.devices]
    if set(wanted) != set(have) or _twice(have):
        yield f"bound devices {sorted(have)}, asked for {sorted(wanted)}"
    channels = [channel for bound in binding.devices for channel in bound.channels]
    if _twice(channels) or any(channel <= 0 for channel in channels):
        yield "a channel is given twice, or is that of domain services"
    for number in _twice((bound.kind, bound.number) for bound in binding.devices):
        yield f"device number {number} is given twice"


def _masters(configuration: Configuration, domain: Domain) -> Iterator[str]:
    for master in domain.masters:
        if configuration.find(master) is None:
            yield f"master {master} is not there"
    if len(domain.masters) > 4 or _twice(domain.masters):
        yield "masters"
    reached, todo = set(), list(domain.masters)
    while todo:
        name = todo.pop()
        found = configuration.find(name)
        if name not in reached and found is not None:
            reached.add(name)
            todo += found.masters
    if domain.name in reached:
        yield "is its own master"
