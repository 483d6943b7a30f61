"""Managers with processes of their own: a real domain moves, and a manager is killed in the middle of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import PATIENCE, Console, Shell

from ldmd.demo.stage import labos

LOOK = 0.1
SLOWLY = "[migration]\nbandwidth-bps = 20000\n"
"""So slow that it is certain to go on while it is looked at, and killed."""
# Whatever is written is too much for such a link and such a pause; nothing is packed, so that a page is a page.
NEVER = '[migration]\npostcopy = "auto"\nbandwidth-bps = 262144\ncompress = "none"\ndowntime-ms = 1\n'
# The process that sends pages stands still a moment after the domain runs at the target: most of them are missing.
HELD = """
[[fault]]
point = "worker"
action = "stall"
ms = 600000
side = "source"
event = "progress"
phase = "handoff"
after = 2
"""
LAB = """
name = "killed"
[server.alpha]
platform = "t4-1"
memory = "4G"
[server.alpha.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{first}-{first}"
vds.primary-vds0.boot = {{ file = "{home}/boot.img" }}
[server.alpha.domain.mover]
vcpus = 2
memory = "64M"
cpu-arch = "migration-class1"
vdisk.vdisk0 = "boot@primary-vds0"
variable.boot-device = "vdisk0"
[server.beta]
platform = "t5-2"
memory = "4G"
[server.beta.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{last}-{last}"
vds.primary-vds0.boot = {{ file = "{home}/boot.img" }}
"""


@pytest.fixture
def shell() -> Iterator[Shell]:
    home = Path(tempfile.mkdtemp(prefix="s4v-"))
    made = Shell(home)
    yield made
    made.end()
    shutil.rmtree(home)


def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(int(2 * PATIENCE / LOOK)):
        if condition():
            return
        threading.Event().wait(LOOK)
    raise AssertionError(what)


def flags(shell: Shell, machine: str) -> str:
    """State and flags of the domain, "" where it is not."""
    for line in shell.ldm("-m", machine, "list", "-p").splitlines():
        if "name=mover|" in line:
            fields = dict(each.split("=", 1) for each in line.split("|") if "=" in each)
            return f"{fields['state']} {fields['flags']}"
    return ""


def moving(shell: Shell) -> subprocess.Popen[str]:
    """`ldm migrate-domain` under way: beta has the domain that receives."""
    program = "from ldmd.cli import main; import sys; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", program, "-m", "alpha", "migrate-domain", "-c", "mover", "beta"],
                               env=shell.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    until(lambda: flags(shell, "beta") == "bound -----t" or process.poll() is not None, "beta does not receive it")
    assert process.poll() is None
    return process


def two_servers(shell: Shell) -> dict[str, Path]:
    """The lab, each manager trusting the other; their directories."""
    first = free_ports()
    shell.sun4v("mkdisk", "--boot", str(labos()), str(shell.home / "boot.img"), "8M")
    (shell.home / "killed.toml").write_text(LAB.format(home=shell.home, first=first, last=first + 1))
    shell.sun4v("lab", "up", str(shell.home / "killed.toml"))
    managers = {name: shell.home / "machines" / name / "ldmd" for name in ("alpha", "beta")}
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        shutil.copyfile(managers[other] / "server.crt", managers[name] / "trust" / f"{other}.pem")
    return managers


def test_killed_in_the_middle(shell: Shell) -> None:
    """The source's manager, then the target's, while memory is copied: the domain runs on, on one machine alone."""
    managers = two_servers(shell)
    (managers["alpha"] / "ldmd.toml").write_text(SLOWLY)
    shell.restart_ldmd("alpha")
    until(lambda: flags(shell, "alpha") == "active -n----", "the domain does not boot")
    process = moving(shell)
    shell.restart_ldmd("alpha")
    assert process.wait(PATIENCE) != 0
    until(lambda: (flags(shell, "alpha"), flags(shell, "beta")) == ("active -n----", ""), "not settled at alpha")
    process = moving(shell)
    assert flags(shell, "alpha") == "active -n---s"
    shell.restart_ldmd("beta")
    assert process.wait(2 * PATIENCE) != 0
    until(lambda: (flags(shell, "alpha"), flags(shell, "beta")) == ("active -n----", ""), "not settled at alpha")
    (managers["alpha"] / "ldmd.toml").unlink()
    shell.restart_ldmd("alpha")
    assert shell.ldm("-m", "alpha", "migrate-domain", "-c", "mover", "beta") == ""
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("", "active -n----")
    shell.restart_ldmd("alpha")
    shell.restart_ldmd("beta")
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("", "active -n----")


def test_handed_over(shell: Shell) -> None:
    """On one host nothing is copied, there and back; what a killed manager finds afterwards is true."""
    managers = two_servers(shell)
    for name, manager in managers.items():
        (manager / "ldmd.toml").write_text('[migration]\nhandover = "auto"\n')
        shell.restart_ldmd(name)
    until(lambda: flags(shell, "alpha") == "active -n----", "the domain does not boot")
    for source, target in (("alpha", "beta"), ("beta", "alpha")):
        assert shell.ldm("-m", source, "migrate-domain", "-c", "mover", target) == ""
        assert (flags(shell, source), flags(shell, target)) == ("", "active -n----")
        record = json.loads(max((managers[source] / "migrations").glob("*.json")).read_text())
        summary = record["summary"]
        print("pause", summary["downtime_ms"], "ms, of it", summary["parts"])
        assert summary["handover"] and summary["pages"] == 0 and summary["strict"] and summary["verified_pages"] > 0
        shell.restart_ldmd(target)
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("active -n----", "")


def dirtied(console: Console) -> int:
    """Stamps that the domain has written; not one of them is lost, torn, or older than it should be."""
    said = console.do("dirty check")
    found = re.search(r"(\d+) stamps, 96 pages, 0 wrong", said)
    assert found is not None, said
    return int(found[1])


def test_pages_follow(shell: Shell) -> None:
    """A domain that writes faster than the link carries goes on at the target, and what is missing follows."""
    managers = two_servers(shell)
    first, last = (int(each) for each in re.findall(r'"(\d+)-\d+"', (shell.home / "killed.toml").read_text()))
    (managers["alpha"] / "ldmd.toml").write_text(NEVER)
    shell.restart_ldmd("alpha")
    until(lambda: flags(shell, "alpha") == "active -n----", "the domain does not boot")
    console = shell.console(first)
    console.until(b"# ")
    assert "96 pages" in console.do("dirty 2000 768K")
    before = dirtied(console)
    assert shell.ldm("-m", "alpha", "migrate-domain", "-c", "mover", "beta") == ""
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("", "active -n----")
    record = json.loads(max((managers["alpha"] / "migrations").glob("*.json")).read_text())
    summary = record["summary"]
    print(summary)
    assert summary["missing"] > 0 and not summary["strict"]
    console = shell.console(last)
    console.until(b"# ")
    there = dirtied(console)
    assert there > before
    shell.restart_ldmd("alpha")
    shell.restart_ldmd("beta")
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("", "active -n----")
    # the managers' own, of which workers are forked; a worker would be one more
    assert sum("stream" in each for each in shell.processes()) <= len(managers)
    assert shell.ldm("-m", "beta", "migrate-domain", "-c", "mover", "alpha") == ""
    console = shell.console(first)
    console.until(b"# ")
    assert dirtied(console) > there


def while_pages_follow(shell: Shell) -> tuple[subprocess.Popen[str], int, tuple[int, int]]:
    """A move whose pages are held back; stamps that the domain had written before it, and both console ports."""
    managers = two_servers(shell)
    first, last = (int(each) for each in re.findall(r'"(\d+)-\d+"', (shell.home / "killed.toml").read_text()))
    (managers["alpha"] / "ldmd.toml").write_text(NEVER + "max-rounds = 1\n")
    shell.restart_ldmd("alpha")
    (shell.home / "held.toml").write_text(HELD)
    shell.sun4v("faults", "arm", "alpha", "held.toml")
    until(lambda: flags(shell, "alpha") == "active -n----", "the domain does not boot")
    console = shell.console(first)
    console.until(b"# ")
    assert "96 pages" in console.do("dirty 2000 768K")
    before = dirtied(console)
    process = moving(shell)
    until(lambda: runs_there(shell), "it does not run there")
    until(lambda: flags(shell, "alpha") == "suspended -n---s", "the source does not know")
    for machine in ("alpha", "beta"):
        refused = shell.ldm("-m", machine, "cancel-operation", "migration", "mover", status=1)
        assert "cannot be cancelled any more" in refused
    return process, before, (first, last)


def runs_there(shell: Shell) -> bool:
    """With most pages held back. Where its start needs one of them, as on a slow host, a few are let through."""
    held = shell.stopped()
    if held and flags(shell, "beta") == "active -n---t":
        return True
    for number in (signal.SIGCONT, signal.SIGSTOP) if held else ():
        for each in held:
            os.kill(each, number)
        threading.Event().wait(LOOK)
    return False


def kill_and_start(shell: Shell, machine: str) -> None:
    """The manager, and what was held back goes on."""
    shell.kill_ldmd(machine)
    for each in shell.stopped():
        os.kill(each, signal.SIGCONT)
    shell.run("ldmd.daemon", "--machine", machine)


def settled_at_beta(shell: Shell) -> None:
    """And both sides are clean, and usable: it moves back."""
    until(lambda: (flags(shell, "alpha"), flags(shell, "beta")) == ("", "active -n----"), "not settled at beta")
    # those of which workers are forked are left
    until(lambda: sum("stream" in each for each in shell.processes()) <= 2, "a worker is left")
    assert shell.ldm("-m", "beta", "migrate-domain", "-c", "mover", "alpha") == ""
    assert (flags(shell, "alpha"), flags(shell, "beta")) == ("active -n----", "")


def test_the_source_is_killed_while_pages_follow(shell: Shell) -> None:
    """Its memory is still on the host, and a process that brings it: the domain goes on with all of it."""
    process, before, (_, last) = while_pages_follow(shell)
    kill_and_start(shell, "alpha")
    assert process.wait(PATIENCE) == 1
    until(lambda: flags(shell, "alpha") == "", "the source does not hear of it")
    there = dirtied(in_shell(shell, last))
    assert there > before
    history = [shell.ldm("-m", machine, "list-history") for machine in ("alpha", "beta")]
    assert all(re.search(r"ldm migrate-domain mover beta +\[OK\]", each) for each in history), history
    settled_at_beta(shell)


def test_the_target_is_killed_while_pages_follow(shell: Shell) -> None:
    """Who put pages into its memory is gone: it boots anew there, and both sides say so."""
    process, _, (_, last) = while_pages_follow(shell)
    kill_and_start(shell, "beta")
    said = process.communicate(timeout=PATIENCE)[1]
    told = "pages of its memory were lost" in said or "has not confirmed that it runs" in said  # on a slow host
    assert process.returncode == 1 and told, said
    assert said.endswith("Domain Migration of LDom mover failed\n")
    until(lambda: flags(shell, "beta") == "active -n----", "it does not boot")
    assert "stamps" not in in_shell(shell, last).do("dirty check")
    history = shell.ldm("-m", "beta", "list-history")
    assert re.search(r"alpha +ldm migrate-domain mover beta +\[pages of the .* were lost before they came", history)
    settled_at_beta(shell)


def in_shell(shell: Shell, port: int) -> Console:
    """The domain's console, at its prompt."""
    console = shell.console(port)
    console.until(b"# ")
    return console
