"""The hall of servers, for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hall import Hall


@pytest.fixture(scope="package")
def hall() -> Iterator[Hall]:
    home = Path(tempfile.mkdtemp(prefix="s4v"))
    made = Hall(home)
    yield made
    made.end()
    shutil.rmtree(home)
