"""nvramrc: commands kept for every start, and the aliases among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.dialogs import Dialog, show_nvedit_line
from emulator.firmware.forth import throw
from emulator.firmware.treecommands import make_alias
from emulator.firmware.variables import VariableError

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("nvramrc")


def _check_not_editing(prompt: Prompt) -> None:
    """Aliases cannot be changed under the editor's hands. Raises ThrowError."""
    if prompt.nvedit is not None:
        prompt.forth.emit(
            "'nvalias' and 'nvunalias' cannot be executed while 'nvedit' is in progress.\n"
            "Use 'nvstore' or 'nvquit' to finish editing nvramrc, then try again.\n"
        )
        raise throw.ThrowError(throw.ABORT)


def _without_alias(text: str, name: str) -> str:
    """nvramrc without the line that makes an alias."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if line.split()[:2] == ["devalias", name]:
            del lines[index]
            break
    return "\n".join(lines)


def _store(prompt: Prompt, text: str, message: str) -> None:
    """Set nvramrc. Raises ThrowError with `message` where it is too long."""
    try:
        prompt.host.variables.set("nvramrc", text)
    except VariableError:
        raise throw.abort(message) from None


@commands("nvalias", "( -- ) name path", help="Make a device alias for this and every later start")
def _nvalias(prompt: Prompt) -> None:
    name, path = prompt.forth.parse_word(), prompt.forth.parse_word()
    if not name or not path:
        raise throw.abort("Usage: nvalias name path")
    nvalias(prompt, name, path)


@commands("$nvalias", "( name$ path$ -- )", help="As nvalias, with strings")
def _string_nvalias(prompt: Prompt) -> None:
    path = prompt.forth.pop_string().decode("latin-1")
    nvalias(prompt, prompt.forth.pop_string().decode("latin-1"), path)


def nvalias(prompt: Prompt, name: str, path: str) -> None:
    """Put an alias at the head of nvramrc, and use nvramrc. Raises ThrowError."""
    _check_not_editing(prompt)
    rest = _without_alias(prompt.host.variables.get("nvramrc"), name)
    line = f"devalias {name} {path}"
    _store(prompt, f"{line}\n{rest}", "Can't create new alias because nvramrc is full")
    make_alias(prompt, name, path)
    prompt.host.variables.set("use-nvramrc?", "true")


@commands("nvunalias", "( -- ) name", help="Remove an alias that nvalias made")
def _nvunalias(prompt: Prompt) -> None:
    name = prompt.forth.parse_word()
    if not name:
        raise throw.abort("Usage: nvunalias name")
    nvunalias(prompt, name)


@commands("$nvunalias", "( name$ -- )", help="As nvunalias, with a string")
def _string_nvunalias(prompt: Prompt) -> None:
    nvunalias(prompt, prompt.forth.pop_string().decode("latin-1"))


def nvunalias(prompt: Prompt, name: str) -> None:
    """Take an alias out of nvramrc; it stays known up to the next reset. Raises ThrowError."""
    _check_not_editing(prompt)
    _store(prompt, _without_alias(prompt.host.variables.get("nvramrc"), name), "nvramrc is full")


@commands("nvedit", "( -- )", help="Edit nvramrc; ^C ends the editor, nvstore keeps what was edited")
def _nvedit(prompt: Prompt) -> None:
    if prompt.nvedit is None:
        prompt.nvedit = prompt.host.variables.get("nvramrc")
    dialog = Dialog("nvedit", {"lines": prompt.nvedit.split("\n"), "line": 0, "shown": False})
    prompt.ask(dialog)
    show_nvedit_line(prompt, dialog, 0)


@commands("nvstore", "( -- )", help="Keep what nvedit edited")
def _nvstore(prompt: Prompt) -> None:
    if prompt.nvedit is not None:
        text, prompt.nvedit = prompt.nvedit, None
        _store(prompt, text, "nvramrc is full")


@commands("nvquit", "( -- )", help="Discard what nvedit edited")
def _nvquit(prompt: Prompt) -> None:
    prompt.forth.emit("Discard edits [y/n]? ")
    prompt.ask(Dialog("confirm"))


@commands("nvrun", "( -- )", help="Run what nvedit edited")
def _nvrun(prompt: Prompt) -> None:
    prompt.run_nvramrc(prompt.nvedit or "")


@commands("nvrecover", "( -- )", help="Edit nvramrc as it is stored")
def _nvrecover(prompt: Prompt) -> None:
    prompt.nvedit = None
    _nvedit(prompt)
