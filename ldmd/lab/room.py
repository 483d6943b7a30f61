"""Making, stopping and removing labs: servers by `sun4v`, domains by their managers, disks in the lab's folder."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.errors import EmulatorError
from emulator.places import check_name, home, place, state_root
from ldmd.cli.parse import UsageError, parse
from ldmd.lab.model import Lab, LabServer
from ldmd.lab.plan import Command, commands, disk_name
from ldmd.messages import RefusedError
from ldmd.operations.context import HypervisorError
from ldmd.rpc.client import Client

AT_ONCE = 4
"""So many servers are powered on at the same time."""
FILE, RECORD, DISKS = "lab.toml", "lab.json", "disks"
Say = Callable[[str], None]


class LabError(EmulatorError):
    """A lab cannot be made, stopped or removed."""

    code = "lab"
    exit_status = 1


@dataclass(frozen=True)
class LabState:
    """A lab that is there, and which of its servers are on."""

    name: str
    servers: tuple[str, ...]
    on: tuple[str, ...]


def labs_root() -> Path:
    """The folder that has one folder for each lab."""
    return state_root().with_name("labs" if home() else "sun4v-labs")


def lab_names() -> tuple[str, ...]:
    """All labs, in order of the alphabet."""
    root = labs_root()
    return tuple(sorted(each.name for each in root.iterdir() if each.is_dir())) if root.is_dir() else ()


class Room:
    """All labs of a user. `say` gets a line for each step."""

    def __init__(self, say: Say) -> None:
        self._listener = say

    def _say(self, text: str) -> None:
        """A line for whoever listens. Where nobody does any more (a closed terminal, a pipe) the work goes on."""
        with contextlib.suppress(OSError):
            self._listener(text)

    def folder(self, name: str) -> Path:
        """Where a lab's disks and record are. Raises PlaceError for a bad name."""
        return labs_root() / check_name(name)

    def states(self) -> list[LabState]:
        """All labs, in order of the alphabet."""
        return [LabState(name, servers := self._servers(name), tuple(each for each in servers if place(each).on))
                for name in lab_names()]

    def _servers(self, name: str) -> tuple[str, ...]:
        try:
            record = json.loads((self.folder(name) / RECORD).read_text())
            return tuple(str(check_name(each)) for each in record["servers"])
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    # -- up

    def up(self, lab: Lab, *, keep: bool = False) -> None:
        """Make a lab, or power one on that was stopped. Raises LabError; without `keep` nothing of it is left then."""
        folder = self.folder(lab.name)
        if folder.exists():
            self._again(lab, folder)
            return
        for server in lab.servers:
            at = place(server.name)
            if at.on or at.state.exists():
                remedy = f"`sun4v power-off {server.name}` and " if at.on else ""
                remedy += f"`sun4v delete {server.name}` forgets it"
                raise LabError(f"there is a machine {server.name} already: {remedy}")
        self._check(lab)
        try:
            self._record(lab, folder)
            for server in lab.servers:
                self._disks(server, folder)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._power_on, lab.servers))
            for server in lab.servers:
                self._say(f"{server.name}: {server.platform} is on")
                self._domains(server, folder)
            self._arm(lab)
        except BaseException:
            if not keep and folder.exists():
                self._take_down(lab.name)
            raise

    def _take_down(self, name: str) -> None:
        """What became of a lab that could not be made. Why it could not is told behind it, whatever comes of this."""
        self._say("taking down what was made (--keep leaves it)")
        try:
            self.reset(name)
        except (EmulatorError, OSError) as error:
            self._say(f"not all of it could be taken down ({error}): `sun4v lab reset {name}` when that is mended")

    def _again(self, lab: Lab, folder: Path) -> None:
        if (folder / FILE).read_text() != lab.text:
            raise LabError(f"lab {lab.name} was made from another file: `sun4v lab reset {lab.name}` removes it, with "
                           "its disks")
        for server in lab.servers:
            if place(server.name).on:
                self._say(f"{server.name}: is on")
            else:
                self._power_on(server)
                self._say(f"{server.name}: {server.platform} is on")
        self._arm(lab)

    def _arm(self, lab: Lab) -> None:
        """Its faults. Raises LabError."""
        if lab.faults is None:
            return
        from ldmd.lab.faultscommand import arm

        try:
            for line in arm(lab.faults, tuple(server.name for server in lab.servers)):
                self._say(line)
        except HypervisorError as error:
            raise LabError(f"the faults cannot be armed: {error}") from None

    @staticmethod
    def _check(lab: Lab) -> None:
        """Every command is one of the grammar's, before anything is made."""
        for server in lab.servers:
            for command in commands(server, Path):
                try:
                    parse(command)
                except UsageError as error:
                    raise LabError(f"{server.name}: ldm {' '.join(command)}: {error}") from None

    @staticmethod
    def _record(lab: Lab, folder: Path) -> None:
        (folder / DISKS).mkdir(parents=True)
        (folder / RECORD).write_text(json.dumps({"servers": [server.name for server in lab.servers]}))
        (folder / FILE).write_text(lab.text)

    def _disks(self, server: LabServer, folder: Path) -> None:
        for domain in server.domains:
            for vds in domain.disk_servers:
                for volume in vds.volumes:
                    path = folder / DISKS / disk_name(server.name, vds, volume)
                    if path.exists():
                        continue  # made for another path of the same multipathing group
                    if volume.image is not None:
                        _sun4v("disk", "overlay", str(volume.image), str(path))
                    elif volume.copy is not None:
                        _run("cp", "--sparse=always", "--reflink=auto", str(volume.copy), str(path))
                    elif volume.size:
                        boot = () if volume.boot is None else ("--boot", str(volume.boot))
                        _sun4v("mkdisk", *boot, str(path), volume.size)

    def _power_on(self, server: LabServer) -> None:
        memory = ("--memory", server.memory) if server.memory else ()
        nets = [f"--net={device}={outlet}" for device, outlet in server.networks] or ["--net="]
        engine = ("--engine", server.engine) if server.engine else ()
        time = "--deterministic" if server.deterministic else "--no-deterministic"
        _sun4v("power-on", "--platform", server.platform, *memory, *nets, *engine, time, server.name)

    def _domains(self, server: LabServer, folder: Path) -> None:
        with Client(place(server.name).rpc) as client:
            for command in commands(server, lambda name: folder / DISKS / name):
                _carry_out(client, server.name, command)
            listed = client.call("list-domain", {"domains": []})
        for domain in listed["domains"]:
            port = domain["console"]
            console = f", console telnet localhost {port}" if port.isdecimal() else ""
            self._say(f"{server.name}: {domain['name']} {domain['state']}{console}")

    # -- down

    def down(self, name: str, *, force: bool = False) -> None:
        """Shut the guests of a lab down and power its servers off; `lab up` brings them back. Raises LabError."""
        for server in self._known(name):
            if place(server).on:
                _sun4v("power-off", *(("--force",) if force else ()), server)
                self._say(f"{server}: is off")

    def reset(self, name: str) -> None:
        """Remove a lab, whatever state it is in: servers, their state, its disks. Raises LabError."""
        for server in self._known(name):
            if place(server).on:
                _sun4v("kill", server, apart=True)
            if place(server).state.exists():
                _sun4v("delete", "--yes", server, apart=True)
                self._say(f"{server}: is gone")
        shutil.rmtree(self.folder(name))

    def _known(self, name: str) -> tuple[str, ...]:
        if not self.folder(name).is_dir():
            raise LabError(f"there is no lab {name}; `sun4v lab list` shows those there are")
        return self._servers(name)


def _carry_out(client: Client, server: str, command: Command) -> Any:
    request = parse(command)
    line = f"ldm {' '.join(command)}"
    try:
        return client.call(request.operation, request.arguments, line=line)
    except RefusedError as error:
        more = "".join(f"\n  {text}" for text in (error.cause, error.remedy) if text)
        raise LabError(f"{server}: {line}: {error}{more}") from None


def _sun4v(*words: str, apart: bool = False) -> None:
    _run(sys.executable, "-m", "emulator.cli", *words, apart=apart)


def _run(*words: str, apart: bool = False) -> None:
    """Run a command; `apart`: signals of our terminal do not reach it. Raises LabError with what it has said."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          start_new_session=apart)  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).strip().removeprefix("sun4v: ")
        raise LabError(said or f"{words[0]} failed with status {done.returncode}")


def names(states: Sequence[LabState]) -> str:
    """For a sentence."""
    return ", ".join(state.name for state in states) or "none"
