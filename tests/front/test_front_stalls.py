"""Stalls of managers and of workers: who is stalled stands for a time, and nothing else is changed by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from front_support import LABOS
from host_shares import free_ports
from room_support import Shell

from emulator.faults.rules import parse_plan
from ldmd import faults
from ldmd.faults import ManagerFaults
from ldmd.migrator.worker import ENDED, Worker

DEADLINE = 60.0


def test_a_stalled_worker_stands_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is stopped, and continued by the manager; meanwhile it is no child that has ended."""
    timers: list[threading.Timer] = []

    def later(timer: threading.Timer) -> None:
        """Its time is over when the test says so."""
        timers.append(timer)

    monkeypatch.setattr(threading.Timer, "start", later)
    children: list[subprocess.Popen[bytes]] = []
    ended = threading.Event()

    def start(_end: object) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        return children[0]

    def changed(how: int) -> bool:
        """Wait until the kernel tells that of it."""
        done = threading.Event()
        for _ in range(int(DEADLINE * 100)):
            if os.waitid(os.P_PID, children[0].pid, how | os.WNOHANG):
                return True
            done.wait(0.01)
        return False

    worker = Worker(lambda event: ended.set() if event["event"] == ENDED else None, start=start)
    worker.stall(2.5)
    assert changed(os.WSTOPPED)
    (timer,) = timers
    assert timer.interval == 2.5
    timer.function(*timer.args)
    assert changed(os.WCONTINUED)
    assert children[0].poll() is None
    worker.stall(2.5)
    worker.kill()  # also while it stands
    assert children[0].wait(DEADLINE) < 0
    assert children[0].stdin is not None
    children[0].stdin.close()


def test_a_stalled_manager_waits_at_its_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    noted: list[dict[str, Any]] = []
    monkeypatch.setattr(faults.time, "sleep", slept.append)
    rule = {"point": "manager", "action": "stall", "ms": 250, "step": "guest.configure.*", "after": 1}

    def call(op: str, **arguments: Any) -> Any:
        if op == "faults.note":
            noted.append(arguments)
            return {"ordinal": len(noted)}
        return {"plan": parse_plan({"fault": [rule]}).plain(), "firings": []}

    manager = ManagerFaults(call)
    manager.step("guest.configure.begin")
    assert slept == []  # nothing is armed as far as it knows
    manager.refresh()
    for step in ("guest.start.begin", "guest.configure.begin", "guest.configure.done", "guest.configure.done"):
        manager.step(step)
    assert slept == [0.25]
    assert noted == [{"rule": 0, "facts": {"step": "guest.configure.done"}}]


LAB = """
[server.alpha]
platform = "t4-1"
memory = "8G"
[server.alpha.domain.primary]
cores = 1
memory = "2G"
vcc.vcc0 = "{0}-{1}"
vds.primary-vds0.disk = {{ file = "disk.img" }}
[server.alpha.domain.ldg1]
vcpus = 1
memory = "128M"
vdisk.vdisk0 = "disk@primary-vds0"
variable.boot-device = "vdisk0"
[server.beta]
platform = "t4-1"
memory = "8G"
[server.beta.domain.primary]
cores = 1
memory = "2G"
vcc.vcc0 = "{2}-{3}"
vds.primary-vds0.disk = {{ file = "disk.img" }}
[faults]
[[faults.fault]]
point = "worker"
action = "stall"
ms = 200
event = "progress"
machine = "alpha"
[[faults.fault]]
point = "worker"
action = "stall"
ms = 200
side = "target"
machine = "beta"
[[faults.fault]]
point = "manager"
action = "stall"
ms = 100
step = "source.*.begin"
times = 3
machine = "alpha"
"""


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("h"))
    yield shell
    shell.end()


@pytest.mark.slow
@pytest.mark.nosan
def test_a_migration_in_which_everybody_stalls_is_done_all_the_same(shell: Shell) -> None:
    ports = free_ports(4)
    shell.sun4v("mkdisk", "--boot", str(LABOS), "disk.img", "16M")
    (shell.home / "l.toml").write_text(LAB.format(*range(ports, ports + 4)))
    shell.sun4v("lab", "up", "l.toml")
    console = shell.console(ports)
    console.until(b"# ")
    (shell.home / "secret").write_text("correct horse\n")
    (shell.home / "secret").chmod(0o600)
    shell.sun4v("passwd", "beta", "operator", "--file", "secret")
    shell.ldm("--machine", "alpha", "migrate-domain", "-p", "secret", "ldg1", "operator@beta")
    status = json.loads(shell.sun4v("faults", "status", "--json", "l"))
    fired = {name: [(row["point"], row["action"]) for row in each["firings"]] for name, each in status.items()}
    assert sorted(fired["alpha"]) == [("manager", "stall")] * 3 + [("worker", "stall")]
    assert fired["beta"] == [("worker", "stall")]
    moved = shell.console(ports + 2)
    moved.type(b"uname -s\n")
    moved.until(b"SunOS")
