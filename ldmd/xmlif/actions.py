"""The actions of the XML interface: which command each is, and how its resources become the command's arguments.

Facts: Administration Guide, "Logical Domains Manager Actions" (3.3): full names only, no aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ldmd.xmlif import migrate
from ldmd.xmlif.read import Item

Arguments = dict[str, Any]
Build = Callable[[str, Item], Arguments]

OPTIONS: Mapping[str, str] = {"-f": "force", "-q": "quick", "-r": "reboot", "-h": "halt", "-n": "no_wait", "-a": "all"}
"""What may stand in <option>."""


def _properties(each: Item, *keys: str, **renamed: str) -> Arguments:
    """Keys of the document that are properties of the command, by the same name or another."""
    found = {key: each.keys[key].text for key in keys if key in each.keys}
    return found | {name.replace("_", "-"): each.keys[key].text for name, key in renamed.items() if key in each.keys}


def _address(each: Item) -> Arguments:
    return {"mac-addr": each.address} if each.address else {}


def _cpu(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "count": each.optional("wcore") if _whole(each) else each.units or ""}


def _whole(each: Item) -> bool:
    return (each.optional("wcore") or "0") != "0"


def _memory(domain: str, each: Item) -> Arguments:
    blocks = each.optional("mblock")
    return {"domain": domain} | ({"mblock": blocks} if blocks is not None else {"size": each.units or ""})


def _vdisk(domain: str, each: Item) -> Arguments:
    volume = f"{each.key('vol_name')}@{each.key('service_name')}"
    return {"domain": domain, "disk": each.key("vdisk_name"), "volume": volume} | _properties(each, "timeout", "id")


def _volume(_domain: str, each: Item) -> Arguments:
    return {"volume": f"{each.key('vol_name')}@{each.key('service_name')}"} | _properties(
        each, "mpgroup", backend="block_dev", options="vol_opts")  # fmt: skip


def _vswitch(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "vswitch": each.key("service_name")} | _address(each) | _properties(
        each, "default-vlan-id", "pvid", "vid", "mtu", "mode", "linkprop", "inter-vnet-link", "vsw-relay-mode", "id",
        net_dev="dev_path")  # fmt: skip


def _vnet(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "vnet": each.key("vnet_name")} | _address(each) | _properties(
        each, "pvid", "vid", "mode", "mtu", "linkprop", "alt-mac-addrs", "pvlan", "protection", "allowed-ips",
        "allowed-dhcp-cids", "priority", "cos", "maxbw", "id", vswitch="service_name")  # fmt: skip


def _vcc(domain: str, each: Item) -> Arguments:
    ports = {"port-range": f"{each.key('min_port')}-{each.key('max_port')}"} if "min_port" in each.keys else {}
    return {"domain": domain, "vcc": each.key("service_name"), **ports}


def _console(domain: str, each: Item) -> Arguments:
    return {"domain": domain} | _properties(each, "port", "group", service="service_name", log="enable-log")


def _named(argument: str, key: str = "service_name") -> Build:
    return lambda domain, each: {"domain": domain, argument: each.key(key)}


def _vdpcc(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "vdpcc": each.key("vdpcc_name")} | _properties(each, vdpcs="service_name")


def _assignment(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "assignments": [f"{each.key('name')}={each.optional('value') or ''}"]}


def _variable(domain: str, each: Item) -> Arguments:
    return {"domain": domain, "names": [each.key("name")]}


_COUNT: Build = lambda domain, each: {"domain": domain, "count": each.units or ""}  # noqa: E731

# noun of the interface -> (resource, noun of the command, builder, verbs)
_NOUNS: tuple[tuple[str, str, str, Build, str], ...] = (
    ("vcpu", "cpu", "vcpu", _cpu, "add set remove"),
    ("mau", "mau", "crypto", _COUNT, "add set remove"),
    ("memory", "memory", "memory", _memory, "add set remove"),
    ("io", "physio_device", "io", _named("device", "name"), "add remove"),
    ("variable", "var", "variable", _assignment, "add set"),
    ("variable", "var", "variable", _variable, "remove"),
    ("vconscon", "vcc", "vcc", _vcc, "add set remove"),
    ("vconsole", "console", "vconsole", _console, "set"),
    ("vdisk", "disk", "vdisk", _vdisk, "add remove"),
    ("vdiskserver", "vds", "vds", _named("vds"), "add remove"),
    ("vdiskserverdevice", "vds_volume", "vdsdev", _volume, "add remove"),
    ("vnet", "network", "vnet", _vnet, "add set remove"),
    ("vswitch", "vsw", "vsw", _vswitch, "add set remove"),
    ("vdpcs", "vdpcs", "vdpcs", _named("vdpcs"), "add remove"),
    ("vdpcc", "vdpcc", "vdpcc", _vdpcc, "add remove"),
    ("spconfig", "spconfig", "spconfig", lambda _, each: {"config": each.key("spconfig_name")}, "add set remove"),
)
RESOURCE_ACTIONS: Mapping[str, tuple[str, str, Build]] = {
    f"{verb}-{noun}": (resource, f"{verb}-{command}", build)
    for noun, resource, command, build, verbs in _NOUNS for verb in verbs.split()
}  # fmt: skip

# action -> (command, argument that has the domain's name, whether that is a list)
DOMAIN_ACTIONS: Mapping[str, tuple[str, str, bool]] = {
    "remove-domain": ("remove-domain", "domains", True),
    "bind-domain": ("bind-domain", "domain", False),
    "unbind-domain": ("unbind-domain", "domain", False),
    "start-domain": ("start-domain", "domains", True),
    "stop-domain": ("stop-domain", "domains", True),
    "remove-reconf": ("cancel-reconf", "domain", False),
    "cancel-operation": ("cancel-operation", "domain", False),
}
XML_ACTIONS = ("add-domain", "set-domain")
LIST_ACTIONS = ("list-bindings", "list-constraints", "list-devices", "list-domain", "list-services", "list-spconfig",
                "list-variable")  # fmt: skip
EVENT_CLASSES = ("all", "domain", "hardware", "resource")
EVENT_ACTIONS = tuple(f"{verb}-{kind}-events" for kind in EVENT_CLASSES for verb in ("reg", "unreg"))
ACTIONS = frozenset({*RESOURCE_ACTIONS, *DOMAIN_ACTIONS, *XML_ACTIONS, *LIST_ACTIONS, *EVENT_ACTIONS, migrate.ACTION})


def commands_of(action: str, domain: str, items: list[Item]) -> Iterator[tuple[str, Arguments]]:
    """The commands of an action on a domain's resources; those without a domain have "" as its name."""
    resource, command, build = RESOURCE_ACTIONS[action]
    for each in items:
        if each.resource == "ldom_info" and resource != "ldom_info":
            continue
        if each.resource != resource:
            raise each.element.refusal("xml.resource", name=each.resource, known=resource)
        arguments = {key: value for key, value in build(domain, each).items() if key != "domain" or value}
        whole = action.endswith("-vcpu") and _whole(each)
        yield (command.replace("vcpu", "core") if whole else command), arguments
