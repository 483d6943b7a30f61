"""Domains of a document taken into a configuration, with all the checks that the commands make; and init-system's plan.

Clients may name services that are not there yet: binding looks for them, as for everything that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ldmd.messages import RefusedError, refuse
from ldmd.model import PRIMARY, Configuration, DiskServer, Domain, Vnet, Vsw
from ldmd.planner import concentrators, disks, iobuses, macs, memory, networks, policies, storage
from ldmd.planner.channels import settle
from ldmd.planner.cpus import set_cores, set_crypto, set_named_cores, set_vcpus
from ldmd.planner.devices import check_id
from ldmd.planner.domains import check_name
from ldmd.planner.factory import default_counters
from ldmd.planner.naming import find_domain
from ldmd.planner.properties import apply, hostid_of
from ldmd.planner.reconfiguration import begin, changed, foreseen
from ldmd.xmlif.read import DomainDocument

SERVICES = ("disk_servers", "switches", "vccs", "vsans", "vdpcss")
CLIENTS = {"vdisks": "disk", "vnets": "network", "vhbas": "vhba", "vdpccs": "vdpcc"}


def addresses_needed(documents: Iterable[DomainDocument]) -> int:
    """How many automatic MAC addresses have to be chosen for what has none of its own."""
    count = 0
    for document in documents:
        count += document.mac is None and document.name != PRIMARY
        for where in ("vnets", "switches"):
            count += sum(1 for each in document.fields.get(where, ()) if not each.mac)
    return count


def admit(
    configuration: Configuration, documents: Iterable[DomainDocument], *, spare: Iterable[int],
    new_uuid: Callable[[], str],
) -> Configuration:  # fmt: skip
    """With the domains of documents, inactive. `spare`: as many free MAC addresses as `addresses_needed` says."""
    documents, addresses = list(documents), iter(spare)
    for document in documents:
        if document.name == PRIMARY:
            refuse("xml.control", name=PRIMARY)
        configuration = _at(document, lambda now, document=document: _admit_one(
            now, document, addresses, new_uuid), configuration)  # fmt: skip
    for document in documents:  # when all are there: masters may come later in the document
        master = document.properties.get("master")
        if master:
            configuration = _at(document, lambda now, document=document, master=master: now.with_domain(
                apply(now, find_domain(now, document.name), {"master": master})), configuration)  # fmt: skip
    return settle(configuration)


def _at(document: DomainDocument, plan: Any, configuration: Configuration) -> Configuration:
    """A plan whose refusal says which domain of the document it is about."""
    try:
        planned: Configuration = plan(configuration)
    except RefusedError as error:
        if error.code.startswith("xml.") or error.code in ("domain.exists", "domain.name"):
            raise
        raise document.element.refusal("xml.value", what=f"LDom {document.name}", problem=str(error)) from None
    return planned


def _admit_one(
    configuration: Configuration, document: DomainDocument, spare: Iterator[int], new_uuid: Callable[[], str]
) -> Configuration:
    check_name(document.name)
    if configuration.find(document.name) is not None:
        refuse("domain.exists", name=document.name)
    mac = next(spare) if document.mac is None else document.mac
    _check_free(configuration, mac)
    domain = Domain(name=document.name, uuid=document.uuid or new_uuid(), mac=mac, hostid=hostid_of(mac),
                    automatic_mac=mac in macs.AUTOMATIC,
                    perf_counters=default_counters(configuration.server))  # fmt: skip
    for other in configuration.domains:
        if other.uuid == domain.uuid:
            refuse("domain.uuid-taken", value=domain.uuid, owner=other.name)
    properties = {key: value for key, value in document.properties.items() if key != "master"}
    fields = {name: value for name, value in document.fields.items() if name not in SERVICES}
    fields["vnets"] = _with_addresses(fields.get("vnets", ()), spare)
    domain = domain.but(**fields)
    configuration = configuration.with_domain(domain)
    for used in (mac, *(each for vnet in domain.vnets for each in (vnet.mac, *vnet.alt_macs))):
        configuration = macs.take(configuration, used)
    domain = apply(configuration, domain, properties)
    _check_clients(configuration, domain)
    _check_io(configuration.without_domain(domain.name), domain)
    configuration = configuration.with_domain(domain.but(policies=()))
    for policy in domain.policies:
        configuration = policies.add_policy(configuration, policy, domain=domain.name)
    return add_services(configuration, document, spare)


def _with_addresses(vnets: tuple[Vnet, ...], spare: Iterator[int]) -> tuple[Vnet, ...]:
    return tuple(vnet if vnet.mac else replace(vnet, mac=next(spare)) for vnet in vnets)


def _check_free(configuration: Configuration, mac: int) -> None:
    owner = macs.macs_in_use(configuration).get(mac)
    if owner is not None:
        refuse("network.mac-in-use", mac=macs.format_mac(mac), owner=owner)


def _check_clients(configuration: Configuration, domain: Domain) -> None:
    """Names and numbers of devices are unique in the domain, MAC addresses on the server."""
    for where, kind in CLIENTS.items():
        before: list[Any] = []
        for each in getattr(domain, where):
            if any(other.name == each.name for other in before):
                refuse("device.exists", kind=kind, name=each.name, domain=domain.name)
            check_id(domain.but(binding=None), kind, getattr(each, "id", None),
                     taken=(getattr(other, "id", None) for other in before))  # fmt: skip
            before.append(each)
    others = configuration.with_domain(domain.but(vnets=()))
    for vnet in domain.vnets:
        mine = {vnet.mac, *vnet.alt_macs}
        if len(mine) != 1 + len(vnet.alt_macs):
            refuse("network.mac-in-use", mac=macs.format_mac(vnet.mac), owner="the same device")
        for mac in mine:
            _check_free(others, mac)
        others = others.with_domain(domain.but(vnets=(*others.find(domain.name).vnets, vnet)))  # type: ignore[union-attr]


def _check_io(configuration: Configuration, domain: Domain) -> None:
    """Devices exist, and nobody has them."""
    functions = {each.name for each in configuration.virtual_functions}
    for name in (*domain.io, *domain.io_without):
        if name in functions:
            owner = iobuses.function_owner(configuration, name)
        else:
            device = iobuses.known_device(configuration, name)
            owner = iobuses.owner(configuration, device)
        if owner is not None and name in domain.io:
            refuse("io.owned", name=name, owner=owner.name)


def add_services(configuration: Configuration, document: DomainDocument, spare: Iterator[int]) -> Configuration:
    """The services of a document in its domain, which is there."""
    name, fields = document.name, document.fields
    for server in fields.get("disk_servers", ()):
        configuration = _add_disk_server(configuration, server, name)
    for switch in fields.get("switches", ()):
        configuration = _add_switch(configuration, switch, name, spare)
    for vcc in fields.get("vccs", ()):
        configuration = concentrators.add_vcc(configuration, vcc, domain=name)
    for vsan in fields.get("vsans", ()):
        configuration = storage.add_vsan(configuration, vsan, domain=name, quick=True)
    for service in fields.get("vdpcss", ()):
        configuration = storage.add_vdpcs(configuration, service.name, domain=name)
    return configuration


def _add_disk_server(configuration: Configuration, server: DiskServer, name: str) -> Configuration:
    configuration = disks.add_vds(configuration, server.name, domain=name)
    for volume in server.volumes:
        configuration = disks.add_vdsdev(configuration, volume, service=server.name, force=True)
    return configuration


def _add_switch(configuration: Configuration, switch: Vsw, name: str, spare: Iterator[int]) -> Configuration:
    mac = switch.mac or next(spare)
    _check_free(configuration, mac)
    with_mac = replace(switch, mac=mac, automatic_mac=mac in macs.AUTOMATIC)
    return macs.take(networks.add_vsw(configuration, with_mac, domain=name), mac)


# -- init-system


def check_factory(configuration: Configuration) -> None:
    """Refuse where somebody has begun to configure the system."""
    problem = ""
    if configuration.guests:
        problem = f"there are domains besides {PRIMARY}"
    elif configuration.primary.serves:
        problem = f"{PRIMARY} has virtual services"
    elif configuration.pending:
        problem = "a delayed reconfiguration is in progress"
    if problem:
        refuse("init.not-factory", problem=problem)


def system_plan(
    configuration: Configuration, documents: list[DomainDocument], *, spare: Iterable[int],
    new_uuid: Callable[[], str], services_only: bool,
) -> Configuration:  # fmt: skip
    """The configuration after init-system: services, guests (inactive), and the control domain's resources as a
    delayed reconfiguration. `services_only`: only virtual services, of domains that are there."""
    addresses = iter(spare)
    control = [document for document in documents if document.name == PRIMARY]
    guests = [document for document in documents if document.name != PRIMARY]
    for document in control if not services_only else documents:
        find_domain(configuration, document.name)
        configuration = _at(document, lambda now, document=document: add_services(now, document, addresses),
                            configuration)  # fmt: skip
    if services_only:
        return settle(configuration)
    configuration = admit(configuration, guests, spare=addresses, new_uuid=new_uuid)
    for document in control:
        configuration = _at(document, lambda now, document=document: _control(now, document), configuration)
    return configuration


def _control(configuration: Configuration, document: DomainDocument) -> Configuration:
    """The control domain as the document asks for it: what runs on is changed with its next reboot."""
    before = configuration.primary
    configuration = begin(configuration, PRIMARY)
    for step in (_properties, _cpus, _crypto, _memory, _devices):
        now = foreseen(configuration)
        configuration = changed(configuration, step(now, now.primary, document))
    pending = configuration.pending_for(PRIMARY)
    if pending is not None and pending.domain == before:
        return configuration.but(pending=())
    return configuration


def _properties(now: Configuration, domain: Domain, document: DomainDocument) -> Domain:
    """Properties and what is the administrator's to choose; the identity of the hardware stays."""
    keep = {key: value for key, value in document.properties.items() if key not in ("hostid", "master") and value}
    fields = {key: document.fields[key] for key in ("variables",) if key in document.fields}
    return apply(now, domain.but(**fields), keep)


