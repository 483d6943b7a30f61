"""What the commands' argument parsers share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from emulator.errors import UnitError

T = TypeVar("T")
EXIT_USAGE = 2  # bad command line, bad image, impossible machine


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(EXIT_USAGE, f"sun4v: {message} (see `{self.prog} --help`)\n")


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of `emulator.units` as the `type` of an argument: its errors become those of the command line."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UnitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def complain(text: str) -> None:
    """A message for people on standard error."""
    print(f"sun4v: {text}", file=sys.stderr, flush=True)
