"""How each list is shown: from a command's local options and the daemon's document to lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ldmd.cli import render_links as links
from ldmd.cli import render_lists as lists
from ldmd.cli import render_parseable as records
from ldmd.cli import render_text as text
from ldmd.cli.choose import full_words
from ldmd.cli.grammar_list import FORMATS
from ldmd.cli.parse import Request, UsageError

Local = Mapping[str, Any]
Show = Callable[[Any, Local], Iterator[str]]
PARSEABLE_VERSION = "LDM_PARSEABLE_VERSION"
"""Environment variable: the version that the first line of -p names."""
_CONSTRAINTS = "uuid,control,masters,variables,io,asked"


def prepare(request: Request) -> Request:
    """Full words for abbreviated ones, and which sections the daemon need not make. Raises UsageError."""
    local = dict(request.local)
    if "format" in local and request.command.name == "list-domain":
        local["formats"] = full_words(local["format"].split(","), FORMATS, request.command)
        if local.get("long"):
            raise UsageError("-l and -o exclude each other", request.command)
    if "format" in local and request.command.name == "list-rsrc-group":
        local["format"] = full_words([local["format"]], list(links.GROUP_SECTIONS), request.command)[0]
    if "resources" in local:
        known = [resource.word for resource in lists.RESOURCES]
        local["resources"] = full_words(local["resources"], known, request.command)
    arguments = dict(request.arguments)
    if (sections := _sections(request.operation, local)) is not None:
        arguments["sections"] = sections
    return Request(request.command, request.operation, arguments, local, request.files)


def _sections(operation: str, local: Local) -> str | None:
    """What of a domain is needed; None: everything."""
    if operation == "list-constraints":
        return _CONSTRAINTS
    if operation != "list-domain" or local.get("long") or local.get("extended"):
        return None
    keys = [section.key for section in text.sections_of(local.get("formats", ()))]
    return ",".join(key for key in keys if key != "soft_state")


# -- domains


def _style(local: Local, *, bindings: bool = False) -> text.Style:
    return text.Style(bindings=bindings, extended=bool(local.get("extended")), health=bool(local.get("status_column")))


def _domains(report: Any, local: Local) -> Iterator[str]:
    if local.get("parseable"):
        if "formats" in local:
            return records.format_list(report, local["formats"])
        if local.get("long") or local.get("extended"):
            return records.long_list(report, extended=bool(local.get("extended")))
        return records.short_list(report)
    if "formats" in local:
        return text.format_list(report, local["formats"], _style(local))
    if local.get("long") or local.get("extended"):
        return text.long_list(report, _style(local))
    return text.short_list(report)


def _bindings(report: Any, local: Local) -> Iterator[str]:
    if local.get("parseable"):
        return records.long_list(report, bindings=True, extended=bool(local.get("extended")))
    return text.long_list(report, _style(local, bindings=True))


def _either(shown: Callable[[Any], Iterator[str]], parseable: Callable[[Any], Iterator[str]]) -> Show:
    return lambda report, local: (parseable if local.get("parseable") else shown)(report)


def _both(shown: Show, parseable: Show) -> Show:
    return lambda report, local: (parseable if local.get("parseable") else shown)(report, local)


def _devices(report: Any, local: Local) -> Iterator[str]:
    show = lists.devices_records if local.get("parseable") else lists.devices_text
    return show(report, local.get("resources", ()), all_of_them=bool(local.get("all")),
                unusable=bool(local.get("unusable")), health=bool(local.get("status_column")))  # fmt: skip


def _io(report: Any, local: Local) -> Iterator[str]:
    if "pf" in report:
        return lists.properties(report, parseable=bool(local.get("parseable")))
    return lists.io_records(report) if local.get("parseable") else lists.io_text(report, long=bool(local.get("long")))


def _dependencies(report: Any, local: Local) -> Iterator[str]:
    reverse = bool(local.get("reverse"))
    chosen = {"dependencies": report["dependents" if reverse else "dependencies"]}
    show = lists.dependencies_records if local.get("parseable") else lists.dependencies_text
    return show(chosen, long=bool(local.get("long")), reverse=reverse)


def _text(report: Any, _local: Local) -> Iterator[str]:
    return iter(str(report.get("xml", "") if isinstance(report, Mapping) else report).splitlines())


SHOW: Mapping[str, Show] = {
    "list-domain": _domains,
    "list-bindings": _bindings,
    "list-services": _either(lists.services_text, lists.services_records),
    "list-constraints": _either(lists.constraints_text, lists.constraints_records),
    "list-devices": _devices,
    "list-io": _io,
    "list-dependencies": _dependencies,
    "list-variable": lambda report, _local: lists.variables_text(report),
    "list-spconfig": lambda report, _local: lists.spconfigs_text(report),
    "list-history": lambda report, _local: lists.history_text(report),
    "list-logctl": lambda report, _local: lists.logctl_text(report),
    "list-hba": _both(links.hba_text, links.hba_records),
    "list-netdev": _both(links.netdev_text, links.netdev_records),
    "list-netstat": _both(links.netstat_text, links.netstat_records),
    "list-rsrc-group": _both(links.groups_text, links.groups_records),
    "list-socket": _both(links.sockets_text, links.sockets_records),
    "list-permits": _both(links.permits_text, links.plain_records("PERMITS", "permits")),
    "list-cmi": _both(links.cmi_text, links.plain_records("CMI", "cmi")),
    "export-domain": _text,
}
"""By operation. What is not here prints what the daemon says, and its result only as JSON."""

WITHOUT_VERSION = {"list-netdev", "list-netstat"}
"""Lists whose -p begins at once: a production script takes every line for a record."""


def lines(request: Request, report: Any) -> Iterable[str]:
    """A document as lines, or none where a command has none."""
    show = SHOW.get(request.operation)
    if show is None:
        return
    if request.local.get("parseable") and request.operation not in WITHOUT_VERSION:
        yield records.version_line(os.environ.get(PARSEABLE_VERSION) or records.VERSION)
    yield from show(report, request.local)
