"""add-, set-, remove- of vcpu, core and crypto (ldm(1M) of 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ldmd.messages import message, refuse
from ldmd.model import Configuration, Domain
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.dynamic import Answer, ask_each, check_alone, md_update, require_service, still_runs
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen, put, runs_os, target
from ldmd.planner import cpus
from ldmd.planner.cpus import CpuPlan
from ldmd.planner.hardware import hardware
from ldmd.planner.reconfiguration import find, is_delayed

Planner = Callable[[Configuration, Domain], CpuPlan]


def change_cpus(context: Context, name: str, plan: Planner, *, force: bool) -> None:
    """Plan a change of a domain's CPUs and carry it out: at once, with its guest's consent, or after its reboot."""
    domain = target(context, name)
    if is_delayed(context.configuration, name) and domain.cpus != find(context.configuration, name).cpus:
        refuse("reconf.one-cpu", name=name)
    made = plan(foreseen(context), domain)
    if not runs_os(context, domain) or not (made.added or made.removed):
        put(context, made.domain)
    elif domain.binding is not None and len(made.removed) == len(domain.binding.vcpus):
        refuse("cpu.alignment", name=name, state=domain.state)
    else:
        check_alone(context, name)
        require_service(context, domain, "dr-cpu", what="VCPUs", kind="VCPU")
        if made.removed:
            _remove(context, name, made, force=force)
        if made.added and still_runs(context, name):
            _add(context, name, plan)
    context.emit("set-vcpu", domain=name)


def _remove(context: Context, name: str, made: CpuPlan, *, force: bool) -> None:
    """The guest gives up virtual CPUs, as many as it does; those go back to the server."""
    answer = ask_each(context, name, "guest.dr_cpu", action="force" if force else "unconfigure", units=made.removed)
    gone = answer.done(made.removed)
    domain = find(context.configuration, name)
    server = hardware(context.configuration)
    if domain.cpus.whole_core and gone and len(gone) < len(made.removed):
        gone = _whole(context, domain, gone)
    here = dict(domain.binding.vcpus) if domain.binding else {}
    gone = tuple(vid for vid in gone if vid in here)
    if gone and len(gone) == len(made.removed) and not made.added:
        put(context, domain.but(cpus=made.domain.cpus, binding=domain.binding and domain.binding.but(
            vcpus=tuple(pair for pair in domain.binding.vcpus if pair[0] not in gone))))
    elif gone:
        put(context, cpus.without_vcpus(domain, gone, server))
    if gone:
        md_update(context, name)
    _judge_removal(name, made.removed, gone, answer)


def _whole(context: Context, domain: Domain, gone: tuple[int, ...]) -> tuple[int, ...]:
    """Of a domain of whole cores only whole cores go: the guest takes the rest back."""
    server = hardware(context.configuration)
    assert domain.binding is not None
    kept = {server.core_of(strand) for vid, strand in domain.binding.vcpus if vid not in gone}
    back = tuple(vid for vid, strand in domain.binding.vcpus if vid in gone and server.core_of(strand) in kept)
    if back:
        ask_each(context, domain.name, "guest.dr_cpu", action="configure", units=back)
    return tuple(vid for vid in gone if vid not in back)


def _judge_removal(name: str, asked: tuple[int, ...], gone: tuple[int, ...], answer: Answer) -> None:
    remedy = "`-f` forces it; processes bound to those CPUs are then unbound"
    if not gone:
        refuse("dr.cpu-refused", reasons=answer.reasons, remedy=remedy)
    if len(gone) < len(asked):
        refuse("dr.cpu-some", done=len(gone), asked=len(asked), name=name, reasons=answer.reasons, remedy=remedy)


def _add(context: Context, name: str, plan: Planner) -> None:
    """The machine gives strands, the guest takes them; those that it does not take go back.

    Planned anew, since the configuration may be another one after a removal.
    """
    made = plan(foreseen(context), find(context.configuration, name))
    put(context, made.domain)
    md_update(context, name)
    answer = ask_each(context, name, "guest.dr_cpu", action="configure", units=made.added)
    done = answer.done(made.added)
    lost = tuple(vid for vid in made.added if vid not in done)
    if not lost or not still_runs(context, name):
        return
    domain = find(context.configuration, name)
    if domain.cpus.whole_core:
        lost = _with_their_cores(context, domain, lost, done)
        done = tuple(vid for vid in done if vid not in lost)
    put(context, cpus.without_vcpus(domain, lost, hardware(context.configuration)))
    md_update(context, name)
    refuse("dr.add-some" if done else "dr.add-refused", name=name, what="virtual CPUs", done=len(done),
           asked=len(made.added), reasons=answer.reasons)


def _with_their_cores(context: Context, domain: Domain, lost: tuple[int, ...],
                      done: tuple[int, ...]) -> tuple[int, ...]:
    """Of a domain of whole cores a core goes wholly: the guest gives up what it took of it."""
    server = hardware(context.configuration)
    strands = dict(domain.binding.vcpus) if domain.binding else {}
    cores = {server.core_of(strands[vid]) for vid in lost if vid in strands}
    back = tuple(vid for vid in done if vid in strands and server.core_of(strands[vid]) in cores)
    if back:
        ask_each(context, domain.name, "guest.dr_cpu", action="force", units=back)
    return tuple(sorted({*lost, *back}))


# -- sub-commands

def _count(context: Context, arguments: Arguments, plan: Callable[[Configuration, Domain, int], CpuPlan],
           least: int = 1) -> None:
    count = arguments.number("count", least=least, most=1 << 20)
    change_cpus(context, arguments.text("domain"), lambda view, domain: plan(view, domain, count),
                force=arguments.flag("force"))


@operation("add-vcpu")
def add_vcpu(context: Context, arguments: Arguments) -> Any:
    """`add-vcpu count domain`."""
    _count(context, arguments, cpus.add_vcpus)


@operation("set-vcpu")
def set_vcpu(context: Context, arguments: Arguments) -> Any:
    """`set-vcpu count domain`."""
    _count(context, arguments, cpus.set_vcpus, least=0)


@operation("remove-vcpu")
def remove_vcpu(context: Context, arguments: Arguments) -> Any:
    """`remove-vcpu [-f] count domain`."""
    _count(context, arguments, cpus.remove_vcpus)


def _cores(context: Context, arguments: Arguments, named: Callable[[Configuration, Domain, tuple[int, ...]], CpuPlan],
           counted: Callable[[Configuration, Domain, int], CpuPlan], least: int = 1) -> None:
    """By cid= or by number."""
    text = arguments.optional("cid")
    if text is None:
        _count(context, arguments, counted, least)
        return
    cids = cpus.parse_cids(text)
    change_cpus(context, arguments.text("domain"), lambda view, domain: named(view, domain, cids),
                force=arguments.flag("force"))


@operation("add-core")
def add_core(context: Context, arguments: Arguments) -> Any:
    """`add-core num domain` or `add-core cid=... domain`."""
    if arguments.optional("cid") == "":
        refuse("cpu.cid-syntax", value="")
    _cores(context, arguments, cpus.add_named_cores, cpus.add_cores)


@operation("set-core")
def set_core(context: Context, arguments: Arguments) -> Any:
    """`set-core num domain` or `set-core cid=[...] domain`."""
    _cores(context, arguments, cpus.set_named_cores, cpus.set_cores, least=0)


@operation("remove-core")
def remove_core(context: Context, arguments: Arguments) -> Any:
    """`remove-core [-f] num domain` or `remove-core [-f] cid=... domain`."""
    if "resource-group" in arguments or "resource_group" in arguments:
        refuse("cpu.resource-group")
    if arguments.optional("cid") == "":
        refuse("cpu.cid-syntax", value="")
    _cores(context, arguments, cpus.remove_named_cores, cpus.remove_cores)


# -- crypto units

@operation("add-crypto")
def add_crypto(context: Context, arguments: Arguments) -> Any:
    """`add-crypto number domain`."""
    count = arguments.number("count", least=1, most=1 << 20)
    _crypto(context, arguments, lambda have: have + count)


@operation("set-crypto")
def set_crypto(context: Context, arguments: Arguments) -> Any:
    """`set-crypto [-f] number domain`."""
    count = arguments.number("count", most=1 << 20)
    _crypto(context, arguments, lambda have: count)


@operation("remove-crypto")
def remove_crypto(context: Context, arguments: Arguments) -> Any:
    """`remove-crypto [-f] number domain`."""
    count = arguments.number("count", least=1, most=1 << 20)

    def fewer(have: int) -> int:
        if count > have:
            refuse("crypto.remove-many", name=arguments.text("domain"), have=have, asked=count)
        return have - count

    _crypto(context, arguments, fewer)


def _crypto(context: Context, arguments: Arguments, wanted: Callable[[int], int]) -> None:
    name, force = arguments.text("domain"), arguments.flag("force")
    domain = target(context, name)
    cpus.check_crypto(context.configuration)
    count = wanted(domain.crypto)
    made, added, removed = cpus.set_crypto(foreseen(context), domain, count)
    if removed and not count and not force and runs_os(context, domain):
        refuse("crypto.last", name=name)
    if not runs_os(context, domain) or not (added or removed):
        put(context, made)
    else:
        check_alone(context, name)
        _dynamic_crypto(context, made, added, removed, force=force)
    context.emit("set-mau", domain=name)


def _dynamic_crypto(context: Context, made: Domain, added: tuple[int, ...], removed: tuple[int, ...], *,
                    force: bool) -> None:
    """Crypto units of a running domain: its OS is asked by virtual CPUs of their cores, for each kind of unit."""
    name = made.name
    kinds = hardware(context.configuration).platform.crypto
    for kind in kinds:
        require_service(context, made, f"dr-crypto-{kind}", what="crypto units", kind="crypto")
    reasons = ""
    for kind in kinds if removed else ():
        answer = ask_each(context, name, "guest.dr_crypto", kind=kind, action="force" if force else "unconfigure",
                          units=_vids(context, name, removed))
        if answer.failed:
            reasons = reasons or answer.reasons or "it gave no reason"
    if reasons:
        for kind in kinds:  # what went comes back: units of one core stay together
            ask_each(context, name, "guest.dr_crypto", kind=kind, action="configure",
                     units=_vids(context, name, removed))
        refuse("dr.crypto-refused", name=name, reasons=reasons)
    domain = find(context.configuration, name)
    if domain.binding is None:
        refuse("dr.ended", name=name)
    cores = tuple(sorted({*domain.binding.crypto, *added} - set(removed)))
    put(context, domain.but(crypto=len(cores), binding=domain.binding.but(crypto=cores)))
    md_update(context, name)
    for kind in kinds if added else ():
        answer = ask_each(context, name, "guest.dr_crypto", kind=kind, action="configure",
                          units=_vids(context, name, added))
        if answer.failed:
            context.warn(str(message("dr.crypto-later", name=name, kind=kind, reasons=answer.reasons)))


def _vids(context: Context, name: str, cores: tuple[int, ...]) -> tuple[int, ...]:
    """The lowest virtual CPU of each of some cores."""
    domain, server = find(context.configuration, name), hardware(context.configuration)
    first: dict[int, int] = {}
    for vid, strand in domain.binding.vcpus if domain.binding else ():
        first.setdefault(server.core_of(strand), vid)
    return tuple(first[core] for core in cores if core in first)

