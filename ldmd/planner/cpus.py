"""Virtual CPUs and cores of a domain: from a request to its new constraint and binding.

A plan says what a domain shall be, and on which virtual CPUs and strands that differs from what it is; whether its
operating system has to agree is not of interest here. Facts: Administration Guide, "CPU Allocation", and ldm(1M).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ldmd.messages import refuse
from ldmd.model import Configuration, Cpus, Domain
from ldmd.planner.hardware import Hardware, crypto_owners, hardware, memory_map, nodes_of, strand_owners
from ldmd.planner.strands import Strands, with_vcpus

Vcpus = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CpuPlan:
    """The domain as it shall be. `added`: new virtual CPUs; `removed`: those that go. One may do both."""

    domain: Domain
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


def core_count(server: Hardware, cpus: Cpus) -> int:
    """Cores of a constraint: whole ones, or as many as its virtual CPUs fill."""
    return cpus.cores if cpus.whole_core else -(-cpus.vcpus // server.strands_per_core)


def whole(server: Hardware, cpus: Cpus, cores: int, cids: Iterable[int] = ()) -> Cpus:
    """A constraint of whole cores, with the old one's max-cores."""
    return replace(cpus, whole_core=True, cores=cores, cids=tuple(sorted(cids)),
                   vcpus=cores * server.strands_per_core)


# -- requests by virtual CPUs

