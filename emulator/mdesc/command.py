"""`sun4v md`: print the machine description of a domain, or write, read and compare the bytes of one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emulator.arguments import EXIT_USAGE, Parser, argument
from emulator.errors import EmulatorError
from emulator.mdesc.builder import build
from emulator.mdesc.decode import decode
from emulator.mdesc.diff import diff
from emulator.mdesc.encode import encode
from emulator.mdesc.model import MachineDescription, MdescError
from emulator.mdesc.printer import as_json, as_text
from emulator.mdesc.resources import plain_resources
from emulator.platforms import find_platform
from emulator.units import parse_size

EXIT_DIFFERENT = 1

EPILOG = """\
exit status:
  0    done; with --diff: both say the same
  1    with --diff: they differ
  2    bad command line, impossible domain, or a FILE that is no machine description
"""


def add_md(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """Add the command to the parser of `sun4v`; returns its parser."""
    md = commands.add_parser(
        "md",
        help="print the machine description of a domain",
        description="Print the machine description that a guest reads with MACH_DESC.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    md.add_argument(
        "--platform", metavar="P", default="t5-2", help="server, chip, or file ending in .toml (default t5-2)"
    )
    md.add_argument("--vcpus", metavar="N", type=int, default=1, help="virtual CPUs (default 1)")
    md.add_argument("--memory", metavar="M", type=argument(parse_size), default=256 << 20, help="memory (default 256M)")
    md.add_argument("--cpu-arch", metavar="A", default="native", help="cpu-arch (default native)")
    md.add_argument("--read", metavar="FILE", type=Path, help="take the bytes in FILE instead of building one")
    md.add_argument("--back", action="store_true", help="print the arcs back as well")
    form = md.add_mutually_exclusive_group()
    form.add_argument("--binary", metavar="FILE", type=Path, help="write the bytes to FILE (- for standard output)")
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--diff", metavar="FILE", type=Path, help="print what differs in the bytes in FILE")
    md.set_defaults(handler=command_md)
    return md


def command_md(options: argparse.Namespace) -> int:
    """`sun4v md`."""
    try:
        return _show(options, _described(options))
    except EmulatorError as error:
        return _complain(str(error))


def _described(options: argparse.Namespace) -> MachineDescription:
    if options.read is not None:
        return _read(options.read)
    platform = find_platform(options.platform)
    return build(platform, plain_resources(platform, options.vcpus, options.memory, cpu_arch=options.cpu_arch))


def _read(path: Path) -> MachineDescription:
    try:
        return decode(path.read_bytes())
    except MdescError as error:
        raise MdescError(f"{path}: {error}") from None


def _show(options: argparse.Namespace, md: MachineDescription) -> int:
    if options.diff is not None:
        changes = diff(md, _read(options.diff))
        print("".join(f"{change}\n" for change in changes), end="")
        return EXIT_DIFFERENT if changes else 0
    if options.binary is not None:
        blob = encode(md)
        if str(options.binary) == "-":
            sys.stdout.buffer.write(blob)
        else:
            options.binary.write_bytes(blob)
    elif options.json:
        print(as_json(md))
    else:
        print(as_text(md, back=options.back), end="")
    return 0


def _complain(text: str) -> int:
    print(f"sun4v: {text}", file=sys.stderr, flush=True)
    return EXIT_USAGE
