"""The `ldm` command."""

from __future__ import annotations

from ldmd.unfinished import refuse


def main() -> int:
    """Entry point of the console command."""
    return refuse("ldm")
