"""Reports as records for programs: `-p`.

The first line is ``VERSION x.y``; then ``KEYWORD|key=value|...``, and where a section has several elements the keyword
alone or with the element's own keys, followed by lines that begin with ``|``. Orders of keys are those that programs
in the wild count on (docs/reference/ldm.md, "Output for programs").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ldmd.cli.columns import Row, comma, link_text, on_off
from ldmd.cli.render_text import SECTIONS, Section, sections_of

VERSION = "1.17"
"""Version of the format: 1.11 was seen with 3.1; that of 3.3 is not published. Settable: $LDM_PARSEABLE_VERSION."""

Cell = str | Callable[[Row], str]
Keys = Mapping[str, Cell]
Lines = Iterator[str]


def number(value: float | None) -> str:
    """``0.4``; "" for None."""
    return "" if value is None else f"{value:.1f}"


def keys_text(keys: Keys, row: Row) -> str:
    """``|key=value|key=value``."""
    return "".join(f"|{key}={_value(cell, row)}" for key, cell in keys.items())


def _value(cell: Cell, row: Row) -> str:
    if not isinstance(cell, str):
        return cell(row)
    value = row.get(cell)
    return "" if value is None else str(value)


def _list(key: str) -> Cell:
    return lambda row: comma(row[key])


def _hex(key: str) -> Cell:
    return lambda row: f"0x{row[key]:x}"


def _util(key: str) -> Cell:
    return lambda row: number(row[key])


def _on(key: str) -> Cell:
    return lambda row: on_off(row[key])


# -- keys of records

DOMAIN: Keys = {
    "name": "name", "state": "state", "flags": "flag_letters", "cons": "console", "ncpu": "vcpus",
    "mem": "memory_bytes", "util": _util("util_percent"), "uptime": "uptime_seconds",
    "norm_util": _util("norm_util_percent"),
}  # fmt: skip
LONG_DOMAIN: Keys = {
    **DOMAIN, "flags": lambda row: comma(row["flags"]) or row["flag_letters"], "softstate": "soft_state",
}  # fmt: skip
NAME: Keys = {"name": "name"}
CORE: Keys = {"cid": "cid", "cpuset": _list("strands")}
VCPU: Keys = {
    "vid": "vid", "pid": "pid", "util": _util("util_percent"), "strand": "strand_percent", "cid": "cid",
    "norm_util": _util("norm_util_percent"),
}  # fmt: skip
MAU: Keys = {"id": "core", "cpuset": _list("strands")}
MEMORY: Keys = {"ra": _hex("ra"), "pa": _hex("pa"), "size": "size_bytes"}
IO: Keys = {"dev": "device", "alias": "pseudonym"}
POLICY: Keys = {
    "name": "name", "enable": lambda row: "yes" if row["enable"] else "no", "priority": "priority",
    "attack": lambda row: "unlimited" if row["attack"] is None else str(row["attack"]), "decay": "decay",
    "elastic-margin": "elastic_margin", "sample-rate": "sample_rate", "tod-begin": "tod_begin", "tod-end": "tod_end",
    "util-lower": "util_lower", "util-upper": "util_upper", "vcpu-min": "vcpu_min",
    "vcpu-max": lambda row: "unlimited" if row["vcpu_max"] is None else str(row["vcpu_max"]),
}  # fmt: skip
VCC: Keys = {"name": "name", "port-range": lambda row: f"{row['first_port']}-{row['last_port']}"}
VSW: Keys = {
    "name": "name", "mac-addr": "mac", "net-dev": "net_dev", "dev": "device", "default-vlan-id": "default_vlan",
    "pvid": "pvid", "vid": _list("vids"), "mtu": "mtu", "linkprop": "linkprop", "mode": "mode", "id": "id",
    "inter-vnet-link": link_text, "vsw-relay-mode": "relay_mode",
}  # fmt: skip
VOLUME: Keys = {"vol": "name", "opts": _list("options"), "dev": "backend", "mpgroup": "mpgroup"}
VSAN: Keys = {"name": "name", "iport": "device"}
VNET: Keys = {
    "name": "name", "dev": "device", "service": "service", "mac-addr": "mac", "mode": "mode", "pvid": "pvid",
    "vid": _list("vids"), "mtu": "mtu", "linkprop": "linkprop", "id": "id", "alt-mac-addrs": _list("alt_macs"),
    "maxbw": "maxbw_bps", "protection": _list("protection"), "priority": "priority", "cos": "cos", "pvlan": "pvlan",
}  # fmt: skip
VDISK: Keys = {
    "name": "name", "vol": "volume", "timeout": lambda row: str(row["timeout"]) if row["timeout"] else "",
    "dev": "device", "server": "server", "mpgroup": "mpgroup", "id": "id",
}  # fmt: skip
PATH: Keys = {"mpg-port": "port", "mpg-vol": "volume", "mpg-server": "server", "mpg-path": "state"}
VHBA: Keys = {"name": "name", "vsan": "vsan", "timeout": "timeout", "dev": "device", "server": "server", "id": "id"}
VDPCC: Keys = {"name": "name", "service": "service"}
VLDCC: Keys = {"name": "name", "service": "service", "desc": "description"}
VCONS: Keys = {
    "type": lambda row: "" if row["type"] == "vcons" else row["type"], "group": "group", "service": "service",
    "port": "port", "log": _on("log"),
}  # fmt: skip
CONSOLE_CLIENT: Keys = {"client": "name", "port": "port", "log": _on("log")}
DISK_CLIENT: Keys = {"client": "name", "vol": "volume"}
CLIENT: Keys = {"client": "name"}
PEER: Keys = {
    "peer": "name", "mac-addr": "mac", "mode": "mode", "pvid": "pvid", "vid": _list("vids"), "mtu": "mtu",
    "linkprop": "linkprop",
}  # fmt: skip


# -- kinds of sections


def _record(keyword: str, keys: Keys) -> Callable[[Any, bool], Lines]:
    return lambda body, _all: iter([keyword + keys_text(keys, body)])


def _elements(keyword: str, keys: Keys) -> Callable[[Any, bool], Lines]:
    def render(body: list[Row], _all: bool) -> Lines:
        yield keyword
        yield from (keys_text(keys, row) for row in body)

    return render


def _records(keyword: str, keys: Keys, below: str = "", below_keys: Keys | None = None) -> Callable[[Any, bool], Lines]:
    """A record for each element; in `list-bindings` its clients or peers below it."""

    def render(body: list[Row], bindings: bool) -> Lines:
        for row in body:
            yield keyword + keys_text(keys, row)
            if bindings and below and below_keys is not None:
                yield from (keys_text(below_keys, each) for each in row.get(below, ()))

    return render


def _text(keyword: str, key: str) -> Callable[[Any, bool], Lines]:
    return lambda body, _all: iter([f"{keyword}|{key}={body}"])


def _pairs(keyword: str) -> Callable[[Any, bool], Lines]:
    return lambda body, _all: iter([keyword + "".join(f"|{name}={value}" for name, value in body.items())])


def _variables(body: list[Row], _all: bool) -> Lines:
    yield "VARIABLES"
    yield from (f"|{row['name']}={row['value']}" for row in body)


def _disk_servers(body: list[Row], bindings: bool) -> Lines:
    for row in body:
        yield f"VDS|name={row['name']}"
        yield from (keys_text(VOLUME, volume) for volume in row["volumes"])
        if bindings:
            yield from (keys_text(DISK_CLIENT, client) for client in row["clients"])


def _status(body: list[Row], _all: bool) -> Lines:
    yield "STATUS"
    for row in body:
        other = {"source": "target", "target": "source"}.get(row["role"])
        end = f"|{other}={row['peer']}" if other else ""
        yield f"|operation={row['operation']}|progress={row['progress_percent']}{end}"


RENDER: Mapping[str, Callable[[Any, bool], Lines]] = {
    "UUID": _text("UUID", "uuid"),
    "MAC": _text("MAC", "mac-addr"),
    "HOSTID": _text("HOSTID", "hostid"),
    "CONTROL": _pairs("CONTROL"),
    "DEPENDENCY": lambda body, _all: iter([f"DEPENDENCY|master={','.join(body)}"]),
    "CORE": _elements("CORE", CORE),
    "VCPU": _elements("VCPU", VCPU),
    "MAU": _elements("MAU", MAU),
    "MEMORY": _elements("MEMORY", MEMORY),
    "CONSTRAINT": _pairs("CONSTRAINT"),
    "POLICY": _elements("POLICY", POLICY),
    "VARIABLES": _variables,
    "IO": _elements("IO", IO),
    "VLDC": _records("VLDC", NAME, "clients", CLIENT),
    "VCC": _records("VCC", VCC, "clients", CONSOLE_CLIENT),
    "VSW": _records("VSW", VSW, "peers", PEER),
    "VDS": _disk_servers,
    "VSAN": _records("VSAN", VSAN, "clients", CLIENT),
    "VDPCS": _records("VDPCS", NAME, "clients", CLIENT),
    "VLDCC": _records("VLDCC", VLDCC),
    "NETWORK": _records("VNET", VNET, "peers", PEER),
    "DISK": _records("VDISK", VDISK, "paths", PATH),
    "VHBA": _records("VHBA", VHBA),
    "VDPCC": _records("VDPCC", VDPCC),
    "VCONS": _record("VCONS", VCONS),
    "STATUS": _status,
}
"""How each section of the text is written; SOFTSTATE is a key of the domain's record."""


