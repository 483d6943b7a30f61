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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from linux_found import CRYPTO, find_linux
from moving_support import Memory, carry_state, copy_dirty, copy_live, copy_memory
from server_support import PROMPT, Room, labos_spec

import emulator.server.guest
from emulator import places
from emulator.backends.file import create_disk
from emulator.hvctl.client import Hvctl
from emulator.power import children
from emulator.server.spec import lab_spec

DEADLINE = 100
ROUNDS = 2


class Pair:
    """Two servers, each a process; guest 1 is on one of them, and its console is one text."""

    def __init__(self, home: Path, *platforms: str) -> None:
        self.names = [f"m{n}" for n in range(len(platforms))]
        for name, platform in zip(self.names, platforms, strict=True):
            words = ["power-on", name, "--no-ldmd", "--memory", "64G", "--platform", platform]
            subprocess.run([sys.executable, "-m", "emulator.cli", *words], check=True, timeout=DEADLINE)
        self.clients = [Hvctl(places.place(name).hvctl) for name in self.names]
        self.home, self.again, self.pauses = 0, 0, []
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
        """What the guest wrote; False: the console has ended."""
        assert self.console is not None
        data = self.console.recv(65536)
        self.said += data
        return bool(data)

    def type(self, line: str) -> int:
        begin = len(self.text)
        assert self.console is not None
        self.console.sendall(line.encode() + b"\r")
        return begin

    def until(self, pattern: str, begin: int = 0) -> re.Match[str]:
        found = re.compile(pattern, re.MULTILINE)
        end = time.monotonic() + DEADLINE
        while not (match := found.search(self.text, begin)):
            assert time.monotonic() < end and self.read(), f"no {pattern!r} in {self.text[-1000:]!r}"
        return match

    def move(self, platforms_spec: dict[str, Any] | None = None) -> None:
        """To the other server: rounds while it runs, then the pause."""
        source, target = self.client, self.clients[1 - self.home]
        spec = source.call("guest.spec", guest=1) | (platforms_spec or {})
        target.call("guest.receive", spec=spec)
        here, there = Memory(source, 1), Memory(target, 1)
        self.again += copy_live(here, there, rounds=ROUNDS)
        begin = time.monotonic()
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
        self.pauses.append(time.monotonic() - begin)
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
    pair.until("80 blocks from 0 are the pattern", begin)
    begin = pair.type("date +%s")
    told = int(pair.until(r"^(\d{10})$", begin)[1])
    assert -5 <= told - time.time() + sum(pair.pauses) <= 5  # its clock is late by the time it stood still
    pair.until(r"clock 2850 MHz", pair.type("psrinfo -pv"))
    assert re.findall(r"^move (\d)$", pair.text, re.MULTILINE) == ["0", "1", "2", "3", "4"]
    print(f"pages sent again {pair.again}, pauses {[round(pause * 1000) for pause in pair.pauses]} ms")


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
    told, lines = re.search(r"^(\d{10})\n(\d+)\n", pair.text[begin:], re.MULTILINE).groups()  # type: ignore[union-attr]
    assert -5 <= int(told) - time.time() + sum(pair.pauses) <= 5
    assert lines == "0", pair.text[begin:]
    print(f"pages sent again {pair.again}, pauses {[round(pause * 1000) for pause in pair.pauses]} ms")


def wait_for(happens: Callable[[], bool], what: str) -> None:
    """Of a server in this process: its threads go on meanwhile."""
    end = time.monotonic() + DEADLINE
    while not happens():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_time_of_day_is_right_after_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """STICK stands still while the guest does, TOD does not: seen by a system that asks for it as it boots again."""
    hours = SimpleNamespace(late=0)
    monkeypatch.setattr(emulator.server.guest, "time", SimpleNamespace(time=lambda: time.time() + hours.late))
    with Room("t5-2", deterministic=False, name="a") as one, Room("t4-1", deterministic=False, name="b") as other:
        one.add(labos_spec(1, cpu_arch="migration-class1"))
        wait_for(lambda: one.text(1).endswith(PROMPT), "boot")
        spec = one.call("guest.spec", guest=1)
        other.call("guest.receive", spec=spec)
        one.call("guest.suspend", guest=1)
        here, there = Memory(one.client, 1), Memory(other.client, 1)
        copy_memory(here, there)
        here.close()
        there.close()
        carry_state(one.client, other.client, 1)
        other.said[1] = bytearray()
        other.server.console(1).attach(other.said[1].extend)
        hours.late = 7200
        other.call("guest.resume", guest=1)
        other.type(1, "date +%s")
        wait_for(lambda: re.search(r"^\d{10}$", other.text(1), re.MULTILINE) is not None, other.text(1))
        found = re.search(r"^(\d{10})$", other.text(1), re.MULTILINE)
        assert found and abs(int(found[1]) - time.time()) < 60  # it has not asked again, and is late
        other.call("guest.reset", guest=1)
        begin = len(other.text(1))
        wait_for(lambda: other.text(1)[begin:].endswith(PROMPT), "boot again")
        begin = len(other.text(1))
        other.type(1, "date +%s")
        wait_for(lambda: other.text(1)[begin:].endswith(PROMPT), "date")
        found = re.search(r"^(\d{10})$", other.text(1)[begin:], re.MULTILINE)
        assert found and abs(int(found[1]) - time.time() - 7200) < 60
