"""Guests move between two machine processes while they work: labos with stamps in memory, Linux with files and a disk.

Real time: when they move depends on the host; what must hold does not. Memory goes as in a migration: a copy while it
runs, harvests with a barrier, and the rest while it stands still.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from linux_found import CRYPTO, find_linux
from moving_support import Memory, Peer, carry_state, copy_dirty, copy_live, copy_memory
from server_support import Room, labos_spec

from emulator import places
from emulator.backends.file import create_disk
from emulator.hvctl.client import Hvctl
from emulator.power import children
from emulator.server import guest_moving
from emulator.server.spec import lab_spec

DEADLINE = 100
ROUNDS = 2
MOST_READS = 100_000
LATE = 200
"""Seconds a guest may have stood still, on a host with much else to do."""


def clock(client: Peer) -> float:
    """A server's time of day."""
    info = client.call("machine.info")
    return float(info["started_at"] + info["time_ns"] / 1e9)


class Pair:
    """Two servers, each a process; guest 1 is on one of them, and its console is one text."""

    def __init__(self, home: Path, *platforms: str) -> None:
        self.names = [f"m{n}" for n in range(len(platforms))]
        for name, platform in zip(self.names, platforms, strict=True):
            words = ["power-on", name, "--no-ldmd", "--memory", "64G", "--platform", platform]
            subprocess.run([sys.executable, "-m", "emulator.cli", *words], check=True, timeout=DEADLINE)
        self.clients = [Hvctl(places.place(name).hvctl) for name in self.names]
        self.home, self.again = 0, 0
        self.said = b""
        self.console: socket.socket | None = None
        del home

    @property
    def client(self) -> Hvctl:
        return self.clients[self.home]

    @property
    def text(self) -> str:
        return self.said.decode("latin-1").replace("\r", "")

    def start(self, spec: dict[str, Any]) -> None:
        self.client.call("guest.configure", spec=spec)
        self.listen()
        self.client.call("guest.start", guest=1)

    def listen(self) -> None:
        """To the console where the guest is, or comes to."""
        _, (fd,) = self.client.call_fds("console.open", guest=1)
        self.console = socket.socket(fileno=fd)
        self.console.settimeout(DEADLINE)

    def read(self) -> bool:
        """What the guest wrote; False: the console has ended, or nothing came for long."""
        assert self.console is not None
        try:
            data = self.console.recv(65536)
        except TimeoutError:
            return False
        self.said += data
        return bool(data)

    def type(self, line: str) -> int:
        begin = len(self.text)
        assert self.console is not None
        self.console.sendall(line.encode() + b"\r")
        return begin

    def until(self, pattern: str, begin: int = 0) -> re.Match[str]:
        found = re.compile(pattern, re.MULTILINE)
        for _ in range(MOST_READS):
            if match := found.search(self.text, begin):
                return match
            assert self.read(), f"no {pattern!r} in {self.text[-1000:]!r}"
        raise AssertionError(f"no {pattern!r} in {self.text[-1000:]!r}")

    def late(self, told: int) -> float:
        """By how many seconds the time of day that the guest told is behind the server's."""
        return clock(self.client) - told

    def move(self, platforms_spec: dict[str, Any] | None = None) -> None:
        """To the other server: rounds while it runs, then the pause."""
        source, target = self.client, self.clients[1 - self.home]
        spec = source.call("guest.spec", guest=1) | (platforms_spec or {})
        target.call("guest.receive", spec=spec)
        here, there = Memory(source, 1), Memory(target, 1)
        self.again += copy_live(here, there, rounds=ROUNDS)
        source.call("guest.suspend", guest=1)
        copy_dirty(here, there)
        carry_state(source, target, 1)
        here.close()
        there.close()
        old, self.home = self.console, 1 - self.home
        self.listen()
        new, self.console = self.console, old
        source.call("guest.release_disks", guest=1)
        target.call("guest.resume", guest=1)
        source.call("guest.stop", guest=1, taken=True)
        assert old is not None
        old.shutdown(socket.SHUT_WR)
        while self.read():  # to its end: what the guest wrote before it left
            pass
        old.close()
        self.console = new
        source.call("guest.destroy", guest=1)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for name in self.names:
            children.end(places.place(name).machine_pid, signal.SIGKILL)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    found = Pair(tmp_path, "t4-1", "t5-2")
    yield found
    found.close()


def test_labos_moves_while_it_stamps(pair: Pair, tmp_path: Path) -> None:
    """Every stamp, every byte of the disk, every line of the console, five moves T4 <-> T5."""
    create_disk(tmp_path / "d", 1 << 20)
    disk = {"name": "d0", "number": 0, "channels": [1], "backend": str(tmp_path / "d")}
    two: dict[str, Any] = {"cpu_arch": "migration-class1", "vcpus": [[0, 8], [1, 9]], "disks": [disk]}
    pair.start(labos_spec(1, **two))
    pair.until(r"\n# \Z")
    pair.until(r"\n# \Z", pair.type("dirty 20000 16777216"))
    for n in range(5):
        begin = pair.type(f"write c0d0 {16 * n} pattern 16")
        pair.move()
        pair.until(r"\n# \Z", begin)
        pair.until(r"\n# \Z", pair.type(f"echo move {n}"))
        begin = pair.type("dirty check")
        assert pair.until(r"^dirty: (\d+) stamps, 2048 pages, (\d+) wrong", begin)[2] == "0"
        pair.until(r"\n# \Z", begin)
    begin = pair.type("verify c0d0 0 80")
    pair.until(r"80 blocks from 0 are the pattern\n# \Z", begin)
    begin = pair.type("date +%s")
    told = int(pair.until(r"^(\d{10})$", begin)[1])
    assert -2 <= pair.late(told) <= LATE  # by the time it stood still
    pair.until(r"\n# \Z", begin)
    pair.until(r"clock 2850 MHz", pair.type("psrinfo -pv"))
    assert re.findall(r"^move (\d)$", pair.text, re.MULTILINE) == ["0", "1", "2", "3", "4"]
    print(f"pages sent again {pair.again}")


