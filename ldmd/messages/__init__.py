"""Every message a user reads: code, text, cause, remedy, as tables; one module for each subject.

A text is a format string. Where the product's wording is known it is that, exactly.
`refuse("domain.not-found", name=n)` raises the refusal; nothing else makes one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NoReturn

from ldmd.messages.table import Message, RefusedError

_SUBJECTS = (
    "binding", "cli", "common", "cpu", "disk", "domain", "io", "listing", "manager", "memory", "migration", "moves",
    "network", "policy", "power", "reconf", "services", "spconfig", "variable", "xml",
)  # fmt: skip
MESSAGES: Mapping[str, Message] = {
    row.code: row
    for subject in _SUBJECTS for row in importlib.import_module(f"ldmd.messages.{subject}").TABLE
}


def message(code: str, **values: object) -> RefusedError:
    """The refusal with its texts filled in."""
    row = MESSAGES[code]
    return RefusedError(
        code, row.text.format(**values), cause=row.cause.format(**values), remedy=row.remedy.format(**values)
    )


def refuse(code: str, **values: object) -> NoReturn:
    """Raise the refusal."""
    raise message(code, **values)


__all__ = ["MESSAGES", "Message", "RefusedError", "message", "refuse"]
