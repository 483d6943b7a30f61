"""The servers of the demonstration: made, and taken down again whatever happened."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.places import HOME, MACHINE, place
from emulator.prebuilt import find_labos
from ldmd.lab.reader import read_lab
from ldmd.lab.room import Room, Say
from ldmd.migrator.passwords import FILE as PASSWORDS
from ldmd.migrator.passwords import set_password
from ldmd.security import CERTIFICATE, TRUST

ALPHA, BETA = "alpha", "beta"
MOVER, OTHER = "mover", "other"
ADDRESSES = {MOVER: "10.1.0.1", OTHER: "10.1.0.2"}
USER = "demo"
PORTS = 4
DATA_MIB = 4


class DemoError(EmulatorError):
    """The demonstration cannot go on."""

    code = "demo"


def labos() -> Path:
    """The kernel that comes with the package. Raises DemoError."""
    found = find_labos()
    if found is None:
        raise DemoError("labos.elf is not there: this package was built without it")
    return found


@dataclass(frozen=True)
class Stage:
    """What was made. `password`: the file that holds the target's."""

    home: Path
    data: Path
    password: Path


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody has."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for number in range(port + 1, port + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except (OSError, OverflowError):
                continue
            return port


_SERVER = """
[server.{name}]
platform = "{platform}"
memory = "4G"
[server.{name}.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{first}-{last}"
vsw.primary-vsw0 = {{ net-dev = "net0" }}
vds.primary-vds0.boot = {{ file = "{home}/boot.img" }}
vds.primary-vds0.data = {{ file = "{home}/data.img" }}
"""
_DOMAIN = """
[server.{server}.domain.{name}]
vcpus = 2
memory = "256M"
cpu-arch = "migration-class1"
vdisk.vdisk0 = "{boot}@primary-vds0"
vnet.vnet0 = "primary-vsw0"
variable.boot-device = "vdisk0"
"""


def lab_text(home: Path) -> str:
    """Two servers of different kinds that have the same disks."""
    first = free_ports(2 * PORTS)
    parts = ["name = \"demo\"\n"]
    for number, (name, platform) in enumerate(((ALPHA, "t4-1"), (BETA, "t5-2"))):
        begin = first + number * PORTS
        parts.append(_SERVER.format(name=name, platform=platform, first=begin, last=begin + PORTS - 1, home=home))
    parts.insert(2, f"vds.primary-vds0.other = {{ file = \"{home}/other.img\" }}\n")
    parts.insert(3, _DOMAIN.format(server=ALPHA, name=MOVER, boot="boot") + "vdisk.vdisk1 = \"data@primary-vds0\"\n")
    parts.insert(4, _DOMAIN.format(server=ALPHA, name=OTHER, boot="other"))
    return "".join(parts)


@contextmanager
def stage(say: Say, *, keep: bool = False) -> Iterator[Stage]:
    """Everything up; down and gone at the end, also of an error or a signal. `keep`: it stays."""
    kernel = labos()
    home = Path(tempfile.mkdtemp(prefix="s4v-demo-"))
    before = {name: os.environ.pop(name, None) for name in (HOME, MACHINE)}
    os.environ[HOME] = str(home)
    room = Room(say)
    try:
        made = Stage(home, home / "data.img", home / "password")
        disks = [("--boot", str(kernel), str(home / f"{name}.img"), "8M") for name in ("boot", "other")]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda words: _sun4v("mkdisk", *words), [*disks, (str(made.data), f"{DATA_MIB}M")]))
        file = home / "demo.toml"
        file.write_text(lab_text(home), encoding="utf-8")
        room.up(read_lab(file), keep=True)
        _trust(made)
        yield made
    finally:
        if keep:
            say(f"everything stays in {home}: S4V_HOME={home} sun4v machines; `sun4v lab reset --all` ends it")
        else:
            _down(home)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _trust(made: Stage) -> None:
    """A password for the way there; certificates for the way back."""
    password = secrets.token_urlsafe(18)
    for name in (ALPHA, BETA):
        set_password(place(name).manager / PASSWORDS, USER, password)
    fd = os.open(made.password, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(f"{password}\n")
    for name, other in ((ALPHA, BETA), (BETA, ALPHA)):
        folder = place(name).manager / TRUST
        shutil.copyfile(place(other).manager / CERTIFICATE, folder / f"{other}.pem")


def _down(home: Path) -> None:
    try:
        room = Room(lambda line: None)
        for state in room.states():
            room.reset(state.name)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _sun4v(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "emulator.cli", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise DemoError(f"sun4v {words[0]}: {(done.stderr or done.stdout).strip()}")
