"""A million hostile headers, payloads and records against the transfer core, under the sanitizers.

The program: csrc/tests/stream_fuzz.c.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("stream/*.c", "crypto/crc32c.c", "util/pages.c")
FLAGS = ("-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread")
SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
COUNT = int(os.environ.get("S4V_STREAM_FUZZ", "200000"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}


def _build(directory: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    csrc = ROOT / "csrc"
    files = [csrc / "tests" / "stream_fuzz.c", *(path for pattern in SOURCES for path in sorted(csrc.glob(pattern)))]
    program = directory / "stream_fuzz"
    done = subprocess.run(
        [compiler, *FLAGS, "-I", csrc, *files, "-ldl", "-o", program],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


def _run(program: Path, count: int) -> int:
    print(f"seed {SEED}, {count} inputs")
    done = subprocess.run(
        [program, str(SEED), str(count)], capture_output=True, text=True, timeout=600, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    word, applied, _ = done.stdout.split()
    assert word == "ok"
    return int(applied)


def test_hostile_chunks_change_nothing_they_may_not(tmp_path: Path) -> None:
    applied = _run(_build(tmp_path), COUNT)
    assert 0.05 * COUNT < applied < 0.3 * COUNT  # both sorts were there


@pytest.mark.slow
def test_a_million_hostile_chunks(tmp_path: Path) -> None:
    _run(_build(tmp_path), 1_000_000)
