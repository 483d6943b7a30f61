"""The pages of docs/howto that are typed: their commands are carried out, and what they show must come back.

Numbers that differ from run to run (load, uptime) are left out of the comparison, ports are free ones of this host.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from host_shares import free_ports, only_one
from linux_found import find_linux
from room_support import Shell, tools

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.nosan]
TRIES = 200
"""So often a list is asked for until the domains have come as far as the page says."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = range(5000, 5031)
LISTS = re.compile(r"ldm .*\blist\b|sun4v machines\b")


@dataclass(frozen=True)
class Step:
    """A command of a page, and what the page shows behind it."""

    command: str
    shown: str
    status: int


def steps(page: str) -> list[Step]:
    """All commands of a page (below docs)."""
    text = (ROOT / "docs" / page).read_text()
    out = []
    for part in "".join(body for kind, body in FENCE.findall(text) if kind == "console").split("$ ")[1:]:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command += f"\n{more}"
        status = re.search(r"^\[exit (\d+)\]\n", shown, re.MULTILINE)
        out.append(Step(command, re.sub(r"^\[exit \d+\]\n", "", shown, flags=re.MULTILINE),
                        int(status[1]) if status else 0))
    return out


def steady(text: str) -> list[str]:
    """Lines without load and uptime."""
    lines = [re.sub(r"\s\d+[smhd]$", " T", re.sub(r"\d+(\.\d+)?%", "N%", line)) for line in text.splitlines()]
    return [" ".join(line.split()) for line in lines if line.strip()]


class Reader:
    """Somebody who types a page, in a folder that has the repository's docs and images."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.first = free_ports(len(PORTS))
        (shell.home / "images").symlink_to(ROOT / "images")
        (shell.home / "docs" / "labs").mkdir(parents=True)
        for lab in (ROOT / "docs" / "labs").glob("*.toml"):
            (shell.home / "docs" / "labs" / lab.name).write_text(self.here(lab.read_text()))
        (shell.home / "docs" / "examples").symlink_to(ROOT / "docs" / "examples")
        folders = [tools(shell.home), Path(sys.executable).parent, os.environ["PATH"]]
        self.environment = shell.environment | {
            "PATH": ":".join(map(str, folders)),
            "PYTEST_ADDOPTS": f"-c {os.devnull} --rootdir {shell.home} -p no:cacheprovider",
            "PYTEST_PLUGINS": "emulator.pytest_plugin"}

    def here(self, text: str) -> str:
        """With this host's ports."""
        return re.sub(r"\b50[0-3]\d\b", lambda port: str(self.first + int(port[0]) - PORTS[0]), text)

    def read(self, page: str) -> None:
        """Type all of a page."""
        found = steps(page)
        assert found
        for step in found:
            self.type(step)

    def type(self, step: Step) -> None:
        """A command; one that lists is repeated until the domains are as far as the page has them."""
        wanted = steady(self.here(step.shown).replace("$S4V_HOME", str(self.shell.home)))
        for _ in range(TRIES):
            done = subprocess.run(["bash", "-c", self.here(step.command)], env=self.environment, cwd=self.shell.home,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=240, check=False)
            if done.returncode == step.status and (not wanted or steady(done.stdout) == wanted):
                return
            if done.returncode != step.status or not LISTS.match(step.command):
                break
        pytest.fail(f"$ {step.command}\n{done.stdout}[exit {done.returncode}]\nthe page has:\n{step.shown}")


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("h"))
    yield shell
    shell.end()


@pytest.mark.parametrize("page", [
    "disks.md", "domains.md", "faults.md", "labs.md", "migration.md", "networks.md", "observing.md",
    "testing.md", "tour.md"])
def test_a_page_is_true(shell: Shell, page: str) -> None:
    Reader(shell).read(f"howto/{page}")


@pytest.mark.parametrize("page", ["campaign.md", "class.md"])
def test_a_tutorial_is_true(shell: Shell, page: str) -> None:
    Reader(shell).read(f"tutorials/{page}")


def test_linux_in_a_domain(shell: Shell) -> None:
    """The last part of domains.md, on a server like that of its beginning."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    for tool in ("cpio", "mke2fs", "zcat"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    reader = Reader(shell)
    text = (ROOT / "docs" / "howto" / "domains.md").read_text().partition("## Linux in a domain")[2]
    script = next(body for kind, body in FENCE.findall(text) if kind == "sh")
    script = script.replace("images/linux/build --find", f"echo {shlex.quote(str(found.folder))}")
    before, _, rest = script.partition("ldm add-vcpu 2 linux")
    for line in ("sun4v power-on alpha --platform t4-1 --memory 16G", "ldm add-vcc port-range=5000-5010 vcc0 primary",
                 "ldm add-vds primary-vds0 primary", "ldm start-reconf primary", "ldm set-core 1 primary",
                 "ldm set-memory 2G primary", "ldm stop-domain -r primary", f"set -e\n{before}"):
        reader.type(Step(line, "", 0))
    heading = "NAME STATE FLAGS CONS VCPU MEMORY UTIL NORM UPTIME\n"
    reader.type(Step("ldm list linux", f"{heading}linux active -n---- 5000 2 1G 1% 1% 1s\n", 0))
    console = shell.console(reader.first)
    console.until(b"sun4v# ")
    reader.type(Step(f"ldm add-vcpu 2 linux{rest}", "", 0))
    console.type(b"nproc; echo do'ne'\n")
    assert b"\n4\r\ndone\r\n" in console.until(b"done\r\n")
    reader.type(Step("ldm stop-domain -f linux", "LDom linux stopped\n", 0))


@pytest.mark.parametrize("page", ["howto/debugging.md", "tutorials/kernel.md"])
def test_debugging(shell: Shell, page: str) -> None:
    """With a GDB that is not ours, and labos built with symbols."""
    for tool in ("gdb-multiarch", "sparc64-linux-gnu-gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with only_one(ROOT / "build" / "images-debug" / "one-builder"):  # so that the page's own `make` finds it made
        subprocess.run(["make", "-s", "-C", str(ROOT / "images"), "labos-debug"], check=True)
    (shell.home / "build").symlink_to(ROOT / "build")
    Reader(shell).read(page)
