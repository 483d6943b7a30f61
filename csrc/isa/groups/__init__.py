"""Rows of the instruction table, one module per group; ``ALL`` is the whole table in reading order."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..table import Op

GROUPS = ("integer", "branch", "memory", "privileged", "fp", "vis", "crypto")


def load_rows(groups: tuple[str, ...] = GROUPS) -> list[Op]:
    """The rows of the named groups; a group that has no module yet has none."""
    rows: list[Op] = []
    for group in groups:
        if find_spec(f"{__name__}.{group}") is not None:
            rows += import_module(f"{__name__}.{group}").ROWS
    return rows


ALL: list[Op] = load_rows()
