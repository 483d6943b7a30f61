"""Points: @pytest.mark.points(n) of the tests that passed, of all. `--answer FILE` is what the student hands in,
`--score FILE` where the points are written as JSON. Also with pytest-xdist (-n).
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--answer", type=Path, default=Path(__file__).with_name("answer.fth"))
    parser.addoption("--score", type=Path)


def pytest_configure(config):
    config.addinivalue_line("markers", "points(n): what a test is worth")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    marker = item.get_closest_marker("points")
    if call.when == "call" or (call.when == "setup" and report.failed):
        worth = marker.args[0] if marker else 0
        report.user_properties.append(("points", (worth if report.passed else 0, worth)))


def pytest_terminal_summary(terminalreporter, config):
    rows = {report.nodeid.rpartition("::")[2]: dict(report.user_properties)["points"]
            for reports in terminalreporter.stats.values() for report in reports
            if "points" in dict(getattr(report, "user_properties", ()))}
    earned, possible = (sum(pair[n] for pair in rows.values()) for n in (0, 1))
    terminalreporter.write_line(f"score: {earned} of {possible}")
    if config.getoption("--score"):
        config.getoption("--score").write_text(json.dumps({
            "answer": str(config.getoption("--answer")), "score": earned, "of": possible,
            "tests": {name: pair[0] for name, pair in sorted(rows.items())}}))


@pytest.fixture
def answer(request, console):
    """The console at OpenBoot's prompt, with the student's words compiled."""
    for line in request.config.getoption("--answer").read_text().splitlines():
        if line.split("\\")[0].strip():
            console.do(line.split("\\")[0].strip())
    return console
