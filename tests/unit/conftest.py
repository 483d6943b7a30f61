"""Fixtures of the unit tests: C test programs built from csrc/ with the host's compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

BuildC = Callable[..., Path]

# The sanitizer run of the suite preloads its library into Python. Compilers and C tests bring their own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}


@pytest.fixture
def build_c(tmp_path: Path) -> BuildC:
    """Return build(test, sources, flags): compiles csrc/tests/`test`.c with `sources` (globs under csrc/)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")

    def build(test: str, sources: Sequence[str], flags: Sequence[str] = ("-O2",)) -> Path:
        found = {pattern: sorted((ROOT / "csrc").glob(pattern)) for pattern in sources}
        assert all(found.values()), found
        files = [path for paths in found.values() for path in paths]
        program = tmp_path / test
        main = ROOT / "csrc" / "tests" / f"{test}.c"
        include = str(ROOT / "csrc")
        command: list[str | Path] = [compiler, *WARNINGS, *flags, "-I", include, main, *files, "-pthread"]
        command += ["-o", program]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert done.returncode == 0, done.stderr
        return program

    return build


@pytest.fixture(params=["plain", "sanitized"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Compiler flags: every test that asks for them runs optimised, and again under ASan and UBSan."""
    return SANITIZERS if request.param == "sanitized" else ("-O2",)


@pytest.fixture
def run_c() -> Callable[..., str]:
    """Return run(program, *arguments, data): its output, with `data` as input; status 77 skips, others fail."""

    def run(program: Path, *arguments: object, data: bytes = b"") -> str:
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, input=data, capture_output=True, env=ENVIRONMENT, timeout=300, check=False)
        output = done.stdout.decode()
        if done.returncode == 77:
            pytest.skip(output.strip())
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{output}{done.stderr.decode()}"
        return output

    return run
