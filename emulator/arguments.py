"""What the commands' argument parsers share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from emulator.errors import EmulatorError, UnitError

T = TypeVar("T")
OK, FAILED, EXIT_USAGE = 0, 1, 2
EXITS: tuple[tuple[int, str, str], ...] = (
    (OK, "all", "done"),
    (FAILED, "all", "it could not be done: refused, failed, or not there; nothing is left half made"),
    (EXIT_USAGE, "all", "the command line is wrong, or a file or server that it names is not what it should be"),
    (3, "sun4v run", "the guest died, or can never go on"),
    (124, "sun4v run", "--max-insns was reached"),
    (130, "all", "interrupted: Ctrl-C, or Ctrl-] on a terminal"),
    (141, "all", "standard output was closed"),
)
"""Status, whose, what it means: one table for `sun4v`, `ldm`, `ldmd` and `vntsd`. Any other of `sun4v run` is the
guest's (MACH_EXIT, modulo 256).
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(EXIT_USAGE, f"sun4v: {message} (see `{self.prog} --help`)\n")


def have_streams() -> None:
    """A command that was started with a standard stream closed reads nothing there, and writes into nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of `emulator.units` as the `type` of an argument: its errors become those of the command line."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UnitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def complain_about(error: EmulatorError) -> int:
    """Tell of an error, one line for each problem; the exit status that goes with it."""
    for problem in getattr(error, "problems", None) or [str(error)]:
        complain(str(problem))
    return EXIT_USAGE if error.of_usage else FAILED


def complain(text: str) -> None:
    """A message for people on standard error."""
    print(f"sun4v: {text}", file=sys.stderr, flush=True)


def reporting(action: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A handler whose errors are lines for people and exit statuses."""

    def handler(options: argparse.Namespace) -> int:
        try:
            return action(options)
        except EmulatorError as error:
            return complain_about(error)

    return handler
