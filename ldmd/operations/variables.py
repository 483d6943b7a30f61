"""add-, set-, remove- and list-variable (ldm(1M) of 3.3)."""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.model import Domain
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.dynamic import guest_id
from ldmd.operations.registry import operation
from ldmd.operations.targets import put, runs_os, target
from ldmd.planner import variables
from ldmd.planner.reconfiguration import find


def _change(context: Context, domain: Domain, new: Domain) -> None:
    """Of a running domain the firmware's store is changed first: where that fails, nothing is."""
    before, after = dict(domain.variables), dict(new.variables)
    if runs_os(context, domain) and before != after:
        try:
            context.hypervisor.call(
                "guest.set_variables", guest=guest_id(context.configuration, domain.name),
                set={name: value for name, value in after.items() if before.get(name) != value},
                remove=[name for name in before if name not in after])
        except HypervisorError as error:
            if error.code in ("unreachable", "timeout"):
                raise
            refuse("variable.refused", name=domain.name, problem=error.text)
    put(context, new)
    context.emit("set-variable", domain=domain.name)


@operation("add-variable")
def add_variable(context: Context, arguments: Arguments) -> Any:
    """`add-variable name=[value]... domain`."""
    domain = target(context, arguments.text("domain"))
    values = variables.parse_assignments(arguments.texts("assignments"))
    _change(context, domain, variables.with_values(domain, values, new=True))


@operation("set-variable")
def set_variable(context: Context, arguments: Arguments) -> Any:
    """`set-variable name=[value]... domain`."""
    domain = target(context, arguments.text("domain"))
    values = variables.parse_assignments(arguments.texts("assignments"))
    _change(context, domain, variables.with_values(domain, values))


@operation("remove-variable")
def remove_variable(context: Context, arguments: Arguments) -> Any:
    """`remove-variable name... domain`."""
    domain = target(context, arguments.text("domain"))
    _change(context, domain, variables.without(domain, arguments.texts("names")))


@operation("list-variable", write=False)
def list_variable(context: Context, arguments: Arguments) -> Any:
    """`list-variable [name...] domain`: {"domain", "variables": {name: value}}."""
    domain = find(context.configuration, arguments.text("domain"))
    have = dict(domain.variables)
    names = arguments.texts("names")
    for name in names:
        if name not in have:
            refuse("variable.not-found", variable=name, name=domain.name)
    return {"domain": domain.name, "variables": {name: have[name] for name in names or have}}
