"""Virtual services of a domain with who uses them, as plain data. Only bound domains count as users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ldmd.model import Configuration, DiskServer, Domain, Vcc, Vnet, Vsan, Vsw
from ldmd.planner.report_words import device_text, mac_text, number_of

AUTO_LINK_LIMIT = 8
"""inter-vnet-link=auto means links between so many interfaces of a switch (`ldmd/auto_inter_vnet_link_limit`)."""


def services_report(configuration: Configuration, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """`ldm list-services`: {"services": [{"domain", "vcc": [], "vsw": [], "vds": [], "vsan": [], "vdpcs": []}]}."""
    return {
        "services": [
            {"domain": domain.name, **{kind: make(configuration, domain) for kind, make in SERVICES.items()}}
            for domain in configuration.domains
            if domain.serves and (not names or domain.name in names)
        ]
    }


def vccs(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Console concentrators and the consoles on them."""
    return [
        {"name": vcc.name, "first_port": vcc.first_port, "last_port": vcc.last_port,
         "clients": list(_consoles(configuration, vcc))}
        for vcc in domain.vccs
    ]  # fmt: skip


def _consoles(configuration: Configuration, vcc: Vcc) -> Iterator[dict[str, Any]]:
    for guest in configuration.guests:
        if guest.binding is not None and guest.binding.console_service == vcc.name:
            yield {"name": f"{guest.name}@{vcc.name}", "port": guest.binding.console_port, "log": guest.vcons.log}


def switches(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Virtual switches and the interfaces on them."""
    return [_switch(configuration, domain, vsw) for vsw in domain.switches]


def _switch(configuration: Configuration, domain: Domain, vsw: Vsw) -> dict[str, Any]:
    number = number_of(domain, "switch", vsw.name, vsw.id)
    return {
        "name": vsw.name,
        "mac": mac_text(vsw.mac),
        "net_dev": vsw.net_dev,
        "id": number,
        "device": device_text("switch", number),
        "linkprop": vsw.linkprop,
        "default_vlan": vsw.default_vlan,
        "pvid": vsw.pvid,
        "vids": list(vsw.vids),
        "mtu": vsw.mtu,
        "mode": vsw.mode,
        "inter_vnet_link": vsw.inter_vnet_link,
        "linked": has_links(configuration, vsw),
        "relay_mode": vsw.relay_mode,
        "peers": [interface_peer(configuration, guest, vnet) for guest, vnet in bound_interfaces(configuration, vsw)],
    }


def bound_interfaces(configuration: Configuration, vsw: Vsw) -> list[tuple[Domain, Vnet]]:
    """Interfaces of bound domains on a switch."""
    return [(guest, vnet) for guest in configuration.domains if guest.binding is not None
            for vnet in guest.vnets if vnet.service == vsw.name]  # fmt: skip


def has_links(configuration: Configuration, vsw: Vsw) -> bool:
    """True where interfaces of the switch reach each other directly."""
    if vsw.inter_vnet_link != "auto":
        return vsw.inter_vnet_link == "on"
    users = [vnet for guest, vnet in bound_interfaces(configuration, vsw) if not guest.control]
    return len(users) <= AUTO_LINK_LIMIT


def interface_peer(configuration: Configuration, guest: Domain, vnet: Vnet) -> dict[str, Any]:
    """An interface as the others on its switch see it."""
    found = configuration.find_vsw(vnet.service)
    vsw = found[1] if found else None
    return {
        "name": f"{vnet.name}@{guest.name}",
        "mac": mac_text(vnet.mac),
        "mode": vnet.mode,
        "pvid": vnet.pvid if vnet.pvid is not None else (vsw.default_vlan if vsw else None),
        "vids": list(vnet.vids),
        "mtu": vnet.mtu if vnet.mtu is not None else (vsw.mtu if vsw else None),
        "maxbw_bps": vnet.maxbw_bps,
        "linkprop": vnet.linkprop,
        "linked": vsw is not None and has_links(configuration, vsw),
    }


def disk_servers(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Virtual disk servers, their volumes, and the disks on them."""
    return [
        {
            "name": vds.name,
            "volumes": [{"name": volume.name, "options": list(volume.options), "mpgroup": volume.mpgroup,
                         "backend": volume.backend} for volume in vds.volumes],
            "clients": list(_disks(configuration, vds)),
        }
        for vds in domain.disk_servers
    ]  # fmt: skip


def _disks(configuration: Configuration, vds: DiskServer) -> Iterator[dict[str, Any]]:
    for guest in configuration.domains:
        for disk in guest.vdisks if guest.binding is not None else ():
            if disk.service == vds.name:
                yield {"name": f"{disk.name}@{guest.name}", "volume": disk.volume}


def vsans(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Virtual SANs and the adapters on them."""
    return [{"name": vsan.name, "device": vsan.iport, "clients": list(_adapters(configuration, vsan))}
            for vsan in domain.vsans]  # fmt: skip


def _adapters(configuration: Configuration, vsan: Vsan) -> Iterator[dict[str, Any]]:
    for guest in configuration.domains:
        for vhba in guest.vhbas if guest.binding is not None else ():
            if vhba.vsan == vsan.name:
                yield {"name": f"{vhba.name}@{guest.name}"}


def vdpcss(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """Data plane channel services and their clients."""
    return [
        {"name": vdpcs.name,
         "clients": [{"name": f"{client.name}@{guest.name}"} for guest in configuration.domains
                     if guest.binding is not None for client in guest.vdpccs if client.service == vdpcs.name]}
        for vdpcs in domain.vdpcss
    ]  # fmt: skip


CHANNELS = "primary-vldc0"
"""The service of the channels that are set up automatically, shown with -e."""


def channel_services(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """What the control domain serves by itself: domain services of every bound domain."""
    if not domain.control:
        return []
    return [{"name": CHANNELS, "clients": [{"name": f"ds@{guest.name}"} for guest in configuration.guests
                                           if guest.binding is not None]}]  # fmt: skip


def channel_clients(configuration: Configuration, domain: Domain) -> list[dict[str, Any]]:
    """A domain's channels that are set up automatically."""
    if domain.control or domain.binding is None:
        return []
    return [{"name": "ds", "service": f"{CHANNELS}@{configuration.primary.name}", "description": "domain-services"}]


SERVICES = {"vcc": vccs, "vsw": switches, "vds": disk_servers, "vsan": vsans, "vdpcs": vdpcss}
