"""What the commands' argument parsers share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from emulator.errors import UnitError

T = TypeVar("T")


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of `emulator.units` as the `type` of an argument: its errors become those of the command line."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UnitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
