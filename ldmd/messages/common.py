"""Messages of all commands."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("domain.not-found", "LDom {name} was not found", "", "`ldm list` shows the domains of this server"),
    Message("domain.exists", "LDom {name} already exists", "", "choose another name, or remove that domain first"),
    Message("usage.missing", "{name} is missing", "", "`ldm --help` shows the operands of the sub-command"),
    Message("usage.type", "{name} has a value of the wrong type"),
    Message("usage.number", "{value} is not a number, which {name} must be"),
    Message("usage.range", "{name} must be from {least} to {most}, not {value}"),
    Message("usage.choice", "{value} is not a value of {name}", "", "use one of: {choices}"),
)
