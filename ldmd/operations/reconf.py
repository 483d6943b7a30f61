"""start-reconf, cancel-reconf, cancel-operation (ldm(1M) of 3.3)."""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.memory import cancel_memory
from ldmd.operations.registry import OPERATIONS, operation
from ldmd.operations.targets import begun, check_not_frozen, notice
from ldmd.planner import reconfiguration

CANCEL_MIGRATION = "cancel-migration"
"""Operation that cancel-operation migration is handed to."""


@operation("start-reconf")
def start_reconf(context: Context, arguments: Arguments) -> Any:
    """`start-reconf domain`."""
    name = arguments.text("domain")
    check_not_frozen(context, name)
    if reconfiguration.is_delayed(context.configuration, name):
        notice(context, name)
        return
    context.commit(reconfiguration.begin(context.configuration, name))
    begun(context, name)


@operation("cancel-reconf")
def cancel_reconf(context: Context, arguments: Arguments) -> Any:
    """`cancel-reconf domain`."""
    context.commit(reconfiguration.cancel(context.configuration, arguments.text("domain")))


@operation("cancel-operation")
def cancel_operation(context: Context, arguments: Arguments) -> Any:
    """`cancel-operation (migration | reconf | memdr) domain`."""
    what = arguments.choice("operation", "migration", "reconf", "memdr")
    name = arguments.text("domain")
    if what is None:
        refuse("usage.missing", name="operation")
    if what == "reconf":
        cancel_reconf(context, arguments)
    elif what == "memdr":
        cancel_memory(context, name)
    else:
        reconfiguration.find(context.configuration, name)
        found = OPERATIONS.get(CANCEL_MIGRATION)
        if found is None:
            refuse("reconf.no-migration", name=name)
        found.function(context, arguments)
