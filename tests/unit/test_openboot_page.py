"""docs/reference/openboot.md is what its generator writes; what docs/howto/openboot.md shows is what happens."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from firmware_support import session

from emulator.firmware import startup
from emulator.firmware.commandtable import COMMANDS
from emulator.firmware.disks import NOT_EXECUTABLE
from emulator.firmware.variables import TABLE

ROOT = Path(__file__).resolve().parents[2]
HOWTO = (ROOT / "docs/howto/openboot.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_openboot", ROOT / "docs/reference/generate_openboot.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(page: ModuleType) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page_text(), "run python docs/reference/generate_openboot.py"


def test_every_variable_and_command_has_its_line(page: ModuleType) -> None:
    text = page.page_text()
    for row in TABLE:
        assert text.count(f"\n| `{row.name}` | ") == 1
    for command in COMMANDS:
        if not command.name.startswith(("%", "(")):
            assert text.count(f"\n| `{command.name}` | ") == 1
            assert command.help


def test_what_the_tour_shows_is_what_happens() -> None:
    """Each line after the prompt is typed; where the tour shows an answer, it is the answer."""
    typed = 0
    for block in re.findall(r"```\n(.*?)```", HOWTO, re.DOTALL):
        person = session()
        for line, answer in re.findall(r"^\{0\} ok (.+)\n((?:(?!\{0\} ok).*\n)*)", block, re.MULTILINE):
            typed += 1
            if "^Y" in line or line == "show-disks":
                continue
            if not person.prompt.active:
                person.actions.clear()
                person.prompt.enter()
                person.shown()
            out = person.type(line + "\n")
            assert " ?\n" not in out, line
            if answer:
                shown = [text.rstrip() for text in out.split("\n")[1:-1]]
                assert shown == answer.rstrip("\n").split("\n"), line
    assert typed > 20


def test_the_tour_knows_the_messages() -> None:
    for message in (startup.CANNOT_LOCATE, startup.CANNOT_OPEN, startup.NOT_OKAY, startup.LOAD_FAILED,
                    NOT_EXECUTABLE, startup.ABORTING):  # fmt: skip
        assert message.strip() in HOWTO