def _cpus(now: Configuration, domain: Domain, document: DomainDocument) -> Domain:
    wanted = document.fields.get("cpus")
    if wanted is None:
        return domain
    if wanted.cids:
        return set_named_cores(now, domain, wanted.cids).domain
    if wanted.whole_core:
        return set_cores(now, domain, wanted.cores).domain
    return set_vcpus(now, domain, wanted.vcpus).domain


def _crypto(now: Configuration, domain: Domain, document: DomainDocument) -> Domain:
    wanted = document.fields.get("crypto", domain.crypto)
    return domain if wanted == domain.crypto else set_crypto(now, domain, wanted)[0]


def _memory(now: Configuration, domain: Domain, document: DomainDocument) -> Domain:
    wanted = document.fields.get("memory")
    if wanted is None:
        return domain
    target = memory.Target(now, domain, auto=False, delayed=True)
    if wanted.mblocks:
        return memory.set_mblocks(target, wanted.mblocks).domain
    return domain if wanted.size_bytes == domain.memory.size_bytes else \
        memory.set_memory(target, wanted.size_bytes).domain  # fmt: skip


def _devices(now: Configuration, domain: Domain, document: DomainDocument) -> Domain:
    """Buses and devices that the document names; none named: it keeps what it has."""
    wanted = document.fields.get("io")
    if wanted is None:
        return domain
    for name in (*wanted, *document.fields.get("io_without", ())):
        iobuses.known_device(now, name)
    taken = [name for other in now.guests for name in other.io if name in wanted]
    if taken:
        refuse("io.owned", name=taken[0], owner="another domain of the document")
    return domain.but(io=wanted, io_without=document.fields.get("io_without", ()))
