"""Messages of variable."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE: tuple[Message, ...] = ()
