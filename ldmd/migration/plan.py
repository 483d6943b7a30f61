"""The move itself as configurations: the target with the domain, the source without it.

    receiving  = plan_move(configuration, guest)   target, before the first page: bound, its memory and CPUs its own
    owned      = taken_over(configuration, name)   target, once it owns the domain: active
    pausing    = suspended(configuration, name)    source, last phase; `resumed` takes it back
    without    = handed_over(configuration, name)  source, after success

While a domain is received it is `bound` with a binding, as `ldm list` shows it there; that it must not be started,
stopped or changed is known to whoever runs the migration.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.mblocks import Mblock
from emulator.placement import Placement
from ldmd.messages import message, refuse
from ldmd.migration.checks.cpus import needed_cores
from ldmd.migration.checks.memory import layout
from ldmd.migration.facts import (
    NOTHING_MORE,
    GuestFacts,
    Known,
    TargetFacts,
    check_facts,
    target_facts,
)
from ldmd.migration.rule import Options
from ldmd.migration.rules import NO_OPTIONS
from ldmd.model import Binding, Configuration, Cpus, Domain, State, Vcons
from ldmd.planner.binding import bind, free_id
from ldmd.planner.channels import settle
from ldmd.planner.cpus import choose_cores, choose_strands, cpu_nodes, free_crypto, set_crypto
from ldmd.planner.hardware import hardware, memory_map, to_blocks
from ldmd.planner.macs import domain_macs, take


def plan_move(configuration: Configuration, guest: GuestFacts, options: Options = NO_OPTIONS, *,
              known: Known = NOTHING_MORE) -> Configuration:
    """The target's configuration with the domain in it. Refuses what does not fit: `preflight` has said why before.

    `known`: the same that the target's facts for `preflight` were made with.
    """
    check_facts(guest)
    target = target_facts(configuration, known)
    name = options.name(guest)
    if name in target.names:
        refuse("migration.name", name=name, host=target.server.machine)
    domain = _travelling(guest, target, name)
    domain = _same_vlans(configuration, guest, domain)
    for mac, _ in domain_macs(domain):
        configuration = take(configuration, mac)
    configuration = configuration.with_domain(domain)
    if guest.live:
        return settle(_received(configuration, guest, domain, known))
    return _bound(configuration, domain, known) if guest.bound else configuration


def _travelling(guest: GuestFacts, target: TargetFacts, name: str) -> Domain:
    """The inactive domain as the target knows it: all its constraints, without what only the source could give."""
    domain = guest.domain
    return domain.but(
        name=name, state=State.INACTIVE, binding=None, started_at=None, degraded=False,
        masters=tuple(each for each in domain.masters if each in target.names),
        perf_counters=domain.perf_counters if guest.server.performance_access and
        target.server.performance_access else (),
        vcons=Vcons(log=domain.vcons.log) if guest.bound else domain.vcons,
        cpus=_cpus(guest, target))


def _same_vlans(configuration: Configuration, guest: GuestFacts, domain: Domain) -> Domain:
    """A network device without a VLAN of its own stays in the one it is in, where the switch there has another.

    Where the source has no such switch (an inactive domain may name one that is not there) it takes the target's.
    """
    here = dict(guest.vlans)
    there = {switch.name: switch.default_vlan for _, switch in configuration.switches()}
    return domain.but(vnets=tuple(
        replace(net, pvid=here[net.service])
        if net.pvid is None and net.service in here and there.get(net.service, here[net.service]) != here[net.service]
        else net
        for net in domain.vnets))


def _cpus(guest: GuestFacts, target: TargetFacts) -> Cpus:
    """The CPU constraint: a running domain keeps its virtual CPUs, another its cores."""
    cpus, per_core = guest.domain.cpus, target.server.strands_per_core
    if not cpus.whole_core:
        return cpus if not guest.live else replace(cpus, vcpus=guest.vcpus)
    cores = cpus.cores if not guest.live else -(-guest.vcpus // per_core)
    return replace(cpus, cores=cores, vcpus=cores * per_core)


# -- a running domain


def _received(configuration: Configuration, guest: GuestFacts, domain: Domain, known: Known) -> Configuration:
    binding = guest.domain.binding
    assert binding is not None
    empty = Binding(id=free_id(configuration, domain.name), devices=binding.devices)  # numbers and channels stay
    vcpus = _vcpus(configuration, guest, domain.but(binding=empty))
    group, port, service = _console(configuration, domain.name, known)
    bound = domain.but(state=State.BOUND, crypto=0, binding=empty.but(
        vcpus=vcpus, console_group=group, console_port=port, console_service=service))
    configuration = configuration.with_domain(bound)
    blocks = _blocks(configuration, guest, domain.name, vcpus, known)
    given = memory_map(configuration).assign(blocks).owned(domain.name)
    return configuration.with_domain(bound.but(
        memory=replace(domain.memory, size_bytes=binding.memory_bytes),
        binding=bound.binding and bound.binding.but(memory=to_blocks(given))))


def _vcpus(configuration: Configuration, guest: GuestFacts, domain: Domain) -> tuple[tuple[int, int], ...]:
    """The guest's virtual CPUs on strands of the target, in their order."""
    binding = guest.domain.binding
    assert binding is not None
    server = hardware(configuration)
    cores = needed_cores(guest, target_facts(configuration))
    if cores is not None:
        strands = tuple(strand for core in sorted(choose_cores(configuration, domain, cores))
                        for strand in server.strands_of(core))[: len(binding.vcpus)]
    else:
        strands = choose_strands(configuration, domain, len(binding.vcpus), max_cores=domain.cpus.max_cores)
    return tuple(zip((vid for vid, _ in binding.vcpus), sorted(strands), strict=True))


