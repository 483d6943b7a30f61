"""The lists other than those of domains, as text and for programs: services, devices, io, dependencies, and so on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ldmd.cli import render_parseable as records
from ldmd.cli import render_tables as tables
from ldmd.cli.columns import Column, Row, comma, memory, on_off, table
from ldmd.cli.render_links import dashes
from ldmd.cli.render_text import volumes

Lines = Iterator[str]


# -- list-services

SERVICES: tuple[tuple[str, str, Sequence[Column]], ...] = (
    ("VCC", "vcc", tables.SERVICE_VCC),
    ("VSW", "vsw", tables.SERVICE_VSW),
    ("VDS", "vds", tables.SERVICE_VDS),
    ("VSAN", "vsan", tables.SERVICE_VSAN),
    ("VDPCS", "vdpcs", tables.SERVICE_VDPCS),
)


def services_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-services`."""
    for title, key, columns in SERVICES:
        rows = [{**row, "ldom": each["domain"]} for each in report["services"] for row in each[key]]
        if rows:
            lines = rows if key != "vds" else [line for row in rows for line in volumes(row)]
            yield title
            yield from table(columns, lines)
            yield ""


def services_records(report: Mapping[str, Any]) -> Lines:
    """`ldm list-services -p`: as in the domains' records, with ``ldom=`` behind the name."""
    keys: Mapping[str, records.Keys] = {"vcc": records.VCC, "vsw": records.VSW, "vds": records.NAME,
                                        "vsan": records.VSAN, "vdpcs": records.NAME}  # fmt: skip
    for title, key, _ in SERVICES:
        for each in report["services"]:
            for row in each[key]:
                rest = {name: cell for name, cell in keys[key].items() if name != "name"}
                yield f"{title}|name={row['name']}|ldom={each['domain']}{records.keys_text(rest, row)}"
                yield from (records.keys_text(records.VOLUME, volume) for volume in row.get("volumes", ()))


# -- list-devices


@dataclass(frozen=True)
class Resource:
    """A kind of resources: its word, its title, the report's key, what makes a row free, columns, records."""

    word: str
    title: str
    key: str
    free: Callable[[Row], bool]
    columns: Sequence[Column]
    owner: Sequence[Column]  # with -a
    record: records.Keys


def _unbound(row: Row) -> bool:
    return not row["bound"]


RESOURCES: tuple[Resource, ...] = (
    Resource("core", "CORE", "cores", lambda row: row["free_percent"] > 0, tables.DEVICE_CORE, (),
             {"cid": "cid", "free": "free_percent", "cpuset": lambda row: comma(row["strands"])}),
    Resource("cpu", "VCPU", "vcpus", lambda row: row["free_percent"] > 0, tables.DEVICE_VCPU, (),
             {"pid": "pid", "free": "free_percent", "pm": "pm"}),
    Resource("crypto", "MAU", "crypto", _unbound, tables.DEVICE_MAU, (tables.BOUND,),
             {"id": "core", "cpuset": lambda row: comma(row["strands"])}),
    Resource("memory", "MEMORY", "memory", _unbound, tables.DEVICE_MEMORY, (tables.BOUND,),
             {"pa": lambda row: f"0x{row['pa']:x}", "size": "size_bytes"}),
    Resource("io", "IO", "io", _unbound, tables.DEVICE_IO, tables.BOUND_IO, {"dev": "device", "alias": "pseudonym"}),
)  # fmt: skip


def _chosen(words: Sequence[str]) -> Iterable[Resource]:
    return (resource for resource in RESOURCES if not words or resource.word in words)


def _rows(report: Mapping[str, Any], resource: Resource, *, all_of_them: bool, unusable: bool) -> list[Row]:
    rows = [row for row in report[resource.key] if (row.get("health", "ok") != "ok") == unusable]
    return rows if all_of_them or unusable else [row for row in rows if resource.free(row)]


def devices_text(
    report: Mapping[str, Any], words: Sequence[str], *, all_of_them: bool = False, unusable: bool = False,
    health: bool = False,
) -> Lines:
    """`ldm list-devices [-a] [-B] [-S] [kind...]`."""
    for resource in _chosen(words):
        rows = _rows(report, resource, all_of_them=all_of_them, unusable=unusable)
        if rows:
            more = (*(resource.owner if all_of_them else ()), *((tables.HEALTH,) if health else ()))
            columns = (*resource.columns, *more)
            yield resource.title
            yield from table(columns, rows)
            yield ""


