"""Resource types and their keys, as one table: which field of the model each is, how it is written and read.

Names: Administration Guide, "Logical Domains Manager Resources and Properties". Keys that the published
tables do not have carry the name of the ldm property (inferred).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from ldmd.messages import message, refuse
from ldmd.model import Policy, Vcc, Vcons, Vdisk, Vdpcc, Vdpcs, Vhba, Vnet, Volume, Vsan, Vsw
from ldmd.planner import concentrators, disks, macs, policies, vlans
from ldmd.planner.devices import ID_LIMIT
from ldmd.planner.naming import check_name

Read = Callable[[str], Any]
Write = Callable[[Any], str]


@dataclass(frozen=True)
class Key:
    """A GenericProperty: its key, the field, both directions. It is written unless the field has its default."""

    key: str
    field: str
    read: Read = str
    write: Write = str
    needed: bool = False  # must be there, and is always written


def number(text: str, *, least: int = 0, most: int = ID_LIMIT) -> int:
    """A decimal number."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not least <= int(text) <= most:
        raise message("usage.range", name="the number", value=text, least=least, most=most)
    return int(text)


def commas(items: Any) -> str:
    """``a,b``."""
    return ",".join(str(item) for item in items)


def word(*choices: str) -> Read:
    """A reader of one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            refuse("usage.choice", name="the key", value=text, choices=", ".join(each for each in choices if each))
        return text

    return read


def name_of(what: str) -> Read:
    """A reader of a name."""

    def read(text: str) -> str:
        check_name(what, text)
        return text

    return read


def backend(text: str) -> str:
    """An absolute path."""
    if not text.startswith("/"):
        refuse("disk.backend-relative", backend=text)
    return text


def addresses(text: str) -> tuple[int, ...]:
    """MAC addresses."""
    return tuple(macs.parse_mac(each) for each in text.split(",")) if text else ()


def _addresses_text(values: Any) -> str:
    return commas(macs.format_mac(each) for each in values)


_SECONDS = partial(number, most=disks.TIMEOUT_LIMIT)
_PORT = partial(number, least=concentrators.PORTS[0], most=concentrators.PORTS[-1])
_ID = Key("id", "id", number)
_VID = Key("vid", "vids", vlans.parse_vlans, commas)
_LINKPROP = Key("linkprop", "linkprop", word("phys-state", ""))


@dataclass(frozen=True)
class Resource:
    """A type of which there may be several: its model, its keys. `address`: it has a MAC in rasd:Address."""

    name: str
    kind: type
    keys: tuple[Key, ...]
    address: bool = False

    def find(self, key: str) -> Key | None:
        """A key by name."""
        return next((row for row in self.keys if row.key == key), None)

    def texts(self, item: Any) -> dict[str, str]:
        """Keys and values of an object; those that have their default are left out."""
        defaults = {each.name: each.default for each in fields(self.kind)}
        return {row.key: row.write(getattr(item, row.field)) for row in self.keys
                if row.needed or getattr(item, row.field) != defaults[row.field]}  # fmt: skip


_POLICY_KEYS = (
    Key("policy_name", "name", name_of("policy"), needed=True),
    Key("enable", "enable", lambda text: word("yes", "no")(text) == "yes", lambda on: "yes" if on else "no",
        needed=True),
    *(Key(each, row[0], partial(lambda name, text: policies.read_property(name, text)[1], each),
          lambda value: "unlimited" if value is None else str(value)) for each, row in policies.NUMBERS.items()),
    Key("tod-begin", "tod_begin", policies.parse_time, policies.format_time),
    Key("tod-end", "tod_end", policies.parse_time, policies.format_time),
)  # fmt: skip

DISK = Resource("disk", Vdisk, (
    Key("vdisk_name", "name", name_of("disk"), needed=True),
    Key("service_name", "service", name_of("service"), needed=True),
    Key("vol_name", "volume", name_of("volume"), needed=True),
    Key("timeout", "timeout", _SECONDS), _ID,
))  # fmt: skip
NETWORK = Resource("network", Vnet, (
    Key("vnet_name", "name", name_of("network"), needed=True),
    Key("service_name", "service", name_of("service"), needed=True),
    _LINKPROP, Key("pvid", "pvid", vlans.parse_vlan), _VID,
    Key("mode", "mode", word("hybrid", "")),
    Key("mtu", "mtu", vlans.parse_mtu),
    Key("alt-mac-addrs", "alt_macs", addresses, _addresses_text),
    Key("pvlan", "pvlan", vlans.parse_pvlan),
    Key("protection", "protection", vlans.parse_protection, commas),
    Key("allowed-ips", "allowed_ips", vlans.parse_ips, commas),
    Key("allowed-dhcp-cids", "allowed_dhcp_cids", vlans.parse_cids, commas),
    Key("priority", "priority", word("high", "medium", "low")),
    Key("cos", "cos", partial(number, most=7)),
    Key("maxbw", "maxbw_bps", vlans.parse_maxbw, vlans.format_maxbw), _ID,
), address=True)  # fmt: skip
VHBA = Resource("vhba", Vhba, (
    Key("vhba_name", "name", name_of("vHBA"), needed=True),
    Key("service_name", "vsan", name_of("service"), needed=True),
    Key("timeout", "timeout", _SECONDS), _ID,
))  # fmt: skip
VDPCC = Resource("vdpcc", Vdpcc, (
    Key("vdpcc_name", "name", name_of("vdpcc"), needed=True),
    Key("service_name", "service", name_of("service"), needed=True),
))  # fmt: skip
CONSOLE = Resource("console", Vcons, (
    Key("port", "port", _PORT),
    Key("service_name", "service", name_of("service")),
    Key("group", "group", name_of("console group")),
    Key("enable-log", "log", lambda text: word("on", "off")(text) == "on", lambda on: "on" if on else "off",
        needed=True),
))  # fmt: skip
POLICY = Resource("policy", Policy, _POLICY_KEYS)
VOLUME = Resource("vds_volume", Volume, (
    Key("vol_name", "name", name_of("volume"), needed=True),
    Key("block_dev", "backend", backend, needed=True),
    Key("vol_opts", "options", disks.parse_options, commas),
    Key("mpgroup", "mpgroup", name_of("multipathing group")),
))  # fmt: skip
SWITCH = Resource("vsw", Vsw, (
    Key("service_name", "name", name_of("service"), needed=True),
    Key("dev_path", "net_dev", needed=True),
    Key("default-vlan-id", "default_vlan", vlans.parse_vlan),
    Key("pvid", "pvid", vlans.parse_vlan), _VID,
    Key("mtu", "mtu", vlans.parse_mtu),
    Key("mode", "mode", word("sc", "")), _LINKPROP,
    Key("inter-vnet-link", "inter_vnet_link", word("auto", "on", "off")),
    Key("vsw-relay-mode", "relay_mode", word("local", "remote")), _ID,
), address=True)  # fmt: skip
CONCENTRATOR = Resource("vcc", Vcc, (
    Key("service_name", "name", name_of("service"), needed=True),
    Key("min_port", "first_port", _PORT, needed=True),
    Key("max_port", "last_port", _PORT, needed=True),
))  # fmt: skip
VSAN = Resource("vsan", Vsan, (
    Key("service_name", "name", name_of("service"), needed=True),
    Key("iport", "iport", needed=True),
))  # fmt: skip
VDPCS = Resource("vdpcs", Vdpcs, (Key("service_name", "name", name_of("service"), needed=True),))

# resource -> field of the domain that lists its objects
LISTED: Mapping[str, tuple[Resource, str]] = {row.name: (row, where) for row, where in (
    (SWITCH, "switches"), (CONCENTRATOR, "vccs"), (VSAN, "vsans"), (VDPCS, "vdpcss"),
    (NETWORK, "vnets"), (DISK, "vdisks"), (VHBA, "vhbas"), (VDPCC, "vdpccs"), (POLICY, "policies"),
)}  # fmt: skip

# resources that are not objects: their keys ("" where none but the fixed elements are allowed)
SINGLE: Mapping[str, tuple[str, ...]] = {
    "ldom_info": ("hostid", "master", "failure-policy", "extended-mapin-space", "cpu-arch", "rc-add-policy",
                  "perf-counters", "shutdown-group", "boot-policy"),
    "cpu": ("wcore", "max-cores", "cid"),
    "mau": (),
    "memory": ("mblock",),
    "physio_device": ("name", "removed"),
    "var": ("name", "value"),
    "vds": ("service_name",),
}  # fmt: skip
REPEATED = ("physio_device", "var", "vds", "vds_volume", *LISTED)
RESOURCES = (*SINGLE, *LISTED, "vds_volume", "console")
