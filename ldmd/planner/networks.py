"""Virtual switches (vsw) and virtual networks (vnet).

Facts: Administration Guide, "Using Virtual Networks" (3.3). MAC addresses are chosen before (`macs`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State, Vnet, Vsw
from ldmd.planner import macs
from ldmd.planner.devices import check_id
from ldmd.planner.naming import check_name, joined, steady_domain
from ldmd.planner.server import platform_of

NETWORK, SWITCH = "network", "switch"
STOPPED_ONLY = {"mac": "mac-addr", "alt_macs": "alt-mac-addrs", "mtu": "mtu", "mode": "mode", "id": "id"}
"""Fields of a vnet that an active guest's driver cannot take up."""
DELAYED = {"mac": "mac-addr", "mtu": "mtu", "mode": "mode"}
"""Fields of a switch that its running service domain takes up with a reboot only."""


# -- switches


def find_switch(configuration: Configuration, name: str) -> tuple[Domain, Vsw]:
    """A virtual switch and its domain, or a refusal."""
    found = configuration.find_vsw(name)
    if found is None:
        refuse("service.not-found", kind="Virtual switch", name=name)
    return found


def switch_users(configuration: Configuration, name: str) -> list[tuple[Domain, Vnet]]:
    """The networks of a switch."""
    return [(domain, vnet) for domain in configuration.domains for vnet in domain.vnets if vnet.service == name]


def add_vsw(configuration: Configuration, switch: Vsw, *, domain: str) -> Configuration:
    """A new switch in a service domain."""
    owner = steady_domain(configuration, domain)
    check_name("service", switch.name)
    if configuration.find_vsw(switch.name) is not None:
        refuse("service.exists", kind="Virtual switch", name=switch.name)
    _check_switch(configuration, owner, switch)
    check_id(owner, SWITCH, switch.id, taken=(each.id for each in owner.switches))
    return configuration.with_domain(owner.but(switches=(*owner.switches, switch)))


def _check_switch(configuration: Configuration, owner: Domain, switch: Vsw) -> None:
    if switch.pvid in switch.vids:
        refuse("network.vlan-both", vlan=switch.pvid)
    if switch.default_vlan in switch.vids:
        refuse("network.vlan-default", vlan=switch.default_vlan, switch=switch.name)
    for other in owner.switches:
        if switch.net_dev and other.net_dev == switch.net_dev and other.name != switch.name:
            refuse("network.device-used", device=switch.net_dev, other=other.name)
    small = [f"{vnet.name} of {domain.name}" for domain, vnet in switch_users(configuration, switch.name)
             if vnet.mtu is not None and vnet.mtu > switch.mtu]  # fmt: skip
    if small:
        refuse("network.mtu-clients", switch=switch.name, mtu=switch.mtu, clients=joined(small))


def set_vsw(configuration: Configuration, name: str, *, changes: dict[str, Any]) -> Configuration:
    """Change fields of a switch."""
    owner, switch = find_switch(configuration, name)
    steady_domain(configuration, owner.name)
    after = replace(switch, **changes)
    _check_switch(configuration, owner, after)
    return configuration.with_domain(
        owner.but(switches=tuple(after if each.name == name else each for each in owner.switches)))  # fmt: skip


def needs_reboot(owner: Domain, switch: Vsw, *, changes: dict[str, Any]) -> list[str]:
    """Properties among the changes that an active service domain takes up with its next reboot only."""
    if owner.state is not State.ACTIVE:
        return []
    return [text for field, text in DELAYED.items() if field in changes and changes[field] != getattr(switch, field)]


def remove_vsw(configuration: Configuration, name: str, *, force: bool) -> Configuration:
    """Remove a switch; its networks stay without one where it is forced."""
    owner, switch = find_switch(configuration, name)
    steady_domain(configuration, owner.name)
    users = [domain.name for domain, _ in switch_users(configuration, name)]
    if users and not force:
        refuse("service.attached", kind="Virtual switch", name=name, users=joined(users))
    owner = owner.but(switches=tuple(each for each in owner.switches if each.name != name))
    return macs.free(configuration.with_domain(owner), switch.mac if switch.automatic_mac else 0)


