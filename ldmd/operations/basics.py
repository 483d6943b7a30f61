"""What asks nothing but the manager itself: version, history, log classes, consoles. The pattern of all operations."""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.messages.logclasses import LOG_DEFAULTS, LOG_FIXED
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.registry import operation
from ldmd.planner.consoles import consoles
from ldmd.planner.server import platform_of

PRODUCT = "3.3.0.0.21"
"""The version of the product that is followed, as `ldm -V` prints it."""
HISTORY_DEFAULT = 100


@operation("version", write=False)
def version(context: Context, arguments: Arguments) -> Any:
    """`ldm -V` (ldm(1M) of 3.3): the manager's version, hvctl's, the firmware's."""
    platform = platform_of(context.configuration.server)
    return {"manager": PRODUCT, "hvctl": "1.12", "md": "1.4", "platform": platform.name, "firmware": platform.firmware}


@operation("list-history", write=False)
def list_history(context: Context, arguments: Arguments) -> Any:
    """The last commands (ldm(1M) of 3.3). `limit`: how many; else what set-logctl history= says."""
    kept = context.settings.get("history")
    limit = arguments.optional_number("limit", least=1, most=1000)
    if limit is None:
        limit = HISTORY_DEFAULT if kept is None else int(kept)
    return {"history": list(context.history(limit=limit)) if limit else []}


@operation("list-logctl", write=False)
def list_logctl(context: Context, arguments: Arguments) -> Any:
    """Which classes of log lines are on; warning and fatal always are."""
    levels = LOG_DEFAULTS | (context.settings.get("log") or {})
    kept = context.settings.get("history")
    return {"log": levels | dict.fromkeys(LOG_FIXED, True), "history": HISTORY_DEFAULT if kept is None else kept}


@operation("set-logctl")
def set_logctl(context: Context, arguments: Arguments) -> Any:
    """Switch classes of log lines on and off: cmd=, debug=, info=, notice= on|off, history=n, `defaults`."""
    levels = dict(LOG_DEFAULTS if arguments.flag("defaults") else LOG_DEFAULTS | (context.settings.get("log") or {}))
    for name in LOG_DEFAULTS:
        word = arguments.choice(name, "on", "off")
        if word is not None:
            levels[name] = word == "on"
    for name in LOG_FIXED:
        if name in arguments:
            refuse("logctl.fixed", name=name)
    history = arguments.optional_number("history", most=1000)
    if arguments.flag("defaults") and history is None:
        history = HISTORY_DEFAULT
    context.settings.put("log", levels)
    if history is not None:
        context.settings.put("history", history)


@operation("list-consoles", write=False)
def list_consoles(context: Context, arguments: Arguments) -> Any:
    """What vntsd serves: {"domain", "guest", "group", "port", "service", "log", "state"} of each console."""
    return {"consoles": consoles(context.configuration)}
