"""The `ldm` command."""

from __future__ import annotations


def main() -> int:
    """Entry point of the console command."""
    from ldmd.cli.main import main as ldm

    return ldm()
