"""Network devices, initiator ports, resource groups, sockets, activations: as text and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ldmd.cli.columns import Column, Row, comma, cpuset, memory, table

C = Column
Lines = Iterator[str]
Local = Mapping[str, Any]
_NONE = "--"


def dashes(columns: Sequence[Column]) -> str:
    """The line below the titles of some lists."""
    return " ".join(("-" * len(column.title)).ljust(column.width - 1) for column in columns).rstrip()


def underlined(columns: Sequence[Column], rows: Sequence[Row], below: Callable[[Row], Lines] | None = None) -> Lines:
    """A table with such a line, and what stands below each row."""
    lines = table(columns, rows, indent=0)
    yield from islice(lines, 1)
    yield dashes(columns)
    for line, row in zip(lines, rows, strict=True):
        yield line
        if below is not None:
            yield from below(row)


# -- networks

NETDEV = (
    C("NAME", 18, "name"), C("CLASS", 9, "class"), C("MEDIA", 9, "media"), C("STATE", 9, "state"),
    C("OVER", 9, lambda row: row["over"] or _NONE), C("LOC", 4, "loc"),
)  # fmt: skip


def _devices(report: Mapping[str, Any], local: Local) -> Iterator[tuple[str, list[Row]]]:
    """Domains with their devices: with -b only physical ones."""
    for each in report["domains"]:
        rows = [row for row in each["devices"] if not local.get("basic") or row["class"] == "PHYS"]
        if rows:
            yield each["domain"], rows


def netdev_text(report: Mapping[str, Any], local: Local) -> Lines:
    """`ldm list-netdev`."""
    for domain, rows in _devices(report, local):
        yield from ("DOMAIN", domain, "")
        yield from underlined(NETDEV, rows, _netdev_details if local.get("long") else None)
        yield ""


def _netdev_details(row: Row) -> Lines:
    yield f"    MTU       : {row['mtu']}"
    yield f"    MAC_ADDRS : {row['mac'] or _NONE}"
    if row["vlans"]:
        yield f"    VLANS     : {row['vlans']}"


def netdev_records(report: Mapping[str, Any], local: Local) -> Lines:
    """A line of keys for each device, without a keyword: a production script takes every other line for one."""
    for domain, rows in _devices(report, local):
        yield f"DOMAIN|name={domain}"
        yield from ("|".join(f"{key}={value}" for key, value in row.items()) for row in rows)


UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


def _count(key: str, unit: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row[key]
        if value is None:
            return _NONE
        return str(value) if unit not in UNITS else f"{value / UNITS[unit]:.2f}{unit}"

    return text


def netstat_text(report: Mapping[str, Any], local: Local) -> Lines:
    """`ldm list-netstat`: what nothing counts is ``--``."""
    unit = str(local.get("unit", "R")).upper()
    columns = (C("NAME", 18, "name"), *(C(key.upper(), 12, _count(key, unit))
                                        for key in ("ipackets", "rbytes", "opackets", "obytes")))  # fmt: skip
    for each in report["domains"]:
        if each["devices"]:
            yield from ("DOMAIN", each["domain"], "")
            yield from underlined(columns, each["devices"])
            yield ""


def netstat_records(report: Mapping[str, Any], _local: Local) -> Lines:
    """The same for programs."""
    for each in report["domains"]:
        yield f"DOMAIN|name={each['domain']}"
        for row in each["devices"]:
            yield "|".join(f"{key}={'' if value is None else value}" for key, value in row.items())


# -- storage

HBA = (C("NAME", 53, "path"), C("VSAN", 5, "vsan"))


def hba_text(report: Mapping[str, Any], local: Local) -> Lines:
    """`ldm list-hba`: ports; with -d what is behind each, with -l the bus."""
    def below(row: Row) -> Lines:
        if local.get("long"):
            yield f"[{row['bus']}]"
        if local.get("devices"):
            yield from (f"    {device}" for device in row["devices"])

    return underlined(HBA, report["ports"], below)


def hba_records(report: Mapping[str, Any], _local: Local) -> Lines:
    """The same for programs."""
    yield f"DOMAIN|name={report['domain']}"
    yield "HBA"
    for row in report["ports"]:
        yield f"|alias={row['path']}|bus={row['bus']}|vsan={row['vsan']}"
        yield from (f"|dev={device}" for device in row["devices"])


# -- parts of the server

GROUP = (
    C("NAME", 41, "name"), C("CORE", 6, lambda row: str(len(row["cores"]))),
    C("MEMORY", 9, lambda row: memory(sum(each["size_bytes"] for each in row["memory"]))),
    C("IO", 3, lambda row: str(len(row["io"]))),
)  # fmt: skip
_GROUP_CORE = (C("BOUND", 18, lambda row: comma(row["domains"])), C("CID", 4, lambda row: cpuset(row["cids"])))
_GROUP_MEMORY = (
    C("PA", 21, lambda row: f"0x{row['pa']:x}"), C("SIZE", 16, lambda row: memory(row["size_bytes"])),
    C("BOUND", 6, "bound"),
)  # fmt: skip
_GROUP_IO = (C("DEVICE", 17, "device"), C("PSEUDONYM", 17, "name"), C("BOUND", 6, "domain"))
GROUP_SECTIONS: Mapping[str, tuple[str, str, Sequence[Column]]] = {
    "core": ("CORE", "cores", _GROUP_CORE), "memory": ("MEMORY", "memory", _GROUP_MEMORY),
    "io": ("IO", "io", _GROUP_IO),
}  # fmt: skip


def groups_text(report: Mapping[str, Any], local: Local) -> Lines:
    """`ldm list-rsrc-group`; with -l or -o the resources of each."""
    chosen = [local["format"]] if "format" in local else list(GROUP_SECTIONS) if local.get("long") else []
    for place, group in enumerate(report["groups"]):
        if place == 0 or chosen:
            yield from table(GROUP, [group], indent=0)
        else:
            yield from islice(table(GROUP, [group], indent=0), 1, None)
        for name in chosen:
            title, key, columns = GROUP_SECTIONS[name]
            if group[key]:
                yield from ("", title)
                yield from table(columns, _by_owner(group[key]) if name == "core" else group[key])
        if chosen:
            yield ""


def _by_owner(cores: Sequence[Row]) -> list[Row]:
    """Cores of the same domains on one line."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row in cores:
        found.setdefault(tuple(row["domains"]), []).append(row["cid"])
    return [{"domains": domains, "cids": cids} for domains, cids in found.items()]


