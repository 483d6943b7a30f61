"""The manual ldm(8), the reference page and the schema are what their generator writes, and right for their readers."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ldmd.cli.grammar import COMMANDS, aliases_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_ldm", ROOT / "docs/reference/generate_ldm.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "text"), [("PAGE", "page_text"), ("SCHEMA", "schema_text"), ("MANUAL", "manual_text")])
def test_pages_are_up_to_date(pages: ModuleType, path: str, text: str) -> None:
    written = getattr(pages, path).read_text(encoding="utf-8")
    assert written == getattr(pages, text)(), "run python docs/reference/generate_ldm.py"


def test_every_command_has_its_place(pages: ModuleType) -> None:
    page, manual = pages.page_text(), pages.manual_text()
    for command in COMMANDS.values():
        assert page.count(f"\n### {command.name}\n") == 1
        assert manual.count(f"\n.SS {pages.roff(command.name)}\n") == 1
        for alias in aliases_of(command.name):
            assert pages.roff(alias) in manual
    assert json.loads(pages.schema_text())["$defs"]


def test_tables_of_the_page_have_as_many_cells_as_columns(pages: ModuleType) -> None:
    columns = 0
    for line in pages.page_text().splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = len(re.split(r"(?<!\\)\|", line)) - 2
        columns = columns or cells
        assert cells == columns, line


@pytest.mark.parametrize("words", [["man", "-l", "--warnings"], ["groff", "-man", "-ww", "-z"],
                                   ["mandoc", "-T", "lint", "-W", "warning"]], ids=lambda words: words[0])
def test_the_manual_is_right_for_its_readers(pages: ModuleType, words: list[str]) -> None:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run([*words, str(pages.MANUAL)], capture_output=True, text=True, timeout=120, check=False)
    complaints = [line for line in (done.stderr + (done.stdout if words[0] == "mandoc" else "")).splitlines()
                  if "missing date" not in line]
    assert complaints == []


def test_the_manual_reads_well(pages: ModuleType) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(["groff", "-man", "-T", "ascii", "-P", "-c", str(pages.MANUAL)], capture_output=True,
                          text=True, timeout=120, check=True)
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    for text in ("ldm - command-line interface of the Logical Domains Manager", "ldm list-devices [-a] [-B] [-p] [-S]",
                 "--auto-adj", "OpenBoot's prompt", "EXIT STATUS"):
        assert text in plain
