"""vsw and vnet: add, set, remove (ldm(1M) of 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration, Vnet, Vsw
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.guestdevices import begin_delayed, change_devices, commit_change, remove_device
from ldmd.operations.macs import check_given, claim_mac, claim_macs, take_all
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen
from ldmd.planner import macs, networks, vlans
from ldmd.planner.devices import ID_LIMIT
from ldmd.planner.iobuses import network_links
from ldmd.planner.naming import steady_domain

Reader = Callable[[str], Any]


def _word(name: str, *words: str) -> Reader:
    def read(text: str) -> str:
        if text not in words:
            refuse("usage.choice", name=name, value=text, choices=", ".join(each for each in words if each))
        return text

    return read


def _cos(text: str) -> int:
    if text not in tuple("01234567"):
        refuse("property.number", name="cos", value=text, least=0, most=7)
    return int(text)


# property -> (field of the model, reader of its text, value that "property=" sets it to)
SWITCH_PROPERTIES: Mapping[str, tuple[str, Reader, Any]] = {
    "net-dev": ("net_dev", vlans.parse_device, ""),
    "pvid": ("pvid", vlans.parse_vlan, None),
    "mtu": ("mtu", vlans.parse_mtu, 1500),
    "linkprop": ("linkprop", _word("linkprop", "phys-state", ""), ""),
    "mode": ("mode", _word("mode", "sc", ""), ""),
    "inter-vnet-link": ("inter_vnet_link", _word("inter-vnet-link", "auto", "on", "off"), "auto"),
    "vsw-relay-mode": ("relay_mode", _word("vsw-relay-mode", "local", "remote"), "local"),
}
NETWORK_PROPERTIES: Mapping[str, tuple[str, Reader, Any]] = {
    "pvid": ("pvid", vlans.parse_vlan, None),
    "pvlan": ("pvlan", vlans.parse_pvlan, ""),
    "protection": ("protection", vlans.parse_protection, ()),
    "allowed-ips": ("allowed_ips", vlans.parse_ips, ()),
    "allowed-dhcp-cids": ("allowed_dhcp_cids", vlans.parse_cids, ()),
    "priority": ("priority", _word("priority", "high", "medium", "low"), ""),
    "cos": ("cos", _cos, None),
    "mode": ("mode", _word("mode", "hybrid"), ""),
    "mtu": ("mtu", vlans.parse_mtu, None),
    "linkprop": ("linkprop", _word("linkprop", "phys-state", ""), ""),
    "maxbw": ("maxbw_bps", vlans.parse_maxbw, None),
}


def read_properties(arguments: Arguments, table: Mapping[str, tuple[str, Reader, Any]]) -> dict[str, Any]:
    """Fields of the model for the properties that were given."""
    fields = {}
    for name, (field, read, default) in table.items():
        text = arguments.optional(name)
        if text is not None:
            fields[field] = read(text) if text else default
    return fields


# -- switches


@operation("add-vsw")
def add_vsw(context: Context, arguments: Arguments) -> None:
    """vswitch, domain, quick + properties."""
    name, domain = arguments.text("vswitch"), arguments.text("domain")
    fields = read_properties(arguments, SWITCH_PROPERTIES)
    default = arguments.optional("default-vlan-id")
    fields["default_vlan"] = vlans.parse_vlan(default) if default else 1
    if fields.get("pvid") is None:
        fields["pvid"] = fields["default_vlan"]
    fields["vids"] = vlans.parse_vlans(arguments.optional("vid") or "")
    fields["id"] = arguments.optional_number("id", most=ID_LIMIT)

    def plan(now: Configuration, mac: int = 0, automatic: bool = True) -> Configuration:
        return networks.add_vsw(now, Vsw(name=name, mac=mac, automatic_mac=automatic, **fields), domain=domain)

    plan(foreseen(context))  # what is wrong is said before the network is asked
    _look_for_device(context, arguments, fields.get("net_dev"), domain=domain)
    mac, automatic = claim_mac(context, arguments.optional("mac-addr"))
    commit_change(context, domain, lambda now: plan(macs.take(now, mac), mac, automatic))


def _look_for_device(context: Context, arguments: Arguments, device: str | None, *, domain: str) -> None:
    """Say that a physical device is not known; aggregations and VNICs of the domain's own are not known to us."""
    if device and not arguments.flag("quick") and device not in network_links(context.configuration, domain):
        context.warn(f"Warning: network device {device} is not known in LDom {domain} (-q skips this check)")


