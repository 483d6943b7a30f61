"""`sun4v lab up|down|reset|list`. What they need is loaded when one is used: every `sun4v` comes through here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.arguments import Parser
from ldmd.reporting import OK, reporting

if TYPE_CHECKING:
    from ldmd.lab.room import Room


def add_lab(commands: argparse._SubParsersAction[Parser]) -> dict[str, Parser]:
    """The parser of `sun4v lab`, by its name."""
    parser: Parser = commands.add_parser(
        "lab", help="make servers and domains from one file, and take them down again",
        description="Several servers, their services and domains from one file.",
        epilog="exit status:\n  0    all is well\n  1    it could not be done; nothing is left half made\n"
        "  2    bad command line, or a file that is no lab",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    up = verbs.add_parser("up", help="make the lab of a file, or power on one that is down")
    up.add_argument("file", metavar="FILE.toml", type=Path)
    up.add_argument("--keep", action="store_true", help="where it fails, leave what was made, to look at it")
    up.set_defaults(handler=reporting(_up))
    down = verbs.add_parser("down", help="shut its guests down, power its servers off; `up` brings it back")
    down.add_argument("lab", metavar="LAB", help="name of a lab, or its file")
    down.add_argument("--force", action="store_true", help="without a word to the guests")
    down.set_defaults(handler=reporting(_down))
    reset = verbs.add_parser("reset", help="remove a lab with its disks, in whatever state it is")
    reset.add_argument("lab", metavar="LAB", nargs="?", help="name of a lab, or its file")
    reset.add_argument("--all", action="store_true", help="all labs")
    reset.set_defaults(handler=reporting(_reset))
    listing = verbs.add_parser("list", help="list labs")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(handler=reporting(_list))
    return {"lab": parser}


def _room() -> Room:
    from ldmd.lab.room import Room

    return Room(lambda line: print(line, flush=True))


def _up(options: argparse.Namespace) -> int:
    from ldmd.lab.reader import read_lab

    _room().up(read_lab(options.file), keep=options.keep)
    return OK


def _named(lab: str) -> str:
    """A lab by its name or its file."""
    from ldmd.lab.reader import read_lab

    return read_lab(Path(lab)).name if lab.endswith(".toml") else lab


def _down(options: argparse.Namespace) -> int:
    _room().down(_named(options.lab), force=options.force)
    return OK


def _reset(options: argparse.Namespace) -> int:
    from ldmd.lab.room import LabError, names

    room = _room()
    if options.all == (options.lab is not None):
        raise LabError(f"say which lab, or --all; there are: {names(room.states())}")
    for name in [state.name for state in room.states()] if options.all else [_named(options.lab)]:
        room.reset(name)
    return OK


def _list(options: argparse.Namespace) -> int:
    states = _room().states()
    if options.json:
        print(json.dumps([asdict(state) for state in states], indent=2))
        return OK
    for state in states:
        print(f"{state.name:<16} {len(state.on)} of {len(state.servers)} on: {', '.join(state.servers)}")
    return OK
