"""The manual pages: one for each command, with all its options; and groff has nothing to complain of."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from emulator.cli import make_parsers
from ldmd.migrator.settings import Settings

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "man"
PAGES = sorted(MANUAL.glob("*.[18]"))
PARSERS = make_parsers()[1]


def text_of(name: str) -> str:
    """A page without its markup."""
    text = re.sub(r"^\.\S+ ?|\\f.|\"", "", (MANUAL / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return text.replace("\\-", "-").replace("\\(aq", "'")


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Its options by their long names, those of its verbs too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from options_of(verb)
        elif action.option_strings and action.dest != "help" and action.help != argparse.SUPPRESS:
            yield action.option_strings[-1]


@pytest.mark.parametrize("name", PARSERS)
def test_a_page_has_all_options(name: str) -> None:
    text = text_of(f"sun4v-{name}.1")
    missing = [each for each in options_of(PARSERS[name]) if not re.search(rf"(?<![\w-]){each}(?![\w-])", text)]
    assert missing == []


def test_the_overview_has_all_commands() -> None:
    text = text_of("sun4v.1")
    assert [name for name in PARSERS if f"sun4v-{name} (1)" not in text and f"sun4v-{name}(1)" not in text] == []


def test_every_page_is_of_a_command() -> None:
    assert {page.name for page in PAGES} == {f"sun4v-{name}.1" for name in PARSERS} | {
        "sun4v.1", "ldm.8", "ldmd.8", "vntsd.8"}


def test_all_settings_of_migrations_are_in_the_page() -> None:
    text = text_of("ldmd.8")
    for each in fields(Settings):
        shown = str(each.default).lower()
        assert re.search(rf"^ *{each.name.replace('_', '-')} = {re.escape(shown)} ", text, re.MULTILINE), each.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_has_no_complaint(page: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run([groff, "-man", "-ww", "-z", "-Tutf8", "-rLL=100n", str(page)], capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
