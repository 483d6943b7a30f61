"""`sun4v faults list|check|arm|status|disarm`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.arguments import Parser
from ldmd.reporting import OK, reporting

if TYPE_CHECKING:
    from emulator.faults.rules import Plan

TARGET = "a lab, or a machine"


def add_faults(commands: argparse._SubParsersAction[Parser]) -> dict[str, Parser]:
    """The parser of `sun4v faults`, by its name."""
    parser: Parser = commands.add_parser(
        "faults", help="make messages, disks, memory, CPUs, cables and daemons fail, as a file says",
        description="Faults on purpose: what can fail, plans of it, and what has fired.",
        epilog="exit status:\n  0    all is well\n  1    it could not be done\n"
        "  2    bad command line, or a file that is no plan",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    listing = verbs.add_parser("list", help="what can fail, where, and how")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(handler=reporting(_list))
    check = verbs.add_parser("check", help="look whether a file is a plan")
    check.add_argument("file", metavar="FILE.toml", type=Path)
    check.set_defaults(handler=reporting(_check))
    arm = verbs.add_parser("arm", help="arm the plan of a file; it takes the place of one that is armed")
    arm.add_argument("name", metavar="NAME", help=TARGET)
    arm.add_argument("file", metavar="FILE.toml", type=Path)
    arm.set_defaults(handler=reporting(_arm))
    status = verbs.add_parser("status", help="what is armed, and what has fired")
    status.add_argument("name", metavar="NAME", help=TARGET)
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(handler=reporting(_status))
    disarm = verbs.add_parser("disarm", help="nothing fires any more; what was done stays done")
    disarm.add_argument("name", metavar="NAME", help=TARGET)
    disarm.set_defaults(handler=reporting(_disarm))
    return {"faults": parser}


def _list(options: argparse.Namespace) -> int:
    from emulator.faults.points import POINTS

    if options.json:
        rows = [asdict(point) | {"place": point.place.value} for point in POINTS]
        print(json.dumps(rows, indent=2))
        return OK
    for point in POINTS:
        how = "timed: at-ms or at-insns" if point.timed else "after, times, probability"
        print(f"{point.name}  ({point.place.value}; {how})\n    {point.text}")
        if point.selects:
            print(f"    select by {', '.join(point.selects)}")
        for action in point.actions:
            takes = "".join(f" {name}" if default is None else f" [{name}={default}]" for name, default in action.takes)
            print(f"    {action.name}{takes}: {action.text}")
    return OK


def _read(path: Path) -> Plan:
    from emulator.faults.rules import read_plan

    return read_plan(path)


def _check(options: argparse.Namespace) -> int:
    plan = _read(options.file)
    print(f"{options.file}: {len(plan.rules)} rules, seed {plan.seed}")
    return OK


def machines_of(name: str) -> tuple[str, ...]:
    """The machines of a lab, or the one machine of that name. Raises PlaceError, LabError."""
    from ldmd.lab.room import Room

    room = Room(lambda line: None)
    servers = next((state.servers for state in room.states() if state.name == name), ())
    return servers or (name,)


def ask(machine: str, op: str, **arguments: Any) -> Any:
    """One request to a machine. Raises PlaceError where it is not on, HypervisorError where it refuses."""
    from emulator.places import PlaceError, machine_names, place
    from ldmd.hvctl import Link

    where = place(machine)
    if not where.on:
        there = ", ".join(name for name in machine_names() if place(name).on) or "none"
        raise PlaceError(f"no machine {machine} is on, and no lab is called so; machines that are on: {there}")
    link = Link(where.hvctl, client="sun4v")
    try:
        link.connect()
        return link.call(op, **arguments)
    finally:
        link.close()


def arm(plan: Plan, machines: tuple[str, ...]) -> list[str]:
    """Each machine has what is about it. Lines to print. Raises HypervisorError."""
    lines = []
    for machine in machines:
        mine = plan.at(machine)
        ask(machine, "faults.arm", plan=mine.plain())
        lines.append(f"{machine}: {len(mine.rules)} rules are armed, seed {mine.seed}")
    return lines


def _arm(options: argparse.Namespace) -> int:
    plan = _read(options.file)
    print("\n".join(arm(plan, machines_of(options.name))))
    return OK


def _disarm(options: argparse.Namespace) -> int:
    for machine in machines_of(options.name):
        ask(machine, "faults.disarm")
    return OK


def _status(options: argparse.Namespace) -> int:
    found = {machine: ask(machine, "faults.status") for machine in machines_of(options.name)}
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    for machine, status in found.items():
        print(f"{machine}: {len(status['plan']['fault'])} rules are armed, {status['count']} firings, "
              f"digest {status['digest'][:16]}")
        for row in status["firings"]:
            facts = " ".join(f"{key}={value}" for key, value in row["facts"].items())
            print(f"  {row['ordinal']:>4} rule {row['rule']} {row['point']} {row['action']} {facts}".rstrip())
    return OK