LOOP = """(i=0; while [ $i -lt 240 ]; do i=$((i+1)); echo line $i >> /tmp/log; head -c 32768 /tmp/r > /tmp/c; \
cmp /tmp/o /tmp/c || echo BAD; [ $((i%10)) = 0 ] && echo tick $i; done; echo FINISHED $(wc -l < /tmp/log)) &"""


@pytest.mark.slow
def test_linux_moves_while_it_works(pair: Pair, tmp_path: Path) -> None:
    """An unmodified kernel with two CPUs, a shell loop and a disk, five moves; its log stays clean."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    create_disk(tmp_path / "d", 8 << 20)
    disk = {"name": "d0", "number": 0, "channels": [1], "backend": str(tmp_path / "d")}
    arguments = f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh"
    boot = {"kernel": str(found.kernel), "initrd": str(found.initrd), "arguments": arguments}
    spec = lab_spec(1, "linux", memory=[[0, 16 << 30, 512 << 20]], vcpus=[[0, 8], [1, 9]], disks=[disk], boot=boot)
    pair.start(spec | {"cpu_arch": "migration-class1"})
    pair.until(r"/ # \Z")
    for line in ("mkdir -p /dev /proc /tmp; mount -t devtmpfs d /dev; mount -t proc p /proc; mount -t tmpfs t /tmp",
                 "dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null; head -c 32768 /tmp/r > /tmp/o",
                 "dmesg -n 1; dmesg -c > /dev/null"):
        pair.until(r"/ # \Z", pair.type(line))
    pair.type(LOOP)
    begin = pair.type("while dd if=/tmp/r of=/dev/vdiska bs=64k 2>/dev/null; do :; done &")
    for n in range(5):
        pair.until(rf"tick {40 * (n + 1)}\n", begin)
        pair.move()
    pair.until(r"FINISHED (\d+)", begin)
    assert "FINISHED 240" in pair.text and "BAD" not in pair.text[begin:].replace("echo BAD", "")
    assert re.findall(r"tick (\d+)$", pair.text, re.MULTILINE) == [str(n) for n in range(10, 241, 10)]
    begin = pair.type("kill %2; wait; sync; dd if=/tmp/r of=/dev/vdiska bs=64k conv=fsync 2>/dev/null; echo STOPPED")
    pair.until("^STOPPED", begin)
    begin = pair.type("cmp -n 1048576 /tmp/r /dev/vdiska && echo SAME; nproc; date +%s; dmesg | wc -l; dmesg; echo END")
    pair.until("^END", begin)
    assert re.search(r"^SAME\n2\n", pair.text[begin:], re.MULTILINE)
    told, _, log = re.search(r"^(\d{10})\n(\d+)\n(.*?)^END", pair.text[begin:], re.M | re.S).groups()  # type: ignore[union-attr]
    assert -2 <= pair.late(int(told)) <= LATE
    assert [line for line in log.splitlines() if "hrtimer: interrupt took" not in line] == []  # a busy host
    print(f"pages sent again {pair.again}")


class Heard:
    """What a guest of a server in this process has said; its threads go on meanwhile."""

    def __init__(self) -> None:
        self._more, self._said = threading.Condition(), b""

    def __call__(self, data: bytes) -> None:
        with self._more:
            self._said += data
            self._more.notify_all()

    def until(self, pattern: bytes, begin: int = 0) -> re.Match[bytes]:
        found = re.compile(pattern, re.MULTILINE)
        with self._more:
            assert self._more.wait_for(lambda: found.search(self._said, begin), DEADLINE), self._said
            match = found.search(self._said, begin)
        assert match
        return match


def test_time_of_day_is_right_after_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """G02. STICK stands still while the guest does, TOD does not: seen by a system that asks for it as it boots."""
    hours, host = SimpleNamespace(late=0), guest_moving.time.time
    monkeypatch.setattr(guest_moving, "time", SimpleNamespace(time=lambda: host() + hours.late))
    with Room("t5-2", deterministic=False, name="a") as one, Room("t4-1", deterministic=False, name="b") as other:
        here, there = Heard(), Heard()
        one.call("guest.configure", spec=labos_spec(1, cpu_arch="migration-class1"))
        one.server.console(1).attach(here)
        one.call("guest.start", guest=1)
        here.until(rb"\n# \Z")
        spec = one.call("guest.spec", guest=1)
        other.call("guest.receive", spec=spec)
        other.server.console(1).attach(there)
        one.call("guest.suspend", guest=1)
        memories = Memory(one.client, 1), Memory(other.client, 1)
        copy_memory(*memories)
        for memory in memories:
            memory.close()
        carry_state(one.client, other.client, 1)
        hours.late = 7200
        other.call("guest.resume", guest=1)
        other.type(1, "date +%s")
        told = there.until(rb"^(\d{10})\r?\n# \Z")
        assert -2 <= clock(other.client) - int(told[1]) <= LATE  # it has not asked again: late by two hours
        other.call("guest.reset", guest=1)
        booted = there.until(rb"Hostname.*\n# \Z", told.end())
        other.type(1, "date +%s")
        told = there.until(rb"^(\d{10})\r?\n# \Z", booted.end())
        assert -2 <= clock(other.client) + 7200 - int(told[1]) <= LATE
