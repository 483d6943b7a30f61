"""From the words of a command line to a request, by the grammar. Pure; files are named, not read.

``property=value`` may stand anywhere among the operands, and so may options until ``--``. What a value means is the
daemon's to say; here it is only known which words belong to the command.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldmd.cli.grammar import COMMANDS, canonical
from ldmd.cli.syntax import Command, Form, Operand, Option

_PROPERTY = re.compile(r"([a-z][a-z0-9_/-]*)=(.*)", re.DOTALL)


class UsageError(Exception):
    """The command line is not one of the grammar's. `command`: whose synopsis to show, or None."""

    def __init__(self, text: str, command: Command | None = None) -> None:
        super().__init__(text)
        self.command = command


@dataclass(frozen=True)
class Request:
    """A command that can be carried out. `files`: arguments whose values are names of files to read and send."""

    command: Command
    operation: str
    arguments: dict[str, Any]
    local: dict[str, Any]
    files: tuple[str, ...] = ()


@dataclass
class _Words:
    """A command line sorted by kinds of words."""

    options: dict[str, Any] = field(default_factory=dict)  # by flag
    properties: dict[str, str] = field(default_factory=dict)
    operands: list[str] = field(default_factory=list)


def parse(words: Sequence[str]) -> Request:
    """The request that a sub-command and its words are. Raises UsageError."""
    if not words:
        raise UsageError("a sub-command is missing")
    name = canonical(words[0])
    if name is None:
        raise UsageError(f"Unknown command {words[0]}; use --help for a list of the commands")
    command = COMMANDS[name]
    sorted_words = _sort(command, words[1:])
    form = _choose(command, sorted_words)
    return _request(command, form, sorted_words)


# -- kinds of words


def _sort(command: Command, words: Sequence[str]) -> _Words:
    found = _Words()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            for each in rest:
                _plain_word(command, found, each)
            break
        if word.startswith("-") and word != "-":
            _option(command, found, word, rest)
        else:
            _plain_word(command, found, word)
    return found


def _option(command: Command, found: _Words, word: str, rest: list[str]) -> None:
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        option = _known(command, flag)
        if equals and not option.value:
            raise UsageError(f"{flag} takes no value", command)
        _set_option(command, found, option, [value] if equals else rest)
        return
    letters = word[1:]
    while letters:
        option, letters = _known(command, f"-{letters[0]}"), letters[1:]
        if option.value and letters:  # -odisk
            _set_option(command, found, option, [letters])
            return
        _set_option(command, found, option, rest)


_JSON = Option(flag="--json", argument="json", help="JSON", local=True)
"""All commands take it."""


def _known(command: Command, flag: str) -> Option:
    option = _JSON if flag == _JSON.flag else command.option(flag)
    if option is None:
        raise UsageError(f"{command.name} has no option {flag}", command)
    return option


def _set_option(command: Command, found: _Words, option: Option, rest: list[str]) -> None:
    if not option.value:
        found.options[option.flag] = True
        return
    if not rest:
        raise UsageError(f"{option.flag} needs a value: {option.value}", command)
    value, before = rest.pop(0), found.options.get(option.flag)
    if before is not None and option.kind != "format":
        raise UsageError(f"{option.flag} stands there twice", command)
    found.options[option.flag] = value if before is None else f"{before},{value}"


def _plain_word(command: Command, found: _Words, word: str) -> None:
    operands = [operand for form in command.forms for operand in form.operands]
    match = _PROPERTY.fullmatch(word)
    stripped = next((each.strip for each in operands if each.strip and word.startswith(each.strip)), "")
    if match is None or stripped or any(each.kind == "assignment" for each in operands):
        found.operands.append(word.removeprefix(stripped))
        return
    name, value = match[1], match[2]
    known = command.property(name)
    if known is None and not any(form.open for form in command.forms):
        raise UsageError(f"{command.name} has no property {name}{_hint(command)}", command)
    if name in found.properties:
        raise UsageError(f"{name}= stands there twice", command)
    if known is not None and not value and not _may_clear(command, name):
        raise UsageError(f"{name}= needs a value: {known.values}", command)
    found.properties[name] = value


