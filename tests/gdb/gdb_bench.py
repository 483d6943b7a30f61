"""What tests with Debian's gdb-multiarch need: a real machine with a guest, and batches of GDB's commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from emulator import places
from emulator.hvctl.client import Hvctl
from emulator.power import children
from emulator.server.spec import lab_spec

ROOT = Path(__file__).resolve().parents[2]
GDB = "gdb-multiarch"
DEADLINE = 120
SUN4V = [sys.executable, "-m", "emulator.cli"]
PREPARE = ["set pagination off", "set confirm off", "set remotetimeout 60", "set width 0"]


class Bench:
    """A machine in a home of its own, and a guest on it."""

    def __init__(self, home: Path) -> None:
        self.env = {**os.environ, "S4V_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.home = home
        subprocess.run([*SUN4V, "power-on", "alpha", "--no-ldmd", "--memory", "64G"], env=self.env, check=True,
                       timeout=DEADLINE, stdout=subprocess.DEVNULL)  # fmt: skip
        self.machine = Hvctl(places.place("alpha").hvctl)
        self.console = socket.socket()
        self.said = b""

    def boot(self, *, variables: dict[str, str] | None = None, **boot: str) -> None:
        """A guest of two virtual CPUs."""
        spec = lab_spec(1, "lab", boot=boot, variables=variables or {}, vcpus=[[0, 0], [1, 1]],
                        memory=[[0, 16 << 30, 512 << 20]])  # fmt: skip
        self.machine.call("guest.configure", spec=spec)
        _, fds = self.machine.call_fds("console.open", guest=1, replay=True)
        self.console = socket.socket(fileno=fds[0])
        self.console.settimeout(DEADLINE)
        self.machine.call("guest.start", guest=1)

    def until(self, text: bytes) -> bytes:
        """Wait for a text on the console; what came up to it."""
        while text not in self.said:
            more = self.console.recv(65536)
            assert more, self.said
            self.said += more.replace(b"\r", b"")
        found, _, self.said = self.said.partition(text)
        return found

    def type(self, line: bytes) -> None:
        self.console.sendall(line)

    def keys(self, line: str) -> str:
        """A command of GDB by which the guest is typed a line while it stands."""
        words = " ".join(SUN4V)
        return f"shell printf '{line}' | {words} console alpha/lab --no-replay --linger 0"

    def gdb(self, symbols: Path, *commands: str, remote: str = "", status: int = 0) -> str:
        """A batch of GDB's commands; all that it prints."""
        target = remote or f"| {' '.join(SUN4V)} gdb alpha/lab --stdio"
        batch = [*PREPARE, f"target remote {target}", *commands]
        words = [GDB, "-nx", "-batch", str(symbols)]
        for command in batch:
            words += ["-ex", command]
        done = subprocess.run(words, env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False)  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.machine.call("guest.status", guest=1)
        return status

    def close(self) -> None:
        self.console.close()
        self.machine.close()
        for name in places.machine_names():
            children.end(places.place(name).machine_pid, signal.SIGKILL)


def in_order(text: str, *patterns: str) -> list[re.Match[str]]:
    """Each pattern behind the one before."""
    found, at = [], 0
    for pattern in patterns:
        match = re.compile(pattern).search(text, at)
        assert match, f"no {pattern!r} behind {text[:at][-300:]!r} in\n{text}"
        found.append(match)
        at = match.end()
    return found
