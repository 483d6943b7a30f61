"""The Python example of README.md works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_python_example() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    runs = {
        subprocess.run(
            [sys.executable, "-P", "-c", blocks[0]], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1  # it says that the digest is the same on every run
    output = runs.pop()
    assert output.startswith("StopReason.EXIT 0 ")
    assert "hello" in output
    assert re.search(r"^[0-9a-f]{64}$", output, re.MULTILINE)
