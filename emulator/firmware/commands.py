"""The table of OpenBoot's commands: as Forth's words, with a handler that gets the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.firmware.forth.machine import Forth
from emulator.firmware.forth.words import Builtin

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

CommandHandler = Callable[["Prompt"], None]


@dataclass(frozen=True)
class Command:
    """A row: name, what it takes, one line of help, the page of ``help`` it stands on, what it does."""

    name: str
    effect: str
    help: str
    subject: str
    handler: CommandHandler

    def builtin(self, prompt: Prompt) -> Builtin:
        """The row as a word of one prompt's Forth."""

        def run(forth: Forth) -> None:
            self.handler(prompt)

        return Builtin(self.name, self.effect, self.help, run, self.subject)


class CommandList:
    """Rows under construction: ``@commands("banner", "( -- )", help="...")``."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.rows: list[Command] = []

    def __call__(self, name: str, effect: str = "", *, help: str = "") -> Callable[[CommandHandler], CommandHandler]:
        """Add the decorated handler as a command."""

        def add(handler: CommandHandler) -> CommandHandler:
            self.rows.append(Command(name, effect, help, self.subject, handler))
            return handler

        return add
