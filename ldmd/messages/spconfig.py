"""Messages about configurations on the service processor."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("spconfig.name", "{name!r} is not a name for a configuration", "{why}",
            "use letters, digits and - _ . : + with a letter or digit in front, at most 64 of them"),
    Message("spconfig.reserved", "The configuration {name} cannot be {what}", "it is the server's own",
            "choose another name"),
    Message("spconfig.exists", "The configuration {name} already exists", "",
            "remove it with `ldm remove-spconfig {name}`, or choose another name"),
    Message("spconfig.not-found", "The configuration {name} was not found", "", "`ldm list-spconfig` shows all"),
    Message("spconfig.autosave-not-found", "There is no autosave of configuration {name}", "",
            "`ldm list-spconfig -r` shows all"),
    Message("spconfig.full", "The service processor has no room for another configuration",
            "it holds {limit}, factory-default included", "remove one with `ldm remove-spconfig`"),
    Message("spconfig.in-use", "The configuration {name} cannot be removed", "it is the one for the next power-on",
            "`ldm set-spconfig` another one first"),
)  # fmt: skip
