"""Dialogs: what takes the keys instead of the line editor, for a password, a choice, an editor.

Each is a kind and plain data, so that it can be saved between two keys; its function gets one key at a time and calls
`finish` when it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.firmware.forth import throw

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

PASSWORD_LIMIT = 8
BAD_LOGIN_MS = 10_000
ENTER = (10, 13)


@dataclass
class Dialog:
    """What is being asked, and what was answered so far."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)


def finish(prompt: Prompt) -> None:
    """The dialog is over: the program goes on."""
    prompt.dialog = None


def _typed(prompt: Prompt, dialog: Dialog, byte: int) -> bool:
    """Collect a password, which is not shown; True at its end."""
    if byte in ENTER:
        prompt.forth.emit("\n")
        return True
    if 32 <= byte <= 126 and len(dialog.data["typed"]) < PASSWORD_LIMIT:
        dialog.data["typed"] += chr(byte)
    else:
        prompt.write("\a")
    return False


def _password(prompt: Prompt, dialog: Dialog, byte: int) -> None:
    """The firmware password: then a word may run, a boot begin, or commands be given freely."""
    if not _typed(prompt, dialog, byte):
        return
    finish(prompt)
    variables = prompt.host.variables
    if dialog.data["typed"] != variables.get("security-password"):
        prompt.forth.emit("Sorry.  Waiting 10 seconds.\n")
        variables.set("security-#badlogins", str(min(int(variables.get("security-#badlogins")) + 1, 0xFFFF_FFFF)))
        prompt.forth.unwind(throw.ThrowError(throw.ABORT))
        prompt.sleep(BAD_LOGIN_MS)
        return
    prompt.permit = dialog.data["argument"]
    if dialog.data["then"] == "login":
        prompt.logged_in = True
    elif dialog.data["then"] == "boot":
        prompt.forth.evaluate(f"(boot) {dialog.data['argument']}")


def _new_password(prompt: Prompt, dialog: Dialog, byte: int) -> None:
    """A new password, typed twice."""
    if not _typed(prompt, dialog, byte):
        return
    first = dialog.data["first"]
    if first is None:
        dialog.data.update(first=dialog.data["typed"], typed="")
        prompt.forth.emit("Retype new password: ")
        return
    if first == dialog.data["typed"]:
        prompt.host.variables.set("security-password", first)
    else:
        prompt.forth.emit("Mismatch - password unchanged\n")
    finish(prompt)


def _menu(prompt: Prompt, dialog: Dialog, byte: int) -> None:
    """A choice among device paths, ten at a time; the chosen one can be put into the line by ^Y."""
    letter = chr(byte).lower() if 32 <= byte <= 126 else ""
    paths, page = dialog.data["paths"], dialog.data["page"]
    shown = paths[page * 10 : page * 10 + 10]
    more = len(paths) > page * 10 + 10
    prompt.forth.emit(letter)
    index = ord(letter) - ord("a") if letter else -1
    if letter == "q":
        prompt.forth.emit("\n")
        finish(prompt)
    elif letter == "m" and more:
        dialog.data["page"] += 1
        prompt.forth.emit("\n\n\n")
        show_menu(prompt, dialog)
    elif 0 <= index < len(shown):
        prompt.editor.killed = shown[index]
        prompt.forth.emit(
            f"\n{shown[index]} has been selected.\n"
            "Type ^Y ( Control-Y ) to insert it in the command line. \n"
            "e.g. ok nvalias mydev ^Y \n"
            f"         for creating devalias mydev for {shown[index]}\n"
        )
        finish(prompt)
    else:
        last = chr(ord("a") + len(shown) - 1) if shown else "a"
        choice = f"a...{last}, {'m for more or ' if more else ''}q to quit " if shown else "q to quit "
        prompt.forth.emit(f"\rvalid choice: {choice}")


def show_menu(prompt: Prompt, dialog: Dialog) -> None:
    """Print a page of a menu."""
    paths, page = dialog.data["paths"], dialog.data["page"]
    for index, path in enumerate(paths[page * 10 : page * 10 + 10]):
        prompt.forth.emit(f"{chr(ord('a') + index)}) {path}\n")
    if len(paths) > page * 10 + 10:
        prompt.forth.emit("m) MORE SELECTIONS \n")
    prompt.forth.emit("q) NO SELECTION \nEnter Selection, q to quit: ")


def _confirm(prompt: Prompt, dialog: Dialog, byte: int) -> None:
    """Yes unless no: discard what nvedit holds."""
    prompt.forth.emit(chr(byte) if 32 <= byte <= 126 else "")
    prompt.forth.emit("\n")
    finish(prompt)
    if chr(byte).lower() != "n":
        prompt.nvedit = None


def _nvedit(prompt: Prompt, dialog: Dialog, byte: int) -> None:
    """The editor of nvramrc: lines by ^P and ^N, a new one by Enter, ^C ends it."""
    event = prompt.editor.key(byte)
    lines, number = dialog.data["lines"], dialog.data["line"]
    head, tail = prompt.editor.text[: prompt.editor.cursor], prompt.editor.text[prompt.editor.cursor :]
    lines[number] = prompt.editor.text
    if event == "cancel":
        prompt.forth.emit("\n")
        prompt.nvedit = "\n".join(lines)
        prompt.editor.clear()
        finish(prompt)
    elif event in ("accept", "open") and sum(map(len, lines)) + len(lines) < NVEDIT_LIMIT:
        lines[number : number + 1] = [head, tail]
        show_nvedit_line(prompt, dialog, number + (event == "accept"))
    elif event == "previous" and number:
        show_nvedit_line(prompt, dialog, number - 1)
    elif event == "next" and number + 1 < len(lines):
        show_nvedit_line(prompt, dialog, number + 1)
    elif event == "join" and number + 1 < len(lines):
        lines[number : number + 2] = [lines[number] + lines[number + 1]]
        show_nvedit_line(prompt, dialog, number)
    elif event == "list":
        prompt.write("\n" + "".join(f"{index}: {line}\n" for index, line in enumerate(lines)))
        show_nvedit_line(prompt, dialog, number)
    elif event == "retype":
        show_nvedit_line(prompt, dialog, number)
    elif event:
        prompt.write("\a")


NVEDIT_LIMIT = 8192


def show_nvedit_line(prompt: Prompt, dialog: Dialog, number: int) -> None:
    """Go to a line of nvedit."""
    dialog.data["line"] = number
    prompt.forth.fresh_line()
    prompt.write("\n" if dialog.data["shown"] else "")
    dialog.data["shown"] = True
    prompt.editor.clear()
    prompt.write(f"{number}: ")
    prompt.editor.insert(dialog.data["lines"][number][:1000])


DIALOGS: dict[str, Callable[[Prompt, Dialog, int], None]] = {
    "password": _password, "new-password": _new_password, "menu": _menu, "confirm": _confirm, "nvedit": _nvedit,
}  # fmt: skip
