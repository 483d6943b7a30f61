"""Every `ldm` and `sun4v` line of the pages is one that the commands understand; labos knows what it is told to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.cli import parse_arguments
from ldmd.cli.main import _machine
from ldmd.cli.parse import UsageError, parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("howto/*.md")),
         *sorted((ROOT / "docs").glob("internals/*.md")), *sorted((ROOT / "docs").glob("examples/**/*.md")),
         *sorted((ROOT / "docs").glob("tutorials/*.md")))  # fmt: skip
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def lines_of(page: Path) -> Iterator[list[str]]:
    """Commands of ours in its blocks, as words; but for those whose output says that they are wrong."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        text = block.replace("\\\n", " ")
        rows = text.splitlines()
        for place, row in enumerate(rows):
            if "[exit 2]" in rows[place + 1 : place + 8] or "..." in row:
                continue
            for part in re.split(r"(?<!\\)[;|&]+(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", row.removeprefix("$ ")):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue  # a script goes on in the next line
                while words and re.fullmatch(r"\w+=\S*|sudo|timeout|time|\$\(?", words[0]):
                    words.pop(0)
                words = words[: next((n for n, word in enumerate(words) if word.startswith((">", "<", "2>"))), None)]
                if words and words[0] in {"ldm", "sun4v"}:
                    yield words


def problem(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of a line, or ""."""
    if words[0] == "sun4v":
        try:
            parse_arguments(words[1:])
        except SystemExit as end:
            return "" if not end.code else capsys.readouterr().err
        return ""
    try:
        _, rest = _machine(words[1:])
        if rest and not rest[0].startswith("-"):
            parse(rest)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [(words, said) for words in lines_of(page) if (said := problem(words, capsys))] == []


def test_there_are_many() -> None:
    assert sum(1 for page in PAGES for _ in lines_of(page)) > 200


def test_what_the_tour_types_at_labos_is_a_command_of_labos() -> None:
    table = (ROOT / "images" / "labos" / "commands.def").read_text(encoding="utf-8")
    known = set(re.findall(r'^COMMAND\(\w+, \w+, "([\w-]+)', table, re.MULTILINE))
    (line,) = re.findall(r"^telnet localhost 5000 +# (.*)$", (ROOT / "docs/howto/tour.md").read_text(), re.MULTILINE)
    typed = [words.split()[0] for words in re.findall(r"`([^`]+)`", line)]
    assert "dirty" in known and typed and set(typed) <= known