@operation("set-vsw")
def set_vsw(context: Context, arguments: Arguments) -> None:
    """vswitch, quick + properties. An active control domain takes up mac-addr, mtu and mode with its next reboot."""
    name = arguments.text("vswitch")
    owner, switch = networks.find_switch(foreseen(context), name)
    fields = read_properties(arguments, SWITCH_PROPERTIES)
    if "pvid" in fields and fields["pvid"] is None:
        fields["pvid"] = switch.default_vlan
    if (vid := arguments.optional("vid")) is not None:
        fields["vids"] = vlans.change_vlans(switch.vids, vid)
    if (text := arguments.optional("mac-addr")) is not None:
        mac = macs.parse_mac(text)
        check_given(context, foreseen(context), mac, now=switch.mac)
        if mac != switch.mac:
            fields |= {"mac": mac, "automatic_mac": False}
    if not fields and text is None:
        refuse("property.needed", choices=", ".join(f"{each}=" for each in (*SWITCH_PROPERTIES, "vid", "mac-addr")))
    _look_for_device(context, arguments, fields.get("net_dev"), domain=owner.name)
    networks.set_vsw(foreseen(context), name, changes=fields)
    later = networks.needs_reboot(owner, switch, changes=fields)
    if later and not owner.control:
        refuse("device.active", what=f"{', '.join(later)} of {name}", domain=owner.name)
    if later:
        begin_delayed(context, owner.name)
    old = switch.mac if switch.automatic_mac and "mac" in fields else 0
    commit_change(context, owner.name,
                  lambda now: macs.free(networks.set_vsw(now, name, changes=fields), old))  # fmt: skip


@operation("remove-vsw")
def remove_vsw(context: Context, arguments: Arguments) -> None:
    """vswitch, force."""
    name, force = arguments.text("vswitch"), arguments.flag("force")
    owner, _ = networks.find_switch(foreseen(context), name)
    commit_change(context, owner.name, lambda now: networks.remove_vsw(now, name, force=force), removes=True)


# -- networks


def parse_alternates(text: str) -> list[int | None]:
    """``alt-mac-addrs``: a number for each address given by hand, None for each "auto"."""
    return [None if each == "auto" else macs.parse_mac(each) for each in text.split(",")] if text else []


