"""Usage texts from the grammar."""

from __future__ import annotations

from collections.abc import Iterator

from ldmd.cli.examples import EXAMPLES
from ldmd.cli.grammar import COMMANDS, GROUPS, aliases_of
from ldmd.cli.syntax import AnyProperty, Command, Either, Operand, Option, Part, Property

GLOBAL = (
    ("--machine NAME, -m NAME", "the server, where several are on; else $SUN4V_MACHINE"),
    ("--json", "JSON: a document from a list, a line for each event of other commands"),
    ("--help [COMMAND]", "this, or a command's options, operands and properties"),
    ("--completion SHELL", "completion for bash, zsh or fish, to be sourced"),
    ("-V", "versions of manager and firmware"),
)
WIDTH = 100
LEFT = 28


def overview() -> Iterator[str]:
    """`ldm --help`."""
    yield "Usage:"
    yield "  ldm [--machine NAME] COMMAND [option]... [property=value]... [operand]..."
    yield from (f"  ldm {option}" for option in ("--help [COMMAND]", "--completion bash|zsh|fish", "-V"))
    for group in GROUPS:
        rows = [command for command in COMMANDS.values() if command.group == group]
        yield ""
        yield f"{group}:"
        yield from (f"  {command.name:<20} {command.help}" for command in rows)
    yield ""
    yield "In all commands `ls` may stand for `list`, `rm` for `remove`, and short nouns for long ones (`mem`, `dom`)."
    yield ""
    yield "Options of all commands:"
    yield from (f"  {name:<{LEFT}} {text}" for name, text in GLOBAL)


def command_help(command: Command) -> Iterator[str]:
    """`ldm COMMAND --help`."""
    yield "Usage:"
    yield from synopsis_lines(command)
    yield ""
    yield f"{command.help[0].upper()}{command.help[1:]}.{' ' + command.notes if command.notes else ''}"
    for title, kinds in (("Options", Option), ("Operands", Operand), ("Properties", (Property, AnyProperty))):
        rows = [part for part in command.parts() if isinstance(part, kinds)]
        if rows:
            yield ""
            yield f"{title}:"
            yield from (_row(part) for part in dict.fromkeys((part_name(each), part_text(each)) for each in rows))
    yield ""
    yield "Examples:" if len(EXAMPLES[command.name]) > 1 else "Example:"
    yield from (f"  {line}" for line in EXAMPLES[command.name])
    if aliases := aliases_of(command.name):
        yield ""
        yield f"Also: {', '.join(aliases)}"


def _row(row: tuple[str, str]) -> str:
    name, text = row
    return f"  {name:<{LEFT}} {text}" if len(name) <= LEFT else f"  {name}\n  {'':<{LEFT}} {text}"


def synopsis_lines(command: Command, *, prefix: str = "  ") -> Iterator[str]:
    """Each way to write it, broken into lines."""
    for synopsis in command.synopses():
        yield from wrapped(synopsis, prefix)


def wrapped(synopsis: str, prefix: str) -> Iterator[str]:
    """A synopsis broken between its parts."""
    line = prefix
    for part in parts_of(synopsis):
        if len(line) + 1 + len(part) > WIDTH and line.strip():
            yield line.rstrip()
            line = prefix + "    "
        line += f"{part} "
    yield line.rstrip()


def parts_of(synopsis: str) -> Iterator[str]:
    """Words of a synopsis; what stands in brackets is one word."""
    depth, word = 0, ""
    for letter in synopsis:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(letter, 0)
        if letter == " " and depth == 0:
            yield word
            word = ""
        else:
            word += letter
    yield word


def part_name(part: Part) -> str:
    """How a part is written in a list of parts."""
    if isinstance(part, Option):
        return f"{part.flag} {part.value}".strip()
    if isinstance(part, Operand):
        return part.shown.replace("] [", ", ")
    if isinstance(part, Property):
        return f"{part.name}={part.values}"
    return "name=value"


def part_text(part: Part) -> str:
    """What a part means."""
    if isinstance(part, Either):
        return ""
    return f"{part.help}; empty: none" if isinstance(part, Property) and part.clears else part.help
