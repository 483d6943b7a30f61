"""One machine of a room: a server in virtual time with its manager, both in this process, and `ldm` for it."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from emulator.faults.rules import Plan
from emulator.hvctl.local import LocalHvctl
from emulator.server import Server
from emulator.server.guest import Guest
from emulator.stream import worker
from ldmd.cli.main import run
from ldmd.cli.screen import Screen
from ldmd.faults import ManagerFaults
from ldmd.manager import Manager
from ldmd.migrationrecord import FOLDER, FolderRecords
from ldmd.migrator.link import Identity
from ldmd.migrator.means import Means
from ldmd.migrator.migrations import Migrations
from ldmd.migrator.passwords import FILE as PASSWORDS
from ldmd.migrator.passwords import set_password
from ldmd.migrator.peers import fingerprint, read_certificate
from ldmd.migrator.settings import HOSTS, Settings
from ldmd.operations.context import HypervisorError
from ldmd.security import CERTIFICATE, TRUST, certificates
from ldmd.store import Store
from ldmd.testing.domain import Domain, DomainSetup
from ldmd.testing.errors import CommandError, SetupError
from ldmd.testing.worker import ThreadLife

if TYPE_CHECKING:
    from ldmd.testing.room import Room

PRIMARY_SETUP = (
    "start-reconf primary", "set-core 1 primary", "set-memory 2G primary", "stop-domain -r primary",
    "add-vcc port-range=5000-5100 primary-vcc0 primary", "add-vsw primary-vsw0 primary",
    "add-vds primary-vds0 primary",
)  # fmt: skip
"""A control domain that leaves the rest to others, with the services that domains want."""

OF_PROCESSES = {("machine", "kill"), ("manager", "kill"), ("worker", "stall")}
"""Actions of faults that signals do to processes. Here all are threads of one process, which is the test's."""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def problems(self) -> tuple[str, ...]:
        """Lines of standard error."""
        return tuple(self.err.splitlines())


class _InProcess:
    """A connection of `ldm` to a manager in this process."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def call(self, command: str, arguments: Mapping[str, Any] | None = None, *, on_line: Any = None,
             line: str = "") -> Any:
        outcome = self._manager.execute(command, dict(arguments or {}), line=line, on_line=on_line)
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def watch(self) -> Iterator[Mapping[str, Any]]:
        yield from ()

    def close(self) -> None:
        return


class RoomMachine:
    """A server that is on. Made by `Room.add`."""

    def __init__(self, room: Room, name: str, *, platform: str, memory_bytes: int) -> None:
        self.room, self.name = room, name
        self.server = Server(platform, name=name, memory_bytes=memory_bytes, deterministic=True, seed=room.seed)
        self.directory = room.home / "machines" / name / "ldmd"
        self.directory.mkdir(parents=True)
        self.hvctl = _Watched(self.server, room)
        certificate, key = certificates(self.directory, name)
        seed = f"{room.seed} {name}"
        self.faults = ManagerFaults(self.hvctl.call, kill=_no_kill)
        self.manager = Manager(self.hvctl, Store(self.directory / "store.sqlite"), clock=room.clock, rng=Random(seed),
                               step=self.faults.step)
        self.manager.records = FolderRecords(self.directory / FOLDER, lambda text: None)
        settings = Settings(lease_directory=str(room.home / "leases"), channels=1, downtime_ms=60_000)
        self.migrations = Migrations(Means(
            self.manager, self.directory, Identity(certificate, key), settings=settings, start_worker=_start_worker,
            faults=self.faults))
        self.manager.migrations = self.manager.movers = self.migrations
        self.manager.start()
        self.migrations.restart()
        self._address = self.migrations.listen(("127.0.0.1", 0))
        self.domains: list[Domain] = []
        for line in PRIMARY_SETUP:
            if not (line.startswith("set-core") and not self.server.platform.chip):
                self.ldm(line)

    def knows(self, other: RoomMachine) -> None:
        """Where another machine's manager is, and that it may be trusted."""
        pem = (other.directory / CERTIFICATE).read_bytes()
        (self.directory / TRUST / f"{other.name}.pem").write_bytes(pem)
        pin = fingerprint(read_certificate(other.directory / CERTIFICATE))
        entry = f'[{other.name}]\naddress = "127.0.0.1"\nport = {other._address[1]}\nfingerprint = "{pin}"\n'
        with (self.directory / HOSTS).open("a", encoding="utf-8") as file:
            file.write(entry)

    def set_password(self, user: str, password: str) -> None:
        """Who may migrate domains to this machine, as `sun4v passwd`."""
        set_password(self.directory / PASSWORDS, user, password)

    def arm(self, plan: Plan) -> None:
        """Arm faults (emulator/faults); `server.faults.injector.status()` tells what has fired.

        Raises SetupError, with nothing armed, where a rule wants a process that is not there.
        """
        mine = plan.at(self.name)
        wrong = [f"{rule.point} {rule.action}" for rule in mine.rules if (rule.point, rule.action) in OF_PROCESSES]
        if wrong:
            raise SetupError(
                f"{', '.join(wrong)}: machines, managers and workers of a test are threads of the test's own process:"
                " no signal can be sent to them; arm it on machines of `sun4v power-on` (docs/howto/faults.md)")
        self.server.faults.arm(mine.plain())
        self.faults.refresh()

    # -- commands

    def ldm(self, line: str, *, check: bool = True) -> Said:
        """Type a command of `ldm` (without that word) for this machine. Raises CommandError where it fails."""
        out, err = io.StringIO(), io.StringIO()
        words = shlex.split(line)
        status = self.room.operate(lambda: run(
            words, screen=Screen(out, err), reach=lambda _machine: _InProcess(self.manager)))
        said = Said(status, out.getvalue(), err.getvalue())
        if check and status:
            raise CommandError(line, status=said.status, out=said.out, err=said.err)
        return said

    def make_domain(self, setup: DomainSetup) -> Domain:
        """A domain, bound, and with `start` powered on. Raises SetupError, CommandError."""
        domain = Domain(self.room, self, setup)
        self.domains.append(domain)
        domain.make()
        return domain

    def find(self, name: str) -> Guest | None:
        """The guest that is a domain of that name here; None: it has no binding here."""
        domain = self.manager.configuration.find(name)
        if domain is None or domain.binding is None:
            return None
        return next((guest for guest in self.server.guests if guest.spec.uuid == domain.uuid), None)

    def close(self) -> None:
        """Off."""
        self.migrations.close()
        self.manager.close()
        self.hvctl.close()
        self.server.power_off()


class _Watched(LocalHvctl):
    """The manager's way to the server. Requests that a guest must answer make virtual time pass (`Room.operate`)."""

    def __init__(self, server: Server, room: Room) -> None:
        self._room = room
        self.services: dict[str, Any] = {"switches": [], "services": {}}
        super().__init__(server, refuse=HypervisorError)

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        self._room.before(self.server, op, arguments)
        if op == "service.configure":
            self.services = arguments
        try:
            return super().call_fds(op, **arguments)
        except BaseException:
            self._room.nothing(self.server, op, arguments)
            raise


def _no_kill() -> None:
    raise SetupError("the manager is a thread of the test's own process and cannot be killed")


def _start_worker(end: Any) -> ThreadLife:
    """The migration's worker as a thread: it is the same code."""
    return ThreadLife(end.dup(), worker.serve)
