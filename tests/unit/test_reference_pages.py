"""The generated pages of docs/reference that are not of instructions: hypercalls, features."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from csrc.hyp import generate_docs as hypercalls

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def features() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_features", ROOT / "docs/reference/generate_features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_the_page_of_hypercalls_is_up_to_date() -> None:
    assert hypercalls.PAGE.read_text() == hypercalls.page_text(), "run python -m csrc.hyp.generate_docs"


def test_every_hypercall_has_its_line() -> None:
    numbers = [(call.trap, call.function) for call in hypercalls.calls()]
    assert len(set(numbers)) == len(numbers) > 40
    text = hypercalls.page_text()
    for call in hypercalls.calls():
        assert len(re.findall(rf"^\| {re.escape(call.number)} \| `{call.name}` \|", text, re.MULTILINE)) == 1


@pytest.mark.parametrize(("name", "errors"), [
    ("CPU_START", "ENOCPU ENORADDR EINVAL EBADALIGN"), ("CPU_YIELD", ""), ("MMU_UNMAP_ADDR", "EINVAL"),
    ("MMU_TSB_CTX0", "ENORADDR EBADPGSZ EBADTSB EINVAL EBADALIGN"), ("CONS_GETCHAR", "EWOULDBLOCK"),
])  # fmt: skip
def test_errors_are_read_from_the_code(name: str, errors: str) -> None:
    """Through helpers, and without those that are only compared with."""
    call = next(call for call in hypercalls.calls() if call.name == name)
    assert hypercalls.errors_of(call.handler) == errors.split()


def test_a_call_without_a_sentence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypercalls, "SECTIONS", {**hypercalls.SECTIONS, "Machine": {}})
    with pytest.raises(ValueError, match="MACH_EXIT"):
        hypercalls.page_text()


def test_the_page_of_features_is_up_to_date(features: ModuleType) -> None:
    assert features.PAGE.read_text() == features.page_text(), "run python docs/reference/generate_features.py"


def test_the_page_of_features_has_every_chip_and_class(features: ModuleType) -> None:
    text = features.page_text()
    assert "| SPARC T5 (`t5`) | migration-class1 | crc32c cbcond pause mont " in text
    assert text.count("(`sparc64-x`) | ") == 3
    assert "| `sha3` | 48 | sha3 |  | SHA-3 block instruction; not modelled | m8 |" in text
