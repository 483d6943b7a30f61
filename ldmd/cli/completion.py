"""What may follow on a command line: ``ldm --complete WORD...`` answers by the grammar (scripts: `emulator.shells`).

The words are those behind `ldm` up to the one that is being typed, which is the last and may be empty. Names of
domains, services and volumes come from the manager, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from emulator.places import machine_names
from emulator.shells import SHELLS
from ldmd.cli.connection import Connection
from ldmd.cli.grammar import ALIASES, COMMANDS, canonical
from ldmd.cli.grammar_list import FORMATS, RESOURCES
from ldmd.cli.syntax import Command, Operand, Option
from ldmd.messages import RefusedError

TOP = ("--completion", "--help", "--machine", "-V")


def answer(words: Sequence[str], reach: Callable[[], Connection]) -> Iterator[str]:
    """What may stand in the place of the last word, in order."""
    current = words[-1] if words else ""
    found = sorted(set(_candidates(list(words), reach)))
    return (each for each in found if each.startswith(current))


def _candidates(words: list[str], reach: Callable[[], Connection]) -> Iterable[str]:
    *before, current = words or [""]
    if before in (["--machine"], ["-m"]):
        return machine_names()
    if before[:1] in (["--machine"], ["-m"]):
        before = before[2:]
    if not before:
        return (*COMMANDS, *ALIASES, *TOP)
    if before[0] == "--completion":
        return SHELLS
    name = canonical(before[1] if before[0] == "--help" and len(before) > 1 else before[0])
    if before[0] == "--help":
        return COMMANDS
    if name is None:
        return ()
    return _of_command(COMMANDS[name], before[1:], current, _Names(reach))


def _of_command(command: Command, before: list[str], current: str, names: _Names) -> Iterable[str]:
    if before and (option := command.option(before[-1])) is not None and option.value:
        return _values(option, current, names)
    if current.startswith("-"):
        return ("--json", *(option.flag for form in command.forms for option in form.options))
    if "=" in current:
        return _property_values(command, current.partition("=")[0], names)
    return (*_properties(command, before), *_operands(command, before, names))


def _values(option: Option, current: str, names: _Names) -> Iterable[str]:
    if option.kind == "format":
        given, comma, _ = current.rpartition(",")
        return (f"{given}{comma}{name}" for name in FORMATS)
    return names.of(option.kind)


def _properties(command: Command, before: list[str]) -> Iterator[str]:
    given = {word.partition("=")[0] for word in before if "=" in word}
    for form in command.forms:
        yield from (f"{each.name}=" for each in form.properties if each.name not in given)


_PROPERTY_KINDS = {"volume": "volume", "vswitch": "vsw", "service": "vcc", "master": "domain"}


def _property_values(command: Command, name: str, names: _Names) -> Iterable[str]:
    known = command.property(name)
    if known is None:
        return ()
    values = known.choices or names.of(_PROPERTY_KINDS.get(name, ""))
    return (f"{name}={value}" for value in values if value)


def _operands(command: Command, before: list[str], names: _Names) -> Iterator[str]:
    typed = _count(command, before)
    for form in command.forms:
        for operand in _possible(form.operands, typed):
            yield from names.of(operand.kind)
            yield from operand.choices


def _count(command: Command, before: list[str]) -> int:
    """How many operands stand there already."""
    number, skip = 0, False
    for word in before:
        option = command.option(word) if word.startswith("-") else None
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = option is not None and bool(option.value)
        elif "=" not in word or any(each.kind == "assignment" for form in command.forms for each in form.operands):
            number += 1
    return number


def _possible(operands: tuple[Operand, ...], typed: int) -> Iterator[Operand]:
    """Which operands the next word can be: one that repeats or may be left out lets the next one follow."""
    for place, operand in enumerate(operands):
        if operand.many and typed >= place:
            yield operand
            if typed > place or operand.optional:
                yield from operands[place + 1 :]
            return
        if typed == place:
            yield operand
            if not operand.optional:
                return


class _Names:
    """Names of things by their kind, asked of the manager when they are wanted."""

    def __init__(self, reach: Callable[[], Connection]) -> None:
        self._reach = reach

    def of(self, kind: str) -> Iterable[str]:
        """All names of a kind; none where the manager does not answer."""
        if kind == "resource":
            return RESOURCES
        if kind == "target":
            return machine_names()
        ask = _ASK.get(kind)
        if ask is None:
            return ()
        command, arguments, names = ask
        try:
            connection = self._reach()
            try:
                return list(names(connection.call(command, arguments, line="")))
            finally:
                connection.close()
        except (RefusedError, KeyError, TypeError):
            return ()


Ask = tuple[str, dict[str, Any], Callable[[Any], Iterable[str]]]


def _services(kind: str) -> Ask:
    return "list-services", {}, lambda report: (row["name"] for each in report["services"] for row in each[kind])


def _devices(kind: str) -> Ask:
    return ("list-domain", {"sections": kind},
            lambda report: (row["name"] for domain in report["domains"] for row in domain[kind]))  # fmt: skip


def _volumes(report: Any) -> Iterator[str]:
    for each in report["services"]:
        for vds in each["vds"]:
            yield from (f"{volume['name']}@{vds['name']}" for volume in vds["volumes"])


_ASK: dict[str, Ask] = {
    "domain": ("list-domain", {"sections": ""}, lambda report: (each["name"] for each in report["domains"])),
    "vds": _services("vds"),
    "vsw": _services("vsw"),
    "vcc": _services("vcc"),
    "vsan": _services("vsan"),
    "vdpcs": _services("vdpcs"),
    "volume": ("list-services", {}, _volumes),
    "vnet": _devices("vnet"),
    "vdisk": _devices("vdisk"),
    "vhba": _devices("vhba"),
    "variable": _devices("variables"),
    "hba": ("list-hba", {"domain": "primary"}, lambda report: (row["path"] for row in report["ports"])),
    "spconfig": ("list-spconfig", {}, lambda report: (row["name"] for row in report["configs"])),
    "io": ("list-io", {}, lambda report: (row["name"] for row in report["io"])),
    "pf": ("list-io", {}, lambda report: (row["name"] for row in report["io"] if row["type"] == "PF")),
}
