"""Messages of the lists."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("list.io", "{name} was not found", "it is no bus, device, or function of this server",
            "`ldm list-io` shows them"),
    Message("list.statuses", "The machine does not say how its guests fare: {problem}",
            "states are those of the manager, and utilization is not known", "`ldm list` again in a while"),
)  # fmt: skip
