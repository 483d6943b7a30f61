"""The lists: what the configuration and the machine's guests are, as documents (`ldmd.planner.report`)."""

from __future__ import annotations

from typing import Any

from ldmd.messages import message, refuse
from ldmd.model import Domain
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.registry import operation
from ldmd.planner.report import SECTIONS, Going, View, by_guest, domains_report
from ldmd.planner.report_devices import devices_report
from ldmd.planner.report_io import io_report, properties_report
from ldmd.planner.report_services import services_report
from ldmd.planner.report_system import dependencies_report


def view_of(context: Context) -> View:
    """The configuration, with what the machine says of its guests."""
    try:
        statuses = by_guest(context.hypervisor.call("guest.list"))
    except HypervisorError as error:
        context.warn(message("list.statuses", problem=error.text).text)
        statuses = {}
    return View(configuration=context.configuration, statuses=statuses, going=_going(context), now=context.now())


def _going(context: Context) -> dict[str, Going]:
    """Operations under way that flags and `-o status` tell of."""
    kinds = {"add-memory": "memdr", "set-memory": "memdr", "remove-memory": "memdr"}
    going = {}
    for job in context.jobs():
        name = str(job.get("arguments", {}).get("domain", ""))
        if job.get("command") in kinds and name:
            going[name] = Going(operation=kinds[job["command"]], progress_percent=int(job.get("percent", 0)))
    for view in context.migrations.view() if context.migrations is not None else ():
        if view.role:  # else it is settled
            error = view.role == "error"
            problem = view.told[-1] if error and view.told else ""
            going[view.domain] = Going(operation="migration", progress_percent=view.percent, role=view.side,
                                       peer=view.peer, error=error, problem=problem)
    return going


def known(context: Context, name: str) -> Domain:
    """A domain by name; refuses where there is none."""
    domain = context.configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    return domain


def _domains(context: Context, arguments: Arguments) -> Any:
    names = arguments.texts("domains")
    for name in names:
        known(context, name)
    asked = arguments.optional("sections")
    sections = None if asked is None else [name for name in asked.split(",") if name]
    for name in sections or ():
        if name not in SECTIONS:
            refuse("usage.choice", name="sections", value=name, choices=", ".join(SECTIONS))
    view = view_of(context)
    if sections is None or "vdisk" in sections:
        _warn_of_disks(context, view)
    if sections is not None and "status" in sections:
        for name, going in view.going.items():
            if going.problem and (not names or name in names):
                context.warn(message("migration.unsettled", name=name, problem=going.problem).text)
    return domains_report(view, names, sections)


def _warn_of_disks(context: Context, view: View) -> None:
    """What is wrong on the host with what is behind virtual disks, which the product's lists do not have."""
    for domain in view.configuration.domains:
        for disk, problem in sorted(view.status(domain).get("disks", {}).items()):
            context.warn(message("disk.trouble", disk=disk, domain=domain.name, problem=problem).text)


for _name in ("list-domain", "list-bindings", "list-constraints"):
    operation(_name, write=False)(_domains)


@operation("list-services", write=False)
def list_services(context: Context, arguments: Arguments) -> Any:
    """Virtual services with their users, by domain."""
    names = arguments.texts("domains")
    for name in names:
        known(context, name)
    _warn_of_disks(context, view_of(context))
    return services_report(context.configuration, names)


@operation("list-devices", write=False)
def list_devices(context: Context, _arguments: Arguments) -> Any:
    """All resources of the server and who has them."""
    return devices_report(context.configuration)


@operation("list-io", write=False)
def list_io(context: Context, arguments: Arguments) -> Any:
    """Buses, devices and functions; all, or one with those below it."""
    name = arguments.optional("device")
    if arguments.flag("properties"):
        return properties_report(context.configuration, arguments.text("device"))
    report = io_report(context.configuration, name)
    if not report["io"]:
        refuse("list.io", name=name or "")
    return report


@operation("list-dependencies", write=False)
def list_dependencies(context: Context, arguments: Arguments) -> Any:
    """Who needs whom: {"dependencies", "dependents"}."""
    name = arguments.optional("domain")
    if name is not None:
        known(context, name)
    forward = dependencies_report(context.configuration, name)
    backward = dependencies_report(context.configuration, name, reverse=True)
    return {**forward, "dependents": backward["dependencies"]}

