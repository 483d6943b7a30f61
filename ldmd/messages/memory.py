"""Messages about memory. Those on alignment are the product's."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("memory.real-addresses", "The real addresses of LDom {name} do not suffice for its memory"),
)  # fmt: skip
