"""labos from a shell: `sun4v run` boots it by firmware; its console is standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from labos_support import IMAGE

COMMAND = [sys.executable, "-P", "-c", "import sys; from emulator.cli import main; sys.exit(main())", "run"]
TIMEOUT = 120  # seconds; against a hanging test only


def run(*args: str, lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--deterministic", *args], input=lines, text=True, capture_output=True, timeout=TIMEOUT, check=False
    )


@pytest.mark.parametrize("options", [(), ("--platform", "t4-1", "--vcpus", "8", "--cpu-arch", "generic")])
def test_a_session(options: tuple[str, ...]) -> None:
    done = run(*options, "--stats", str(IMAGE), "hostname=ldg3", lines="uname -a\nrun check\nhalt\n")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "File and args: hostname=ldg3\n" in text
    assert "SunOS ldg3 5.11 11.3 sun4v sparc sun4v\n# check: ok\n# syncing file systems... done\n" in text
    assert json.loads(done.stderr)["reason"] == "exit"


def test_a_reboot_ends_where_it_is_asked_to() -> None:
    done = run("--no-reboot", str(IMAGE), lines="reboot\n")
    assert done.returncode == 0
    assert done.stdout.endswith("rebooting...\n")
