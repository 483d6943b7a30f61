"""A row of the tables of messages, and the exception that carries one to the user."""

from __future__ import annotations

from dataclasses import dataclass

RECORD_LETTERS = 1000
"""Most of why a command failed that log and history keep."""


@dataclass(frozen=True)
class Message:
    """`text` is what the product prints, or ours; `cause` and `remedy` are one sentence each, or empty."""

    code: str  # stable: "domain.not-found"
    text: str
    cause: str = ""
    remedy: str = ""


class RefusedError(Exception):
    """An operation was refused; nothing was changed. `code` is stable, `str()` is the text.

    `reasons`: for the log and the history, where the text is only the last line of what the user has read already.
    """

    def __init__(self, code: str, text: str, *, cause: str = "", remedy: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.cause, self.remedy = code, text, cause, remedy
        self.reasons: tuple[str, ...] = ()

    @property
    def record(self) -> str:
        """Text and reasons in one line."""
        return ": ".join(each for each in (self.text, "; ".join(self.reasons)) if each)[:RECORD_LETTERS]
