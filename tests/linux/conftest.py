"""One build of Linux for all tests of this folder."""

from __future__ import annotations

import pytest
from linux_guest import Linux, find_linux


@pytest.fixture(scope="session")
def linux() -> Linux:
    """The built guest; the test is skipped where there is none."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    return found
