"""Dependencies between domains as plain data.

{"dependencies": [{"domain", "needs": [{"domain", "devices": [{"type": "VDISK"|"VNET"|"VHBA"|"IOV", "device"}]}]}]}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ldmd.model import Configuration, Domain
from ldmd.planner.iobuses import BUS, NIU, bus_owner, find_device


def dependencies_report(configuration: Configuration, name: str | None = None, *, reverse: bool = False) -> Any:
    """Who needs whom; with `reverse` whom each is needed by. `name`: only this domain."""
    needs = {domain.name: dict(_needs(configuration, domain)) for domain in configuration.domains}
    if reverse:
        turned: dict[str, dict[str, list[dict[str, str]]]] = {domain: {} for domain in needs}
        for domain, masters in needs.items():
            for master, devices in masters.items():
                turned[master][domain] = devices
        needs = turned
    return {"dependencies": [{"domain": domain, "needs": [{"domain": other, "devices": devices}
                                                          for other, devices in others.items()]}
                             for domain, others in needs.items() if name in (None, domain)]}  # fmt: skip


def _needs(configuration: Configuration, domain: Domain) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for kind, owner, device in _used(configuration, domain):
        if owner != domain.name:
            found.setdefault(owner, []).append({"type": kind, "device": device})
    return found


def _used(configuration: Configuration, domain: Domain) -> Iterator[tuple[str, str, str]]:
    """(type, whose, which) of each device that another domain serves or owns the bus of."""
    for disk in domain.vdisks:
        if (vds := configuration.find_vds(disk.service)) is not None:
            yield "VDISK", vds[0].name, f"{disk.service}/{disk.name}"
    for vnet in domain.vnets:
        if (vsw := configuration.find_vsw(vnet.service)) is not None:
            yield "VNET", vsw[0].name, f"{vnet.service}/{vnet.name}"
    for vhba in domain.vhbas:
        if (vsan := configuration.find_vsan(vhba.vsan)) is not None:
            yield "VHBA", vsan[0].name, f"{vhba.vsan}/{vhba.name}"
    functions = {function.name: function.pf for function in configuration.virtual_functions}
    for name in domain.io:
        device = find_device(configuration, functions.get(name, name))
        root = bus_owner(configuration, device.bus) if device is not None and device.kind not in (BUS, NIU) else None
        if root is not None:
            yield "IOV", root.name, name

