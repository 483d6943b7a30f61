"""Virtual storage area networks (vsan), SCSI host bus adapters (vhba), and data plane channels (vdpcs, vdpcc).

Facts: Administration Guide 3.3, "Using Virtual SCSI Host Bus Adapters"; ldm(1M) of 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State, Vdpcc, Vdpcs, Vhba, Vsan
from ldmd.planner.devices import check_id
from ldmd.planner.naming import check_name, find_domain, joined, steady_domain
from ldmd.planner.server import platform_of

VHBA = "vhba"
PORTS_EACH = 2
"""Initiator ports of each onboard SAS controller (concluded from the one published listing, which shows a PORT4)."""


@dataclass(frozen=True)
class InitiatorPort:
    """An initiator port of a service domain: ``/SYS/MB/SASHBA0/HBA0/PORT1`` on a bus."""

    path: str
    bus: str


def initiator_ports(configuration: Configuration, domain: str) -> Iterator[InitiatorPort]:
    """The initiator ports of controllers on buses and endpoints that a domain owns."""
    owner = find_domain(configuration, domain)
    elsewhere = {device for each in configuration.domains if each.name != domain for device in each.io}
    for root in platform_of(configuration.server).roots:
        for endpoint in root.endpoints:
            mine = endpoint.name in owner.io or (root.name in owner.io and endpoint.name not in elsewhere)
            if mine and endpoint.onboard and "SASHBA" in endpoint.name:
                for port in range(1, PORTS_EACH + 1):
                    yield InitiatorPort(f"{endpoint.name}/HBA0/PORT{port}", root.name)


def find_vsan(configuration: Configuration, name: str) -> tuple[Domain, Vsan]:
    """A virtual SAN and its domain, or a refusal."""
    found = configuration.find_vsan(name)
    if found is None:
        refuse("service.not-found", kind="Virtual SAN", name=name)
    return found


def add_vsan(configuration: Configuration, vsan: Vsan, *, domain: str, quick: bool) -> Configuration:
    """A new virtual SAN behind an initiator port. `quick`: do not look whether the domain has that port."""
    owner = steady_domain(configuration, domain)
    check_name("service", vsan.name)
    if configuration.find_vsan(vsan.name) is not None:
        refuse("service.exists", kind="Virtual SAN", name=vsan.name)
    used = next((each.name for _, each in configuration.vsans() if each.iport == vsan.iport), None)
    if used is not None:
        refuse("storage.port-used", port=vsan.iport, vsan=used)
    if not quick and vsan.iport not in {port.path for port in initiator_ports(configuration, domain)}:
        refuse("storage.no-port", port=vsan.iport, domain=domain)
    return configuration.with_domain(owner.but(vsans=(*owner.vsans, vsan)))


def remove_vsan(configuration: Configuration, name: str) -> Configuration:
    """Remove a virtual SAN that nothing uses."""
    owner, _ = find_vsan(configuration, name)
    steady_domain(configuration, owner.name)
    users = [domain.name for domain in configuration.domains for vhba in domain.vhbas if vhba.vsan == name]
    if users:
        refuse("service.attached-fast", kind="Virtual SAN", name=name, users=joined(users))
    return configuration.with_domain(owner.but(vsans=tuple(each for each in owner.vsans if each.name != name)))


def find_vhba(domain: Domain, name: str) -> Vhba:
    """A virtual host bus adapter of a domain, or a refusal."""
    found = next((vhba for vhba in domain.vhbas if vhba.name == name), None)
    if found is None:
        refuse("device.not-found", kind="Virtual SCSI host bus adapter", name=name, domain=domain.name)
    return found


def add_vhba(configuration: Configuration, vhba: Vhba, *, domain: str) -> Configuration:
    """A new adapter."""
    client = steady_domain(configuration, domain)
    check_name("vHBA", vhba.name)
    if any(each.name == vhba.name for each in client.vhbas):
        refuse("device.exists", kind="Virtual SCSI host bus adapter", name=vhba.name, domain=domain)
    find_vsan(configuration, vhba.vsan)
    check_id(client, VHBA, vhba.id, taken=(each.id for each in client.vhbas))
    return configuration.with_domain(client.but(vhbas=(*client.vhbas, vhba)))


def set_vhba(configuration: Configuration, name: str, *, domain: str, timeout: int) -> Configuration:
    """Change the timeout, in any state: administrators set it to 0 before a live migration."""
    client = steady_domain(configuration, domain)
    after = replace(find_vhba(client, name), timeout=timeout)
    return configuration.with_domain(
        client.but(vhbas=tuple(after if each.name == name else each for each in client.vhbas)))  # fmt: skip


def remove_vhba(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """Remove an adapter."""
    client = steady_domain(configuration, domain)
    find_vhba(client, name)
    return configuration.with_domain(client.but(vhbas=tuple(each for each in client.vhbas if each.name != name)))


# -- data plane channels


def find_vdpcs(configuration: Configuration, name: str) -> Domain:
    """The domain that has a data plane channel service, or a refusal."""
    for domain in configuration.domains:
        if any(each.name == name for each in domain.vdpcss):
            return domain
    refuse("service.not-found", kind="Virtual data plane channel service", name=name)


def add_vdpcs(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """A new data plane channel service."""
    owner = steady_domain(configuration, domain)
    check_name("service", name)
    if any(each.name == name for other in configuration.domains for each in other.vdpcss):
        refuse("service.exists", kind="Virtual data plane channel service", name=name)
    return configuration.with_domain(owner.but(vdpcss=(*owner.vdpcss, Vdpcs(name=name))))


def remove_vdpcs(configuration: Configuration, name: str, *, force: bool) -> Configuration:
    """Remove a data plane channel service."""
    owner = find_vdpcs(configuration, name)
    steady_domain(configuration, owner.name)
    users = [domain.name for domain in configuration.domains for each in domain.vdpccs if each.service == name]
    if users and not force:
        refuse("service.attached", kind="Virtual data plane channel service", name=name, users=joined(users))
    return configuration.with_domain(owner.but(vdpcss=tuple(each for each in owner.vdpcss if each.name != name)))


def add_vdpcc(configuration: Configuration, client: Vdpcc, *, domain: str) -> Configuration:
    """A new data plane channel client; the domain must not run."""
    guest = steady_domain(configuration, domain)
    check_name("vdpcc", client.name)
    if any(each.name == client.name for each in guest.vdpccs):
        refuse("device.exists", kind="Virtual data plane channel client", name=client.name, domain=domain)
    find_vdpcs(configuration, client.service)
    _stopped(guest, client.name)
    return configuration.with_domain(guest.but(vdpccs=(*guest.vdpccs, client)))


def remove_vdpcc(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """Remove a data plane channel client; the domain must not run."""
    guest = steady_domain(configuration, domain)
    if not any(each.name == name for each in guest.vdpccs):
        refuse("device.not-found", kind="Virtual data plane channel client", name=name, domain=domain)
    _stopped(guest, name)
    return configuration.with_domain(guest.but(vdpccs=tuple(each for each in guest.vdpccs if each.name != name)))


def _stopped(guest: Domain, name: str) -> None:
    if guest.state is State.ACTIVE and not guest.control:
        refuse("device.active", what=name, domain=guest.name)
