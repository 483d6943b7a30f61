"""Machines with real processes in a home of their own, for tests of what a person does at the keyboard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def free_ports() -> int:
    """The first of two ports in a row that nobody has."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


class Shell:
    """Commands with a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "S4V_HOME": str(home)}
        self.environment.pop("SUN4V_MACHINE", None)

    def run(self, module: str, *words: str, status: int = 0) -> str:
        """Standard output, or the errors where they are expected."""
        program = f"from {module} import main; import sys; sys.exit(main())"
        done = subprocess.run([sys.executable, "-c", program, *words], env=self.environment, cwd=self.home,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    def sun4v(self, *words: str, status: int = 0) -> str:
        """The emulator's command."""
        return self.run("emulator.cli", *words, status=status)

    def ldm(self, *words: str, status: int = 0) -> str:
        """The manager's command."""
        return self.run("ldmd.cli", *words, status=status)

    def restart_ldmd(self, machine: str) -> None:
        """Kill a machine's manager as nothing else can, and start another one."""
        pid = int((self.home / "run" / machine / "ldmd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        self.run("ldmd.daemon", "--machine", machine)

    def processes(self) -> list[str]:
        """What still runs in this home."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                home = f"S4V_HOME={self.home}".encode()
                if entry.name.isdecimal() and home in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found
