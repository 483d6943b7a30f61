"""ldmd as a process: readiness, one per machine, signals, kill, the machine that goes and comes back."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakeserver import MachineServer
from manager_support import FakeMachine

from emulator.places import Place, holder, place
from ldmd.messages import RefusedError
from ldmd.rpc.client import Client

DEADLINE = 60


class Room:
    """A machine that is on (a fake one, behind a real socket), and the ldmd processes of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.place: Place = place("alpha")
        self.place.make()
        self.machine = FakeMachine()
        self.server = MachineServer(self.machine, self.place.hvctl)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, ready: bool = True, **environment: str) -> subprocess.Popen[str]:
        out, into = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "ldmd.daemon", "--machine", "alpha", "--foreground", f"--ready-fd={into}",
             *arguments], pass_fds=[into], stderr=subprocess.PIPE, text=True, env=os.environ | environment)
        os.close(into)
        self.processes.append(process)
        with os.fdopen(out) as pipe:
            word = pipe.read()
        assert (word.strip() == "ready") is ready, word
        return process

    def end(self, process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
        process.send_signal(number)
        return process.wait(timeout=DEADLINE)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=DEADLINE)
            if process.stderr is not None:
                process.stderr.close()
        self.server.close()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    home = Path(tempfile.mkdtemp(prefix="s4v-"))
    monkeypatch.setenv("S4V_HOME", str(home))
    found = Room(home)
    yield found
    found.close()
    shutil.rmtree(home, ignore_errors=True)


def test_serves_and_ends(room: Room) -> None:
    process = room.start()
    assert holder(room.place.ldmd_pid) == process.pid
    assert room.place.rpc.stat().st_mode & 0o777 == 0o660
    with Client(room.place.rpc) as client:
        assert client.call("version")["platform"] == "t5-2"
        with pytest.raises(RefusedError) as caught:
            client.call("no-such")
        assert caught.value.code == "command.unknown" and caught.value.remedy
    assert room.end(process) == 0
    assert holder(room.place.ldmd_pid) is None and not room.place.rpc.exists()
    assert process.stderr is not None and "ldmd ended" in process.stderr.read()
    with pytest.raises(RefusedError) as caught:
        Client(room.place.rpc)
    assert caught.value.text.startswith("Failed to connect to logical domain manager: ")


def test_one_for_each_machine(room: Room) -> None:
    first = room.start()
    second = room.start(ready=False)
    assert second.wait(timeout=DEADLINE) == 1
    assert second.stderr is not None and "another ldmd serves alpha" in second.stderr.read()
    assert room.end(first) == 0
    assert room.end(room.start()) == 0


def test_without_a_machine_it_says_so(room: Room) -> None:
    room.server.close()
    process = room.start("--wait=0", ready=False)
    assert process.wait(timeout=DEADLINE) == 1
    assert not room.place.rpc.exists()


def test_kill_loses_nothing(room: Room) -> None:
    process = room.start()
    with Client(room.place.rpc) as client:
        client.call("set-logctl", {"history": "7"})
    assert room.end(process, signal.SIGKILL) == -signal.SIGKILL
    room.start()
    with Client(room.place.rpc) as client:
        assert client.call("list-logctl")["history"] == 7
        lines = [row["line"] for row in client.call("list-history")["history"]]
    assert lines[-1:] == ["ldm set-logctl"] or "ldm set-logctl" in lines


def test_hangup_reads_the_access_rules_again(room: Room) -> None:
    address = f"{room.home}/notify"
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(address)
    notify.settimeout(DEADLINE)
    process = room.start(NOTIFY_SOCKET=address)
    assert notify.recv(4096).decode().splitlines()[:2] == ["READY=1", f"MAINPID={process.pid}"]
    rules = room.place.manager / "access.toml"
    for text in ("[users]\nroot = 7\n", "[socket]\ndefault = \"none\"\n"):
        rules.write_text(text)
        process.send_signal(signal.SIGHUP)
        assert notify.recv(4096) == b"RELOADING=1"
        assert notify.recv(4096) == b"READY=1"
    process.send_signal(signal.SIGTERM)
    assert notify.recv(4096) == b"STOPPING=1"
    assert process.wait(timeout=DEADLINE) == 0
    notify.close()
    assert process.stderr is not None
    log = process.stderr.read()
    assert "old rules go on" in log and "read the access rules again" in log


def test_faulty_access_rules_prevent_the_start(room: Room) -> None:
    room.place.manager.mkdir(mode=0o700)
    (room.place.manager / "access.toml").write_text("[users]\nbob = \"king\"\n")
    process = room.start(ready=False)
    assert process.wait(timeout=DEADLINE) == 1
    assert process.stderr is not None and "'king' is none of none, read, write" in process.stderr.read()


def test_goes_into_the_background_when_ready(room: Room) -> None:
    done = subprocess.run([sys.executable, "-m", "ldmd.daemon", "-m", "alpha"], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Client(room.place.rpc) as client:
        client.call("version")
    pid = holder(room.place.ldmd_pid)
    assert pid
    again = subprocess.run([sys.executable, "-m", "ldmd.daemon", "-m", "alpha"], capture_output=True, text=True,
                           timeout=DEADLINE, check=False)
    assert again.returncode == 1 and "another ldmd serves alpha" in again.stderr
    watched = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    assert select.select([watched], [], [], DEADLINE)[0]
    os.close(watched)
    assert "serves alpha" in room.place.ldmd_log.read_text()


def test_the_machine_goes_and_comes_back(room: Room) -> None:
    room.start()
    with Client(room.place.rpc) as client, Client(room.place.rpc) as watcher:
        watcher.subscribe()
        room.server.close()
        room.machine.power_cycle()
        room.server = MachineServer(room.machine, room.place.hvctl)
        event = next(row for row in watcher.events() if row["event"] == "machine-back")
        assert event["boot"] == "boot-2"
        assert client.call("version")["platform"] == "t5-2"
    assert 0 in room.machine.guests


@pytest.mark.parametrize("step", [2, 5, 8])
def test_a_crash_during_the_first_start(room: Room, step: int) -> None:
    """Whatever was there already when it died, the next start makes it whole."""
    process = room.start(ready=False, S4V_LDMD_CRASH=str(step))
    assert process.wait(timeout=DEADLINE) == 111
    assert process.stderr is not None and "crash at" in process.stderr.read()
    room.start()
    with Client(room.place.rpc) as client:
        (primary,) = client.call("list-domain")["domains"]
    assert (primary["name"], primary["state"], primary["vcpus"]) == ("primary", "active", 256)


def test_wrong_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "ldmd.daemon", "--no-such"], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert done.returncode == 2 and "usage: ldmd" in done.stderr
