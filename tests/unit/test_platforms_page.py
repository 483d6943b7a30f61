"""docs/reference/platforms.md is what its generator writes, and its examples are what it says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from emulator.platforms import PLATFORMS, load_platform
from emulator.units import GIB

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_platforms", ROOT / "docs/reference/generate_platforms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(page: ModuleType) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page_text(), "run python docs/reference/generate_platforms.py"


def test_every_server_has_its_line(page: ModuleType) -> None:
    text = page.page_text()
    for name in PLATFORMS:
        assert text.count(f"\n| `{name}` | ") == 1


def test_the_examples_are_servers(page: ModuleType, tmp_path: Path) -> None:
    short, long, bank, root = re.findall(r"```toml\n(.*?)```", page.page_text(), re.DOTALL)
    path = tmp_path / "lab.toml"
    path.write_text(short)
    assert (load_platform(path).strands, load_platform(path).memory_bytes) == (128, 64 * GIB)
    path.write_text(long)
    assert load_platform(path).channels.per_domain_new == 1984
    path.write_text(f'base = "t5120"\n{bank}{root}')
    assert load_platform(path).memory_bytes == 16 * GIB
    assert [r.device for r in load_platform(path).roots if r.kind == "NIU"] == ["niu@80"]