def groups_records(report: Mapping[str, Any], local: Local) -> Lines:
    """The same for programs: all resources of each group."""
    chosen = [local["format"]] if "format" in local else list(GROUP_SECTIONS)
    for group in report["groups"]:
        yield f"GROUP|name={group['name']}"
        for name in chosen:
            yield GROUP_SECTIONS[name][0]
            yield from (_group_record(name, row) for row in group[GROUP_SECTIONS[name][1]])


def _group_record(kind: str, row: Row) -> str:
    if kind == "core":
        return f"|cid={row['cid']}|bound={comma(row['domains'])}"
    if kind == "memory":
        return f"|pa=0x{row['pa']:x}|size={row['size_bytes']}|bound={row['bound']}"
    return f"|dev={row['device']}|alias={row['name']}|bound={row['domain']}"


SOCKET = (
    C("TENANT", 17, "tenant"), C("VCPUS", 7, "vcpus"), C("CORES", 7, "cores"), C("MEMORY", 9, "memory"),
    C("SOCKET_ID", 11, "socket"), C("GROUP", 6, "group"),
)  # fmt: skip


def _tenants(report: Mapping[str, Any], local: Local) -> Iterator[Row]:
    for each in report["sockets"]:
        same = {"socket": each["socket"], "group": each["group"]}
        for row in () if local.get("free") else each["domains"]:
            yield {**same, "tenant": row["domain"], "vcpus": row["vcpus"], "cores": row["cores"],
                   "size": row["memory_bytes"], "memory": memory(row["memory_bytes"])}  # fmt: skip
        yield {**same, "tenant": "free", "vcpus": each["free_vcpus"], "cores": each["free_cores"],
               "size": each["free_memory_bytes"], "memory": memory(each["free_memory_bytes"])}  # fmt: skip


def sockets_text(report: Mapping[str, Any], local: Local) -> Lines:
    """`ldm list-socket`."""
    yield "SOCKET"
    yield from table(SOCKET, _tenants(report, local))
    yield ""


def sockets_records(report: Mapping[str, Any], local: Local) -> Lines:
    """The same for programs."""
    yield "SOCKET"
    for row in _tenants(report, local):
        yield (f"|tenant={row['tenant']}|vcpus={row['vcpus']}|cores={row['cores']}|size={row['size']}"
               f"|socket_id={row['socket']}|group={row['group']}")  # fmt: skip


PERMITS = (C("PERMITS", 9, "permits"), C("IN USE", 9, "in_use"), C("REST", 5, "rest"))
CMI = (C("ID", 8, "id"), C("GROUP", 41, "group"), C("BOUND", 6, "bound"))


def permits_text(report: Mapping[str, Any], _local: Local) -> Lines:
    """`ldm list-permits`."""
    yield "CPU CORE"
    yield from table(PERMITS, report["permits"], indent=0)


def cmi_text(report: Mapping[str, Any], _local: Local) -> Lines:
    """`ldm list-cmi`."""
    if report["cmi"]:
        yield "CMI"
        yield from table(CMI, report["cmi"])
        yield ""


def plain_records(title: str, key: str) -> Callable[[Mapping[str, Any], Local], Lines]:
    """Rows for programs whose keys are those of the document."""

    def render(report: Mapping[str, Any], _local: Local) -> Lines:
        yield title
        yield from ("".join(f"|{name}={value}" for name, value in row.items()) for row in report[key])

    return render
