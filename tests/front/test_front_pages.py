"""Pages that are made from tables are what the tables say; every page can be found; every link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from front_support import ROOT

from emulator import runner
from emulator.arguments import EXIT_USAGE, EXITS, FAILED, OK
from emulator.cli import make_parsers

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_front", DOCS / "reference" / "generate_front.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(pages: ModuleType) -> None:
    for path, text in pages.files():
        assert path.read_text() == text, f"{path}: run python docs/reference/generate_front.py"


def test_exit_statuses_are_the_same_everywhere() -> None:
    known = {status for status, _, _ in EXITS}
    assert known == {OK, FAILED, EXIT_USAGE, runner.EXIT_DIED, runner.EXIT_LIMIT, runner.EXIT_INTERRUPTED,
                     runner.EXIT_PIPE}  # fmt: skip
    ldm = importlib.import_module("ldmd.cli.main")
    assert (ldm.EXIT_OK, ldm.EXIT_REFUSED, ldm.EXIT_USAGE) == (OK, FAILED, EXIT_USAGE)
    assert (ldm.EXIT_INTERRUPTED, ldm.EXIT_PIPE) == (runner.EXIT_INTERRUPTED, runner.EXIT_PIPE)


def test_every_page_is_listed_and_every_link_leads_somewhere() -> None:
    listed = set(re.findall(r"\]\(([^)#]+)\)", (DOCS / "README.md").read_text()))
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"README.md"}
    assert there == listed
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_command_has_a_page_and_every_option_is_on_it() -> None:
    for name, parser in make_parsers()[1].items():
        page = DOCS / "man" / f"sun4v-{name}.1"
        assert page.exists(), name
        text = page.read_text().replace("\\-", "-")
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"{page.name}: {option}"


def test_pages_of_commands_are_files_of_this_project() -> None:
    commands = set(make_parsers()[1])
    for path in sorted(Path(DOCS / "man").glob("sun4v-*.1")):
        assert path.stem.removeprefix("sun4v-") in commands
