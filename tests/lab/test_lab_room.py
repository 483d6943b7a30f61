"""A lab with real processes: made, stopped, started again, removed; and what a failure leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import Shell

from ldmd.lab.reader import read_lab
from ldmd.lab.room import LabError, Room, lab_names

ROOT = Path(__file__).resolve().parents[2]
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
pytestmark = [pytest.mark.slow, pytest.mark.nosan]


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("l"))
    yield shell
    shell.sun4v("lab", "reset", "--all")
    assert shell.left() == []


def write(shell: Shell, *, port: int, more: str = "") -> Path:
    path = shell.home / "small.toml"
    path.write_text(f"""
[server.alpha]
platform = "t4-1"
memory = "8G"

[server.alpha.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{port}-{port + 1}"
vds.primary-vds0.root = {{ size = "16M", boot = "{LABOS}" }}

[server.alpha.domain.ldg1]
vcpus = 2
memory = "256M"
vdisk.vdisk0 = "root@primary-vds0"
variable.boot-device = "vdisk0"
{more}
""")
    return path


def domains(shell: Shell) -> dict[str, str]:
    lines = shell.ldm("list", "-p").splitlines()
    words = [dict(part.partition("=")[::2] for part in line.split("|")[1:]) for line in lines[1:]]
    return {each["name"]: each["state"] for each in words}


def test_up_down_up_reset(shell: Shell) -> None:
    port = free_ports()
    path = write(shell, port=port)
    said = shell.sun4v("lab", "up", str(path))
    assert "alpha: t4-1 is on\n" in said
    assert f"alpha: ldg1 active, console telnet localhost {port}\n" in said
    assert domains(shell) == {"primary": "active", "ldg1": "active"}
    listed = json.loads(shell.sun4v("lab", "list", "--json"))
    assert listed == [{"name": "small", "servers": ["alpha"], "on": ["alpha"]}]
    shell.sun4v("lab", "down", "small")
    assert shell.left() == []
    assert "small            0 of 1 on: alpha" in shell.sun4v("lab", "list")
    shell.sun4v("lab", "up", str(path))
    assert domains(shell) == {"primary": "active", "ldg1": "active"}
    assert "alpha: is on" in shell.sun4v("lab", "up", str(path))
    path.write_text(path.read_text() + "\n# changed")
    assert "made from another file" in shell.sun4v("lab", "up", str(path), status=1)
    shell.sun4v("lab", "reset", str(path))
    assert shell.left() == []
    assert [each for each in shell.home.rglob("*") if each.is_file()] == [path]


def test_a_failure_leaves_nothing(shell: Shell) -> None:
    path = write(shell, port=free_ports(), more='[server.alpha.domain.big]\nvcpus = 1\nmemory = "64G"\n')
    errors = shell.sun4v("lab", "up", str(path), status=1)
    assert "alpha: ldm set-memory 64G big" in errors
    assert shell.left() == []
    assert [each for each in shell.home.rglob("*") if each.is_file()] == [path]


def test_a_lab_whose_terminal_is_closed_leaves_nothing(shell: Shell) -> None:
    """SIGHUP comes to all of its processes, twice, and nobody reads what it says."""
    path = write(shell, port=free_ports())
    argv = [sys.executable, "-m", "emulator.cli", "lab", "up", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=shell.environment,
                          start_new_session=True) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"alpha: t4-1 is on\n"
        process.stdout.close()
        os.killpg(process.pid, signal.SIGHUP)
        taken_down = threading.Event()
        for _ in range(6000):
            if process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGHUP)
            taken_down.wait(0.01)
        assert process.wait(60) != 0
    assert shell.left() == []
    assert [each for each in shell.home.rglob("*") if each.is_file()] == [path]


def test_what_has_failed_is_told_although_nothing_can_be_taken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that is no folder: no lab is there to be removed. A machine that cannot start: its own words, once."""
    path = tmp_path / "small.toml"
    path.write_text('[server.alpha]\nplatform = "t4-1"\n')
    lab = read_lab(path)
    (tmp_path / "file").touch()
    said: list[str] = []
    monkeypatch.setenv("S4V_HOME", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        Room(said.append).up(lab)
    assert said == []
    monkeypatch.setenv("S4V_HOME", str(tmp_path / ("b" * 107)))
    with pytest.raises(LabError, match=r"^[^:]*/run/alpha/hvctl.sock: the path of a socket has at most 107 bytes"):
        Room(said.append).up(lab)
    assert said == ["taking down what was made (--keep leaves it)"]
    assert lab_names() == ()
    monkeypatch.setattr(Room, "reset", refuse)
    with pytest.raises(LabError, match="107 bytes"):
        Room(said.append).up(lab)
    assert "not all of it could be taken down (it is stuck)" in said[-1]


def refuse(_room: Room, name: str) -> None:
    raise LabError("it is stuck")


def test_a_failure_can_be_looked_at(shell: Shell) -> None:
    path = write(shell, port=free_ports(), more='[server.alpha.domain.big]\nvcpus = 1\nmemory = "64G"\n')
    shell.sun4v("lab", "up", "--keep", str(path), status=1)
    assert domains(shell)["big"] == "inactive"


def test_wrong_commands_are_found_before_anything_is_made(shell: Shell) -> None:
    path = write(shell, port=free_ports(), more='[server.alpha.domain.x]\nvcpus = 1\nconsole = { colour = "red" }\n')
    assert "has no property colour" in shell.sun4v("lab", "up", str(path), status=1)
    assert "there is no lab other" in shell.sun4v("lab", "down", "other", status=1)
    assert shell.sun4v("lab", "list") == ""
