"""A hall of real servers of every kind, in one home: machine, manager and console server of each are processes.

Domains are built by `ldm` alone, and moved by `ldm migrate-domain`; the client's own code runs in this process. A
server is powered on when a test first wants it, and stays for all tests of the folder.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_shares import free_ports
from ldm_support import Done
from room_support import PATIENCE, Console, Shell

from emulator import platforms
from emulator.places import HOME, MACHINE, machine_names, place
from emulator.power.control import pull_cord
from ldmd.cli.connection import connect
from ldmd.cli.main import run
from ldmd.cli.screen import Screen
from ldmd.demo.stage import labos
from ldmd.migration.phases import Phase

KINDS = {"t3a": "t3-1", "t3b": "t3-1", "t4a": "t4-1", "t5a": "t5-2", "t5b": "t5-2", "m7a": "m7-8", "m10a": "m10-1",
         "m10b": "m10-1"}
MEMORY = {"m7-8": "256G", "t7-1": "256G", "t4-4": "1T", "m5-32": "256G", "t5-2": "64G", "t3-1": "64G"}
PORTS = 12
LOOK = 0.05
ENDPOINT, BUS, PF = "/SYS/MB/PCIE1", "pci_3", "/SYS/MB/NET0/IOVNET.PF0"
VDS, VSW = "primary-vds0", "primary-vsw0"
FAILED, WOULD_FAIL = "Domain Migration of LDom {} failed", "Domain Migration of LDom {} would fail if attempted"


class Hall:
    """See the module. `end` in any case."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.shell = Shell(home)
        self.kinds = dict(KINDS)
        self.on: dict[str, int] = {}  # machine -> its first console port
        self._environment = threading.Lock()
        self.shell.sun4v("mkdisk", "--boot", str(labos()), str(home / "boot.img"), "8M")

    # -- servers

    def up(self, *names: str) -> None:
        """Have servers on, set up, and trusting each other."""
        fresh = [name for name in names if name not in self.on]
        if not fresh:
            return
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._power_on, fresh))
        for name in fresh:
            self._set_up(name)
        for one in self.on:
            for other in self.on:
                if one != other:
                    shutil.copyfile(self.directory(other) / "server.crt", self.directory(one) / f"trust/{other}.pem")

    def _power_on(self, name: str) -> None:
        kind = self.kinds[name]
        self.shell.sun4v("power-on", name, "--platform", kind, "--memory", MEMORY.get(kind, "32G"))

    def _set_up(self, name: str) -> None:
        """A small control domain with services."""
        self.on[name] = first = free_ports(PORTS)
        self.ok(name, "start-reconf primary")
        if "MAU" in self.ok(name, "list -o crypto primary"):
            self.ok(name, "set-crypto 0 primary")
        if name == "t5a":  # what domains are lent
            for device in (ENDPOINT, BUS):
                self.ok(name, f"remove-io {device} primary")
        for line in ("set-vcpu 8 primary", "set-memory 1G primary", "stop-domain -r primary",
                     f"add-vcc port-range={first}-{first + PORTS - 1} primary-vcc0 primary",
                     f"add-vds {VDS} primary", f"add-vsw {VSW} primary",
                     f"add-vdsdev {self.home}/boot.img vol1@{VDS}"):
            self.ok(name, line)
        if name == "t5a":
            self.ok(name, "start-reconf primary", f"create-vf -n 1 {PF}", "stop-domain -r primary")

    def kind(self, name: str, like: str, *rows: str) -> None:
        """A server that is a little different from one of the catalogue, for `up`."""
        text = (Path(platforms.__file__).parent / f"{like}.toml").read_text()
        path = self.home / f"{name}.toml"
        path.write_text("\n".join([*rows, text]))
        self.kinds[name] = str(path)

    def directory(self, name: str) -> Path:
        """The manager's."""
        return self.home / "machines" / name / "ldmd"

    @contextmanager
    def settings(self, name: str, **values: object) -> Iterator[None]:
        """[migration] of a manager's ldmd.toml, which is started again with it, and without it afterwards."""
        try:
            self._settings(name, **values)
            yield
        finally:
            self._settings(name)

    def _settings(self, name: str, **values: object) -> None:
        path = self.directory(name) / "ldmd.toml"
        rows = [f"{key.replace('_', '-')} = {str(value).lower() if isinstance(value, bool) else value}"
                for key, value in values.items()]
        path.write_text("\n".join(["[migration]", *rows, ""]))
        self.shell.restart_ldmd(name)

    def end(self) -> None:
        """Nothing of it runs any more."""
        with self.in_home():
            for name in machine_names():
                pull_cord(place(name))
        assert self.shell.left() == []

    # -- commands

    @contextmanager
    def in_home(self) -> Iterator[None]:
        """Machines are found by their names."""
        with self._environment:
            before = {name: os.environ.get(name) for name in (HOME, MACHINE)}
            os.environ[HOME] = str(self.home)
            os.environ.pop(MACHINE, None)
            try:
                yield
            finally:
                for name, value in before.items():
                    os.environ.pop(name, None)
                    if value is not None:
                        os.environ[name] = value

    def ldm(self, machine: str, line: str) -> Done:
        """Type a line at a machine."""
        out, err = io.StringIO(), io.StringIO()

        def reach(name: str | None) -> object:
            with self.in_home():
                return connect(name)

        status = run(["-m", machine, *shlex.split(line)], screen=Screen(out, err), reach=reach)  # type: ignore[arg-type]
        return Done(status, out.getvalue(), err.getvalue())

    def ok(self, machine: str, *lines: str) -> str:
        """Lines that succeed; what the last one printed."""
        out = ""
        for line in lines:
            done = self.ldm(machine, line)
            assert done.status == 0, f"{machine}: ldm {line}: {done}"
            out = done.out
        return out

    @contextmanager
    def changed(self, machine: str, *lines: str, back: tuple[str, ...]) -> Iterator[None]:
        """Lines are typed, and what undoes them afterwards, whatever happened."""
        try:
            self.ok(machine, *lines)
            yield
        finally:
            self.ok(machine, *back)

    # -- domains

    def add(self, machine: str, name: str, *lines: str, vcpus: int = 2, size: str = "256M", arch: str = "",
            upto: str = "booted", words: str = "") -> None:
        """A domain: inactive, bound, active (at OpenBoot's prompt) or booted. `words`: of its boot."""
        disk = self.home / f"{name}.img"
        if not disk.exists():
            shutil.copyfile(self.home / "boot.img", disk)
        property_ = f"cpu-arch={arch} " if arch else ""
        self.ok(machine, f"add-domain {property_}{name}", f"set-vcpu {vcpus} {name}", f"set-memory {size} {name}",
                f"set-variable boot-device=boot {name}", *lines)
        if words:
            self.ok(machine, f"set-variable boot-file='{words}' {name}")
        self.volume(machine, name)
        self.ok(machine, f"add-vdisk boot {name}@{VDS} {name}")
        if upto == "active":
            self.ok(machine, f"set-variable auto-boot?=false {name}")
        if upto != "inactive":
            self.ok(machine, f"bind-domain {name}")
        if upto in ("active", "booted"):
            self.ok(machine, f"start-domain {name}")
        if upto == "booted":
            self.booted(machine, name)

    def guest(self, machine: str, name: str, *lines: str, **how: Any) -> str:
        """A domain that several tests look at, made when the first one wants it; its name."""
        if not self.row(machine, name):
            self.add(machine, name, *lines, **how)
        return name

    def volume(self, machine: str, name: str) -> None:
        """The domain's disk on a machine, once."""
        if f"|vol={name}|" not in self.ok(machine, "list-services -p"):
            self.ok(machine, f"add-vdsdev {self.home}/{name}.img {name}@{VDS}")

    def booted(self, machine: str, name: str) -> None:
        try:
            until(lambda: self.row(machine, name) == "active -n----", f"{name} does not boot on {machine}")
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.row(machine, name)}") from late

    def drop(self, machine: str, *names: str) -> None:
        """Domains that are in the way."""
        for name in names:
            if self.row(machine, name).startswith("active"):
                self.ok(machine, f"stop-domain -f {name}")
            if self.row(machine, name).startswith("bound"):
                self.ok(machine, f"unbind-domain {name}")
            self.ok(machine, f"remove-domain {name}")

    def row(self, machine: str, name: str) -> str:
        """State and flags of a domain, "" where it is not."""
        for line in self.ok(machine, "list -p").splitlines():
            if f"|name={name}|" in line:
                fields = dict(each.split("=", 1) for each in line.split("|") if "=" in each)
                return f"{fields['state']} {fields['flags']}"
        return ""

    def console(self, machine: str, name: str) -> Console:
        """A domain's console."""
        for line in self.ok(machine, "list -p").splitlines():
            if f"|name={name}|" in line:
                fields = dict(each.split("=", 1) for each in line.split("|") if "=" in each)
                return Console(int(fields["cons"]))
        raise AssertionError(f"{machine} has no {name}")

    def type(self, machine: str, name: str, *commands: str) -> list[str]:
        """What commands print, at the prompt of the domain's system."""
        console = self.console(machine, name)
        try:
            console.until(b"# ")
            return [console.do(command).replace("\r", "").removesuffix("\n# ").removeprefix("\n")
                    for command in commands]
        finally:
            console.socket.close()

    # -- migrations

    def migrate(self, name: str, here: str, there: str, options: str = "-n", *, to: str = "") -> Done:
        """`ldm migrate-domain`."""
        return self.ldm(here, f"migrate-domain -c {options} {name} {there}{':' if to else ''}{to}")

    def allowed(self, name: str, here: str, there: str, *, to: str = "") -> None:
        """A dry run finds nothing."""
        done = self.migrate(name, here, there, to=to)
        assert done == Done(0, "", ""), done

    def refused(self, name: str, here: str, there: str, *texts: str, to: str = "", options: str = "") -> None:
        """A dry run finds exactly this; each finding has words of help; so does the real command, and nothing moves."""
        before = self.row(here, name), self.row(there, to or name)
        dry = self.migrate(name, here, there, f"-n {options}", to=to)
        assert said(dry.err) == [*texts, WOULD_FAIL.format(name)], dry
        assert (dry.status, dry.out) == (1, "")
        real = self.migrate(name, here, there, options, to=to)
        assert real.err.replace(FAILED.format(name), WOULD_FAIL.format(name)) == dry.err
        assert real.status == 1
        assert (self.row(here, name), self.row(there, to or name)) == before
        record = self.record(here)
        assert record["domain"] == name and record["rounds"] == [], "a page was moved"
        assert all(each["phase"] <= Phase.CHECK for each in record["phases"]), "something was prepared"

    def record(self, machine: str) -> dict[str, Any]:
        """Of the last migration from there."""
        path = max((self.directory(machine) / "migrations").glob("*.json"))
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def warned(self, name: str, here: str, there: str, *texts: str, to: str = "", options: str = "") -> None:
        """A dry run succeeds, and says this."""
        dry = self.migrate(name, here, there, f"-n {options}", to=to)
        assert (dry.status, dry.out, said(dry.err)) == (0, "", [*texts]), dry

    def moved(self, name: str, here: str, there: str, *, to: str = "") -> None:
        """It is moved, without a word."""
        done = self.migrate(name, here, there, "", to=to)
        assert done == Done(0, "", ""), done
        assert self.row(here, name) == ""


def said(text: str) -> list[str]:
    """What was found, without causes and remedies."""
    return [line for line in text.splitlines() if not line.startswith("  ")]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what processes bring about."""
    for _ in range(int(2 * PATIENCE / LOOK)):
        if condition():
            return
        threading.Event().wait(LOOK)
    raise AssertionError(what)
