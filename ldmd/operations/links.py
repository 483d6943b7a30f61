"""list-netdev, list-netstat, list-hba, list-rsrc-group, list-socket, list-permits, list-cmi (ldm(1M) of 3.3).

Shapes of the results: `ldmd.planner.report_links`.
"""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.registry import operation
from ldmd.planner import report_links
from ldmd.planner.naming import find_domain


def _domain(context: Context, arguments: Arguments) -> str | None:
    name = arguments.optional("domain") or None
    if name is not None:
        find_domain(context.configuration, name)
    return name


@operation("list-netdev", write=False)
def list_netdev(context: Context, arguments: Arguments) -> Any:
    """domain, device: only this one."""
    return report_links.netdev_report(context.configuration, _domain(context, arguments),
                                      device=arguments.optional("device"), links=_states(context))  # fmt: skip


def _states(context: Context) -> dict[str, bool]:
    """Physical network devices and whether their links are up, as far as the machine tells."""
    try:
        listed = context.hypervisor.call("network.list")
    except HypervisorError as error:
        context.warn(f"Warning: the machine tells no links: {error.text}")
        return {}
    return {str(row["name"]): bool(row["up"]) for row in listed["devices"]}


@operation("list-netstat", write=False)
def list_netstat(context: Context, arguments: Arguments) -> Any:
    """domain, device. Counters are those of the machine's switches; None where nothing counts."""
    return report_links.netstat_report(context.configuration, _counters(context), _domain(context, arguments),
                                       device=arguments.optional("device"))  # fmt: skip


def _counters(context: Context) -> dict[str, dict[str, int]]:
    """Counters of each network by "domain/vnet", as far as the machine tells any: what a port sent the guest received.
    """
    try:
        listed = context.hypervisor.call("service.list")
    except HypervisorError as error:
        context.warn(f"Warning: the machine tells no counters: {error.text}")
        return {}
    return {str(port["name"]): {"ipackets": int(port["sent"]), "rbytes": int(port["sent_bytes"]),
                               "opackets": int(port["received"]), "obytes": int(port["received_bytes"])}
            for switch in listed["switches"] for port in switch["ports"]}  # fmt: skip


@operation("list-hba", write=False)
def list_hba(context: Context, arguments: Arguments) -> Any:
    """domain."""
    name = arguments.text("domain")
    find_domain(context.configuration, name)
    return report_links.hba_report(context.configuration, name)


@operation("list-rsrc-group", write=False)
def list_rsrc_group(context: Context, arguments: Arguments) -> Any:
    """group, domain: only what it has."""
    group = arguments.optional("group") or None
    report = report_links.groups_report(context.configuration, group, domain=_domain(context, arguments))
    if group is not None and not report["groups"]:
        refuse("links.group", name=group)
    return report


@operation("list-socket", write=False)
def list_socket(context: Context, arguments: Arguments) -> Any:
    """domain. Only on Fujitsu servers."""
    _fujitsu(context, "list-socket")
    return report_links.sockets_report(context.configuration, _domain(context, arguments))


@operation("list-permits", write=False)
def list_permits(context: Context, arguments: Arguments) -> Any:
    """CPU activations. Only on Fujitsu servers."""
    _fujitsu(context, "list-permits")
    return report_links.permits_report(context.configuration)


def _fujitsu(context: Context, command: str) -> None:
    if not report_links.is_fujitsu(context.configuration):
        refuse("links.platform", command=command)


@operation("list-cmi", write=False)
def list_cmi(context: Context, arguments: Arguments) -> Any:
    """Coherent memory interfaces; none on servers before the SPARC M7."""
    return report_links.cmi_report(context.configuration)
