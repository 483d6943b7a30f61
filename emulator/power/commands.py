"""`sun4v power-on`, `power-off`, `kill`, `machines`, `delete`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TypeAlias

from emulator.arguments import EXIT_USAGE, FAILED, OK, Parser, complain, reporting
from emulator.engines import ENGINES
from emulator.places import machine_names, place, why_off
from emulator.power import control
from emulator.power.control import MachineState, PowerError
from emulator.power.options import choose_options
from emulator.units import format_size

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
STATUS = """\
exit status:
  0    all is well
  1    it could not be done
  2    bad command line, a name or file that cannot be used
"""


def add_parser(commands: Commands, name: str, *, about: str, more: str = "", usage: str = "") -> Parser:
    """A parser in the manner of all of them."""
    parser: Parser = commands.add_parser(
        name, usage=f"sun4v {name} {usage}" if usage else None, help=about,
        description=f"{about[0].upper()}{about[1:]}.{more}", epilog=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    return parser


def add_power(commands: Commands) -> dict[str, Parser]:
    """The parsers of these commands by name."""
    parsers = {
        "power-on": _add_power_on(commands), "power-off": _add_power_off(commands), "kill": _add_kill(commands),
        "machines": _add_machines(commands), "delete": _add_delete(commands),
    }  # fmt: skip
    return parsers


def _add_power_on(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "power-on", about="power a server on, in the background",
        more=" Without options it is as at its last\npower-on; a new one is a t5-2 with all the memory it can have.",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="what the machine is called")
    parser.add_argument("--platform", metavar="PLATFORM", help="server, chip's name, or a file ending in .toml")
    parser.add_argument("--memory", metavar="SIZE", help="memory installed, e.g. 512G")
    parser.add_argument(
        "--deterministic", action=argparse.BooleanOptionalAction, default=None, help="virtual time, guests in turns"
    )
    parser.add_argument(
        "--net", metavar="DEVICE=OUTLET", action="append",
        help="plug a network device in: a NETWORK of the lab, none, passt:SOCKET, stream:HOST:PORT, tap:NAME",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", metavar="PORT", type=int,
        help="serve metrics for Prometheus at http://127.0.0.1:PORT/metrics; 0: do not (the default)",
    )  # fmt: skip
    parser.add_argument(
        "--engine", choices=sorted(ENGINES),
        help="how guests' code is executed: translator to x86-64 code (default, where the host can), or interpreter",
    )  # fmt: skip
    parser.add_argument("--foreground", action="store_true", help="stay, and log to standard error; without ldmd")
    parser.add_argument("--no-ldmd", action="store_true", help="without manager and console server")
    parser.set_defaults(handler=reporting(_power_on))
    return parser


def _power_on(options: argparse.Namespace) -> int:
    where = place(options.name)
    chosen = choose_options(
        where, platform=options.platform, memory=options.memory, deterministic=options.deterministic,
        nets=options.net, metrics=options.metrics, engine=options.engine,
    )  # fmt: skip
    if options.foreground:
        from emulator.power import process  # the whole server: not for every `sun4v`

        arguments = [where.name, "--platform", chosen.platform, "--memory", str(chosen.memory_bytes)]
        arguments += ["--deterministic"] if chosen.deterministic else []
        arguments += ["--metrics", str(chosen.metrics)] if chosen.metrics else []
        arguments += ["--engine", chosen.engine]
        return process.main([*arguments, *(f"--net={device}={text}" for device, text in chosen.nets)])
    hello = control.start_machine(where, chosen)
    if hello["engine_note"]:
        complain(f"{where.name}: no translator: {hello['engine_note']}; guests are interpreted, with the same results")
    if not options.no_ldmd:
        control.start_companions(where)
    size = format_size(hello["memory"])
    print(f"{where.name}: {hello['platform']}, {size}, process {hello['pid']}")
    return OK


def _add_power_off(commands: Commands) -> Parser:
    parser = add_parser(commands, "power-off", about="shut the guests of a machine down and power it off")
    parser.add_argument("names", metavar="NAME", nargs="*", help="machines")
    parser.add_argument("--all", action="store_true", help="all machines that are on")
    parser.add_argument("-f", "--force", action="store_true", help="at once, without a word to the guests")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=control.SHUTDOWN_SECONDS,
        help="how long guests may take to shut down (default 60)",
    )  # fmt: skip
    parser.set_defaults(handler=reporting(_power_off))
    return parser


def _power_off(options: argparse.Namespace) -> int:
    names = options.names
    if options.all:
        names = [name for name in machine_names() if place(name).on]
    elif not names:
        complain("power-off: a NAME, or --all, is missing")
        return EXIT_USAGE
    status = OK
    for name in names:
        try:
            control.power_off(place(name), force=options.force, seconds=options.timeout, tell=print)
        except PowerError as error:
            complain(str(error))
            status = FAILED
    return status


def _add_kill(commands: Commands) -> Parser:
    parser = add_parser(commands, "kill", about="pull the power cord of a machine: everything on it is gone at once")
    parser.add_argument("names", metavar="NAME", nargs="+", help="machines")
    parser.set_defaults(handler=reporting(_kill))
    return parser


def _kill(options: argparse.Namespace) -> int:
    status = OK
    for where in [place(name) for name in options.names]:
        try:
            control.pull_cord(where)
        except PowerError as error:
            complain(str(error))
            status = FAILED
    return status


def _add_machines(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "machines", about="list machines, also those that are off",
        more=" States: on, off, crashed (its\nprocess went without a word), mute (it does not answer).",
    )  # fmt: skip
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these")
    parser.add_argument("--json", action="store_true", help="print JSON: sizes in bytes, times in seconds")
    parser.add_argument("-l", "--long", action="store_true", help="also network devices, and who is joined to them")
    parser.set_defaults(handler=reporting(_machines))
    return parser


def _machines(options: argparse.Namespace) -> int:
    known = machine_names()
    for name in options.names:
        if name not in known:
            raise PowerError(why_off(place(name)))
    states = control.machine_states(options.names or None)
    if options.json:
        print(json.dumps([asdict(state) for state in states], indent=2))
    elif states:
        print(machines_text(states, now=time.time()))
        if options.long and (rows := network_rows(states)):
            print()
            print(table(rows))
    return OK


def network_rows(states: list[MachineState]) -> list[tuple[str, ...]]:
    """Rows of a table of network devices, its head first; none where there are no devices."""
    rows: list[tuple[str, ...]] = [("MACHINE", "DEVICE", "LINK", "PLUGGED INTO", "SWITCHES", "JOINED TO")]
    for state in states:
        for row in state.networks:
            link = "up" if row["up"] else "down"
            joined = ", ".join(wire["name"] for wire in row["wires"] if wire["kind"] in ("machine", "guest"))
            outlet = row["outlet"] + (f" ({row['why']})" if row["why"] else "")
            rows.append((state.name, row["name"], link, outlet, ", ".join(row["switches"]), joined))
    return rows if len(rows) > 1 else []


def machines_text(states: list[MachineState], *, now: float) -> str:
    """A table. `now`: seconds since the epoch."""
    rows = [("NAME", "STATE", "PLATFORM", "MEMORY", "DOMAINS", "PROCESS", "LDMD", "UP")]
    for state in states:
        on = state.state == "on"
        up = "" if state.started_at is None else "virtual" if state.deterministic else _span(now - state.started_at)
        rows.append((
            state.name, state.state, state.platform, format_size(state.memory_bytes) if state.memory_bytes else "",
            str(state.domains) if on else "", str(state.pid or ""), ("on" if state.ldmd else "off") if on else "", up,
        ))  # fmt: skip
    return table(rows)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns under their heads."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _span(seconds: float) -> str:
    """``3d 4h``, ``12m``, ``40s``."""
    left = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if left >= size:
            rest = f" {left % size // 3600}h" if unit == "d" else ""
            return f"{left // size}{unit}{rest}"
    return f"{left}s"


def _add_delete(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "delete", about="forget a machine that is off",
        more=" Its domains, variables, logs are\nremoved; files behind disks that are elsewhere stay.",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="machine")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(handler=reporting(_delete))
    return parser


def _delete(options: argparse.Namespace) -> int:
    where = place(options.name)
    control.check_off(where)
    if not options.yes:
        if not sys.stdin.isatty():
            complain("delete: nobody is there to be asked; say --yes")
            return EXIT_USAGE
        if input(f"Forget machine {where.name} with all its domains? [y/n] ").strip().lower() not in ("y", "yes"):
            return FAILED
    control.delete(where)
    return OK
