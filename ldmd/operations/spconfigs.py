"""add-, set-, remove- and list-spconfig (ldm(1M) of 3.3)."""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.registry import operation
from ldmd.planner.factory import FACTORY
from ldmd.planner.spconfigs import LIMIT, RESERVED, check_new_name, to_save


@operation("add-spconfig")
def add_spconfig(context: Context, arguments: Arguments) -> Any:
    """`add-spconfig name`: what is configured now is saved, and is for the next power-on.

    `add-spconfig -r autosave-name [new-name]`: an autosave becomes that configuration, or a new one.
    """
    autosave = arguments.optional("restore")
    name = arguments.text("config") if autosave is None else arguments.optional("new_config") or autosave
    check_new_name(name)
    names = context.spconfigs.names()
    replaces = autosave is not None and not arguments.optional("new_config")
    if name in names and not replaces:
        refuse("spconfig.exists", name=name)
    if name not in names and len(names) + 1 >= LIMIT:
        refuse("spconfig.full", limit=LIMIT)
    if autosave is None:
        # the name first: when it is saved and this manager dies, the configuration is merely not marked
        context.spconfigs.save(name, to_save(context.configuration, name))
        context.commit(context.configuration.but(spconfig=name, next_poweron=name))
    else:
        saved = context.spconfigs.load(autosave, autosave=True)
        if saved is None:
            refuse("spconfig.autosave-not-found", name=autosave)
        context.spconfigs.save(name, to_save(saved, name))
        context.spconfigs.remove(autosave, autosave=True)
    context.emit("add-spconfig", spconfig=name)


@operation("set-spconfig")
def set_spconfig(context: Context, arguments: Arguments) -> Any:
    """`set-spconfig name`: the server comes up with it at the next power-on."""
    name = arguments.text("config")
    if name != FACTORY and name not in context.spconfigs.names():
        refuse("spconfig.not-found", name=name)
    context.commit(context.configuration.but(next_poweron=name))
    context.emit("set-spconfig", spconfig=name)


@operation("remove-spconfig")
def remove_spconfig(context: Context, arguments: Arguments) -> Any:
    """`remove-spconfig [-r] name`."""
    name, autosave = arguments.text("config"), arguments.flag("autosave")
    if name in RESERVED and not autosave:
        refuse("spconfig.reserved", name=name, what="removed")
    if name not in context.spconfigs.names(autosave=autosave):
        refuse("spconfig.autosave-not-found" if autosave else "spconfig.not-found", name=name)
    if not autosave and name == context.configuration.next_poweron:
        refuse("spconfig.in-use", name=name)
    context.spconfigs.remove(name, autosave=autosave)
    context.emit("remove-spconfig", spconfig=name)


@operation("list-spconfig", write=False)
def list_spconfig(context: Context, arguments: Arguments) -> Any:
    """`list-spconfig [-r [autosave-name]]`: {"configs": [{"name", "current", "next_poweron"}]}.

    With -r of the autosaves: {"autosaves": [{"name", "newer"}]}.
    """
    if arguments.flag("autosave"):
        there = context.spconfigs.names(autosave=True)
        wanted = arguments.texts("names") or there
        for name in wanted:
            if name not in there:
                refuse("spconfig.autosave-not-found", name=name)
        return {"autosaves": [{"name": name, "newer": _newer(context, name)} for name in wanted]}
    configuration = context.configuration
    return {"configs": [
        {"name": name, "current": name == configuration.spconfig, "next_poweron": name == configuration.next_poweron}
        for name in (FACTORY, *context.spconfigs.names())]}


def _newer(context: Context, name: str) -> bool:
    """True where an autosave is not what was saved under its name."""
    return context.spconfigs.load(name, autosave=True) != context.spconfigs.load(name)
