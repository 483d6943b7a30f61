"""What may follow on a command line of `sun4v`: ``sun4v --complete WORD...`` answers by the parsers of its commands.

The scripts of the shells, which ask it, are in `emulator.shells`. Names of machines, domains and labs are looked up
where they are: on disk, or at the machine. Where this has nothing to say the shell offers files.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from emulator.chips import CPU_ARCHS
from emulator.errors import EmulatorError
from emulator.hvctl.client import Hvctl
from emulator.places import find_machine, machine_names, place
from emulator.platforms import PLATFORMS

PATIENCE_SECONDS = 2.0
"""So long a machine may take to name its domains."""
Names = Callable[[str], Iterable[str]]
"""Names for a word that is begun; those that do not begin with it are left out by who asks."""


def _machines(_word: str) -> Iterable[str]:
    return machine_names()


def _platforms(_word: str) -> Iterable[str]:
    return PLATFORMS


def _domains_of(machine: str) -> list[str]:
    """Those that have a console: all but the control domain."""
    try:
        with Hvctl(place(machine).hvctl, seconds=PATIENCE_SECONDS) as client:
            return [guest["name"] for guest in client.call("guest.list") if guest["guest"] != 0]
    except EmulatorError:
        return []


def _domains(word: str) -> Iterator[str]:
    """``MACHINE/DOMAIN``, and ``DOMAIN`` alone where the machine is clear."""
    machine, slash, _ = word.partition("/")
    on = [name for name in machine_names() if place(name).on and (not slash or name == machine)]
    for name in on:
        yield from (f"{name}/{domain}" for domain in _domains_of(name))
    if not slash:
        try:
            yield from _domains_of(find_machine().name)
        except EmulatorError:
            return


KINDS: Mapping[str, Names] = {
    "[MACHINE/]DOMAIN": _domains,
    "ARCH": lambda _: ("native", *CPU_ARCHS),
    "MACHINE": _machines,
    "NAME": _machines,
    "PLATFORM": _platforms,
}
"""Names of what an argument is, by its metavar."""
FREE = frozenset((
    "ADDRESS", "ADDRESS:PORT", "BASE", "DEVICE=OUTLET", "FILE", "FILE.json", "FILE.overlay", "FILE.toml",
    "FILE[,WORD ...]", "FROM", "IMAGE [ARG ...]", "MIGRATION", "N", "NAME=VALUE", "NET", "PLAN.toml", "PORT", "PROGRAM",
    "S", "SECONDS", "SIZE", "TEXT", "TO", "USER", "WORD[,WORD ...]",
))  # fmt: skip
"""Metavars of files, and of what only the user knows."""
OTHERWISE: Mapping[tuple[str, str], str] = {
    ("faults", "NAME"): "MACHINE|LAB", ("platforms", "NAME"): "PLATFORM", ("run", "NAME"): "PLATFORM",
    ("md", "P"): "PLATFORM", ("md", "A"): "ARCH", ("md", "M"): "SIZE",
}  # fmt: skip
"""Where a metavar of a command is another's."""


def kind_of(command: str, action: argparse.Action) -> str:
    """What an argument is; empty for one with choices, and for one without a value."""
    if action.choices is not None or action.metavar is None:
        return ""
    metavar = action.metavar if isinstance(action.metavar, str) else action.metavar[0]
    return OTHERWISE.get((command, metavar), metavar)


class Answers:
    """What may follow. `labs`, `policies`: their names, which are not this package's."""

    def __init__(self, parsers: Mapping[str, argparse.ArgumentParser], labs: Callable[[], Iterable[str]],
                 policies: Sequence[str]) -> None:
        self._parsers = parsers
        self._kinds: Mapping[str, Names] = {
            **KINDS,
            "LAB": lambda _: labs(),
            "MACHINE|LAB": lambda _: (*machine_names(), *labs()),
            "POLICY": lambda _: policies,
        }

    def to(self, words: Sequence[str]) -> Iterator[str]:
        """What may stand in the place of the last word, in order."""
        *before, current = words or [""]
        found = sorted(set(self._candidates(before, current)))
        return (each for each in found if each.startswith(current))

    def _candidates(self, before: list[str], current: str) -> Iterable[str]:
        if not before:
            return (*self._parsers, "--help", "--version")
        parser = self._parsers.get(before[0])
        return () if parser is None else self._of(before[0], parser, before[1:], current)

    def _of(self, command: str, parser: argparse.ArgumentParser, before: list[str], current: str) -> Iterable[str]:
        typed = 0
        waits: argparse.Action | None = None
        for place_, word in enumerate(before):
            verbs = _verbs(parser)
            if waits is not None:
                waits = None
            elif word == "--":
                return self._operand(command, parser, typed, current)
            elif word.startswith("-") and word != "-":
                waits = _wanting(parser, word)
            elif verbs:
                return self._of(command, verbs[word], before[place_ + 1 :], current) if word in verbs else ()
            else:
                typed += 1
        if waits is not None:
            return self._values(command, waits, current)
        flag, equals, value = current.partition("=")
        if equals and (action := _wanting(parser, flag)) is not None:
            return (f"{flag}={each}" for each in self._values(command, action, value))
        if current.startswith("-"):
            return _flags(parser)
        return self._operand(command, parser, typed, current)

    def _operand(self, command: str, parser: argparse.ArgumentParser, typed: int, current: str) -> Iterator[str]:
        """Of the operand at a place, and where that may be left out of the next one too."""
        for number, action in enumerate(each for each in parser._actions if not each.option_strings):
            many = action.nargs in ("*", "+", "...")
            if typed == number or (many and typed >= number):
                yield from self._values(command, action, current)
                if action.nargs != "?":
                    return
                typed += 1

    def _values(self, command: str, action: argparse.Action, current: str) -> Iterable[str]:
        if action.choices is not None:
            return [str(each) for each in action.choices]
        names = self._kinds.get(kind_of(command, action))
        return () if names is None else names(current)


def _verbs(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            verbs: Mapping[str, argparse.ArgumentParser] = action.choices
            return verbs
    return {}


def _wanting(parser: argparse.ArgumentParser, flag: str) -> argparse.Action | None:
    """The option of that name, if a value stands behind it."""
    action = parser._option_string_actions.get(flag)
    return action if action is not None and action.nargs is None else None


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            yield from action.option_strings
