"""ldmd with the real machine process: a domain's life, kill -9 of ldmd, the power cord."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from emulator.hvctl.client import Hvctl
from emulator.places import Place, holder, place
from ldmd.rpc.client import Client

DEADLINE = 120


def sun4v(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "emulator.cli", *arguments], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def alpha(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    home = Path(tempfile.mkdtemp(prefix="s4v-"))
    monkeypatch.setenv("S4V_HOME", str(home))
    found = place("alpha")
    sun4v("power-on", "alpha", "--platform", "t5-2", "--memory", "32G")
    yield found
    subprocess.run([sys.executable, "-m", "emulator.cli", "kill", "alpha"], capture_output=True, timeout=DEADLINE,
                   check=False)
    shutil.rmtree(home, ignore_errors=True)


def guest(alpha: Place, number: int) -> dict[str, Any]:
    with Hvctl(alpha.hvctl) as machine:
        found: dict[str, Any] = machine.call("guest.status", guest=number)
        return found


def build(client: Client) -> None:
    """The control domain shrinks in a delayed reconfiguration; ldg1 is made, bound and started."""
    client.call("start-reconf", {"domain": "primary"})
    client.call("set-core", {"count": "4", "domain": "primary"})
    client.call("set-memory", {"size": "8G", "domain": "primary"})
    client.call("stop-domain", {"domains": ["primary"], "reboot": True})
    client.call("add-vcc", {"vcc": "primary-vcc0", "domain": "primary", "port-range": "5000-5100"})
    client.call("add-domain", {"domains": ["ldg1"]})
    client.call("set-vcpu", {"count": "2", "domain": "ldg1"})
    client.call("set-memory", {"size": "1G", "domain": "ldg1"})
    client.call("set-variable", {"assignments": ["auto-boot?=false"], "domain": "ldg1"})
    client.call("bind-domain", {"domain": "ldg1"})
    client.call("start-domain", {"domains": ["ldg1"]})


def kill(alpha: Place) -> None:
    pid = holder(alpha.ldmd_pid)
    assert pid
    gone = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([gone], [], [], DEADLINE)[0]
    os.close(gone)


def start(alpha: Place) -> None:
    done = subprocess.run([sys.executable, "-m", "ldmd.daemon", "-m", "alpha"], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def states(alpha: Place) -> dict[str, str]:
    with Client(alpha.rpc) as client:
        return {row["name"]: row["state"] for row in client.call("list-domain")["domains"]}


@pytest.mark.slow
def test_a_domain_outlives_ldmd_and_comes_back_with_the_power(alpha: Place) -> None:
    with Client(alpha.rpc) as client:
        build(client)
    before = guest(alpha, 1)
    assert before["state"] == "running"
    kill(alpha)
    start(alpha)
    assert states(alpha) == {"primary": "active", "ldg1": "active"}
    after = guest(alpha, 1)
    assert (after["started_at"], after["generation"]) == (before["started_at"], before["generation"])
    assert after["insns"] >= before["insns"]
    assert "refused" not in alpha.ldmd_log.read_text()
    with Client(alpha.rpc) as client:
        client.call("add-spconfig", {"config": "mine"})
    sun4v("kill", "alpha")
    sun4v("power-on", "alpha")
    assert states(alpha) == {"primary": "active", "ldg1": "active"}
    assert guest(alpha, 1)["started_at"] > before["started_at"]
    with Client(alpha.rpc) as client:
        client.call("stop-domain", {"domains": ["ldg1"], "force": True})
        client.call("unbind-domain", {"domain": "ldg1"})
        client.call("remove-domain", {"domains": ["ldg1"]})
    with Hvctl(alpha.hvctl) as machine:
        assert [row["guest"] for row in machine.call("guest.list")] == [0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_kill_of_ldmd_under_load(alpha: Place, seed: int) -> None:
    """Variables are set as fast as ldmd takes them, and it is killed in between: what it acknowledged is there."""
    print(f"seed {seed}")
    rng = Random(seed)
    with Client(alpha.rpc) as client:
        build(client)
    started = guest(alpha, 1)["started_at"]
    acknowledged = asked = 0
    for _ in range(4):
        last = asked + rng.randrange(3, 30)
        with Client(alpha.rpc) as client:
            while asked < last:
                asked += 1
                change = {"assignments": [f"nvramrc={asked}"], "domain": "ldg1"}
                if asked < last:
                    client.call("set-variable", change)
                    acknowledged = asked
                else:  # the request is on its way, the answer is not waited for
                    client._send({"id": 1 << 40, "command": "set-variable", "arguments": change})
                    kill(alpha)
        start(alpha)
        with Client(alpha.rpc) as client:
            (value,) = client.call("list-variable", {"names": ["nvramrc"], "domain": "ldg1"})["variables"].values()
        assert int(value) in (acknowledged, asked)
    assert guest(alpha, 1)["started_at"] == started
    assert states(alpha)["ldg1"] == "active"
