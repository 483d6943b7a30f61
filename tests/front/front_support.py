"""pytest in a process of its own, as a user runs it, with our plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
SECONDS = 300


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`pytest` in a folder; nothing of this project's settings counts there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "emulator.pytest_plugin", "-p", "no:cacheprovider", "--rootdir", ".",
         "-c", os.devnull, *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)  # fmt: skip


def summary(output: str) -> dict[str, int]:
    """``{"passed": 3}``, from the last line."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", output.splitlines()[-1])}
