"""Network devices, initiator ports, resource groups, sockets, activations, as plain data.

The commands behind it: list-netdev, list-netstat, list-hba, list-rsrc-group, list-socket, list-permits, list-cmi.
Names of resource groups and what a socket is called are concluded from single published listings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.platforms import Platform
from ldmd.model import Configuration, Domain
from ldmd.planner import iobuses
from ldmd.planner.hardware import hardware, memory_map
from ldmd.planner.macs import format_mac
from ldmd.planner.networks import network_mtu, network_vlan
from ldmd.planner.server import platform_of
from ldmd.planner.storage import initiator_ports

CMI_CHIPS = ("m7", "s7", "m8")
CMI_EACH = 8
"""Coherent memory interfaces (data accelerators) of each chip."""


# -- networks


def netdev_report(
    configuration: Configuration, domain: str | None = None, *, device: str | None = None,
    links: Mapping[str, bool] | None = None,
) -> Any:  # fmt: skip
    """{"domains": [{"domain", "devices": [device]}]}; device: {"name", "class", "media", "state", "mac", "mtu", "over",
    "loc", "vlans"}.

    class: PHYS, VSW, VNET or ESR-VF; over: the link below; loc: the device of `ldm list-io`, or the virtual one. State
    is "up" while the domain runs, else "unknown". `links`: physical devices whose link the machine knows to be up or
    down; virtual ones with linkprop=phys-state follow them.
    """
    return {"domains": [
        {"domain": each.name, "devices": [row for row in _links(configuration, each, links or {})
                                             if device in (None, row["name"])]}
        for each in configuration.domains if domain in (None, each.name)]}  # fmt: skip


def _links(configuration: Configuration, domain: Domain, links: Mapping[str, bool]) -> Iterator[dict[str, Any]]:
    on = domain.control or domain.started_at is not None

    def state(device: str) -> str:
        return ("up" if links.get(device, True) else "down") if on else "unknown"

    functions = {each.name: dict(each.properties) for each in configuration.virtual_functions}
    physical = iobuses.network_links(configuration, domain.name)
    for link, name in physical.items():
        properties = functions.get(name)
        yield {"name": link, "class": "PHYS" if properties is None else "ESR-VF", "media": "ETHER",
               "state": state(link), "mac": (properties or {}).get("mac-addr", ""),
               "mtu": int((properties or {}).get("mtu", "1500")),
               "over": "", "loc": name, "vlans": (properties or {}).get("vid", "")}  # fmt: skip
    for number, switch in enumerate(domain.switches):
        below = switch.net_dev if switch.linkprop else ""
        yield {"name": f"vsw{number}", "class": "VSW", "media": "ETHER", "state": state(below),
               "mac": format_mac(switch.mac), "mtu": switch.mtu,
               "over": switch.net_dev, "loc": f"{switch.name}/{domain.name}",
               "vlans": _vlans(switch.pvid, switch.vids)}  # fmt: skip
    for number, vnet in enumerate(domain.vnets, start=len(physical)):
        found = configuration.find_vsw(vnet.service)
        below = found[1].net_dev if found and vnet.linkprop else ""
        yield {"name": f"net{number}", "class": "VNET", "media": "ETHER", "state": state(below),
               "mac": format_mac(vnet.mac),
               "mtu": network_mtu(found[1], vnet) if found else vnet.mtu or 1500, "over": "",
               "loc": f"{vnet.service}/{vnet.name}",
               "vlans": _vlans(network_vlan(found[1], vnet) if found else vnet.pvid or 1, vnet.vids)}  # fmt: skip


def _vlans(pvid: int, vids: tuple[int, ...]) -> str:
    return ",".join(map(str, (pvid, *vids)))


def netstat_report(
    configuration: Configuration, counters: Mapping[str, Mapping[str, int]], domain: str | None = None, *,
    device: str | None = None,
) -> Any:  # fmt: skip
    """{"domains": [{"domain", "devices": [{"name", "ipackets", "rbytes", "opackets", "obytes"}]}]}.

    `counters`: of each port of the machine's switches, by "domain/vnet"; what is not there is None: not counted.
    """
    report = netdev_report(configuration, domain, device=device)
    for each in report["domains"]:
        names = {f"{vnet.service}/{vnet.name}": vnet.name for vnet in _domain(configuration, each["domain"]).vnets}
        each["devices"] = [
            {"name": row["name"]} | {key: counters.get(f"{each['domain']}/{names.get(row['loc'], '')}", {}).get(key)
                                     for key in ("ipackets", "rbytes", "opackets", "obytes")}
            for row in each["devices"]]  # fmt: skip
    return report


def _domain(configuration: Configuration, name: str) -> Domain:
    return next(each for each in configuration.domains if each.name == name)


# -- storage


def hba_report(configuration: Configuration, domain: str) -> Any:
    """{"domain", "ports": [{"path", "bus", "vsan", "devices": []}]}: initiator ports, with the virtual SAN of each.

    There are no physical units behind them.
    """
    users = {vsan.iport: vsan.name for owner, vsan in configuration.vsans() if owner.name == domain}
    rows = [{"path": port.path, "bus": port.bus, "vsan": users.pop(port.path, ""), "devices": []}
            for port in initiator_ports(configuration, domain)]  # fmt: skip
    rows += [{"path": path, "bus": "", "vsan": vsan, "devices": []} for path, vsan in users.items()]
    return {"domain": domain, "ports": rows}


# -- parts of the server


def group_name(platform: Platform, socket: int) -> str:
    """Of the resource group of a socket: its core and memory unit, or the building block of a Fujitsu server."""
    if platform.chip.startswith("sparc64"):
        return f"/BB{socket // 4}/CMU{socket % 4 // 2}/CMP{socket % 2}"
    return f"/SYS/CMU{socket}" if platform.sockets > 8 else f"/SYS/MB/CM{socket}"


def groups_report(configuration: Configuration, name: str | None = None, *, domain: str | None = None) -> Any:
    """{"groups": [{"name", "cores": [{"cid", "domains"}], "memory": [{"pa", "size_bytes", "bound"}], "io": [{"device",
    "name", "domain"}]}]}. `domain`: only what it has."""
    platform, server = platform_of(configuration.server), hardware(configuration)
    owners = _core_owners(configuration)
    rows = []
    for socket in range(platform.sockets):
        first = socket * platform.cores_per_chip
        cores: list[dict[str, Any]] = [
            {"cid": cid, "domains": sorted(owners.get(cid, ()))} for cid in server.cores
            if first <= cid < first + platform.cores_per_chip]  # fmt: skip
        rows.append({"name": group_name(platform, socket),
                     "cores": [row for row in cores if domain is None or domain in row["domains"]],
                     "memory": _memory(configuration, platform, socket, domain),
                     "io": _buses(configuration, platform, socket, domain)})  # fmt: skip
    return {"groups": [row for row in rows if name in (None, row["name"])]}


def _core_owners(configuration: Configuration) -> dict[int, set[str]]:
    server = hardware(configuration)
    owners: dict[int, set[str]] = {}
    for domain in configuration.domains:
        for _, strand in domain.binding.vcpus if domain.binding else ():
            owners.setdefault(server.core_of(strand), set()).add(domain.name)
    return owners


def _memory(configuration: Configuration, platform: Platform, socket: int, domain: str | None) -> list[dict[str, Any]]:
    banks = [bank for bank in platform.fill(configuration.server.memory_bytes) if bank.node == socket]
    return [{"pa": block.pa, "size_bytes": block.size_bytes, "bound": block.owner or ""}
            for block in memory_map(configuration).blocks
            if any(bank.pa <= block.pa < bank.end for bank in banks) and domain in (None, block.owner)]  # fmt: skip


def _buses(configuration: Configuration, platform: Platform, socket: int, domain: str | None) -> list[dict[str, Any]]:
    rows = []
    for number, root in enumerate(platform.roots):
        owner = iobuses.bus_owner(configuration, root.name)
        name = owner.name if owner else ""
        if number * platform.sockets // len(platform.roots) == socket and domain in (None, name):
            rows.append({"device": root.device, "name": root.name, "domain": name})
    return rows


def sockets_report(configuration: Configuration, domain: str | None = None) -> Any:
    """{"sockets": [{"socket", "group", "domains": [{"domain", "vcpus", "cores", "memory_bytes"}], "free_cores",
    "free_vcpus", "free_memory_bytes"}], "constraints": []}."""
    platform, server = platform_of(configuration.server), hardware(configuration)
    rows = []
    for socket, group in enumerate(groups_report(configuration)["groups"]):
        strands = {strand for core in group["cores"] for strand in server.strands_of(core["cid"])}
        found, used = [], 0
        for each in configuration.domains:
            mine = [strand for _, strand in each.binding.vcpus if strand in strands] if each.binding else []
            memory = sum(row["size_bytes"] for row in group["memory"] if row["bound"] == each.name)
            used += len(mine)
            if (mine or memory) and domain in (None, each.name):
                found.append({"domain": each.name, "vcpus": len(mine), "memory_bytes": memory,
                              "cores": len({server.core_of(strand) for strand in mine})})  # fmt: skip
        rows.append({"socket": socket, "group": group_name(platform, socket), "domains": found,
                     "free_vcpus": len(strands) - used,
                     "free_cores": sum(1 for core in group["cores"] if not core["domains"]),
                     "free_memory_bytes": sum(row["size_bytes"] for row in group["memory"] if not row["bound"])})
    return {"sockets": rows, "constraints": []}


def permits_report(configuration: Configuration) -> Any:
    """{"permits": [{"type": "core", "permits", "in_use", "rest"}]}: every core of the server is activated."""
    total, used = len(hardware(configuration).cores), len(_core_owners(configuration))
    return {"permits": [{"type": "core", "permits": total, "in_use": used, "rest": total - used}]}


def cmi_report(configuration: Configuration) -> Any:
    """{"cmi": [{"id", "group", "bound"}]}: the coherent memory interfaces, none of which a domain can be given here."""
    platform = platform_of(configuration.server)
    count = platform.sockets * CMI_EACH if platform.chip in CMI_CHIPS else 0
    return {"cmi": [{"id": number, "group": group_name(platform, number // CMI_EACH), "bound": ""}
                    for number in range(count)]}  # fmt: skip


def is_fujitsu(configuration: Configuration) -> bool:
    """True for servers that have sockets and activations to list."""
    return platform_of(configuration.server).chip.startswith("sparc64")
