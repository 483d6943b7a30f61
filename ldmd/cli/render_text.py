"""Reports as text, the way `ldm` prints them. One table of sections says what a domain's long listing has, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ldmd.cli import render_tables as tables
from ldmd.cli.columns import Column, Row, table

RULE = "-" * 78
"""Between domains."""
Lines = Iterator[str]


@dataclass(frozen=True)
class Style:
    """How to print: `norm`: with normalized utilization; `bindings`: with clients and peers; `extended`: with -e."""

    norm: bool = True
    bindings: bool = False
    extended: bool = False
    health: bool = False  # -S


Render = Callable[[Any, Style], Lines]


def text_lines(body: Any, _style: Style) -> Lines:
    """A single text, indented."""
    yield f"    {body}"


def settings(body: Mapping[str, str], _style: Style) -> Lines:
    """``name=value`` lines."""
    yield from (f"    {name}={value}" for name, value in body.items())


def rows_of(columns: Sequence[Column]) -> Render:
    """A table."""
    return lambda body, _style: table(columns, body)


def health_of(columns: Sequence[Column]) -> Render:
    """A table that has with -S a column more."""
    return lambda body, style: table((*columns, tables.HEALTH) if style.health else columns, body)


def _vcpus(body: list[Row], style: Style) -> Lines:
    return health_of(tables.vcpu(norm=style.norm))(body, style)


def with_below(
    columns: Sequence[Column], below: Mapping[str, tuple[Sequence[Column], int]], *, always: bool = False
) -> Render:
    """A table whose rows have tables of their own below them, by key with the indent, in `list-bindings`."""

    def render(body: list[Row], style: Style) -> Lines:
        lines = table(columns, body)
        yield from islice(lines, 1)
        for row in body:
            yield from islice(lines, 1)
            for key, (inner, indent) in below.items():
                if row.get(key) and (always or style.bindings):
                    yield from table(inner, row[key], indent=indent)

    return render


def volumes(row: Row) -> list[Row]:
    """A disk server and its volumes as lines: the server's name stands before the first."""
    first = {"name": row["name"], "ldom": row.get("ldom")}
    lines = [{**volume, "name": "", "volume": volume["name"]} for volume in row["volumes"]]
    if not lines:
        return [first]
    lines[0].update(first)
    return lines


def _disk_servers(columns: Sequence[Column]) -> Render:
    def render(body: list[Row], style: Style) -> Lines:
        yield from islice(table(columns, ()), 1)
        for row in body:
            yield from islice(table(columns, volumes(row)), 1, None)
            if style.bindings and row["clients"]:
                yield from table(tables.VDS_CLIENT, row["clients"], indent=8)

    return render


def _variables(body: list[Row], _style: Style) -> Lines:
    yield from (f"    {row['name']}={row['value']}" for row in body)


def _console(body: Row | None, _style: Style) -> Lines:
    return table(tables.VCONS, [body] if body else [])


