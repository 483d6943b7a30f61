"""What all tests share: a header that says which core is under test, and the processes that run them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import workers
from hypothesis import settings

# Tests import the instruction table as `csrc.isa`. Last, so that the package under test is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# The same examples on every run, no limit on the clock; S4V_EXAMPLES goes deeper.
settings.register_profile(
    "sun4v", derandomize=True, deadline=None, max_examples=int(os.environ.get("S4V_EXAMPLES", "100"))
)
settings.load_profile("sun4v")


def _build_info() -> str:
    try:
        from emulator import build_info
    except ImportError as error:
        return f"not there ({error})"
    return build_info()


# Imported here, before any other conftest can put the source tree in front of the package under test.
BUILD_INFO = _build_info()


def pytest_configure(config: pytest.Config) -> None:
    workers.configure(config)
    # A shell's job in the background ignores it, and so would the programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """Name the core in the first lines of every run."""
    return f"sun4v core: {BUILD_INFO}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """`make sanitize` says what it expects: a run with the wrong core would prove nothing."""
    wanted = os.environ.get("S4V_EXPECT_SANITIZER")
    if wanted and wanted not in BUILD_INFO:
        pytest.exit(f"the core under test is not built with {wanted}: {BUILD_INFO}", returncode=3)
