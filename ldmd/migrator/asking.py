"""What the source finds out of a running domain before the rules are asked: its system, and what else is under way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmd.migration.systems import NAMES, system_told
from ldmd.model import Domain
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.dynamic import still_runs
from ldmd.operations.registry import OPERATIONS

SYSTEM_INFO = "system-info"
SYSTEM_SECONDS = 10.0
"""How long a guest may take to say what it is; one that does not is of a version nobody knows."""


def ask_system(context: Context, domain: Domain) -> Mapping[str, Any]:
    """`os` of a status: what the guest's domain service says; {} where there is none, or no answer."""
    if domain.binding is None:
        return {}
    guest, name = domain.binding.id, domain.name
    try:
        if SYSTEM_INFO not in context.hypervisor.call("guest.status", guest=guest).get("services", ()):
            return {}
        request = context.hypervisor.call("guest.system_info", guest=guest, names=list(NAMES))["request"]
    except HypervisorError:
        return {}
    context.wait(lambda: context.replies(request) is not None or not still_runs(context, name), seconds=SYSTEM_SECONDS)
    return system_told((context.replies(request) or {}).get("values"))


def other_operation(jobs: tuple[Mapping[str, Any], ...], name: str) -> str:
    """The command of another operation on a domain that has not ended (rule M05), "" where there is none."""
    for job in jobs:
        command = str(job["command"])
        found = OPERATIONS.get(command)
        if found is not None and found.write and command not in _OWN and name in texts(job["arguments"]):
            return f"ldm {command}"
    return ""


_OWN = frozenset({"migrate-domain", "cancel-operation", "cancel-migration"})


def texts(value: Any) -> set[str]:
    """All texts in the arguments of an operation."""
    if isinstance(value, str):
        return {value}
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*(texts(each) for each in values))
