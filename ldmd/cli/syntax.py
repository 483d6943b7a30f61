"""The words a grammar of sub-commands is written in: options, operands, properties, forms, commands.

`ldmd.cli.grammar` is the table; the parser, usage texts, completion, the man page and the reference page read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Option:
    """``-f``, or ``-o format`` where `value` names what follows. `argument`: its name at the daemon."""

    flag: str
    argument: str
    help: str
    value: str = ""  # what follows, as the synopsis writes it
    kind: str = ""  # of the value: "file" (read here, sent as text), "format", "domain"
    required: bool = False
    local: bool = False  # for the client alone: how to print


@dataclass(frozen=True, kw_only=True)
class Either:
    """Options of which one may be given (one must, where `required`)."""

    options: tuple[Option, ...]
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A word at its place. `many`: one or more; then the argument is a list."""

    argument: str
    shown: str
    help: str
    kind: str = ""  # "domain", "vds", "vsw", "vcc", "vsan", "volume", "spconfig", "file", "assignment", "resource", ...
    optional: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    local: bool = False
    listed: bool = False  # one word that becomes a list
    strip: str = ""  # "name=": what may stand before it and means nothing


@dataclass(frozen=True, kw_only=True)
class Property:
    """``mtu=size`` among the operands. `clears`: may be given empty, which takes the setting away."""

    name: str
    values: str
    help: str
    clears: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    argument: str = ""  # at the daemon, where it is another than `name`


@dataclass(frozen=True, kw_only=True)
class AnyProperty:
    """``name=value...``: properties whose names only the device knows."""

    help: str


Part = Option | Either | Operand | Property | AnyProperty


@dataclass(frozen=True)
class Form:
    """One way to write a command: its parts in the order of the synopsis."""

    parts: tuple[Part, ...]
    operation: str = ""  # what carries it out, where that is not called like the command

    @property
    def options(self) -> tuple[Option, ...]:
        """All options, those of groups included."""
        return tuple(_options(self.parts))

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Operands in order."""
        return tuple(part for part in self.parts if isinstance(part, Operand))

    @property
    def properties(self) -> tuple[Property, ...]:
        """Properties that have names."""
        return tuple(part for part in self.parts if isinstance(part, Property))

    @property
    def open(self) -> bool:
        """True where other properties are allowed as well."""
        return any(isinstance(part, AnyProperty) for part in self.parts)

    @property
    def groups(self) -> tuple[Either, ...]:
        """Groups of options that exclude each other."""
        return tuple(part for part in self.parts if isinstance(part, Either))

    def synopsis(self) -> str:
        """As the manual writes it, without the command's name."""
        return " ".join(_shown(part) for part in self.parts if not _is_json(part))


def _is_json(part: Part) -> bool:
    return isinstance(part, Option) and part.flag == "--json"


def _options(parts: tuple[Part, ...]) -> Iterator[Option]:
    for part in parts:
        if isinstance(part, Option):
            yield part
        elif isinstance(part, Either):
            yield from part.options


def _shown(part: Part) -> str:
    if isinstance(part, Option):
        text = f"{part.flag} {part.value}".strip()
        return text if part.required else f"[{text}]"
    if isinstance(part, Either):
        text = " | ".join(f"{each.flag} {each.value}".strip() for each in part.options)
        return f"({text})" if part.required else f"[{text}]"
    if isinstance(part, Operand):
        text = f"[{part.shown}]" if part.optional and part.kind == "resource" else part.shown
        if part.many and part.kind != "resource":
            text += "..."
        return f"[{text}]" if part.optional and part.kind != "resource" else text
    if isinstance(part, AnyProperty):
        return "[name=value...]"
    bracket = part.clears and not part.values.startswith("[")
    text = f"{part.name}=[{part.values}]" if bracket else f"{part.name}={part.values}"
    return text if part.required else f"[{text}]"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A sub-command. `help` is one line; `notes` are further sentences of the manual; `group` its section there.

    `tied`: what it began ends with it (`ldmd.operations.registry.Operation`).
    """

    name: str
    group: str
    help: str
    forms: tuple[Form, ...]
    notes: str = ""
    tied: bool = False

    @property
    def lists(self) -> bool:
        """True where it only looks."""
        return self.name.startswith("list-") or self.name == "monitor"

    def synopses(self) -> tuple[str, ...]:
        """``ldm name ...``, one text for each form."""
        return tuple(f"ldm {self.name} {form.synopsis()}".rstrip() for form in self.forms)

    def option(self, flag: str) -> Option | None:
        """An option of any form by its flag."""
        return next((each for form in self.forms for each in form.options if each.flag == flag), None)

    def property(self, name: str) -> Property | None:
        """A property of any form by its name."""
        return next((each for form in self.forms for each in form.properties if each.name == name), None)

    def parts(self) -> tuple[Part, ...]:
        """Options, operands and properties of all forms, each once, in order."""
        seen: dict[Part, None] = {}
        for form in self.forms:
            for part in form.parts:
                seen.update(dict.fromkeys(part.options if isinstance(part, Either) else (part,)))
        return tuple(seen)


def form(*parts: Part, operation: str = "") -> Form:
    """A form of these parts."""
    return Form(parts, operation)
