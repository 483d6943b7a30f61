"""`sun4v gdb`: the way in for GDB."""

from __future__ import annotations

import argparse
import os
import sys

from emulator.arguments import FAILED, OK, Parser, reporting
from emulator.errors import ConfigError
from emulator.gdb.doors import LOOPBACK, PORT, Address, Door, parse_address
from emulator.gdb.listen import listen
from emulator.gdb.remote import RemoteDebuggee, connect_debuggee
from emulator.gdb.serve import PipeStream, serve
from emulator.places import find_machine, place
from emulator.power.commands import Commands, add_parser
from emulator.power.watch_commands import connect, find_guest


def add_gdb(commands: Commands) -> dict[str, Parser]:
    """The parser of the command by its name."""
    parser = add_parser(
        commands, "gdb", about="let GDB debug a domain that runs", usage="[OPTION ...] [MACHINE/]DOMAIN",
        more=" Virtual CPUs are threads.\nThe domain stops when GDB connects, and runs on when it has left.",
    )  # fmt: skip
    parser.add_argument("domain", metavar="[MACHINE/]DOMAIN", help="name or number of a domain")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--port", metavar="N", type=int, help=f"port of {LOOPBACK} to listen on (default {PORT}; 0: a free one)"
    )
    where.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="listen there; or unix:PATH. Beware: the protocol has no password"
    )
    where.add_argument("--stdio", action="store_true", help="speak on standard input and output: target remote | ...")
    parser.add_argument("--once", action="store_true", help="end when the first client has left")
    parser.set_defaults(handler=reporting(_gdb))
    return {"gdb": parser}


def _gdb(options: argparse.Namespace) -> int:
    machine_name, slash, domain = options.domain.rpartition("/")
    where = place(machine_name) if slash else find_machine()
    with connect(where) as machine:
        guest = find_guest(machine, domain)
        name, state = next(
            (each["name"], each["state"]) for each in machine.call("guest.list") if each["guest"] == guest
        )
    if state != "running":
        _say(f"{name} does not run: GDB can connect once it has been started (`ldm start-domain {name}`)")
    debuggee = connect_debuggee(where.hvctl, guest, f"{where.name}/{name}")
    try:
        if options.stdio:
            failed = serve(PipeStream(), debuggee)
            if failed is not None:
                raise failed
            return OK
        return _listen(debuggee, _address(options), once=options.once)
    finally:
        debuggee.close()


def _address(options: argparse.Namespace) -> Address:
    if options.listen is not None:
        return parse_address(options.listen)
    port = PORT if options.port is None else options.port
    if not 0 <= port <= 65535:
        raise ConfigError(f"{port} is no port: 0 to 65535")
    return Address(port=port)


def _listen(debuggee: RemoteDebuggee, address: Address, *, once: bool) -> int:
    door = Door(address)
    print(f"{debuggee.name}: target remote {door.address}", flush=True)
    return OK if listen(door, debuggee, _say, once=once) else FAILED


def _say(text: str) -> None:
    sys.stderr.write(f"sun4v: {text}{os.linesep}")
    sys.stderr.flush()
