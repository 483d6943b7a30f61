"""What may not stand in the project: machine paths, hosts; in tests the clock, sleeping, and unseeded chance."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tidy_sources import TEXT, texts

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+)/\w"),
    "a package registry's host": re.compile(r"\b(?:pypi|npmjs|pythonhosted|debian)\.(?:org|net|com)\b"),
    "a registry setting": re.compile(r"--(?:extra-)?index-url|--trusted-host|find-links"),
}


def word_offences(path: str, text: str) -> Iterator[str]:
    """Forbidden words of one file."""
    for what, pattern in FORBIDDEN.items():
        for found in pattern.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path}:{line}: {what}: {found[0]!r}"


def test_no_machine_paths_and_hosts() -> None:
    own = "tests/tidy/test_words.py"  # its patterns and examples
    assert [o for path, text in texts(*TEXT) if path != own for o in word_offences(path, text)] == []


@pytest.mark.parametrize("text", ["cd /work/x", "see /root/y", "/home/me/z", "pypi.org", "pip --index-url x"])
def test_a_forbidden_word_is_seen(text: str) -> None:
    assert list(word_offences("a", text))


CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "asyncio": {"sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
CHANCE = {"seed"}  # of module random: what may be called on the module itself


def clock_offences(path: str, text: str) -> Iterator[str]:
    """Calls of one test file that make it depend on the host's clock or on chance."""
    tree = ast.parse(text)
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            for alias in node.names:
                if alias.name in CLOCKS[node.module]:
                    yield f"{path}:{node.lineno}: {node.module}.{alias.name}"
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name):
            if name in CLOCKS.get(owner.id, ()):
                yield f"{path}:{node.lineno}: {owner.id}.{name}()"
            of_module = owner.id == "random" and "random" in imports and name not in CHANCE
            if of_module and (name[0].islower() or not node.args):
                yield f"{path}:{node.lineno}: unseeded random.{name}()"


def test_tests_use_no_clock_and_no_unseeded_chance() -> None:
    """Benchmarks measure CPU time and may look at the clock; nothing else may."""
    assert [
        offence
        for path, text in texts(".py")
        if path.startswith("tests/") and not path.startswith("tests/benchmarks/")
        for offence in clock_offences(path, text)
    ] == []


@pytest.mark.parametrize(
    "text",
    ["time.sleep(1)", "from time import monotonic", "datetime.now()",
     "import random\nrandom.random()", "import random\nrandom.Random()"],
)
def test_a_clock_is_seen(text: str) -> None:
    assert list(clock_offences("a", text))


def test_seeded_chance_is_allowed() -> None:
    assert list(clock_offences("a", "import random\nrng = random.Random(7)\nrng.randrange(5)")) == []
