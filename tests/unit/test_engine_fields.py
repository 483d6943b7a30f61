"""The field table of a strand is complete: a field that is not in it does not compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
pytestmark = pytest.mark.nosan


def compiles(directory: Path) -> tuple[bool, str]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{directory}",
               str(directory / "strand" / "state.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CSRC, tmp_path / "csrc", ignore=shutil.ignore_patterns("tests", "groups")))


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def test_the_table_compiles(copy: Path) -> None:
    good, why = compiles(copy)
    assert good, why


@pytest.mark.parametrize("place", ["u64 arch;", "u64 arch_end;", "struct strand_env \\*env;", "u64 stop_code;"])
@pytest.mark.parametrize("member", ["u64 forgotten;", "u32 forgotten;", "u8 forgotten[3];"])
def test_a_member_beside_the_tables_does_not_compile(copy: Path, place: str, member: str) -> None:
    """Anywhere in struct strand, of any size."""
    edit(copy / "strand" / "strand.h", rf"(?m)^  (?={place})", f"  {member}\n  ")
    good, why = compiles(copy)
    assert not good
    assert "static assertion failed" in why


def test_a_field_that_leaves_padding_does_not_compile(copy: Path) -> None:
    edit(copy / "strand" / "fields.def", r"(?m)^FIELD\(u64, pc\)", "FIELD(u8, odd)\nFIELD(u64, pc)")
    good, why = compiles(copy)
    assert not good
    assert "static assertion failed" in why


@pytest.mark.parametrize("field", ["y", "gsr", "pil", "cansave"])
def test_a_field_taken_out_does_not_compile_where_it_is_used(copy: Path, field: str) -> None:
    edit(copy / "strand" / "fields.def", rf"(?m)^FIELD\(u\d+, {field}\).*$", "")
    good, _ = compiles(copy)
    assert not good