def add_vcpus(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`add-vcpu`. `configuration`: what is foreseen, with `domain` in it."""
    _by_vcpus(domain, "add")
    return _with_vcpus(configuration, domain, domain.cpus.vcpus + count)


def set_vcpus(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`set-vcpu`: on an inactive domain it removes the whole-core constraint."""
    if domain.binding is not None:
        _by_vcpus(domain, "set")
    return _with_vcpus(configuration, domain, count)


def remove_vcpus(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`remove-vcpu`."""
    _by_vcpus(domain, "remove")
    if count > domain.cpus.vcpus:
        refuse("cpu.remove-many", name=domain.name, have=domain.cpus.vcpus, asked=count, what="virtual CPUs")
    return _with_vcpus(configuration, domain, domain.cpus.vcpus - count)


def _by_vcpus(domain: Domain, verb: str) -> None:
    if domain.cpus.whole_core:
        refuse("cpu.whole-core", name=domain.name, verb=verb)


def _with_vcpus(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    server = hardware(configuration)
    if count > len(server.strands):
        refuse("cpu.too-many", what="strands", limit=len(server.strands), asked=count)
    limit = domain.cpus.max_cores
    if limit is not None and not domain.cpus.whole_core and count > limit * server.strands_per_core:
        refuse("cpu.max-cores", name=domain.name, limit=limit, asked=-(-count // server.strands_per_core))
    target = domain.but(cpus=Cpus(vcpus=count, max_cores=None if domain.cpus.whole_core else limit))
    if domain.binding is None:
        return CpuPlan(target)
    have = domain.binding.vcpus
    _some_left(domain, count)
    if count >= len(have):
        strands = choose_strands(configuration, domain, count - len(have), max_cores=limit)
        return _difference(target, have, with_vcpus(have, strands))
    gone = Strands.of(server, strand_owners(configuration), domain.name).fewer_strands(
        len(have) - count, have, domain.binding.crypto)
    if gone is None:
        refuse("crypto.bound-core", name=domain.name, cores=", ".join(map(str, domain.binding.crypto)))
    return _difference(target, have, tuple(pair for pair in have if pair[0] not in gone))


def _some_left(domain: Domain, count: int) -> None:
    if count < 1 and domain.binding is not None:
        refuse("cpu.zero", name=domain.name, state=domain.state, have=len(domain.binding.vcpus))


def _difference(target: Domain, have: Vcpus, shall: Vcpus) -> CpuPlan:
    assert target.binding is not None
    return CpuPlan(target.but(binding=target.binding.but(vcpus=shall)),
                   added=tuple(vid for vid, strand in shall if (vid, strand) not in have),
                   removed=tuple(vid for vid, strand in have if (vid, strand) not in shall))


def choose_strands(configuration: Configuration, domain: Domain, count: int, *,
                   max_cores: int | None = None) -> tuple[int, ...]:
    """Free strands for a domain, or a refusal that says what is missing."""
    view = Strands.of(hardware(configuration), strand_owners(configuration), domain.name)
    strands = view.more_strands(count, nodes=preferred_nodes(configuration, domain), max_cores=max_cores)
    if strands is None:
        refuse("cpu.too-few", name=domain.name, asked=count, free=view.free_strands,
               holder=_holder(configuration, domain))
    return strands


def choose_cores(configuration: Configuration, domain: Domain, count: int) -> tuple[int, ...]:
    """Free cores for a domain, or a refusal that says what is missing."""
    view = Strands.of(hardware(configuration), strand_owners(configuration), domain.name)
    cores = view.more_cores(count, nodes=preferred_nodes(configuration, domain))
    if cores is None:
        refuse("cpu.too-few-cores", name=domain.name, asked=count, free=len(view.free_cores),
               holder=_holder(configuration, domain))
    return cores


def preferred_nodes(configuration: Configuration, domain: Domain) -> tuple[int, ...]:
    """Memory nodes near which a domain's next cores shall be: where its memory is, else where all of it has room."""
    memory = memory_map(configuration)
    have: dict[int, int] = {}
    for block in memory.owned(domain.name):
        have[block.node] = have.get(block.node, 0) + block.size_bytes
    if have:
        return tuple(sorted(have, key=lambda node: (-have[node], node)))
    room: dict[int, int] = {}
    for run in memory.free:
        room[run.node] = room.get(run.node, 0) + run.size_bytes
    return tuple(node for node in sorted(room) if room[node] >= domain.memory.size_bytes)


def _holder(configuration: Configuration, domain: Domain) -> str:
    counts = [(len(each.binding.vcpus), each.name) for each in configuration.domains
              if each.binding is not None and each.name != domain.name]
    most, name = max(counts, default=(0, "none"))
    return f"{name} has {most} virtual CPUs"


# -- requests by whole cores

def add_cores(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`add-core num`."""
    _unnamed(domain)
    if not domain.cpus.whole_core and domain.cpus.vcpus:
        refuse("cpu.not-whole-core", name=domain.name)
    return _with_cores(configuration, domain, core_count(hardware(configuration), domain.cpus) + count)


def set_cores(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`set-core num`: sets the whole-core constraint as well."""
    _unnamed(domain)
    return _with_cores(configuration, domain, count)


def remove_cores(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    """`remove-core num`."""
    _unnamed(domain)
    if not domain.cpus.whole_core:
        refuse("cpu.not-whole-core", name=domain.name)
    if count > domain.cpus.cores:
        refuse("cpu.remove-many", name=domain.name, have=domain.cpus.cores, asked=count, what="cores")
    return _with_cores(configuration, domain, domain.cpus.cores - count)


def _unnamed(domain: Domain) -> None:
    if domain.cpus.cids:
        refuse("cpu.named", name=domain.name, cids=", ".join(map(str, domain.cpus.cids)))


def _with_cores(configuration: Configuration, domain: Domain, count: int) -> CpuPlan:
    server = hardware(configuration)
    _check_cores(server, domain, count)
    target = domain.but(cpus=whole(server, domain.cpus, count))
    if domain.binding is None:
        return CpuPlan(target)
    _some_left(domain, count)
    view = Strands.of(server, strand_owners(configuration), domain.name)
    own = sorted(core for core in view.my_cores if view.is_own(core))
    if count <= len(own):
        aligned = replace(view, mine=frozenset(s for core in own for s in server.strands_of(core)))
        gone = aligned.fewer_cores(len(own) - count, domain.binding.crypto)
        return _on_cores(server, domain, target, set(own) - set(gone))
    return _on_cores(server, domain, target, {*own, *choose_cores(configuration, domain, count - len(own))})


def _check_cores(server: Hardware, domain: Domain, count: int) -> None:
    if count > len(server.cores):
        refuse("cpu.too-many", what="cores", limit=len(server.cores), asked=count)
    limit = domain.cpus.max_cores
    if limit is not None and count > limit:
        refuse("cpu.max-cores", name=domain.name, limit=limit, asked=count)
    if domain.policies:
        refuse("cpu.policy", name=domain.name)


def _on_cores(server: Hardware, domain: Domain, target: Domain, cores: Iterable[int]) -> CpuPlan:
    """The plan in which a domain has these cores wholly; virtual CPUs keep their numbers where their core stays."""
    assert domain.binding is not None
    have = domain.binding.vcpus
    strands = {strand for core in cores for strand in server.strands_of(core)}
    kept = tuple(pair for pair in have if pair[1] in strands)
    lost = sorted(set(domain.binding.crypto) - {server.core_of(strand) for _, strand in kept})
    if lost:
        refuse("crypto.bound-core", name=domain.name, cores=", ".join(map(str, lost)))
    return _difference(target, have, with_vcpus(kept, strands - {strand for _, strand in kept}))


# -- requests by named cores

def add_named_cores(configuration: Configuration, domain: Domain, cids: tuple[int, ...]) -> CpuPlan:
    """`add-core cid=...`."""
    if domain.cpus.vcpus and not domain.cpus.cids:
        refuse("cpu.not-named", name=domain.name)
    for cid in cids:
        if cid in domain.cpus.cids:
            refuse("cpu.cid-have", name=domain.name, cid=cid)
    return _with_named(configuration, domain, (*domain.cpus.cids, *cids))


def set_named_cores(configuration: Configuration, domain: Domain, cids: tuple[int, ...]) -> CpuPlan:
    """`set-core cid=...`; without any the cores remain, and lose their names."""
    if not cids:
        return CpuPlan(domain.but(cpus=replace(domain.cpus, cids=())))
    return _with_named(configuration, domain, cids)


def remove_named_cores(configuration: Configuration, domain: Domain, cids: tuple[int, ...]) -> CpuPlan:
    """`remove-core cid=...`."""
    for cid in cids:
        if cid not in domain.cpus.cids:
            refuse("cpu.cid-not-have", name=domain.name, cid=cid,
                   cids=", ".join(map(str, domain.cpus.cids)) or "no named cores")
    rest = tuple(cid for cid in domain.cpus.cids if cid not in cids)
    if not rest:
        _some_left(domain, 0)
    return _with_named(configuration, domain, rest)


def _with_named(configuration: Configuration, domain: Domain, cids: tuple[int, ...]) -> CpuPlan:
    server = hardware(configuration)
    for cid in cids:
        if cid not in server.cores:
            refuse("cpu.cid-unknown", cid=cid, last=len(server.cores) - 1)
    _check_cores(server, domain, len(cids))
    target = domain.but(cpus=whole(server, domain.cpus, len(cids), cids))
    if domain.binding is None:
        return CpuPlan(target)
    check_named_free(configuration, domain, cids)
    return _on_cores(server, domain, target, cids)


def check_named_free(configuration: Configuration, domain: Domain, cids: Iterable[int]) -> None:
    """Refuse where somebody else has a strand of one of these cores."""
    server, owners = hardware(configuration), strand_owners(configuration)
    for cid in cids:
        others = [owners[strand] for strand in server.strands_of(cid) if owners.get(strand) not in (None, domain.name)]
        if others:
            refuse("cpu.cid-taken", cid=cid, owner=others[0], count=others.count(others[0]))


def parse_cids(text: str) -> tuple[int, ...]:
    """The cores of ``cid=``; () for an empty text."""
    if not text:
        return ()
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        refuse("cpu.cid-syntax", value=text)
    cids = tuple(int(part) for part in parts)
    if len(set(cids)) != len(cids):
        refuse("cpu.cid-syntax", value=text)
    return cids


# -- binding

def bind_vcpus(configuration: Configuration, domain: Domain) -> Vcpus:
    """The virtual CPUs of a domain that is being bound."""
    server = hardware(configuration)
    if domain.cpus.cids:
        check_named_free(configuration, domain, domain.cpus.cids)
        strands = [strand for core in domain.cpus.cids for strand in server.strands_of(core)]
    elif domain.cpus.whole_core:
        strands = [strand for core in choose_cores(configuration, domain, domain.cpus.cores)
                   for strand in server.strands_of(core)]
    else:
        strands = list(choose_strands(configuration, domain, domain.cpus.vcpus, max_cores=domain.cpus.max_cores))
    return with_vcpus((), strands)


def without_vcpus(domain: Domain, vids: Iterable[int], server: Hardware) -> Domain:
    """A domain without some virtual CPUs, its constraint as its binding then is (a guest gave up only these)."""
    assert domain.binding is not None
    gone = set(vids)
    vcpus = tuple(pair for pair in domain.binding.vcpus if pair[0] not in gone)
    return as_bound(domain.but(binding=domain.binding.but(vcpus=vcpus)), server)


def as_bound(domain: Domain, server: Hardware) -> Domain:
    """A domain whose CPU constraint is what its binding has: whole cores if they are, single virtual CPUs if not."""
    assert domain.binding is not None
    strands = [strand for _, strand in domain.binding.vcpus]
    cores = {server.core_of(strand) for strand in strands}
    if domain.cpus.whole_core and len(strands) == len(cores) * server.strands_per_core:
        return domain.but(cpus=whole(server, domain.cpus, len(cores), cores if domain.cpus.cids else ()))
    return domain.but(cpus=Cpus(vcpus=len(strands)))


# -- crypto units

def free_crypto(configuration: Configuration, domain: Domain) -> tuple[int, ...]:
    """Cores that a bound domain has strands of and whose crypto units nobody has, ascending."""
    assert domain.binding is not None
    server, owners = hardware(configuration), crypto_owners(configuration)
    cores = {server.core_of(strand) for _, strand in domain.binding.vcpus}
    return tuple(sorted(core for core in cores if core not in owners))


def check_crypto(configuration: Configuration) -> None:
    """Refuse where the chip has instructions in place of crypto units."""
    server = hardware(configuration)
    if not server.has_crypto_units:
        refuse("crypto.none", chip=server.chip.title)


def set_crypto(configuration: Configuration, domain: Domain,
               count: int) -> tuple[Domain, tuple[int, ...], tuple[int, ...]]:
    """(domain with so many crypto units, cores added, cores removed); those of the highest cores go first."""
    check_crypto(configuration)
    binding = domain.binding
    limit = len(hardware(configuration).cores)
    if count > limit:
        refuse("cpu.too-many", what="crypto units", limit=limit, asked=count)
    if binding is None:
        return domain.but(crypto=count), (), ()
    more = count - len(binding.crypto)
    free = free_crypto(configuration, domain)
    if more > len(free):
        refuse("crypto.too-few", name=domain.name, asked=more, cores=len(free))
    added = free[:more] if more > 0 else ()
    removed = tuple(sorted(binding.crypto)[more:]) if more < 0 else ()
    cores = tuple(sorted({*binding.crypto, *added} - set(removed)))
    return domain.but(crypto=count, binding=binding.but(crypto=cores)), added, removed


def cpu_nodes(server: Hardware, vcpus: Vcpus) -> tuple[int, ...]:
    """Memory nodes of a domain's cores, best first."""
    return nodes_of(server, [server.core_of(strand) for _, strand in vcpus])
