"""A pair of managers for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from migrator_support import Pair
from mishaps import COUNTED, table

A_TABLE = 100
"""Mishaps after which it is worth reading."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What of the crash matrix really came."""
    for line in table() if COUNTED.total() >= A_TABLE else ():
        terminalreporter.write_line(line)
