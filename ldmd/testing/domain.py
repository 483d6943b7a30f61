"""A domain of a test: made by commands of `ldm`, with a console that follows it from machine to machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.backends.bootdisk import make_bootable
from emulator.backends.images import Access, create_image, open_image
from emulator.errors import EmulatorError
from emulator.server.guest import RUNNING, Guest
from ldmd.testing.console import Console, Pattern
from ldmd.testing.errors import SetupError

if TYPE_CHECKING:
    from ldmd.testing.machine import RoomMachine, Said
    from ldmd.testing.room import Room

MIB = 1 << 20
BOOT_ROOM = 4 * MIB
"""More than the program that a boot disk has."""


@dataclass(frozen=True, kw_only=True)
class DomainSetup:
    """`image`: a program that OpenBoot boots from a disk of its own, vdisk0. `disks`: sizes in bytes of more, empty
    ones (vdisk1 ...), or files, which are used as they are. `ready`: what the console says when the domain can be used;
    "": `ldm` starts it and that is all. `prompt`: what ends the output of a command, a text at the beginning of a line,
    or a compiled expression.
    """

    name: str = "ldg1"
    image: Path
    vcpus: int = 1
    memory: str = "64M"
    cpu_arch: str = "native"
    disks: tuple[int | Path, ...] = ()
    nets: int = 0
    variables: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = field(default=())
    """Of `ldm`, before it is bound."""
    prompt: Pattern = "# "
    ready: Pattern = ""
    start: bool = True


class Domain:
    """A domain. `machine`: where it is now."""

    def __init__(self, room: Room, machine: RoomMachine, setup: DomainSetup) -> None:
        self.room, self.machine, self.setup, self.name = room, machine, setup, setup.name
        self.console = Console(setup.name, self._type, self._until, setup.prompt)
        self.disks: list[Path] = []
        """Files behind its disks, the one it boots from first."""
        self._heard: Guest | None = None

    # -- making

    def make(self) -> None:
        """Disks and commands. Raises SetupError, CommandError."""
        setup, ldm = self.setup, self.machine.ldm
        arch = "" if setup.cpu_arch == "native" else f"cpu-arch={setup.cpu_arch} "
        ldm(f"add-domain {arch}{self.name}")
        ldm(f"set-vcpu {setup.vcpus} {self.name}")
        ldm(f"set-memory {setup.memory} {self.name}")
        self.disks = [self._boot_disk(), *map(self._disk, range(1, len(setup.disks) + 1), setup.disks)]
        for number, path in enumerate(self.disks):
            for each in self.room.machines:  # the storage is shared: a domain that moves finds it there
                each.ldm(f"add-vdsdev {path} {self.name}.{number}@primary-vds0")
            ldm(f"add-vdisk vdisk{number} {self.name}.{number}@primary-vds0 {self.name}")
        for number in range(setup.nets):
            ldm(f"add-vnet vnet{number} primary-vsw0 {self.name}")
        ldm(f"set-variable boot-device=vdisk0 {self.name}")
        for name, value in setup.variables:
            ldm(f"set-variable {name}={value} {self.name}")
        for line in setup.commands:
            ldm(line)
        ldm(f"bind-domain {self.name}")
        self.follow()
        if setup.start:
            self.start()

    def start(self) -> None:
        """Power on, and wait until it is ready."""
        self.machine.ldm(f"start-domain {self.name}")
        self.record()
        if self.setup.ready:
            self.console.expect(self.setup.ready)

    def _boot_disk(self) -> Path:
        path = self.room.home / f"{self.name}.0.img"
        try:
            program = self.setup.image.read_bytes()
            create_image(path, (len(program) + BOOT_ROOM) // MIB * MIB + MIB)
            with closing(open_image(str(path), Access())) as disk:
                make_bootable(disk, program)
        except (OSError, EmulatorError) as error:
            raise SetupError(f"{self.setup.image}: no disk can be made that boots it: {error}") from None
        return path

    def _disk(self, number: int, wanted: int | Path) -> Path:
        if isinstance(wanted, Path):
            return wanted.resolve()
        path = self.room.home / f"{self.name}.{number}.img"
        create_image(path, wanted)
        return path

    # -- what there is

    @property
    def guest(self) -> Guest:
        """What it is on its machine. Raises SetupError where it is not bound."""
        found = self.machine.find(self.name)
        if found is None:
            raise SetupError(f"{self.name} is not bound on {self.machine.name}")
        return found

    @property
    def runs(self) -> bool:
        """Does it run?"""
        found = self.machine.find(self.name)
        return found is not None and found.state == RUNNING

    @property
    def state(self) -> str:
        """As `ldm list` shows it."""
        domain = self.machine.manager.configuration.find(self.name)
        return "" if domain is None else str(domain.state)

    def digest(self) -> bytes:
        """SHA-256 over state and memory."""
        found: bytes = self.guest.post(self.guest.digest).result()["digest"]
        return found

    def record(self) -> None:
        """Record the frames of its networks, into files of the room."""
        guest = self.guest
        for net in guest.spec.nets:
            path = self.room.fresh(f"{self.name}.{net.name}", ".pcapng")
            guest.post(partial(guest.record, net.name, str(path))).result()
            self.room.captures.append(path)

    # -- moving

    def follow(self) -> None:
        """Listen to the console where it is now."""
        for machine in self.room.machines:
            guest = machine.find(self.name)
            if guest is not None and guest.state not in ("receiving", "received") and guest is not self._heard:
                if self._heard is not None:
                    self._heard.console.detach(self._hear)
                guest.console.attach(self._hear)
                self._heard = guest
            if guest is not None:
                if self.machine is not machine:
                    self.machine.domains.remove(self)
                    machine.domains.append(self)
                self.machine = machine

    def _hear(self, data: bytes) -> None:
        self.console.hear(data)
        self.room.trace.text((self.name, "console"), data, at_ns=self.room.now_ns)

    def ldm(self, line: str, *, check: bool = True) -> Said:
        """A command for the machine where it is."""
        return self.machine.ldm(line, check=check)

    def _type(self, data: bytes) -> None:
        self.guest.console.type(data)

    def _until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        return self.room.until(condition, seconds=seconds, alive=lambda: self.runs)
