"""Machines with real processes in a home of their own, for tests of what a person does at the keyboard."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

PATIENCE = 60.0
TOOLS = {"sun4v": "emulator.cli", "ldm": "ldmd.cli", "ldmd": "ldmd.daemon", "pytest": "pytest"}


def tools(home: Path) -> Path:
    """A folder with the project's commands, for what is typed into a real shell."""
    folder = home / "bin"
    folder.mkdir()
    for name, module in TOOLS.items():
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        path.chmod(0o755)
    return folder


class Console:
    """A domain's console at its port, without the commands of telnet."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.seen = b""
        self.until(b"control options ..")
        self.type(b"\n")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        self.socket.sendall(keys)

    def until(self, text: bytes) -> bytes:
        """Wait for a text; all that came up to its end, which is forgotten then."""
        while text not in self.seen:
            data = self.socket.recv(4096)
            assert data, f"the console was closed; waited for {text!r}, saw {self.seen!r}"
            self.seen += data
        end = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found

    def do(self, command: str, prompt: bytes = b"# ") -> str:
        """Type a command at a prompt; what comes up to the next prompt."""
        self.type(command.encode() + b"\n")
        self.until(command.encode())
        return self.until(b"\n" + prompt).decode(errors="replace")

    def quiet(self, seconds: float) -> bool:
        """True where nothing comes for so long."""
        ready, _, _ = select.select([self.socket], [], [], seconds)
        return not ready and not self.seen

    def closed(self) -> bool:
        """Wait until the other side ends it."""
        while data := self.socket.recv(4096):
            self.seen += data
        self.socket.close()
        return True


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

    def console(self, port: int) -> Console:
        """The console of a domain, and its next prompt."""
        return Console(port)

    def kill_ldmd(self, machine: str) -> None:
        """Kill a machine's manager as nothing else can."""
        os.kill(int((self.home / "run" / machine / "ldmd.pid").read_text()), signal.SIGKILL)

    def restart_ldmd(self, machine: str) -> None:
        """Kill a machine's manager, and start another one."""
        self.kill_ldmd(machine)
        self.run("ldmd.daemon", "--machine", machine)

    def end(self) -> None:
        """Remove labs, cut the power of machines; nothing of this home runs any more."""
        self.sun4v("lab", "reset", "--all")
        for line in self.sun4v("machines").splitlines()[1:]:
            name, state = line.split()[:2]
            if state not in ("off", "crashed"):
                self.sun4v("kill", name)
        assert self.left() == []

    def left(self) -> list[str]:
        """What does not end: children of a process that was killed notice its end, and take a moment."""
        moment = threading.Event()
        for _ in range(3000):
            if not self.processes():
                break
            moment.wait(0.01)
        return self.processes()

    def stopped(self) -> list[int]:
        """Processes of this home that a signal has stopped."""
        home, found = f"S4V_HOME={self.home}".encode(), []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and home in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    found += [int(entry.name)] if state == "T" else []
            except OSError:
                continue
        return found

    def processes(self) -> list[str]:
        """What runs in this home at this moment."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                home = f"S4V_HOME={self.home}".encode()
                if entry.name.isdecimal() and home in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found
