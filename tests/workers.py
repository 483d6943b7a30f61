"""Several processes for one run of the suite, by pytest-xdist: who runs what, in which order, and what runs alone.

Plugins that tests/conftest.py registers; without `-n` they do nothing. A file of tests is one piece of work, since its
fixtures are made once for it. Files that take long come first, so that no processor is idle at the end; files with
tests that are marked `serial` come last, and such a test starts when no other runs, and no other starts before it is
over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_shares import Turns

# What takes longest, longest first; then come the other files with tests marked `slow`.
LONG = (
    "tests/realrules/",
    "tests/room/test_howto.py",
    "tests/fuzz/test_engine_fuzz.py",
    "tests/room/test_linux_moves.py",
    "tests/mutation/test_mutants.py",
    "tests/property/test_translator.py",
    "tests/property/test_engine_properties.py",
    "tests/unit/test_threads.py",
    "tests/cli/test_package.py",
    "tests/property/test_other_hosts.py",
)
# These folders have servers that all their tests share.
TOGETHER = ("tests/realrules/",)


def scope_of(nodeid: str) -> str:
    """The piece of work that a test belongs to."""
    file = nodeid.split("::", 1)[0]
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def _ranks(items: list[pytest.Item]) -> dict[str, int]:
    """When a piece of work comes: the least first."""
    ranks: dict[str, int] = {}
    for item in items:
        scope = scope_of(item.nodeid)
        rank = len(LONG) + 1
        if scope in LONG:
            rank = LONG.index(scope)
        elif item.get_closest_marker("slow"):
            rank = len(LONG)
        ranks[scope] = min(rank, ranks.get(scope, rank))
    for item in items:
        if item.get_closest_marker("serial") and scope_of(item.nodeid) not in LONG:
            ranks[scope_of(item.nodeid)] = len(LONG) + 2
    return ranks


class Worker:
    """One of the processes that run tests."""

    def __init__(self, shared: Path) -> None:
        self._turns = Turns(shared)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The same order in all of them."""
        ranks = _ranks(items)
        items.sort(key=lambda item: ranks[scope_of(item.nodeid)])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self._turns.turn(alone=item.get_closest_marker("serial") is not None):
            return (yield)


class Controller:
    """The process that gives out the work."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """By pieces of work, in the order of the collection."""
        from xdist.scheduler import LoadScopeScheduling

        class Scheduling(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:
                return scope_of(nodeid)

        config.option.loadscopereorder = False
        return Scheduling(config, log)


def configure(config: pytest.Config) -> None:
    """Register what this process is."""
    given = getattr(config, "workerinput", None)
    if given is not None:
        # Names of sockets have little room, and this is part of them: .../0 in place of .../popen-gw0
        shared = Path(config.option.basetemp).parent
        config.option.basetemp = str(shared / given["workerid"].removeprefix("gw"))
        config.pluginmanager.register(Worker(shared))
    else:
        config.pluginmanager.register(Controller())