def version_line(version: str = VERSION) -> str:
    """The first line of every list."""
    return f"VERSION {version}"


def short_list(report: Mapping[str, Any]) -> Lines:
    """`ldm list -p`."""
    yield from ("DOMAIN" + keys_text(DOMAIN, domain) for domain in report["domains"])


def long_list(report: Mapping[str, Any], *, bindings: bool = False, extended: bool = False) -> Lines:
    """`ldm list -l -p` and `ldm list-bindings -p`: flags as words."""
    chosen = [section for section in SECTIONS if extended or not section.extended]
    for domain in report["domains"]:
        yield "DOMAIN" + keys_text(LONG_DOMAIN, domain)
        yield from _sections(domain, chosen, bindings=bindings)


def format_list(report: Mapping[str, Any], formats: Sequence[str]) -> Lines:
    """`ldm list -o format -p`."""
    for domain in report["domains"]:
        whole = "domain" in formats or "stats" in formats
        yield "DOMAIN" + keys_text(LONG_DOMAIN if whole else NAME, domain)
        yield from _sections(domain, sections_of(formats), bindings=False)


def _sections(domain: Row, sections: Iterable[Section], *, bindings: bool) -> Lines:
    for section in sections:
        body = domain.get(section.key)
        if section.title in RENDER and (body or (body == [] and section.key == "masters")):
            yield from RENDER[section.title](body, bindings)


TABLES: Mapping[str, Keys] = {
    "DOMAIN": DOMAIN, "DOMAIN with -l": LONG_DOMAIN, "CORE": CORE, "VCPU": VCPU, "MAU": MAU, "MEMORY": MEMORY,
    "IO": IO, "POLICY": POLICY, "VCC": VCC, "VSW": VSW, "VDS, each volume": VOLUME, "VSAN": VSAN, "VNET": VNET,
    "VDISK": VDISK, "VDISK, each path": PATH, "VHBA": VHBA, "VDPCC": VDPCC, "VCONS": VCONS,
    "VCC, each client": CONSOLE_CLIENT, "VDS, each client": DISK_CLIENT, "VSW and VNET, each peer": PEER,
}  # fmt: skip
"""For the reference page."""
