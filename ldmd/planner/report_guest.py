"""Virtual devices of a domain as plain data: NETWORK, DISK, VHBA, VDPCC, VCONS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ldmd.model import Configuration, Domain, State, Vdisk, Vnet
from ldmd.model.guest import DEFAULT_VCONS
from ldmd.planner.channels import disk_paths, may_link
from ldmd.planner.report_hardware import console_name
from ldmd.planner.report_services import bound_interfaces, has_links, interface_peer
from ldmd.planner.report_words import device_text, mac_text, number_of

_SERVING = {State.ACTIVE, State.STOPPING, State.SUSPENDED}


def networks(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Virtual network interfaces; `peers` are whom each has a channel to, the switch first."""
    return [_network(configuration, domain, vnet) for vnet in domain.vnets]


def _network(configuration: Configuration, domain: Domain, vnet: Vnet) -> dict[str, Any]:
    number = number_of(domain, "network", vnet.name, vnet.id)
    found = configuration.find_vsw(vnet.service)
    return {
        **interface_peer(configuration, domain, vnet),
        "name": vnet.name,
        "service": f"{vnet.service}@{found[0].name}" if found else vnet.service,
        "id": number,
        "device": device_text("network", number),
        "alt_macs": [mac_text(mac) for mac in vnet.alt_macs],
        "pvlan": vnet.pvlan,
        "protection": list(vnet.protection),
        "allowed_ips": list(vnet.allowed_ips),
        "allowed_dhcp_cids": list(vnet.allowed_dhcp_cids),
        "priority": vnet.priority,
        "cos": vnet.cos,
        "peers": list(_peers(configuration, domain, vnet)) if domain.binding else [],
    }


def _peers(configuration: Configuration, domain: Domain, vnet: Vnet) -> Iterator[dict[str, Any]]:
    found = configuration.find_vsw(vnet.service)
    if found is None:
        return
    owner, vsw = found
    yield {"name": f"{vsw.name}@{owner.name}", "mac": mac_text(vsw.mac), "mode": vsw.mode, "pvid": vsw.pvid,
           "vids": list(vsw.vids), "mtu": vsw.mtu, "maxbw_bps": None, "linkprop": vsw.linkprop}  # fmt: skip
    if has_links(configuration, vsw):
        for other, peer in bound_interfaces(configuration, vsw):
            if (other.name, peer.name) != (domain.name, vnet.name) and not other.control and may_link(vsw, vnet, peer):
                yield interface_peer(configuration, other, peer)


def disks(
    configuration: Configuration, domain: Domain, status: Mapping[str, Any] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Virtual disks; `paths` are those of its multipathing group, while the domain is bound."""
    return [_disk(configuration, domain, disk, status) for disk in domain.vdisks]


def _disk(configuration: Configuration, domain: Domain, disk: Vdisk, status: Mapping[str, Any]) -> dict[str, Any]:
    number = number_of(domain, "disk", disk.name, disk.id)
    found = configuration.find_vds(disk.service)
    volume = found[1].volume(disk.volume) if found else None
    mpgroup = volume.mpgroup if volume else ""
    return {
        "name": disk.name,
        "volume": f"{disk.volume}@{disk.service}",
        "timeout": disk.timeout,
        "id": number,
        "device": device_text("disk", number),
        "server": found[0].name if found else "",
        "mpgroup": mpgroup,
        "paths": _paths(configuration, domain, disk, status) if mpgroup and domain.binding else [],
        "io": dict(status.get("disk_io", {}).get(disk.name, {})),
    }


def _paths(
    configuration: Configuration, domain: Domain, disk: Vdisk, status: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """All paths of a group, the selected one first. What the machine does not tell follows from the service domains."""
    device = domain.binding.device("disk", disk.name) if domain.binding else None
    channels = device.channels if device else ()
    told = {each["channel"]: str(each["state"]) for each in status.get("paths", {}).get(disk.name, ())}
    rows: list[dict[str, Any]] = []
    for place, path in enumerate(disk_paths(configuration, disk)):
        server = configuration.find(path.domain)
        state = "standby" if server is not None and server.state in _SERVING else "unknown"
        if state == "standby" and not any(row["state"] == "active" for row in rows):
            state = "active"
        if place < len(channels):
            state = told.get(channels[place], state)
        rows.append({"port": place, "volume": f"{path.volume.name}@{path.service}", "server": path.domain,
                     "state": state})  # fmt: skip
    return rows


def vhbas(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Virtual SCSI adapters."""
    rows = []
    for vhba in domain.vhbas:
        number, found = number_of(domain, "vhba", vhba.name, vhba.id), configuration.find_vsan(vhba.vsan)
        rows.append({"name": vhba.name, "vsan": vhba.vsan, "id": number, "device": device_text("vhba", number),
                     "timeout": vhba.timeout, "server": found[0].name if found else ""})  # fmt: skip
    return rows


def vdpccs(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Data plane channel clients."""
    owners = {vdpcs.name: owner.name for owner in configuration.domains for vdpcs in owner.vdpcss}
    return [{"name": each.name, "service": f"{each.service}@{owners.get(each.service, '')}".rstrip("@")}
            for each in domain.vdpccs]  # fmt: skip


def console(configuration: Configuration, domain: Domain) -> dict[str, Any] | None:
    """The console: {"type", "group", "service", "port", "log"}; None where it is not bound and has no constraint."""
    if domain.control:
        return {"type": console_name(configuration), "group": "", "service": "", "port": None, "log": None}
    binding = domain.binding
    if binding is None:
        wanted = domain.vcons
        if wanted == DEFAULT_VCONS:
            return None
        return {"type": "", "group": wanted.group or "", "service": wanted.service or "", "port": wanted.port,
                "log": wanted.log}  # fmt: skip
    found = configuration.find_vcc(binding.console_service)
    service = f"{binding.console_service}@{found[0].name}" if found else binding.console_service
    return {"type": "vcons", "group": binding.console_group or domain.name, "service": service,
            "port": binding.console_port, "log": domain.vcons.log}  # fmt: skip
