"""`sun4v passwd`, `sun4v report`, `sun4v demo`. What they need is loaded when one is used."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import pwd
import sys
from pathlib import Path

from emulator.arguments import Parser
from emulator.places import Place, PlaceError, find_machine, why_off
from ldmd.reporting import OK, STATUS, reporting

Commands = argparse._SubParsersAction


def add_moves(commands: Commands[Parser]) -> dict[str, Parser]:
    """The parsers of these commands, by name."""
    return {"passwd": _add_passwd(commands), "report": _add_report(commands), "demo": _add_demo(commands)}


def _parser(commands: Commands[Parser], name: str, about: str, more: str) -> Parser:
    parser: Parser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.{more}", epilog=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    return parser


# -- passwd


def _add_passwd(commands: Commands[Parser]) -> Parser:
    parser = _parser(commands, "passwd", "set a password with which domains may be migrated to a machine",
                     " It is asked\nfor on the terminal, twice; the machine keeps only what it can be checked with.")
    parser.add_argument("machine", metavar="MACHINE", nargs="?", help="a machine (default: the only one that is on)")
    parser.add_argument("user", metavar="USER", nargs="?", help="whose password (default: of the user who types)")
    parser.add_argument("--file", metavar="FILE", help="the password is this file's first line; - is standard input")
    parser.add_argument("--delete", action="store_true", help="take the password away")
    parser.add_argument("--list", action="store_true", help="list the users who have one")
    parser.set_defaults(handler=reporting(_passwd))
    return parser


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _directory(where: Place) -> Path:
    if not where.state.exists():
        raise PlaceError(why_off(where))
    where.manager.mkdir(mode=0o700, exist_ok=True)
    return where.manager


def _passwd(options: argparse.Namespace) -> int:
    from ldmd.messages import refuse
    from ldmd.migrator.passwords import FILE, USER, remove_password, set_password, users

    path, user = _directory(find_machine(options.machine)) / FILE, options.user or _own_name()
    if options.list:
        print("".join(f"{each}\n" for each in users(path)), end="")
        return OK
    if not USER.match(user):
        refuse("password.user", user=user[:64])
    if options.delete:
        if not remove_password(path, user):
            refuse("password.none", user=user)
        return OK
    set_password(path, user, _from(options.file) if options.file else _twice(user))
    return OK


def _from(name: str) -> str:
    from ldmd.cli.secret import from_file

    return from_file(name)


def _twice(user: str) -> str:
    from ldmd.messages import refuse
    from ldmd.migrator.passwords import PASSWORD_BYTES

    if not sys.stdin.isatty():
        refuse("password.no-terminal")
    first = getpass.getpass(f"New Password for {user}: ")
    if getpass.getpass("Re-enter new Password: ") != first:
        refuse("password.differ")
    if not 1 <= len(first.encode("utf-8", "surrogateescape")) <= PASSWORD_BYTES:
        refuse("password.bad", why="it is empty" if not first else f"it has more than {PASSWORD_BYTES} bytes")
    return first


# -- report


def _add_report(commands: Commands[Parser]) -> Parser:
    parser = _parser(commands, "report", "tell what happened in a migration",
                     " Without a name: all that are\nrecorded. Each is recorded by the manager of its source machine.")
    parser.add_argument("migration", metavar="MIGRATION", nargs="?",
                        help="as listed, or its number, or a domain: the newest one of it; or a file")
    parser.add_argument("--json", action="store_true", help="print the record (docs/reference/migration-record.md)")
    parser.add_argument("--png", metavar="FILE", type=Path, help="draw rates, rounds and the pause (needs matplotlib)")
    parser.add_argument("--trace", metavar="FILE", type=Path, help="write a trace for ui.perfetto.dev")
    parser.set_defaults(handler=reporting(_report))
    return parser


def _report(options: argparse.Namespace) -> int:
    from ldmd.migrationrecord import read
    from ldmd.report.find import all_records, find
    from ldmd.report.text import list_lines, report_lines

    if options.migration is None:
        records = [(each.whole, read(each.path)) for each in all_records()]
        records.sort(key=lambda row: float(row[1]["started_at"]))
        if options.json:
            print(json.dumps([{"migration": name, **record} for name, record in records], indent=2))
        elif records:
            print("\n".join(list_lines(records)))
        return OK
    found = find(options.migration)
    record = read(found.path)
    if options.png is not None:
        from ldmd.report.plot import png

        options.png.write_bytes(png(found.whole, record))
    if options.trace is not None:
        from ldmd.report.trace import trace

        options.trace.write_text(json.dumps(trace(record)), encoding="utf-8")
    if options.json:
        print(json.dumps({"migration": found.whole, **record}, indent=2))
    elif options.png is None and options.trace is None:
        print("\n".join(report_lines(found.whole.lstrip("/"), record)))
    return OK


# -- demo


def _add_demo(commands: Commands[Parser]) -> Parser:
    parser = _parser(commands, "demo", "move a running domain to another server and back, and see that nothing is lost",
                     " In a home\nof its own, which is removed afterwards; nothing else is touched.")
    parser.add_argument("--stay", action="store_true", help="work in the domain without moving it")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--keep", action="store_true", help="leave servers and files, to look at them")
    parser.set_defaults(handler=reporting(_demo))
    return parser


def _demo(options: argparse.Namespace) -> int:
    from ldmd.demo.show import run

    return run(stay=options.stay, as_json=options.json, keep=options.keep)
