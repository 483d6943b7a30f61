"""What both sides show of a migration that goes on, and that it can be given up: real servers, real commands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from room_support import Shell

from ldmd.demo.stage import lab_text

ROOT = Path(__file__).resolve().parents[2]
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
TRIES = 400
pytestmark = [pytest.mark.slow, pytest.mark.nosan]


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("h"))
    for name in ("boot", "other"):
        shell.sun4v("mkdisk", "--boot", str(LABOS), str(shell.home / f"{name}.img"), "8M")
    shell.sun4v("mkdisk", str(shell.home / "data.img"), "1M")
    (shell.home / "demo.toml").write_text(lab_text(shell.home))
    shell.sun4v("lab", "up", str(shell.home / "demo.toml"))
    yield shell
    shell.end()


def lists_until(shell: Shell, machine: str, words: tuple[str, ...], pattern: str) -> str:
    """A list that comes to look so."""
    said = ""
    for _ in range(TRIES):
        done = subprocess.run([sys.executable, "-m", "ldmd.cli", "-m", machine, *words], env=shell.environment,
                              cwd=shell.home, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        said = done.stdout + done.stderr
        if re.search(pattern, said, re.MULTILINE):
            return said
    raise AssertionError(f"ldm -m {machine} {' '.join(words)}: no {pattern!r} but\n{said}")


def test_flags_status_and_cancel(shell: Shell) -> None:
    """The link is so slow that there is time to look."""
    manager = {name: shell.home / "machines" / name / "ldmd" for name in ("alpha", "beta")}
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        (manager[name] / "trust" / f"{other}.pem").write_bytes((manager[other] / "server.crt").read_bytes())
    (manager["alpha"] / "ldmd.toml").write_text("[migration]\nbandwidth-bps = 20000\n")
    shell.restart_ldmd("alpha")
    lists_until(shell, "alpha", ("list", "mover"), r"^mover +active +-n----")
    with subprocess.Popen([sys.executable, "-m", "ldmd.cli", "-m", "alpha", "migrate-domain", "-c", "mover", "beta"],
                          env=shell.environment, cwd=shell.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as moving:  # fmt: skip
        lists_until(shell, "alpha", ("list", "-o", "status", "mover"),
                    r"^    OPERATION    PROGRESS    TARGET\n    migration    \d+% +beta$")
        lists_until(shell, "alpha", ("list", "mover"), r"^mover +active +-n---s")
        lists_until(shell, "beta", ("list", "mover"), r"^mover +bound +-----t")
        lists_until(shell, "beta", ("list", "-o", "status", "mover"),
                    r"^    OPERATION    PROGRESS    SOURCE\n    migration    \d+% +alpha$")
        refused = shell.ldm("-m", "beta", "cancel-operation", "migration", "mover", status=1)
        assert refused.startswith("the source controls the migration: cancel it there.")
        assert shell.ldm("-m", "alpha", "cancel-operation", "migration", "mover") == ""
        out, err = moving.communicate(timeout=60)
    assert (moving.returncode, out) == (1, "") and err.endswith("Domain Migration of LDom mover failed\n")
    assert re.search(r"^mover +active +-n---- ", shell.ldm("-m", "alpha", "list", "mover"), re.MULTILINE)
    lists_until(shell, "beta", ("list", "mover"), "mover was not found")
    assert "failed" in shell.sun4v("report")