def _blocks(configuration: Configuration, guest: GuestFacts, name: str,
            vcpus: tuple[tuple[int, int], ...], known: Known) -> list[Mblock]:
    """Its memory near these CPUs: same real addresses, congruent physical ones."""
    answer = layout(guest, target_facts(configuration, known), nodes=cpu_nodes(hardware(configuration), vcpus))
    if not isinstance(answer, Placement):
        refuse("migration.changed", name=name, problem=answer.detail, help="; or ".join(answer.remedies))
    blocks = [Mblock(block.pa, block.size_bytes, block.node, name, block.ra) for block in answer.blocks]
    return sorted(blocks, key=lambda block: block.pa)


def _console(configuration: Configuration, name: str, known: Known) -> tuple[str, int, str]:
    """G47: group, port, service."""
    facts = target_facts(configuration, known)
    if name in facts.console_groups:
        refuse("migration.console-group", name=name, group=name)
    for each in facts.concentrators:
        if each.free_ports:
            return name, each.free_ports[0], each.name
    refuse("migration.console-port", name=name, services=", ".join(each.name for each in facts.concentrators) or "none")


# -- a domain that is bound


def _bound(configuration: Configuration, domain: Domain, known: Known) -> Configuration:
    """Bound there anew, by its constraints; its console as G47 has it, its crypto units as many as there are."""
    group, port, service = _console(configuration, domain.name, known)
    bare = domain.but(crypto=0, vcons=Vcons(group=group, port=port, service=service, log=domain.vcons.log))
    configuration = bind(configuration.with_domain(bare), domain.name)
    bound = configuration.find(domain.name)
    assert bound is not None
    bound = bound.but(vcons=domain.vcons)
    return with_crypto(configuration.with_domain(bound), domain.name, domain.crypto)


def with_crypto(configuration: Configuration, name: str, wanted: int) -> Configuration:
    """A bound domain with as many crypto units as it had, or as its cores have (G51, G52)."""
    domain = configuration.find(name)
    if domain is None or domain.binding is None or not wanted or not hardware(configuration).has_crypto_units:
        return configuration
    count = min(wanted, len(free_crypto(configuration, domain)) + len(domain.binding.crypto))
    return configuration.with_domain(set_crypto(configuration, domain, count)[0])


# -- states on the way


def _existing(configuration: Configuration, name: str) -> Domain:
    domain = configuration.find(name)
    if domain is None:
        raise message("domain.not-found", name=name)
    return domain


def taken_over(configuration: Configuration, name: str, *, started_at: float | None) -> Configuration:
    """The target owns the domain, which runs. `started_at`: of its boot, on the source (UPTIME goes on)."""
    return configuration.with_domain(_existing(configuration, name).but(state=State.ACTIVE, started_at=started_at))


def suspended(configuration: Configuration, name: str) -> Configuration:
    """The source has stopped the domain for the last phase."""
    return configuration.with_domain(_existing(configuration, name).but(state=State.SUSPENDED))


def resumed(configuration: Configuration, name: str) -> Configuration:
    """The source runs it again: the migration ended without success."""
    return configuration.with_domain(_existing(configuration, name).but(state=State.ACTIVE))


def handed_over(configuration: Configuration, name: str) -> Configuration:
    """The source without the domain. Its MAC addresses are in use elsewhere: they are not freed ones."""
    gone = _existing(configuration, name)
    for mac, _ in domain_macs(gone):
        configuration = take(configuration, mac)
    configuration = configuration.without_domain(name)
    for domain in configuration.domains:
        if name in domain.masters:
            masters = tuple(each for each in domain.masters if each != name)
            configuration = configuration.with_domain(domain.but(masters=masters))
    return settle(configuration)


def abandoned(configuration: Configuration, name: str) -> Configuration:
    """The target without a domain that it was to receive."""
    return handed_over(configuration, name)
