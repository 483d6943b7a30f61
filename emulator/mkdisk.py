"""`sun4v mkdisk`: a new disk image, empty or with a program that OpenBoot boots."""

from __future__ import annotations

import argparse
from contextlib import closing, suppress
from pathlib import Path

from emulator.arguments import EXIT_USAGE, Parser, argument, complain
from emulator.backends.bootdisk import make_bootable
from emulator.backends.images import Access, create_image, open_image
from emulator.errors import EmulatorError
from emulator.loader import parse_image
from emulator.units import parse_size

EPILOG = """\
exit status:
  0    done
  2    bad command line, a FILE that exists, a program that is none or does not fit

A disk with a program has slice a (sectors 0 up: label, boot block, program) and
slice h with the rest. At the ok prompt `boot disk` boots it; so does
  sun4v run --firmware --disk FILE
"""


def add_mkdisk(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """The parser of `sun4v mkdisk`."""
    mkdisk = commands.add_parser(
        "mkdisk",
        usage="sun4v mkdisk [--boot PROGRAM] FILE SIZE",
        help="make a disk image",
        description="Make a disk image that takes no room until it is written to.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    mkdisk.add_argument("file", metavar="FILE", help="must not exist yet; NAME.qcow2 becomes a qcow2 image")
    mkdisk.add_argument("size", metavar="SIZE", type=argument(parse_size), help="a multiple of 512 bytes, e.g. 64M, 8G")
    mkdisk.add_argument("--boot", metavar="PROGRAM", help="a kernel that is entered by OpenBoot: vmlinux, labos.elf")
    mkdisk.set_defaults(handler=command_mkdisk)
    return mkdisk


def command_mkdisk(options: argparse.Namespace) -> int:
    """`sun4v mkdisk`."""
    try:
        program = Path(options.boot).read_bytes() if options.boot else None
        if program is not None:
            parse_image(program)
        create_image(options.file, options.size)
    except EmulatorError as error:
        complain(f"{options.boot}: {error}" if error.code.startswith("image.") else str(error))
        return EXIT_USAGE
    if program is None:
        return 0
    try:
        with closing(open_image(options.file, Access())) as disk:
            make_bootable(disk, program)
    except (EmulatorError, OSError) as error:
        with suppress(OSError):
            Path(options.file).unlink()
        complain(f"{options.file}: {error}")
        return EXIT_USAGE
    return 0
