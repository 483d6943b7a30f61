"""The builder of the C core: what it compiles again and when, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """The builder, loaded by path as setup.py does it."""
    path = ROOT / "emulator" / "_build_core.py"
    if not path.exists():
        pytest.skip("needs the source tree")
    spec = importlib.util.spec_from_file_location("_build_core_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def unit(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A unit of one source and one header in a directory of its own."""
    monkeypatch.setattr(builder, "CSRC", tmp_path)
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n')
    (tmp_path / "a.h").write_text("#define A 1\n")
    (tmp_path / "a.c").write_text('#include "a.h"\nint a(void);\nint a(void) { return A; }\n')
    return builder.make_unit(builder.make_plan(), tmp_path / "a.c", [])


def age(path: Path, seconds: int) -> None:
    """Move the time stamp of a file by so much from its object's."""
    stamp = path.stat().st_mtime_ns + seconds * 10**9
    os.utime(path, ns=(stamp, stamp))


def test_an_object_is_fresh_until_something_it_read_changes(unit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert not unit.is_fresh()
    assert unit.compile() == ""
    assert unit.target.exists()
    age(unit.target, 1)
    assert unit.is_fresh()
    age(tmp_path / "a.h", 10)
    assert not unit.is_fresh()
    assert unit.compile() == ""
    age(unit.target, 20)
    assert unit.is_fresh()
    (tmp_path / "a.h").unlink()
    assert not unit.is_fresh()


def test_other_flags_compile_again(unit, builder: ModuleType, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert unit.compile() == ""
    age(unit.target, 1)
    other = builder.make_unit(builder.make_plan(), tmp_path / "a.c", ["-DB"])
    assert other.target == unit.target
    assert not other.is_fresh()


def test_a_failed_compile_is_named_and_not_fresh(unit, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.c").write_text("int a(void) { return undeclared; }\n")
    assert "a.c" in unit.compile()
    assert "undeclared" in capsys.readouterr().err
    assert not unit.is_fresh()


def test_the_sanitizer_build_stands_apart(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builder.make_plan()
    monkeypatch.setenv("S4V_SANITIZE", "address,undefined")
    sanitized = builder.make_plan()
    assert plain.work != sanitized.work
    assert "-fsanitize=address,undefined" in sanitized.flags()
    assert not [flag for flag in plain.flags() if "sanitize" in flag]


def test_a_missing_compiler_is_said_clearly(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(builder.BuildError, match="install gcc"):
        builder.make_plan()


def test_unchanged_text_keeps_its_time_stamp(builder: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "x"
    builder.write_if_changed(path, "one")
    age(path, -100)
    stamp = path.stat().st_mtime_ns
    builder.write_if_changed(path, "one")
    assert path.stat().st_mtime_ns == stamp
    builder.write_if_changed(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mtime_ns != stamp


def test_the_core_is_all_of_csrc_but_its_tests(builder: ModuleType) -> None:
    names = {path.relative_to(ROOT / "csrc").parts[0] for path in builder.core_sources()}
    assert {"mem", "strand", "machine", "fp"} <= names
    assert "tests" not in names
