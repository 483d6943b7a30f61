"""Points: @pytest.mark.points(n) of the tests that passed, of all. `--answer FILE` is what the student hands in."""

from pathlib import Path

import pytest

EARNED, POSSIBLE = pytest.StashKey(), pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption("--answer", type=Path, default=Path(__file__).with_name("answer.fth"))


def pytest_configure(config):
    config.addinivalue_line("markers", "points(n): what a test is worth")
    config.stash[EARNED] = config.stash[POSSIBLE] = 0


def points(item):
    marker = item.get_closest_marker("points")
    return marker.args[0] if marker else 0


def pytest_collection_finish(session):
    session.config.stash[POSSIBLE] = sum(map(points, session.items))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().passed:
        item.config.stash[EARNED] += points(item)


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"score: {config.stash[EARNED]} of {config.stash[POSSIBLE]}")


@pytest.fixture
def answer(request, console):
    """The console at OpenBoot's prompt, with the student's words compiled."""
    for line in request.config.getoption("--answer").read_text().splitlines():
        if line.split("\\")[0].strip():
            console.do(line.split("\\")[0].strip())
    return console
