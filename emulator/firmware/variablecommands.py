"""Commands of configuration variables: their columns, cuts and words are OpenBoot's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.dialogs import Dialog
from emulator.firmware.forth import throw
from emulator.firmware.forth.definingwords import columns
from emulator.firmware.variables import BY_NAME, VariableError

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("Configuration")
VALUE_COLUMN = 24
DEFAULT_COLUMN = 55
SHOWN_CHARACTERS = 24
SHOWN_BYTES = 8


def _printable(text: str) -> bool:
    return all(" " <= character <= "~" or character in "\r\n" for character in text)


def _show(prompt: Prompt, text: str, column: int, *, cut: bool) -> None:
    """A value in its column; its lines begin there too. Bytes that are no text are shown as digits."""
    forth = prompt.forth
    forth.to_column(column)
    if not _printable(text):
        data = text.encode("latin-1", "replace")
        forth.emit("".join(f"{byte:02x} " for byte in (data[:SHOWN_BYTES] if cut else data)))
        forth.emit(" ..." if cut and len(data) > SHOWN_BYTES else "")
        return
    for index, line in enumerate((text[:SHOWN_CHARACTERS] if cut else text).split("\n")):
        if index:
            forth.emit("\n")
            forth.to_column(VALUE_COLUMN)
        forth.emit(line)
    forth.emit(" ..." if cut and len(text) > SHOWN_CHARACTERS else "")


def _shown_value(prompt: Prompt, name: str) -> str:
    """A value as people may see it: not the password."""
    return "" if name == "security-password" else prompt.host.variables.get(name)


def _show_current(prompt: Prompt, name: str) -> None:
    prompt.forth.emit(f"{name} = ")
    _show(prompt, _shown_value(prompt, name), VALUE_COLUMN, cut=False)
    prompt.forth.emit("\n")


def _unknown(prompt: Prompt, name: str) -> None:
    prompt.forth.emit(f"Unknown option: {name}\n")


@commands("printenv", "( -- ) [variable]", help="Show all configuration variables, or one in full")
def _printenv(prompt: Prompt) -> None:
    forth, variables = prompt.forth, prompt.host.variables
    name = forth.parse_word()
    if name:
        if name in variables:
            _show_current(prompt, name)
        else:
            _unknown(prompt, name)
        return
    forth.emit("Variable Name")
    forth.to_column(VALUE_COLUMN)
    forth.emit("Value")
    forth.to_column(DEFAULT_COLUMN)
    forth.emit("Default Value\n\n")
    for row in variables.names():
        forth.emit(f"{row} ")
        _show(prompt, _shown_value(prompt, row), VALUE_COLUMN, cut=True)
        _show(prompt, variables.default(row), DEFAULT_COLUMN, cut=True)
        forth.emit("\n")


@commands("setenv", "( -- ) variable value", help="Change a configuration variable")
def _setenv(prompt: Prompt) -> None:
    forth = prompt.forth
    name, value = forth.parse_word(), forth.parse("").strip(" ")
    if not name or not value:
        forth.emit("Usage: setenv option-name value\n")
        return
    store(prompt, name, value)


def store(prompt: Prompt, name: str, value: str) -> None:
    """Set a variable and show it, or say why not. Raises ThrowError."""
    forth, variables = prompt.forth, prompt.host.variables
    if name not in BY_NAME:
        _unknown(prompt, name)
        return
    if name == "security-password":
        forth.emit("Use the password command.\n")
        return
    try:
        variables.set(name, value)
    except VariableError as error:
        if not error.choices:
            forth.emit("Invalid value; previous value retained.\n")
            return
        forth.emit("\nOptions:")
        columns(forth, list(reversed(error.choices)))
        forth.emit("\n\n")
        raise throw.ThrowError(throw.ABORT) from None
    _show_current(prompt, name)


@commands("$setenv", "( value$ name$ -- )", help="As setenv, with strings")
def _string_setenv(prompt: Prompt) -> None:
    name = prompt.forth.pop_string().decode("latin-1")
    store(prompt, name, prompt.forth.pop_string().decode("latin-1"))


@commands("$getenv", "( name$ -- true | value$ false )", help="Value of a variable as a string")
def _string_getenv(prompt: Prompt) -> None:
    name = prompt.forth.pop_string().decode("latin-1")
    if name not in prompt.host.variables:
        prompt.forth.push(-1)
        return
    prompt.forth.push_string(_shown_value(prompt, name).encode("latin-1", "replace"))
    prompt.forth.push(0)


@commands("set-default", "( -- ) variable", help="Give a variable its default")
def _set_default(prompt: Prompt) -> None:
    name = prompt.forth.parse_word()
    if not name:
        prompt.forth.emit("Usage: set-default option-name\n")
    elif name not in prompt.host.variables:
        _unknown(prompt, name)
    else:
        prompt.host.variables.set_default(name)


@commands("set-defaults", "( -- )", help="Give all variables their defaults, but not those of security")
def _set_defaults(prompt: Prompt) -> None:
    if prompt.host.variables.get("security-mode") != "none":
        prompt.forth.emit("Note: set-defaults does not change the security fields.\n")
    prompt.forth.emit("Setting NVRAM parameters to default values.\n")
    prompt.host.variables.set_defaults()


@commands("password", "( -- )", help="Set the firmware password, which security-mode asks for")
def _password(prompt: Prompt) -> None:
    prompt.forth.emit("New password (8 characters max) ")
    prompt.ask(Dialog("new-password", {"typed": "", "first": None}))


@commands("login", "( -- )", help="Give the password once, then any commands")
def _login(prompt: Prompt) -> None:
    if prompt.secured:
        prompt.forth.emit("Firmware Password: ")
        prompt.ask(Dialog("password", {"typed": "", "then": "login", "argument": ""}))


@commands("logout", "( -- )", help="Ask for the password again")
def _logout(prompt: Prompt) -> None:
    prompt.logged_in = False