def _status(body: list[Row], _style: Style) -> Lines:
    for row in body:
        title = {"source": "TARGET", "target": "SOURCE"}.get(row["role"], "")
        columns = (Column("OPERATION", 13, "operation"),
                   Column("PROGRESS", 12, lambda each: f"{each['progress_percent']}%"), Column(title, 7, "peer"))
        yield from table(columns, [row])  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section of a domain: its title, the key of the report, and how it is printed."""

    title: str
    key: str
    render: Render
    flush: bool = False  # the text is not indented
    extended: bool = False  # only with -e


SECTIONS: tuple[Section, ...] = (
    Section("SOFTSTATE", "soft_state", lambda body, _: iter([body]), flush=True),
    Section("UUID", "uuid", text_lines),
    Section("MAC", "mac", text_lines),
    Section("HOSTID", "hostid", text_lines),
    Section("CONTROL", "control", settings),
    Section("DEPENDENCY", "masters", lambda body, _: iter([f"    master={','.join(body)}"])),
    Section("CORE", "cores", health_of(tables.CORE)),
    Section("VCPU", "vcpu", _vcpus),
    Section("MAU", "crypto", rows_of(tables.MAU)),
    Section("MEMORY", "memory", health_of(tables.MEMORY)),
    Section("CONSTRAINT", "constraint", settings),
    Section("POLICY", "policies", rows_of(tables.POLICY)),
    Section("VARIABLES", "variables", _variables),
    Section("IO", "io", rows_of(tables.IO)),
    Section("VLDC", "vldc", with_below(tables.VLDC, {"clients": (tables.CLIENT, 8)}), extended=True),
    Section("VCC", "vcc", with_below(tables.VCC, {"clients": (tables.VCC_CLIENT, 8)})),
    Section("VSW", "vsw", with_below(tables.VSW, {"peers": (tables.VSW_PEER, 8)})),
    Section("VDS", "vds", _disk_servers(tables.VDS)),
    Section("VSAN", "vsan", with_below(tables.VSAN, {"clients": (tables.CLIENT, 8)})),
    Section("VDPCS", "vdpcs", with_below(tables.VDPCS, {"clients": (tables.CLIENT, 8)})),
    Section("VLDCC", "vldcc", rows_of(tables.VLDCC), extended=True),
    Section("NETWORK", "vnet", with_below(tables.NETWORK, {"peers": (tables.VNET_PEER, 8)})),
    Section("DISK", "vdisk", with_below(tables.DISK, {"paths": (tables.DISK_PATH, 4)})),
    Section("VHBA", "vhba", rows_of(tables.VHBA)),
    Section("VDPCC", "vdpcc", rows_of(tables.VDPCC)),
    Section("VCONS", "vcons", _console),
    Section("STATUS", "status", _status),
)
ALWAYS = {"masters"}  # printed though it is empty

FORMATS: Mapping[str, tuple[str, ...]] = {
    "console": ("VCC", "VCONS"),
    "core": ("CORE",),
    "cpu": ("VCPU",),
    "crypto": ("MAU",),
    "disk": ("VDS", "DISK"),
    "domain": ("SOFTSTATE", "UUID", "HOSTID", "CONTROL", "DEPENDENCY", "VARIABLES"),
    "hba": ("VHBA",),
    "memory": ("MEMORY",),
    "network": ("MAC", "VSW", "NETWORK"),
    "physio": ("IO",),
    "resmgmt": ("CONSTRAINT", "POLICY"),
    "san": ("VSAN",),
    "serial": ("VLDC", "VDPCS", "VLDCC", "VDPCC"),
    "stats": (),
    "status": ("STATUS",),
}
"""Sections of each word of `-o`."""


def sections_of(formats: Iterable[str]) -> tuple[Section, ...]:
    """The sections of some formats, in the order in which they are printed."""
    titles = {title for name in formats for title in FORMATS[name]}
    return tuple(section for section in SECTIONS if section.title in titles)


def short_list(report: Mapping[str, Any]) -> Lines:
    """`ldm list`."""
    return table(tables.head(norm=report["norm"]), report["domains"], indent=0)


def long_list(report: Mapping[str, Any], style: Style) -> Lines:
    """`ldm list -l` and `ldm list-bindings`."""
    style = replace(style, norm=report["norm"])
    chosen = [section for section in SECTIONS if style.extended or not section.extended]
    columns = tables.head(norm=style.norm)
    return _each(report, lambda domain: _domain(table(columns, [domain], indent=0), domain, chosen, style))


def format_list(report: Mapping[str, Any], formats: Sequence[str], style: Style) -> Lines:
    """`ldm list -o`."""
    style = replace(style, norm=report["norm"])
    chosen = sections_of(formats)

    def first(domain: Row) -> Lines:
        if "domain" in formats:
            return table(tables.domain_head(norm=style.norm), [domain], indent=0)
        if "stats" in formats:
            return table(tables.stats_head(norm=style.norm), [domain], indent=0)
        return iter(("NAME", domain["name"]))

    return _each(report, lambda domain: _domain(first(domain), domain, chosen, style))


def _each(report: Mapping[str, Any], render: Callable[[Row], Lines]) -> Lines:
    for place, domain in enumerate(report["domains"]):
        if place:
            yield RULE
        yield from render(domain)


def _domain(head: Lines, domain: Row, sections: Iterable[Section], style: Style) -> Lines:
    yield from head
    yield ""
    for section in sections:
        yield from section_lines(section, domain.get(section.key), style)


def section_lines(section: Section, body: Any, style: Style) -> Lines:
    """A section with the empty line behind it; nothing where it is empty."""
    if (not body and section.key not in ALWAYS) or body is None:
        return
    yield section.title
    yield from section.render(body, style)
    yield ""
