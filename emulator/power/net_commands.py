"""`sun4v plug` and `sun4v capture`: cables of a machine that is on, and what goes through them."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from emulator.arguments import EXIT_USAGE, OK, Parser, complain, reporting
from emulator.netdev import FORMS, parse_words
from emulator.places import Place, find_machine, place
from emulator.power.commands import Commands, add_parser
from emulator.power.options import read_options, write_options
from emulator.power.watch_commands import connect, find_guest


def add_net(commands: Commands) -> dict[str, Parser]:
    """The parsers of these commands by name."""
    return {"plug": _add_plug(commands), "capture": _add_capture(commands)}


def _add_plug(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "plug", about="plug network devices of a machine that is on in elsewhere",
        more=f"\nOutlets: {FORMS}.\nKept for the next power-on, as its --net.",
    )  # fmt: skip
    parser.add_argument("name", metavar="MACHINE", help="machine")
    parser.add_argument("plugs", metavar="DEVICE=OUTLET", nargs="+", help="as net0=lan; net0=none pulls the cable")
    parser.add_argument("--once", action="store_true", help="only until the machine is powered off")
    parser.set_defaults(handler=reporting(_plug))
    return parser


def _plug(options: argparse.Namespace) -> int:
    plugs = parse_words(options.plugs)
    with connect(place(options.name)) as machine:
        for device, outlet in plugs.items():
            machine.call("network.plug", device=device, outlet=outlet)
    if not options.once:
        _keep(place(options.name), plugs)
    return OK


def _keep(where: Place, plugs: dict[str, str]) -> None:
    """For the next power-on. Raises ConfigError, OSError."""
    last = read_options(where)
    if last is not None:
        write_options(where, replace(last, nets=tuple((dict(last.nets) | plugs).items())))


def _add_capture(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "capture", about="record what goes through a network of a domain",
        usage="[OPTION ...] [MACHINE/]DOMAIN NET [FILE]",
        more=" The file is made anew, in the\npcapng format: tshark, Wireshark and tcpdump read it.",
    )  # fmt: skip
    parser.add_argument("domain", metavar="[MACHINE/]DOMAIN", help="name or number of a domain that is on")
    parser.add_argument("net", metavar="NET", help="its network, as ldm calls it")
    parser.add_argument("file", metavar="FILE", nargs="?", help="file to write")
    parser.add_argument("--off", action="store_true", help="record no more; the file is complete then")
    parser.set_defaults(handler=reporting(_capture))
    return parser


def _capture(options: argparse.Namespace) -> int:
    if options.off == (options.file is not None):
        complain("capture: a FILE, or --off, is wanted")
        return EXIT_USAGE
    machine_name, slash, domain = options.domain.rpartition("/")
    path = None if options.off else os.path.abspath(options.file)
    with connect(place(machine_name) if slash else find_machine()) as machine:
        machine.call("network.record", guest=find_guest(machine, domain), net=options.net, path=path)
    return OK
