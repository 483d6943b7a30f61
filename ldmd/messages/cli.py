"""Messages of the `ldm` command itself."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("cli.unsupported", "{name} is not supported by the logical domain manager of this server",
            "`ldm` knows the command; this version of ldmd does not", "`ldm -V` shows its version"),
    Message("cli.file", "Cannot read {name}: {problem}", "", "name a file that can be read, or - for standard input"),
)
