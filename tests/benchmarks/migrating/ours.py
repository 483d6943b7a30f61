"""Our live migration: a Linux in a domain, between a T4 and a T5, by `ldm migrate-domain` and all that goes with it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from host_shares import free_ports
from linux_found import find_linux
from room_support import Console, Shell

from migrating.figures import Cell, CpuMeter, Figures
from migrating.x86guest import MissingError, compile_dirtier

PROMPT = b"sun4v# "
PORTS = 4
SECONDS = 600
TICKS_AFTER = 5
ALIVE_SECONDS = 60.0
SUSPEND = 4  # the phase in which the domain stands still
MACHINES = (("alpha", "t4-1"), ("beta", "t5-2"))
_SERVER = """
[server.{name}]
platform = "{platform}"
memory = "16G"
[server.{name}.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{first}-{last}"
vds.primary-vds0.kernel = {{ file = "{home}/kernel.img" }}
vds.primary-vds0.root = {{ file = "{home}/root.img" }}
"""
_DOMAIN = """
[server.alpha.domain.mover]
vcpus = 1
memory = "{memory}M"
cpu-arch = "migration-class1"
vdisk.vdisk0 = "kernel@primary-vds0"
vdisk.vdisk1 = "root@primary-vds0"
variable.boot-device = "vdisk0"
variable.boot-file = "console=ttyHV0 cryptomgr.notests=1 quiet root=/dev/vdiskb init=/init"
"""


class Room:
    """Two servers and the domain; it stays where it was moved to, and goes back with the next move."""

    def __init__(self, home: Path, memory: int) -> None:
        """Raises MissingError."""
        self.shell, self.where, self.other = Shell(home), "alpha", "beta"
        found, why = find_linux()
        if found is None:
            raise MissingError(why)
        self.shell.sun4v("mkdisk", "--boot", str(found.kernel), "kernel.img", "64M")
        unpack = f"mkdir root && (cd root && zcat {shlex.quote(str(found.initrd))} | cpio -id --quiet)"
        subprocess.run(["sh", "-c", unpack], cwd=home, check=True)
        compile_dirtier("sparc64-linux-gnu-gcc", home / "root" / "usr" / "bin" / "dirtier")
        make = "truncate -s 32M root.img && mke2fs -q -t ext4 -d root root.img"
        subprocess.run(["sh", "-c", make], cwd=home, check=True)
        self._up(memory)

    def _up(self, memory: int) -> None:
        home, first = self.shell.home, free_ports(2 * PORTS)
        text = 'name = "bench"\n'
        for number, (name, platform) in enumerate(MACHINES):
            begin = first + number * PORTS
            text += _SERVER.format(name=name, platform=platform, first=begin, last=begin + PORTS - 1, home=home)
        (home / "bench.toml").write_text(text + _DOMAIN.format(memory=memory))
        self.shell.sun4v("lab", "up", str(home / "bench.toml"))
        for name, other in (("alpha", "beta"), ("beta", "alpha")):
            trust = home / "machines" / name / "ldmd" / "trust" / f"{other}.pem"
            shutil.copyfile(home / "machines" / other / "ldmd" / "server.crt", trust)
        self._console().socket.close()

    def close(self) -> None:
        """Everything off."""
        self.shell.end()

    def _console(self) -> Console:
        listed = self.shell.ldm("-m", self.where, "list", "-p", "mover")
        found = re.search(r"\|cons=(\d+)\|", listed)
        assert found is not None, listed
        console = Console(int(found[1]))
        console.socket.settimeout(SECONDS)
        console.type(b"\n")
        console.until(PROMPT)
        return console

    def settings(self, **values: str | int) -> None:
        """[migration] of both managers, for the next moves."""
        lines = [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in values.items()]
        for name, _ in MACHINES:
            file = self.shell.home / "machines" / name / "ldmd" / "ldmd.toml"
            file.write_text("\n".join(["[migration]", *lines, ""]))
            self.shell.restart_ldmd(name)

    def load(self, cell: Cell) -> None:
        """The program runs, and has filled its memory."""
        console = self._console()
        console.do(f"dirtier {cell.fill} {cell.region} {cell.rate} >/tmp/ticks 2>&1 &", PROMPT)
        while (tick := self._ticks(console)) is None:
            time.sleep(0.5)
        assert tick >= 0, "its memory is not as it wrote it"
        console.socket.close()

    def unload(self) -> None:
        """The domain rests, and its memory is free."""
        console = self._console()
        console.do("killall dirtier; sleep 1", PROMPT)
        console.socket.close()

    def _ticks(self, console: Console) -> int | None:
        """The last tick that was told, -1: its memory is not as it was, None: the answer was to an earlier line.

        By a loop of the shell alone: a program is read from the disk where Linux is short of memory.
        """
        said = console.do("t=; while read l; do t=$l; done </tmp/ticks; echo \"$t\"", PROMPT)
        found = re.search(r"dirtier: tick (\d+)", said)
        if "CORRUPT" in said:
            return -1
        return int(found[1]) if found else None

    def _alive(self) -> bool:
        """Its program goes on, with the memory it had."""
        console = self._console()
        try:
            first, until = None, time.monotonic() + ALIVE_SECONDS
            while time.monotonic() < until:
                now = self._ticks(console)
                if now == -1:
                    return False
                first = now if first is None else first
                if now is not None and first is not None and now >= first + TICKS_AFTER:
                    return True
                time.sleep(0.2)
            return False
        finally:
            console.socket.close()

    def _pids(self) -> list[int]:
        home, found = f"S4V_HOME={self.shell.home}".encode(), []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and home in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def move(self) -> Figures:
        """One migration to the other server."""
        meter = CpuMeter(self._pids())
        self.shell.ldm("-m", self.where, "migrate-domain", "-c", "mover", self.other)
        cpu = meter.read()
        records = self.shell.home / "machines" / self.where / "ldmd" / "migrations"
        record = json.loads(max(records.glob("*.json")).read_text())
        self.where, self.other = self.other, self.where
        summary = record["summary"]
        paused = next(each["at"] for each in record["phases"] if each["phase"] == SUSPEND)
        return Figures(total_ms=paused * 1000 + summary["downtime_ms"], downtime_ms=float(summary["downtime_ms"]),
                       cpu_seconds=cpu, wire_bytes=int(summary["bytes"]), rounds=int(summary["rounds"]),
                       alive=self._alive(), waits=self._waits() if summary.get("missing") else "")

    def _waits(self) -> str:
        """What the manager of where the domain is now has written of the last move."""
        log = (self.shell.home / "machines" / self.where / "ldmd.log").read_text()
        told = re.findall(r"waited for pages (.*)$", log, re.MULTILINE)
        return told[-1] if told else ""