# -- networks


def find_network(domain: Domain, name: str) -> Vnet:
    """A network of a domain, or a refusal."""
    found = next((vnet for vnet in domain.vnets if vnet.name == name), None)
    if found is None:
        refuse("device.not-found", kind="Virtual network device", name=name, domain=domain.name)
    return found


def add_vnet(configuration: Configuration, vnet: Vnet, *, domain: str) -> Configuration:
    """A new network; a domain that is bound gets it at once."""
    client = steady_domain(configuration, domain)
    check_name("network", vnet.name)
    if any(each.name == vnet.name for each in client.vnets):
        refuse("device.exists", kind="Virtual network device", name=vnet.name, domain=domain)
    _check_network(configuration, vnet)
    if vnet.mode == "hybrid":
        _check_hybrid(configuration)
    check_id(client, NETWORK, vnet.id, taken=(each.id for each in client.vnets))
    return configuration.with_domain(client.but(vnets=(*client.vnets, vnet)))


def _check_network(configuration: Configuration, vnet: Vnet) -> None:
    _, switch = find_switch(configuration, vnet.service)
    pvid = network_vlan(switch, vnet)
    if pvid in vnet.vids:
        refuse("network.vlan-both", vlan=pvid)
    if vnet.pvlan and vnet.vids:
        refuse("network.pvlan-vid", vnet=vnet.name)
    if vnet.pvlan and int(vnet.pvlan.partition(",")[0]) == pvid:
        refuse("network.pvlan-pvid", vlan=pvid)
    if vnet.mtu is not None and vnet.mtu > switch.mtu:
        refuse("network.mtu-switch", mtu=vnet.mtu, switch=switch.name, most=switch.mtu)
    if vnet.allowed_ips and "ip-nospoof" not in vnet.protection:
        refuse("network.allowed", allowed="allowed-ips", protection="ip-nospoof")
    if vnet.allowed_dhcp_cids and "dhcp-nospoof" not in vnet.protection:
        refuse("network.allowed", allowed="allowed-dhcp-cids", protection="dhcp-nospoof")


def _check_hybrid(configuration: Configuration) -> None:
    """Hybrid I/O is a constraint that can only be made where the server has a network interface unit."""
    platform = platform_of(configuration.server)
    if not any(root.kind == "NIU" for root in platform.roots):
        refuse("network.no-niu", platform=platform.title)


def network_vlan(switch: Vsw, vnet: Vnet) -> int:
    """The VLAN of the network's untagged frames."""
    return switch.default_vlan if vnet.pvid is None else vnet.pvid


def network_mtu(switch: Vsw, vnet: Vnet) -> int:
    """The network's MTU: its own, or the switch's."""
    return switch.mtu if vnet.mtu is None else vnet.mtu


def set_vnet(configuration: Configuration, name: str, *, domain: str, changes: dict[str, Any]) -> Configuration:
    """Change fields of a network; `service` moves it to another switch."""
    client = steady_domain(configuration, domain)
    vnet = find_network(client, name)
    after = replace(vnet, **changes)
    if client.state is State.ACTIVE and not client.control:
        for field, text in STOPPED_ONLY.items():
            if getattr(after, field) != getattr(vnet, field):
                refuse("device.active", what=f"{text} of {name}", domain=domain)
    _check_network(configuration, after)
    if after.mode == "hybrid" and vnet.mode != "hybrid":
        _check_hybrid(configuration)
    for mac in (vnet.mac, *vnet.alt_macs):
        if mac not in (after.mac, *after.alt_macs):
            configuration = macs.free(configuration, mac)
    return configuration.with_domain(
        client.but(vnets=tuple(after if each.name == name else each for each in client.vnets)))  # fmt: skip


def remove_vnet(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """Remove a network; its automatic addresses are remembered."""
    client = steady_domain(configuration, domain)
    vnet = find_network(client, name)
    configuration = configuration.with_domain(
        client.but(vnets=tuple(each for each in client.vnets if each.name != name)))  # fmt: skip
    for mac in (*vnet.alt_macs, vnet.mac):
        configuration = macs.free(configuration, mac)
    return configuration