def devices_records(
    report: Mapping[str, Any], words: Sequence[str], *, all_of_them: bool = False, unusable: bool = False,
    health: bool = False,
) -> Lines:
    """The same for programs. ``bound=`` stands only in rows that are bound: programs look for the word."""
    for resource in _chosen(words):
        rows = _rows(report, resource, all_of_them=all_of_them, unusable=unusable)
        if rows:
            yield resource.title
        for row in rows:
            line = records.keys_text(resource.record, row)
            if resource.owner and row["bound"]:
                line += f"|bound={'yes' if resource.word == 'io' else row['bound']}"
            yield line + (f"|status={row['health']}" if health else "")


# -- list-io


def io_text(report: Mapping[str, Any], *, long: bool) -> Lines:
    """`ldm list-io`."""
    lines = table(tables.LIST_IO, report["io"], indent=0)
    yield from islice(lines, 1)
    yield dashes(tables.LIST_IO)
    for line, row in zip(lines, report["io"], strict=True):
        yield line
        if long:
            yield f"[{row['device']}]"
            yield from (f"    {name} = {value}" for name, value in row.get("properties", {}).items())


def io_records(report: Mapping[str, Any]) -> Lines:
    """`ldm list-io -p`: the class of a function stands before its bus."""
    yield "IO"
    for row in report["io"]:
        kind = f"|class={row['class']}" if row["class"] else ""
        yield (f"|dev={row['device']}|alias={row['name']}|status={row['status']}|domain={row['domain']}"
               f"|type={row['type']}{kind}|bus={row['bus']}")  # fmt: skip


def properties(report: Mapping[str, Any], *, parseable: bool) -> Lines:
    """`ldm list-io -d`: what the device of a physical function can be told."""
    if parseable:
        yield report["pf"]
        yield from (f"|{row['name']}={row['value']}" for row in report["properties"])
        return
    yield "Device-specific Parameters"
    yield "--------------------------"
    for row in report["properties"]:
        yield f"{row['name']} = {row['value']}"


# -- list-dependencies


def dependencies_text(report: Mapping[str, Any], *, long: bool, reverse: bool) -> Lines:
    """`ldm list-dependencies`."""
    first, second, *rest = tables.DEPENDENCY
    columns = (first, Column("DEPENDENT" if reverse else "DEPENDENCY", second.width, second.cell), *rest)
    yield from table(columns if long else columns[:3], _dependency_rows(report, long=long), indent=0)


def _dependency_rows(report: Mapping[str, Any], *, long: bool) -> Iterator[Row]:
    for each in report["dependencies"]:
        name = each["domain"]
        if not each["needs"]:
            yield {"domain": name}
        for need in each["needs"]:
            other = need["domain"]
            kinds = comma(dict.fromkeys(device["type"] for device in need["devices"]))
            for device in need["devices"] if long else [{"type": kinds}]:
                yield {"domain": name, "other": other, **device}
                name = other = ""


def dependencies_records(report: Mapping[str, Any], *, long: bool, reverse: bool) -> Lines:
    """The same for programs."""
    word = "dependent" if reverse else "dependency"
    for each in report["dependencies"]:
        yield f"DOMAIN|name={each['domain']}"
        for need in each["needs"]:
            kinds = comma(dict.fromkeys(device["type"] for device in need["devices"]))
            if not long:
                yield f"|{word}={need['domain']}|type={kinds}"
            for device in need["devices"] if long else ():
                yield f"|{word}={need['domain']}|type={device['type']}|dev={device['device']}"


# -- list-constraints


