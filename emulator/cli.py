"""`sun4v`: the command of the emulator."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from emulator import build_info, runner
from emulator.arguments import EXIT_USAGE, Parser, complain, have_streams
from emulator.completion import Answers
from emulator.diskcommand import add_disk
from emulator.errors import EmulatorError, PlatformFileError
from emulator.examples import add_examples
from emulator.gdb.command import add_gdb
from emulator.gdb.doors import PORT, is_address
from emulator.mdesc.command import add_md
from emulator.mkdisk import add_mkdisk
from emulator.platforms import PLATFORMS, find_platform, load_platform
from emulator.platforms.listing import list_json, sheet_text, table_text
from emulator.power.commands import add_power
from emulator.power.net_commands import add_net
from emulator.power.watch_commands import add_watch
from emulator.run_command import add_run
from emulator.shells import PROGRAMS, SHELLS, script
from emulator.version import __version__
from ldmd.lab.command import add_lab
from ldmd.lab.faultscommand import add_faults
from ldmd.movecommands import add_moves
from ldmd.spcommand import POLICIES, add_power_policy

WITH_VERBS = ("disk", "faults", "lab")
"""Commands that have commands of their own."""


def _version() -> str:
    return f"sun4v {__version__} ({build_info()})"


def _add_platforms(commands: argparse._SubParsersAction[Parser]) -> Parser:
    platforms = commands.add_parser(
        "platforms",
        usage="sun4v platforms [--json] [--file FILE] [NAME ...]",
        help="list the servers that can be emulated",
        description="List the servers that can be emulated, or show all that is known of some.",
        epilog="exit status:\n  0    all is well\n  2    unknown name, or a file that does not describe a server",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    platforms.add_argument(
        "names", metavar="NAME", nargs="*", help="a server, a chip's name, or a file ending in .toml"
    )
    platforms.add_argument(
        "--file", metavar="FILE", action="append", default=[], help="check and show the server of a TOML file"
    )
    platforms.add_argument("--json", action="store_true", help="print JSON: sizes in bytes, rates in Hz")
    platforms.set_defaults(handler=command_platforms)
    return platforms


def _add_completion(commands: argparse._SubParsersAction[Parser]) -> Parser:
    completion: Parser = commands.add_parser(
        "completion",
        help="print what makes a shell complete sun4v and ldm",
        description="Print what makes a shell complete commands, options and names of sun4v and ldm; to be sourced.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    completion.add_argument("shell", choices=SHELLS, help="which shell")
    completion.set_defaults(handler=_completion)
    return completion


def _completion(options: argparse.Namespace) -> int:
    print("\n".join(script(options.shell, program) for program in PROGRAMS), end="")
    return 0


def make_parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of `sun4v`, and those of its commands by name."""
    top = Parser(prog="sun4v", description="An emulated machine room of SPARC sun4v servers.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    parsers = {
        "run": add_run(commands),
        "platforms": _add_platforms(commands),
        "md": add_md(commands),
        "mkdisk": add_mkdisk(commands),
        "disk": add_disk(commands),
        **add_power(commands),
        **add_watch(commands),
        **add_gdb(commands),
        **add_net(commands),
        **add_power_policy(commands),
        **add_lab(commands),
        **add_faults(commands),
        **add_moves(commands),
        "completion": _add_completion(commands),
    }
    add_examples(parsers)
    return top, parsers


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. Options of a command may stand before, between and after its operands."""
    top, commands = make_parsers()
    if not argv or argv[0] not in commands:
        options = top.parse_args(argv)  # --help and --version leave here
        if not hasattr(options, "handler"):
            top.error("a command is missing")
        return options
    command, rest = commands[argv[0]], list(argv[1:])
    literal: list[str] = []
    if "--" in rest:
        split = rest.index("--")
        rest, literal = rest[:split], rest[split + 1 :]
    if argv[0] == "run":
        rest = _with_values(rest)
    parse = command.parse_args if argv[0] in WITH_VERBS else command.parse_intermixed_args
    options = parse(rest)
    if hasattr(options, "operands"):
        options.operands += literal
        if not options.operands and not options.firmware:
            command.error("an IMAGE is missing")
    return options


def _with_values(words: list[str]) -> list[str]:
    """Of `sun4v run`: a bare --trace or --gdb must not swallow the operand behind it."""
    out: list[str] = []
    for word in words:
        if out and out[-1] == f"--gdb={PORT}" and is_address(word):
            out[-1] = f"--gdb={word}"
        else:
            out.append({"--trace": "--trace=-", "--gdb": f"--gdb={PORT}"}.get(word, word))
    return out


def command_platforms(options: argparse.Namespace) -> int:
    """`sun4v platforms`."""
    chosen = []
    try:
        chosen += [load_platform(Path(name)) for name in options.file]
        chosen += [find_platform(name) for name in options.names]
    except PlatformFileError as error:
        for problem in error.problems:
            complain(problem)
        return EXIT_USAGE
    except EmulatorError as error:
        complain(str(error))
        return EXIT_USAGE
    if options.json:
        print(json.dumps(list_json(chosen or PLATFORMS.values()), indent=2))
    else:
        print("\n\n".join(map(sheet_text, chosen)) if chosen else table_text(PLATFORMS.values()))
    return 0


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:  # of a terminal that is closed several come, from the shell and from the kernel
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)  # through every `finally`: the terminal is restored


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    have_streams()
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # of nohup
        signal.signal(signal.SIGHUP, _terminate)
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--complete"]:
        from ldmd.lab.room import lab_names  # with the manager's operations behind it: not for every command

        print("\n".join(Answers(make_parsers()[1], lab_names, POLICIES).to(words[1:])))
        return 0
    options = parse_arguments(words)
    try:
        status: int = options.handler(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads: leave quietly, and keep the interpreter from trying once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return runner.EXIT_PIPE
    except KeyboardInterrupt:
        return runner.EXIT_INTERRUPTED
    except OSError as error:
        complain(f"{error.filename or 'input/output'}: {error.strerror or error}")
        return EXIT_USAGE
    return status


if __name__ == "__main__":
    sys.exit(main())
