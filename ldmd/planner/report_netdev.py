"""Network devices of domains as plain data: `ldm list-netdev`.

{"domains": [{"domain", "netdev": [{"name", "class": "PHYS"|"VNET"|"VSW", "media", "state", "speed_mbps", "over",
"location"}]}]}. Physical devices are those on a domain's buses, with the names that its operating system gives them by
default; virtual ones follow. The manager does not ask the operating system: names are those of a fresh installation
(inferred), and the state is that of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ldmd.model import Configuration, Domain, State
from ldmd.planner.iobuses import network_links

SPEED_MBPS = 10_000
_UP = {State.ACTIVE, State.STOPPING, State.SUSPENDED}


def netdev_report(
    configuration: Configuration, name: str | None = None, *, device: str | None = None, physical: bool = False
) -> dict[str, Any]:
    """Of one domain, or of all that run. `device`: only this one; `physical`: no virtual ones."""
    chosen = [domain for domain in configuration.domains if domain.name == name or (name is None and _runs(domain))]
    report = []
    for domain in chosen:
        rows = [row for row in _devices(configuration, domain) if device in (None, row["name"])]
        report.append({"domain": domain.name, "netdev": [r for r in rows if r["class"] == "PHYS" or not physical]})
    return {"domains": report}


def _runs(domain: Domain) -> bool:
    return domain.state in _UP


def _devices(configuration: Configuration, domain: Domain) -> Iterator[dict[str, Any]]:
    links = network_links(configuration, domain.name)
    state = "up" if _runs(domain) else "unknown"
    for number, (name, place) in enumerate(links.items()):
        yield _row(name, "PHYS", state, f"ixgbe{number}", place.split("/IOVNET")[0])
    for number, vsw in enumerate(domain.switches):
        yield _row(f"vsw{number}", "VSW", state, vsw.net_dev or "--", vsw.name)
    for number, vnet in enumerate(domain.vnets, len(links)):
        yield _row(f"net{number}", "VNET", state, f"{vnet.service}/{vnet.name}", vnet.name)


def _row(name: str, kind: str, state: str, over: str, location: str) -> dict[str, Any]:
    return {"name": name, "class": kind, "media": "ETHER", "state": state,
            "speed_mbps": SPEED_MBPS if kind == "PHYS" and state == "up" else 0, "over": over,
            "location": location}  # fmt: skip
