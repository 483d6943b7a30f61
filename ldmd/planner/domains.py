"""Domains come and go, and their properties change."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from random import Random

from ldmd.messages import refuse
from ldmd.model import PRIMARY, Configuration, Domain, State
from ldmd.planner import macs
from ldmd.planner.factory import default_counters
from ldmd.planner.properties import apply, check_states, hostid_of
from ldmd.planner.reconfiguration import begin, changeable, changed, check_not_frozen, find, foreseen, is_delayed

NAME_LIMIT = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")


def name_problem(name: str) -> str:
    """Why this cannot be a domain's name, or "". The product's exact rule is not published (inferred)."""
    if not name:
        return "it is empty"
    if len(name) > NAME_LIMIT:
        return f"it is longer than {NAME_LIMIT} characters"
    if _NAME.fullmatch(name) is None:
        bad = next((character for character in name if re.fullmatch(r"[A-Za-z0-9_.:+-]", character) is None), name[0])
        return f"{bad!r} cannot be in it" if bad != name[0] or not bad.isascii() else f"it begins with {bad!r}"
    return ""


def check_name(name: str) -> None:
    """Refuse what cannot be a domain's name."""
    why = name_problem(name)
    if why:
        refuse("domain.name", name=name[:64], why=why)


def add(configuration: Configuration, names: Iterable[str], properties: Mapping[str, str], *, rng: Random,
        claimed: Iterable[int] = ()) -> Configuration:
    """With new inactive domains; properties are for one only.

    `claimed`: automatic MAC addresses that nobody has, as many as domains; without them some that no domain here has.
    """
    names, spare = tuple(names), iter(claimed)
    if not names:
        refuse("domain.none")
    if properties and len(names) > 1:
        refuse("domain.one")
    check_not_frozen(configuration)
    for name in names:
        check_name(name)
        if configuration.find(name) is not None:
            refuse("domain.exists", name=name)
        configuration = _with_new(configuration, name, properties, rng=rng, mac=next(spare, None))
    return configuration


def _with_new(configuration: Configuration, name: str, properties: Mapping[str, str], *, rng: Random,
              mac: int | None) -> Configuration:
    if "mac-addr" in properties:
        mac = -1
    elif mac is None:
        mac, configuration = macs.allocate(configuration, rng)
    else:
        configuration = macs.take(configuration, mac)
    domain = Domain(name=name, uuid=str(uuid.UUID(int=rng.getrandbits(128), version=4)), mac=mac,
                    hostid=hostid_of(mac), perf_counters=default_counters(configuration.server))
    return configuration.with_domain(apply(configuration, domain, properties))


def change(configuration: Configuration, name: str, properties: Mapping[str, str]) -> tuple[Configuration, bool]:
    """(with properties of a domain changed, whether a delayed reconfiguration began for it)."""
    domain = changeable(configuration, name)
    apply(foreseen(configuration), domain, {key: value for key, value in properties.items() if key != "uuid"})
    begins = check_states(domain, properties, delayed=is_delayed(configuration, name))
    if begins:
        configuration = begin(configuration, name)
    view = foreseen(configuration)
    new = apply(view, domain, properties)
    result = changed(configuration, new)
    if domain.mac != new.mac and domain.automatic_mac:
        result = macs.free(result, domain.mac)
    return result, begins


def remove(configuration: Configuration, names: Iterable[str]) -> Configuration:
    """Without some domains, which must be inactive and not be needed by others. All or none are removed."""
    names = tuple(names)
    if not names:
        refuse("domain.none")
    check_not_frozen(configuration)
    for name in names:
        domain = find(configuration, name)
        if names.count(name) > 1:
            refuse("domain.repeated", name=name)
        if domain.control:
            refuse("domain.control", name=name, what="removing it")
        if domain.state is not State.INACTIVE:
            refuse("domain.not-inactive", name=name, state=domain.state, what="remove-domain", remedy=_way_out(domain))
    left = configuration
    for name in names:
        left = macs.free_domain(left.without_domain(name), find(configuration, name))
    for name in names:
        _check_unused(left, find(configuration, name))
    return left


def _way_out(domain: Domain) -> str:
    unbind = f"`ldm unbind-domain {domain.name}`"
    return unbind if domain.state is State.BOUND else f"`ldm stop-domain {domain.name}` and {unbind}"


def _check_unused(left: Configuration, gone: Domain) -> None:
    """Refuse to remove a master, or a domain whose services others use."""
    slaves = [domain.name for domain in left.domains if gone.name in domain.masters]
    if slaves:
        refuse("domain.used", name=gone.name, what=f"it is a master of {', '.join(slaves)}",
               remedy=f"`ldm set-domain master= {slaves[0]}`")
    services = {*(each.name for each in gone.disk_servers), *(each.name for each in gone.switches),
                *(each.name for each in gone.vsans), *(each.name for each in gone.vdpcss)}
    for domain in left.domains:
        used = {*(disk.service for disk in domain.vdisks), *(net.service for net in domain.vnets),
                *(adapter.vsan for adapter in domain.vhbas), *(client.service for client in domain.vdpccs)}
        for name in sorted(used & services):
            refuse("domain.used", name=gone.name, what=f"{domain.name} uses its service {name}",
                   remedy=f"remove the devices of {domain.name} that use it first")


def removable(configuration: Configuration) -> tuple[str, ...]:
    """Names of all that remove-domain -a removes: all inactive domains."""
    return tuple(domain.name for domain in configuration.domains
                 if domain.name != PRIMARY and domain.state is State.INACTIVE)
