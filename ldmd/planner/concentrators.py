"""Console concentrators (vcc) and the consoles of domains (vcons); Administration Guide 3.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State, Vcc
from ldmd.planner.naming import check_name, joined, steady_domain

PORTS = range(1, 65536)


def parse_range(text: str) -> tuple[int, int]:
    """``5000-5100``."""
    first, dash, last = text.partition("-")
    numbers = [int(each) if each.isascii() and each.isdigit() and len(each) <= 5 else 0 for each in (first, last)]
    if not dash or numbers[0] not in PORTS or numbers[1] not in PORTS or numbers[0] > numbers[1]:
        refuse("console.range", range=text)
    return numbers[0], numbers[1]


def find_vcc(configuration: Configuration, name: str) -> tuple[Domain, Vcc]:
    """A console concentrator and its domain, or a refusal."""
    found = configuration.find_vcc(name)
    if found is None:
        refuse("service.not-found", kind="Virtual console concentrator", name=name)
    return found


def add_vcc(configuration: Configuration, vcc: Vcc, *, domain: str) -> Configuration:
    """A new concentrator: one for each service domain."""
    owner = steady_domain(configuration, domain)
    check_name("service", vcc.name)
    if configuration.find_vcc(vcc.name) is not None:
        refuse("service.exists", kind="Virtual console concentrator", name=vcc.name)
    if owner.vccs:
        refuse("console.one", domain=domain, other=owner.vccs[0].name)
    _check_range(configuration, vcc)
    return configuration.with_domain(owner.but(vccs=(*owner.vccs, vcc)))


def _check_range(configuration: Configuration, vcc: Vcc) -> None:
    """Ports of all concentrators are ports of one host here."""
    for _, other in configuration.vccs():
        if other.name != vcc.name and other.first_port <= vcc.last_port and vcc.first_port <= other.last_port:
            refuse("console.overlap", range=f"{vcc.first_port}-{vcc.last_port}", other=other.name,
                   ports=f"{other.first_port}-{other.last_port}")  # fmt: skip


def users(configuration: Configuration, name: str) -> Iterator[Domain]:
    """Domains whose console is bound to a concentrator, or shall be."""
    for domain in configuration.domains:
        if (domain.binding.console_service if domain.binding else domain.vcons.service) == name:
            yield domain


def set_vcc(configuration: Configuration, name: str, *, first_port: int, last_port: int) -> Configuration:
    """Change the ports; those that bound consoles have must stay among them."""
    owner, vcc = find_vcc(configuration, name)
    steady_domain(configuration, owner.name)
    for domain in users(configuration, name):
        port = domain.binding.console_port if domain.binding else domain.vcons.port
        if port is not None and not first_port <= port <= last_port:
            refuse("console.port-used", port=port, domain=domain.name)
    after = replace(vcc, first_port=first_port, last_port=last_port)
    _check_range(configuration, after)
    return configuration.with_domain(
        owner.but(vccs=tuple(after if each.name == name else each for each in owner.vccs)))  # fmt: skip


def remove_vcc(configuration: Configuration, name: str, *, force: bool) -> Configuration:
    """Remove a concentrator. Force helps where consoles only ask for it, not where they are bound to it."""
    owner, _ = find_vcc(configuration, name)
    steady_domain(configuration, owner.name)
    clients = [domain.name for domain in users(configuration, name)]
    bound = [domain.name for domain in users(configuration, name) if domain.binding is not None]
    if bound:
        refuse("console.bound-to", name=name, users=joined(bound))
    if clients and not force:
        refuse("service.attached", kind="Virtual console concentrator", name=name, users=joined(clients))
    return configuration.with_domain(owner.but(vccs=tuple(each for each in owner.vccs if each.name != name)))


def set_vconsole(
    configuration: Configuration, domain: str, *,
    port: str | None, group: str | None, service: str | None, log: str | None,
) -> Configuration:  # fmt: skip
    """Change a domain's console; "" sets a property back to its default. All but `log` need an inactive domain."""
    guest = steady_domain(configuration, domain)
    if guest.control:
        refuse("console.control", domain=domain)
    if guest.state is not State.INACTIVE and (port, group, service) != (None, None, None):
        refuse("console.bound", domain=domain)
    wanted = guest.vcons
    if log is not None:
        wanted = replace(wanted, log=log != "off")
    if group is not None:
        if group:
            check_name("console group", group)
        wanted = replace(wanted, group=group or None)
    if service is not None:
        if service:
            find_vcc(configuration, service)
        wanted = replace(wanted, service=service or None)
    if port is not None:
        wanted = replace(wanted, port=_port(port) if port else None)
    _check_port(configuration, wanted.port, service=wanted.service)
    return configuration.with_domain(guest.but(vcons=wanted))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) not in PORTS:
        refuse("console.port", port=text)
    return int(text)


def _check_port(configuration: Configuration, port: int | None, *, service: str | None) -> None:
    """A port that is asked for must be one of the service's, or of any service where none is named."""
    if port is None:
        return
    places = [vcc for _, vcc in configuration.vccs() if service in (None, vcc.name)]
    if not any(vcc.first_port <= port <= vcc.last_port for vcc in places):
        refuse("console.port-outside", port=port, services=joined(vcc.name for vcc in places) or "none")
