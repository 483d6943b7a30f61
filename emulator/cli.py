"""`sun4v`: the command of the emulator."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from emulator import build_info, runner
from emulator.disasm import listing
from emulator.errors import EmulatorError, PlatformFileError, UnitError
from emulator.loader import Image, read_image
from emulator.machine import Machine
from emulator.mdesc.command import add_md
from emulator.platforms import PLATFORMS, find_platform, load_platform
from emulator.platforms.listing import list_json, sheet_text, table_text
from emulator.terminal import HostConsole, QuitError
from emulator.units import parse_count, parse_size
from emulator.version import __version__

T = TypeVar("T")

RUN_EPILOG = """\
exit status:
  the guest's exit code (MACH_EXIT), modulo 256, or
  2    bad command line, image that cannot be loaded, impossible machine
  3    the guest died: trap at the last trap level, wrong use of a hypercall
  124  --max-insns reached
  130  interrupted: Ctrl-C, or Ctrl-] on a terminal
  141  standard output was closed

The program is loaded at its ELF physical addresses and started at its entry on
one strand: privileged, MMU off, trap level 0. Write -- before arguments that
begin with a dash.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(runner.EXIT_USAGE, f"sun4v: {message} (see `{self.prog} --help`)\n")


def _unit(parse: Callable[[str], T]) -> Callable[[str], T]:
    def convert(text: str) -> T:
        try:
            return parse(text)
        except UnitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _version() -> str:
    return f"sun4v {__version__} ({build_info()})"


def _add_run(commands: argparse._SubParsersAction[Parser]) -> Parser:
    run = commands.add_parser(
        "run",
        usage="sun4v run [OPTION ...] IMAGE [ARG ...]",
        help="run a freestanding SPARC V9 program",
        description="Run a freestanding SPARC V9 ELF program with its console on standard input and output.",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument(
        "operands",
        metavar="IMAGE [ARG ...]",
        nargs="*",
        help="static 64-bit SPARC V9 ELF executable; its arguments",
    )
    run.add_argument(
        "--memory",
        metavar="SIZE",
        default=256 << 20,
        type=_unit(parse_size),
        help="guest memory, e.g. 64M, 1G (default 256M)",
    )
    run.add_argument(
        "--platform",
        metavar="NAME",
        default="t5-2",
        help="server to be, a chip's name, or a file ending in .toml (default t5-2; see `sun4v platforms`)",
    )
    run.add_argument(
        "--cpu-arch",
        metavar="ARCH",
        default="native",
        help="native, generic, migration-class1 or sparc64-class1 (default native)",
    )
    run.add_argument(
        "--deterministic",
        action="store_true",
        help="count time in instructions; read all of a piped standard input before the start",
    )
    run.add_argument(
        "--max-insns",
        metavar="N",
        type=_unit(parse_count),
        help="stop after N instructions (e.g. 5M) with status 124",
    )
    run.add_argument(
        "--stats",
        action="store_true",
        help="print instructions, seconds and MIPS as one line of JSON on standard error",
    )
    run.add_argument(
        "--trace",
        metavar="FILE",
        help="one line per instruction to FILE (--trace=FILE), or to standard error (--trace)",
    )
    run.add_argument(
        "--disasm", action="store_true", help="print the program's code as assembler; do not run it"
    )
    run.set_defaults(handler=command_run)
    return run


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


def make_parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of `sun4v`, and those of its commands by name."""
    top = Parser(
        prog="sun4v", description="An emulated machine room of SPARC sun4v servers.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    return top, {"run": _add_run(commands), "platforms": _add_platforms(commands), "md": add_md(commands)}


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
    # A bare --trace must not swallow the operand behind it.
    rest = ["--trace=-" if word == "--trace" else word for word in rest]
    options = command.parse_intermixed_args(rest)
    if hasattr(options, "operands"):
        options.operands += literal
        if not options.operands:
            command.error("an IMAGE is missing")
    return options


def command_run(options: argparse.Namespace) -> int:
    """`sun4v run`."""
    path = Path(options.operands[0])
    try:
        image = read_image(path)
        if options.disasm:
            return print_disassembly(image)
        return run_image(options, image, path)
    except EmulatorError as error:
        complain(f"{path}: {error}" if error.code.startswith("image.") else str(error))
        return runner.EXIT_USAGE


def run_image(options: argparse.Namespace, image: Image, path: Path) -> int:
    """Build the machine, run, report."""
    machine = Machine(
        options.memory,
        platform=options.platform,
        cpu_arch=options.cpu_arch,
        deterministic=options.deterministic,
    )
    runner.prepare(machine, image, path, options.operands[1:])
    with ExitStack() as stack:
        trace = None
        if options.trace is not None:
            name = options.trace
            trace = sys.stderr if name == "-" else stack.enter_context(open(name, "w", encoding="ascii"))
        session = runner.Session(machine, HostConsole(), max_insns=options.max_insns, trace=trace)
        outcome = run_session(session)
    if outcome.report:
        complain(outcome.report)
    if options.stats:
        print(session.timing.as_json(outcome), file=sys.stderr, flush=True)
    return outcome.status


def run_session(session: runner.Session) -> runner.Outcome:
    """Run with the terminal set up; a quit and a closed output become outcomes."""
    try:
        with session.host:
            return session.run()
    except QuitError:
        return runner.Outcome(runner.EXIT_INTERRUPTED, "quit (Ctrl-])")
    except KeyboardInterrupt:
        return runner.Outcome(runner.EXIT_INTERRUPTED, "interrupted")
    except BrokenPipeError:
        return runner.Outcome(runner.EXIT_PIPE, "")


def print_disassembly(image: Image) -> int:
    """The executable segments as assembler, at their real addresses."""
    for segment in image.segments:
        if segment.executable:
            print(f"\nsegment {segment.ra:#x}..{segment.end - 1:#x}")
            for line in listing(segment.data, segment.ra):
                print(line)
    return 0


def command_platforms(options: argparse.Namespace) -> int:
    """`sun4v platforms`."""
    chosen = []
    try:
        chosen += [load_platform(Path(name)) for name in options.file]
        chosen += [find_platform(name) for name in options.names]
    except PlatformFileError as error:
        for problem in error.problems:
            complain(problem)
        return runner.EXIT_USAGE
    except EmulatorError as error:
        complain(str(error))
        return runner.EXIT_USAGE
    if options.json:
        print(json.dumps(list_json(chosen or PLATFORMS.values()), indent=2))
    else:
        print("\n\n".join(map(sheet_text, chosen)) if chosen else table_text(PLATFORMS.values()))
    return 0


def complain(text: str) -> None:
    """A message for people on standard error."""
    print(f"sun4v: {text}", file=sys.stderr, flush=True)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # through every `finally`: the terminal is restored


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    options = parse_arguments(sys.argv[1:] if argv is None else argv)
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
        return runner.EXIT_USAGE
    return status


if __name__ == "__main__":
    sys.exit(main())
