"""A row of the tables of messages, and the exception that carries one to the user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """`text` is what the product prints, or ours; `cause` and `remedy` are one sentence each, or empty."""

    code: str  # stable: "domain.not-found"
    text: str
    cause: str = ""
    remedy: str = ""


class RefusedError(Exception):
    """An operation was refused; nothing was changed. `code` is stable, `str()` is the text."""

    def __init__(self, code: str, text: str, *, cause: str = "", remedy: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.cause, self.remedy = code, text, cause, remedy
