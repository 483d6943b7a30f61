"""A pair of managers for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from migrator_support import Pair


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()
