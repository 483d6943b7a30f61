"""One table of built-in words: name, stack effect, help, handler. The modules of words fill it by decorating."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.firmware.forth.machine import Forth

Handler = Callable[["Forth"], None]
XT_BASE = 0xFD00_0000
"""Execution tokens look like addresses; no memory lies there."""
XT_STEP = 16
USER_XT_BASE = 0xFD80_0000


@dataclass(frozen=True)
class Builtin:
    """A built-in word. `immediate` words run while compiling; `subject` is the page of ``help`` it stands on."""

    name: str
    effect: str
    help: str
    handler: Handler
    subject: str = ""
    immediate: bool = False


class WordList:
    """A table under construction: ``@words("dup", "( x -- x x )")``."""

    def __init__(self, subject: str = "") -> None:
        self.subject = subject
        self.rows: list[Builtin] = []

    def __call__(
        self, name: str, effect: str, *, help: str = "", immediate: bool = False
    ) -> Callable[[Handler], Handler]:
        """Add the decorated handler as a word."""

        def add(handler: Handler) -> Handler:
            self.rows.append(Builtin(name, effect, help, handler, self.subject, immediate))
            return handler

        return add


class Builtins:
    """All built-in words by name and by execution token."""

    def __init__(self, rows: Iterable[Builtin]) -> None:
        self.by_name: dict[str, Builtin] = {}
        for row in rows:
            self.by_name[row.name] = row
        self._xts = {name: XT_BASE + index * XT_STEP for index, name in enumerate(self.by_name)}
        self._by_xt = {xt: self.by_name[name] for name, xt in self._xts.items()}

    def xt(self, name: str) -> int:
        """Execution token of a word."""
        return self._xts[name]

    def of_xt(self, xt: int) -> Builtin | None:
        """The word of a token."""
        return self._by_xt.get(xt)
