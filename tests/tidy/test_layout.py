"""The layout in docs/ARCHITECTURE.md names every folder and module there is, and none that is not."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^## 6\. Layout.*?^```\n(.*?)^```", re.DOTALL | re.MULTILINE)


def named(top: str) -> set[str]:
    """What stands behind `top/`: names of modules (perhaps with *), and of folders with their slash."""
    found = BLOCK.search((ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert found is not None
    rows = [row for row in re.split(r"\n(?=\S)", found[1]) if row.startswith(f"{top}/")]
    (row,) = rows
    words = re.sub(r"\([^)]*\)|`[^`]*`", "", row).removeprefix(f"{top}/").split()
    return {word for word in words if re.fullmatch(r"[\w*]+(\.py|/)", word)} - {"__init__.py"}


def there(top: str) -> set[str]:
    """Modules, and folders with something of ours in them."""
    folders = {f"{path.name}/" for path in (ROOT / top).iterdir()
               if path.is_dir() and any(each.suffix in {".py", ".c", ".h"} for each in path.rglob("*"))}
    modules = {path.name for path in (ROOT / top).glob("*.py")} - {"__init__.py"}
    return folders - {"__pycache__/"} | modules


@pytest.mark.parametrize("top", ["csrc", "emulator", "ldmd", "tests"])
def test_the_layout_is_what_there_is(top: str) -> None:
    names, real = named(top), there(top)
    if top in {"csrc", "tests"}:  # of these the folders only
        names, real = {each for each in names if each.endswith("/")}, {each for each in real if each.endswith("/")}
    assert {each for each in real if not any(fnmatch(each, name) for name in names)} - {"golden/"} == set()
    assert {name for name in names if not any(fnmatch(each, name) for each in real)} - {"golden/"} == set()
