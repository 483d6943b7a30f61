"""Console group, port and concentrator of a domain that is bound.

Facts: Administration Guide, "Using Domain Consoles": group by default the domain's name, the lowest free port of a
concentrator's range, one port for each group. Consoles of one group share its port, which vntsd then shows as a menu.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, Vcc


@dataclass(frozen=True)
class ConsolePlace:
    """Where a domain's console is."""

    group: str
    port: int
    service: str


def consoles_in_use(configuration: Configuration, *, but: str = "") -> Iterator[ConsolePlace]:
    """The places of all consoles that have one."""
    for domain in configuration.domains:
        binding = domain.binding
        if binding is not None and binding.console_port is not None and domain.name != but:
            yield ConsolePlace(binding.console_group, binding.console_port, binding.console_service)


def place_console(configuration: Configuration, domain: Domain, taken: Collection[int] = ()) -> ConsolePlace:
    """Where the console of a domain shall be. Refuses where nothing fits what it asks for.

    `taken`: ports that another program of the host has; the last to be chosen.
    """
    group = domain.vcons.group or domain.name
    services = _services(configuration, domain)
    used = tuple(consoles_in_use(configuration, but=domain.name))
    ports = {place.port: place.group for place in used}
    for place in used:
        if place.group == group and place.service in [vcc.name for vcc in services]:
            if domain.vcons.port not in (None, place.port):
                refuse("console.group-port", name=domain.name, group=group, taken=place.port, port=domain.vcons.port)
            return place
    if domain.vcons.port is not None:
        return _at(domain, group, services, ports)
    free = [(vcc, port) for vcc in services for port in range(vcc.first_port, vcc.last_port + 1) if port not in ports]
    if not free:
        refuse("console.no-port", name=domain.name, ranges=_ranges(services))
    vcc, port = min(free, key=lambda place: place[1] in taken)
    return ConsolePlace(group, port, vcc.name)


def _services(configuration: Configuration, domain: Domain) -> list[Vcc]:
    """The concentrators that may have the console: the one asked for, or all, the control domain's first."""
    asked = domain.vcons.service
    services = [vcc for _, vcc in configuration.vccs() if asked in (None, vcc.name)]
    if not services and asked is not None:
        refuse("console.unknown-service", name=domain.name, service=asked)
    if not services:
        refuse("console.no-service", name=domain.name)
    return services


def _at(domain: Domain, group: str, services: list[Vcc], ports: dict[int, str]) -> ConsolePlace:
    port = domain.vcons.port or 0
    if port in ports:
        refuse("console.port-taken", name=domain.name, port=port, group=ports[port])
    for vcc in services:
        if vcc.first_port <= port <= vcc.last_port:
            return ConsolePlace(group, port, vcc.name)
    names = ", ".join(vcc.name for vcc in services)
    refuse("console.port-range", name=domain.name, port=port, service=names, ranges=_ranges(services))


def _ranges(services: list[Vcc]) -> str:
    return ", ".join(f"{vcc.name} {vcc.first_port}-{vcc.last_port}" for vcc in services)