def _may_clear(command: Command, name: str) -> bool:
    return any(each.clears for form in command.forms for each in form.properties if each.name == name)


def _hint(command: Command) -> str:
    names = dict.fromkeys(each.name for form in command.forms for each in form.properties)
    return f" (its properties: {', '.join(names)})" if names else ""


# -- which form it is


def _choose(command: Command, words: _Words) -> Form:
    flags = [{each.flag for each in form.options} | {_JSON.flag} for form in command.forms]
    for one, other in itertools.combinations(words.options, 2):
        if not any({one, other} <= each for each in flags):
            raise UsageError(f"{one} and {other} exclude each other", command)
    problems = [tuple(_problems(form, words)) for form in command.forms]
    for form, found in zip(command.forms, problems, strict=True):
        if not found:
            return form
    nearest = min(problems, key=lambda found: (len(found), found[0].startswith("-")))  # "-a is missing" helps few
    raise UsageError(nearest[0], command)


def _problems(form: Form, words: _Words) -> Iterable[str]:
    """What keeps these words from being this form."""
    flags = {each.flag for each in form.options}
    names = {each.name for each in form.properties}
    for flag in words.options:
        if flag not in flags and flag != _JSON.flag:
            yield f"{flag} cannot stand here"
    for name in words.properties:
        if name not in names and not form.open:
            yield f"{name}= cannot stand here"
    for option in form.options:
        if option.required and option.flag not in words.options:
            yield f"{option.flag} is missing"
    for group in form.groups:
        given = [each.flag for each in group.options if each.flag in words.options]
        if len(given) > 1:
            yield f"{' and '.join(given)} exclude each other"
        if group.required and not given:
            yield f"one of {', '.join(each.flag for each in group.options)} is missing"
    for each in form.properties:
        if each.required and each.name not in words.properties:
            yield f"{each.name}= is missing"
    yield from _count_problems(form.operands, words.operands)


def _count_problems(operands: tuple[Operand, ...], given: list[str]) -> Iterable[str]:
    needed = [each for each in operands if not each.optional]
    if len(given) < len(needed):
        yield f"{needed[len(given)].shown} is missing"
    elif not any(each.many for each in operands) and len(given) > len(operands):
        yield f"{given[len(operands)]!r} is one word too many"


# -- the request


def _request(command: Command, form: Form, words: _Words) -> Request:
    arguments: dict[str, Any] = {}
    local: dict[str, Any] = {"json": True} if _JSON.flag in words.options else {}
    files = []
    for option in form.options:
        if option.flag in words.options:
            (local if option.local else arguments)[option.argument] = words.options[option.flag]
            if option.kind == "file":
                files.append(option.argument)
    for operand, value in _assign(form.operands, words.operands):
        (local if operand.local else arguments)[operand.argument] = value
    names = {each.name: each.argument or each.name for each in form.properties}
    for name, value in words.properties.items():
        key = names.get(name, name)
        if key in arguments:
            raise UsageError(f"{command.name} has no property {name}", command)
        arguments[key] = value
    return Request(command, form.operation or command.name, arguments, local, tuple(files))


def _assign(operands: tuple[Operand, ...], given: list[str]) -> Iterable[tuple[Operand, Any]]:
    """Words to operands in order; one that repeats takes what the ones behind it leave."""
    rest = list(given)
    for place, operand in enumerate(operands):
        behind = sum(1 for each in operands[place + 1 :] if not each.optional)
        if operand.many:
            taken, rest = rest[: len(rest) - behind], rest[len(rest) - behind :]
            if taken:
                yield operand, taken
        elif len(rest) > behind:
            word = rest.pop(0)
            yield operand, [word] if operand.listed else word


