"""``help``: pages by subject, made from the tables of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.forth.definingwords import INTERNAL

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("Help")
KEYS = (
    ("^P  ^N", "Recall the line before, after"), ("^A  ^E", "To the beginning, end of the line"),
    ("^B  ^F", "Back, forward one character (also the arrow keys)"), ("ESC-B  ESC-F", "Back, forward one word"),
    ("^H", "Erase the character before (also backspace, delete)"), ("^D", "Erase the character under the cursor"),
    ("^W", "Erase the word before"), ("^U", "Erase the line"), ("^K  ^Y", "Erase to the end of the line; put it back"),
    ("^Space", "Complete the word"), ("^R", "Type the line again"),
    ("^L", "Show the lines typed before"), ("^C", "Give up the line"),
)  # fmt: skip
LINE_EDITOR = "Line editor"
NAME_WIDTH = 18


def _entries(prompt: Prompt) -> dict[str, list[tuple[str, str, str]]]:
    """Subject -> rows of (name, effect, help), for all that have a help text."""
    pages: dict[str, list[tuple[str, str, str]]] = {}
    for row in prompt.forth.dictionary.builtins.by_name.values():
        if row.help and row.subject and row.name not in INTERNAL and not row.name.startswith("%"):
            pages.setdefault(row.subject, []).append((row.name, row.effect, row.help))
    pages[LINE_EDITOR] = [(key, "", text) for key, text in KEYS]
    return pages


@commands("help", "( -- ) [command or subject]", help="Explain a command, or list those of a subject")
def _help(prompt: Prompt) -> None:
    forth, wanted = prompt.forth, prompt.forth.parse("").strip()
    pages = _entries(prompt)
    forth.fresh_line()
    if not wanted:
        forth.emit("Enter 'help command-name' or 'help subject' for more help\n")
        forth.emit("(one word of a subject is enough)\nSubjects are:\n")
        forth.emit("".join(f"    {subject}\n" for subject in pages))
        return
    row = forth.dictionary.builtins.by_name.get(wanted.lower())
    if row is not None:
        forth.emit(f"{row.name}  {row.effect}  {row.help}".rstrip() + "\n")
        return
    found = [subject for subject in pages if wanted.lower() in subject.lower()]
    for subject in found:
        forth.emit(f"{subject}\n")
        for name, effect, text in pages[subject]:
            forth.emit(f"{name:<{NAME_WIDTH}} {effect}  {text}\n" if effect else f"{name:<{NAME_WIDTH}} {text}\n")
    if not found:
        forth.emit(f"No help on {wanted}\n")
