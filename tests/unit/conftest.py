"""Fixtures of the unit tests: C test programs built from csrc/ with the host's compiler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

BuildC = Callable[..., Path]


@pytest.fixture
def build_c(tmp_path: Path) -> BuildC:
    """Return build(test, sources, flags): compiles csrc/tests/`test`.c with `sources` (globs under csrc/)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")

    def build(test: str, sources: Sequence[str], flags: Sequence[str] = ("-O2",)) -> Path:
        files = [path for pattern in sources for path in sorted((ROOT / "csrc").glob(pattern))]
        assert files, sources
        program = tmp_path / test
        main = ROOT / "csrc" / "tests" / f"{test}.c"
        include = str(ROOT / "csrc")
        command: list[str | Path] = [compiler, *WARNINGS, *flags, "-I", include, main, *files, "-pthread"]
        command += ["-o", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return program

    return build


@pytest.fixture(params=["plain", "sanitized"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Compiler flags: every test that asks for them runs optimised, and again under ASan and UBSan."""
    return SANITIZERS if request.param == "sanitized" else ("-O2",)


@pytest.fixture
def run_c() -> Callable[..., str]:
    """Return run(program, *arguments): its standard output; a failure shows both outputs, status 77 skips."""

    def run(program: Path, *arguments: object) -> str:
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 77:
            pytest.skip(done.stdout.strip())
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run
