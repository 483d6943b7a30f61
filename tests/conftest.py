"""What all tests share: a header that says which core is under test, and tools that may be missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Tests import the instruction table as `csrc.isa`. Last, so that the package under test is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# The same examples on every run, no limit on the clock; S4V_EXAMPLES goes deeper.
settings.register_profile(
    "sun4v", derandomize=True, deadline=None, max_examples=int(os.environ.get("S4V_EXAMPLES", "100"))
)
settings.load_profile("sun4v")


def pytest_report_header(config: pytest.Config) -> str:
    """Name the core in the first lines of every run."""
    return f"sun4v core: {_build_info()}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """`make sanitize` says what it expects: a run with the wrong core would prove nothing."""
    wanted = os.environ.get("S4V_EXPECT_SANITIZER")
    if wanted and wanted not in (info := _build_info()):
        pytest.exit(f"the core under test is not built with {wanted}: {info}", returncode=3)


def _build_info() -> str:
    try:
        from emulator import build_info
    except ImportError as error:
        return f"not there ({error})"
    return build_info()


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Return find(name): the path of a program; the test is skipped where it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"needs {name}")
        return path

    return find
