"""What the commands of this package answer until the manager exists."""

from __future__ import annotations

import sys

EXIT_UNFINISHED = 2


def refuse(command: str) -> int:
    """Say on standard error that the command does nothing yet; returns the exit status."""
    print(
        f"{command}: this version of sun4v has no Logical Domains Manager yet; only `sun4v run` is there",
        file=sys.stderr,
    )
    return EXIT_UNFINISHED
