"""The systemd units: as systemd reads them, and against what our commands understand."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ldmd.daemon
import ldmd.vntsd_daemon
from emulator.cli import make_parsers

UNITS = sorted((Path(__file__).resolve().parents[2] / "packaging" / "systemd").glob("*.service"))


def read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def test_there_are_three() -> None:
    assert [path.name for path in UNITS] == [
        "sun4v-ldmd@.service", "sun4v-machine@.service", "sun4v-vntsd@.service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_sections_and_user(path: Path) -> None:
    unit = read(path)
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert unit["Service"]["User"] == "sun4v" and unit["Service"]["NoNewPrivileges"] == "yes"
    assert "%i" in unit["Unit"]["Description"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_commands_understand_their_arguments(path: Path) -> None:
    unit = read(path)
    for key in ("ExecStart", "ExecStop"):
        if key not in unit["Service"]:
            continue
        program, *arguments = shlex.split(unit["Service"][key].replace("%i", "alpha"))
        parser = {"sun4v": lambda: make_parsers()[0], "ldmd": ldmd.daemon.build_parser,
                  "vntsd": ldmd.vntsd_daemon._parser}[Path(program).name]()
        assert parser.parse_args(arguments)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_them(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for each in UNITS:  # the programs need not be installed where the test runs
        text = each.read_text()
        for name in ("sun4v", "ldmd", "vntsd"):
            text = text.replace(f"=/usr/bin/{name} ", f"={sys.executable} ")
        (tmp_path / each.name.replace("@.", "@alpha.")).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name.replace("@.", "@alpha."))],
        capture_output=True, text=True, check=False, env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"})
    complaints = [line for line in done.stderr.splitlines() if "sun4v-" in line]
    assert complaints == [], done.stderr


def test_ldmd_does_not_end_with_a_restart_of_others() -> None:
    unit = read(next(path for path in UNITS if "ldmd" in path.name))
    assert "BindsTo" not in unit["Unit"] and "PartOf" not in unit["Unit"]
    assert unit["Service"]["Type"] == "notify" and "--foreground" not in unit["Service"]["ExecStart"]