def constraints_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-constraints`: weakly known; sections as those of `ldm list -l`."""
    for place, domain in enumerate(report["domains"]):
        if place:
            yield "-" * 78
        yield from _constraint_sections(domain)


def _constraint_sections(domain: Row) -> Lines:
    asked = domain["asked"]
    yield from ("DOMAIN", domain["name"], "", "UUID", f"    {domain['uuid']}", "", "CONTROL")
    yield from (f"    {name}={value}" for name, value in domain["control"].items())
    yield from ("", "DEPENDENCY", f"    master={','.join(domain['masters'])}", "")
    whole = asked["cores"] is not None
    yield from ("CORE" if whole else "VCPU", f"    COUNT:    {asked['cores'] if whole else asked['vcpus']}", "")
    if asked["crypto"]:
        yield from ("MAU", f"    COUNT:    {asked['crypto']}", "")
    yield from ("MEMORY", f"    SIZE:    {memory(asked['memory_bytes'])}", "")
    if domain["variables"]:
        yield from ("VARIABLES", *(f"    {row['name']}={row['value']}" for row in domain["variables"]), "")
    for title, rows, columns in _constraint_tables(domain):
        if rows:
            yield title
            yield from table(columns, rows)
            yield ""


def _constraint_tables(domain: Row) -> Iterator[tuple[str, list[Row], Sequence[Column]]]:
    asked, name = domain["asked"], tables.NAME
    service = Column("SERVICE", 28, "service")
    yield "IO", [{"name": each["pseudonym"]} for each in domain["io"]], (Column("DEVICE", 17, "name"),)
    yield "VNET", asked["vnet"], (name, service, Column("ID", 5, "id"))
    yield "VDISK", asked["vdisk"], (name, Column("VOLUME", 28, "volume"), Column("ID", 5, "id"))
    if _console_asked(asked["vcons"]):
        yield "VCONS", [asked["vcons"]], (Column("GROUP", 17, "group"), service, Column("PORT", 7, "port"),
                                          Column("LOGGING", 8, lambda row: on_off(row["log"])))  # fmt: skip


def _console_asked(vcons: Row) -> bool:
    return any(vcons[key] is not None for key in ("group", "service", "port")) or not vcons["log"]


def constraints_records(report: Mapping[str, Any]) -> Lines:
    """`ldm list-constraints -p`: as a production script parses it (DOMAIN, UUID, CONTROL, VARIABLES, VNET, VDISK)."""
    for domain in report["domains"]:
        asked = domain["asked"]
        yield f"DOMAIN|name={domain['name']}"
        yield f"UUID|uuid={domain['uuid']}"
        yield "CONTROL" + "".join(f"|{name}={value}" for name, value in domain["control"].items())
        yield f"DEPENDENCY|master={','.join(domain['masters'])}"
        if asked["cores"] is None:
            yield f"VCPU|count={asked['vcpus']}"
        else:
            yield f"CORE|count={asked['cores']}"
        if asked["crypto"]:
            yield f"MAU|count={asked['crypto']}"
        yield f"MEMORY|size={asked['memory_bytes']}"
        if domain["variables"]:
            yield from records.RENDER["VARIABLES"](domain["variables"], False)
        yield from (f"VNET|name={row['name']}|dev={_device('network', row)}|service={row['service']}"
                    for row in asked["vnet"])  # fmt: skip
        yield from (f"VDISK|name={row['name']}|vol={row['volume']}|dev={_device('disk', row)}"
                    for row in asked["vdisk"])  # fmt: skip
        if _console_asked(asked["vcons"]):
            yield "VCONS" + records.keys_text({**records.VCONS, "type": lambda _: ""}, asked["vcons"])


def _device(kind: str, row: Row) -> str:
    return "" if row["id"] is None else f"{kind}@{row['id']}"


# -- the small ones


def variables_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-variable`."""
    yield from (f"{name}={value}" for name, value in report["variables"].items())


def spconfigs_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-spconfig`: one that is both current and next is marked as current alone, as in real outputs."""
    for row in report["autosaves"] if "autosaves" in report else report["configs"]:
        mark = " [current]" if row.get("current") else " [next poweron]" if row.get("next_poweron") else ""
        yield f"{row['name']}{mark}{' [newer]' if row.get('newer') else ''}"


PROM = (("Hostconfig", "Hostconfig"), ("Hypervisor", "Hypervisor"), ("OpenBoot", "OpenBoot"))


def version_text(report: Mapping[str, Any]) -> Lines:
    """`ldm -V`."""
    yield ""
    yield f"Logical Domains Manager (v {report['manager']})"
    yield f"\tHypervisor control protocol v {report['hvctl']}"
    yield f"\tUsing Hypervisor MD v {report['md']}"
    yield from ("", "System PROM:")
    firmware = report["firmware"]
    for name, title in PROM:
        yield f"\t{name}\tv. {firmware}.\t@(#){title} {firmware}."


def history_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-history` (3.5): when, who, what, and how it ended; times are UTC."""
    for row in report["history"]:
        when = datetime.fromtimestamp(row["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        yield f"{when}  {row['caller']}  {row['line']}  [{row['text'].splitlines()[0] if row['text'] else ''}]"


def logctl_text(report: Mapping[str, Any]) -> Lines:
    """`ldm list-logctl` (3.5)."""
    yield from (f"{name}={on_off(value)}" for name, value in report["log"].items())
    yield f"history={report['history']}"

