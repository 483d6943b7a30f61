"""Messages of the lists."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("list.variable", "Variable {name} was not found in LDom {domain}", "",
            "`ldm list-variable {domain}` shows those that are set"),
    Message("list.io", "{name} was not found", "it is no bus, device, or function of this server",
            "`ldm list-io` shows them"),
    Message("list.autosave", "Autosave configuration {name} was not found", "",
            "`ldm list-spconfig -r` shows those there are"),
    Message("list.statuses", "The machine does not say how its guests fare: {problem}",
            "states are those of the manager, and utilization is not known", "`ldm list` again in a while"),
)  # fmt: skip
