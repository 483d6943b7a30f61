"""Faults of real processes: a manager and a machine that a plan kills, armed by the command and by a lab."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import Shell

from emulator.places import holder

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
LAB = """
[server.alpha]
platform = "t4-1"
memory = "8G"
[server.alpha.domain.primary]
cores = 1
memory = "1G"
vcc.vcc0 = "{first}-{last}"
[faults]
seed = 5
[[faults.fault]]
point = "manager"
action = "kill"
step = "guest.configure.done"
machine = "al*"
[[faults.fault]]
point = "machine"
action = "kill"
at-ms = 1e9
machine = "beta"
"""


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("h"))
    yield shell
    shell.end()


def gone(pid_file: Path) -> None:
    """Wait until nobody holds a process file."""
    pid = holder(pid_file)
    if pid:
        fd = os.pidfd_open(pid)
        select.select([fd], [], [], 60)
        os.close(fd)
    assert holder(pid_file) is None


def test_a_manager_is_killed_once_at_its_step_and_a_machine_at_its_time(shell: Shell) -> None:
    (shell.home / "l.toml").write_text(LAB.format(first=(first := free_ports()), last=first + 1))
    said = shell.sun4v("lab", "up", "l.toml")
    assert "alpha: 1 rules are armed, seed 5" in said
    for words in (("add-domain", "ldg1"), ("set-vcpu", "1", "ldg1"), ("set-memory", "64M", "ldg1")):
        shell.ldm(*words)
    shell.run("ldmd.cli", "bind-domain", "ldg1", status=1)  # the manager was killed when the guest had been made
    gone(shell.home / "run" / "alpha" / "ldmd.pid")
    status = json.loads(shell.sun4v("faults", "status", "--json", "l"))["alpha"]
    assert [(row["ordinal"], row["point"], row["facts"]) for row in status["firings"]] == [
        (1, "manager", {"step": "guest.configure.done"})]
    events = [json.loads(line) for line in shell.sun4v("events", "--json", "alpha").splitlines()]
    assert [event["ordinal"] for event in events if event["event"] == "fault.fired"] == [1]
    shell.run("ldmd.daemon", "--machine", "alpha")
    shell.ldm("add-domain", "ldg2")
    shell.ldm("set-vcpu", "1", "ldg2")
    shell.ldm("set-memory", "64M", "ldg2")
    shell.ldm("bind-domain", "ldg2")  # the same step, and the rule is spent
    (shell.home / "cord.toml").write_text('[[fault]]\npoint = "machine"\naction = "kill"\nat-ms = 1\n')
    shell.sun4v("faults", "arm", "alpha", "cord.toml")
    gone(shell.home / "run" / "alpha" / "machine.pid")
    assert "crashed" in shell.sun4v("machines")
    assert "alpha" in shell.sun4v("faults", "arm", "alpha", "cord.toml", status=2)
