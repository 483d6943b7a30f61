"""A machine for Debian's gdb-multiarch, and Linux to debug on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gdb_bench import GDB, Bench
from linux_found import Linux, find_linux


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A machine that is on; the test is skipped where there is no GDB."""
    if shutil.which(GDB) is None:
        pytest.skip(f"{GDB} is not installed")
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def linux() -> Linux:
    """The built guest; the test is skipped where there is none."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    return found