def _alternates(context: Context, text: str, *, before: Vnet | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(all, automatic ones) for ``alt-mac-addrs``. Automatic addresses that there are already are kept."""
    wanted = parse_alternates(text)
    given = [mac for mac in wanted if mac is not None]
    for mac in given:
        if given.count(mac) > 1:
            refuse("network.mac-in-use", mac=macs.format_mac(mac), owner="the same device")
        check_given(context, context.configuration, mac, now=mac if before and mac in before.alt_macs else None)
    kept = list(before.automatic_alt_macs) if before else []
    automatic = kept[: wanted.count(None)]
    automatic += claim_macs(context, wanted.count(None) - len(automatic))
    rest = iter(automatic)
    return tuple(next(rest) if mac is None else mac for mac in wanted), tuple(automatic)


@operation("add-vnet")
def add_vnet(context: Context, arguments: Arguments) -> None:
    """vnet, vswitch, domain + properties."""
    name, domain = arguments.text("vnet"), arguments.text("domain")
    fields = read_properties(arguments, NETWORK_PROPERTIES)
    fields |= {"vids": vlans.parse_vlans(arguments.optional("vid") or ""), "service": arguments.text("vswitch"),
               "id": arguments.optional_number("id", most=ID_LIMIT)}  # fmt: skip
    alternates = arguments.optional("alt-mac-addrs") or ""
    parse_alternates(alternates)

    def plan(now: Configuration, **more: Any) -> Configuration:
        return networks.add_vnet(now, Vnet(name=name, **{"mac": 0, **fields, **more}), domain=domain)

    plan(foreseen(context))
    text = arguments.optional("mac-addr")
    alt, automatic_alt = _alternates(context, alternates, before=None)
    mac = macs.parse_mac(text) if text else _another(context, automatic_alt)
    if mac in alt:
        refuse("network.mac-in-use", mac=macs.format_mac(mac), owner="the same device")
    if text:
        check_given(context, context.configuration, mac)
    change_devices(context, domain, lambda now: plan(
        take_all(now, (mac, *alt)), mac=mac, automatic_mac=not text, alt_macs=alt,
        automatic_alt_macs=automatic_alt), kind=networks.NETWORK, device=name)  # fmt: skip


def _another(context: Context, chosen: tuple[int, ...]) -> int:
    """One more automatic address, besides those chosen already."""
    for mac in claim_macs(context, len(chosen) + 1):
        if mac not in chosen:
            return mac
    refuse("network.mac-none-left")


@operation("set-vnet")
def set_vnet(context: Context, arguments: Arguments) -> None:
    """vnet, domain + properties, and vswitch: the switch to move to."""
    name, domain = arguments.text("vnet"), arguments.text("domain")
    vnet = networks.find_network(steady_domain(foreseen(context), domain), name)
    fields = read_properties(arguments, NETWORK_PROPERTIES)
    if (vid := arguments.optional("vid")) is not None:
        fields["vids"] = vlans.change_vlans(vnet.vids, vid)
    if "vswitch" in arguments:
        fields["service"] = arguments.text("vswitch")
    addresses = any(each in arguments for each in ("mac-addr", "alt-mac-addrs"))
    if not fields and not addresses:
        refuse("property.needed", choices=", ".join(
            f"{each}=" for each in (*NETWORK_PROPERTIES, "vid", "vswitch", "mac-addr", "alt-mac-addrs")))  # fmt: skip
    networks.set_vnet(foreseen(context), name, domain=domain, changes=fields)
    if addresses:
        fields |= _addresses(context, arguments, vnet)
    used = tuple(mac for mac in (fields.get("mac", vnet.mac), *fields.get("alt_macs", ())))
    change_devices(context, domain, lambda now: networks.set_vnet(
        take_all(now, used), name, domain=domain, changes=fields))  # fmt: skip


def _addresses(context: Context, arguments: Arguments, vnet: Vnet) -> dict[str, Any]:
    """Fields for mac-addr and alt-mac-addrs. ``mac-addr=`` takes an automatic one."""
    fields: dict[str, Any] = {}
    text, alternates = arguments.optional("mac-addr"), arguments.optional("alt-mac-addrs")
    if alternates is not None:
        fields["alt_macs"], fields["automatic_alt_macs"] = _alternates(context, alternates, before=vnet)
    if text:
        mac = macs.parse_mac(text)
        check_given(context, context.configuration, mac, now=vnet.mac)
        fields |= {"mac": mac, "automatic_mac": vnet.automatic_mac and mac == vnet.mac}
    elif text is not None and not vnet.automatic_mac:
        fields |= {"mac": _another(context, fields.get("automatic_alt_macs", ())), "automatic_mac": True}
    if fields.get("mac", vnet.mac) in fields.get("alt_macs", vnet.alt_macs):
        refuse("network.mac-in-use", mac=macs.format_mac(fields.get("mac", vnet.mac)), owner="the same device")
    return fields


@operation("remove-vnet")
def remove_vnet(context: Context, arguments: Arguments) -> None:
    """vnet, domain, force."""
    name, domain, force = arguments.text("vnet"), arguments.text("domain"), arguments.flag("force")
    remove_device(context, domain, networks.NETWORK, name=name, force=force,
                  plan=lambda now: networks.remove_vnet(now, name, domain=domain))  # fmt: skip
