"""The commands for machines: help, manual pages, and the table of `sun4v machines`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.cli import make_parsers
from emulator.power.commands import machines_text
from emulator.power.control import MachineState

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["power-on", "power-off", "kill", "machines", "delete", "console", "events", "plug", "capture", "gdb"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_manual_page_know_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = make_parsers()[1][name]
    page = (ROOT / "docs" / "man" / f"sun4v-{name}.1").read_text().replace("\\-", "-")
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    for option in options:
        if option != "--help":
            assert option in page, f"{option} is not in the manual page"
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "exit status:" in text and all(option in text for option in options)
    for status in ("0", "1", "2"):
        assert f".B {status}\n" in page


def test_the_table() -> None:
    states = [
        MachineState("alpha", "on", "t5-2", 512 << 30, 3, 77, 1000.0, ldmd=True),
        MachineState("beta", "crashed", "m7-16", 1 << 40),
        MachineState("gamma", "mute", "t5-2", 1 << 40, pid=5),
    ]
    assert machines_text(states, now=1000.0 + 90000).splitlines() == [
        "NAME   STATE    PLATFORM  MEMORY  DOMAINS  PROCESS  LDMD  UP",
        "alpha  on       t5-2      512G    3        77       on    1d 1h",
        "beta   crashed  m7-16     1T",
        "gamma  mute     t5-2      1T               5",
    ]


def test_the_example_of_the_howto_runs() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "machines.md").read_text(), re.DOTALL)
    assert code is not None
    argv = [sys.executable, "-c", code[1]]
    outputs = [
        subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100) for _ in range(2)
    ]
    assert "Hostname: labos" in outputs[0].stdout and outputs[0].stdout == outputs[1].stdout
