"""Two managers with their peer links, over real sockets, on fake machines with memory and with fake workers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from domain_support import Room, guest, ready
from fake_workers import FakeWorkers
from manager_support import run
from moving_machine import ManualClock, MovingMachine, Watch
from real_workers import RealWorkers
from relay import Relay

from ldmd.jobs import Outcome
from ldmd.log import Log
from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.migrator.link import Identity, Pace
from ldmd.migrator.means import Means
from ldmd.migrator.migrations import Migrations
from ldmd.migrator.moves import MoveOptions, MoveOutcome, Target
from ldmd.migrator.passwords import FILE, set_password
from ldmd.migrator.peers import fingerprint, read_certificate
from ldmd.migrator.settings import Settings
from ldmd.model import DiskServer, Vdisk, Volume
from ldmd.planner.channels import settle
from ldmd.security import certificates
from ldmd.store import Store

PATIENCE = 30.0
"""Seconds of real time after which a test is lost."""
PAUSE = 0.005
PACE = Pace()
Relays = tuple[Relay | None, Relay | None]
NO_RELAYS: Relays = (None, None)
STAMP = b"what the domain had in its memory"


class Site:
    """A machine, its manager and what moves domains; `kill` and `restart` as of a process."""

    def __init__(self, name: str, directory: Path, watch: Watch, workers: FakeWorkers | RealWorkers, *,
                 platform: str = "t5-2", settings: Settings | None = None, pace: Pace = PACE,
                 relay: Relay | None = None) -> None:
        self.name, self.directory, self.workers = name, directory, workers
        self.pace, self.relay = pace, relay
        self.full = False
        self.kills = 0
        self.settings = settings or Settings()
        self.machine = MovingMachine(platform, "64G", name=name, clock=ManualClock(), watch=watch)
        directory.mkdir()
        self.path = directory / "store.sqlite"
        certificate, key = certificates(directory, name)
        self.identity = Identity(certificate, key)
        self.step: Callable[[str], None] = lambda where: None
        self.lines: list[str] = []
        self.others: list[Site] = []
        seed = sum(name.encode())
        self.room: Room = ready(platform, machine=self.machine, store=self._store(), name=name, seed=seed)
        self.manager = self.room.manager
        self.manager.log = Log(self.lines.append, now=self.clock.now)
        self.migrations: Migrations
        self._attach(start=False)

    def _means(self) -> Means:
        return Means(self.manager, self.directory, self.identity, settings=self.settings,
                     start_worker=self.workers.start, step=self._step, machine_alive=lambda: self.machine.up,
                     retry_seconds=0.02, pace=self.pace)

    def _step(self, where: str) -> None:
        self.step(where)

    def _store(self) -> Store:
        return Store(self.path, step=self._storing)

    def _storing(self, where: str) -> None:
        """A step of the store; where the disk is full, no transaction comes through."""
        if self.full and where.endswith(".written"):
            raise sqlite3.OperationalError("database or disk is full")

    def _attach(self, *, start: bool) -> None:
        self.migrations = Migrations(self._means())
        self.manager.migrations = self.manager.movers = self.migrations
        if start:
            self.manager.start()
            self.migrations.restart()
        self.address = self.migrations.listen(("127.0.0.1", 0))
        for other in self.others:
            other.knows(self)

    @property
    def means(self) -> Means:
        return self.migrations.means

    @property
    def clock(self) -> ManualClock:
        clock = self.machine.clock
        assert isinstance(clock, ManualClock)
        return clock

    def knows(self, other: Site) -> None:
        """How it finds the other one."""
        der = read_certificate(other.directory / "server.crt")
        port = other.address[1]
        if other.relay is not None:
            other.relay.to, port = port, other.relay.port
        (self.directory / "hosts.toml").write_text(
            f'[{other.name}]\naddress = "127.0.0.1"\nport = {port}\nfingerprint = "{fingerprint(der)}"\n',
            encoding="utf-8")

    def trusts(self, other: Site) -> None:
        """Its certificate is in trust/."""
        pem = (other.directory / "server.crt").read_bytes()
        (self.directory / "trust" / f"{other.name}.pem").write_bytes(pem)

    # -- as a process

    def kill(self) -> None:
        """kill -9 of the manager: nothing of it happens any more, its workers and links go."""
        self.kills += 1
        self.means.dead = True
        self.migrations.close()
        self.machine.listen(lambda event: None)
        self.manager.store.close()

    def restart(self) -> None:
        self.machine.listen(lambda event: None)
        self.manager = Manager(self.machine, self._store(), clock=self.clock, rng=Random(1),
                               log=Log(self.lines.append, now=self.clock.now))
        self.room.manager = self.manager
        self._attach(start=True)

    def close(self) -> None:
        self.migrations.close()
        self.manager.close()
        for number in tuple(self.machine.memory):
            self.machine._forget(number)

    # -- what is there

    def has(self, name: str) -> bool:
        return self.manager.configuration.find(name) is not None

    def runs(self, uuid: str) -> bool:
        return any(each.spec["uuid"] == uuid and each.state == "running" for each in self.machine.guests.values())

    def number(self, name: str) -> int:
        return self.room.number(name)


class Pair:
    """alpha, which has a booted domain ldg1, and beta."""

    def __init__(self, tmp_path: Path, *, upto: str = "booted", settings: Settings | None = None,
                 real: RealWorkers | None = None, pace: Pace = PACE, relays: Relays = NO_RELAYS,
                 disk: bool = False, passwords: bool = True) -> None:
        self.watch, self.workers = Watch(), FakeWorkers()
        self.real, self.relays, self.passwords = real, relays, passwords
        workers = real or self.workers
        self.alpha = Site("alpha", tmp_path / "alpha", self.watch, workers, settings=settings, pace=pace,
                          relay=relays[0])
        self.beta = Site("beta", tmp_path / "beta", self.watch, workers, settings=settings, pace=pace,
                         relay=relays[1])
        for one, other in ((self.alpha, self.beta), (self.beta, self.alpha)):
            one.others.append(other)
            one.knows(other)
            one.trusts(other)
            if passwords:
                set_password(one.directory / FILE, "root", "secret")
        guest(self.alpha.room, "ldg1", vcpus=8, size="64M", upto="inactive" if disk else upto)
        if disk:
            self._give_disk(tmp_path, upto)
        self.uuid = self.alpha.room.domain("ldg1").uuid
        if upto == "booted":
            self.alpha.machine.poke(self.alpha.number("ldg1"), 8192, STAMP)

    def _give_disk(self, tmp_path: Path, upto: str) -> None:
        """A disk on storage that both see."""
        volume = Volume(name="v1", backend=str(tmp_path / "disk"))
        for site in (self.alpha, self.beta):
            primary = site.room.domain("primary").but(
                disk_servers=(DiskServer(name="primary-vds0", volumes=(volume,)),))
            site.manager.commit(settle(site.manager.configuration.with_domain(primary)))
        room = self.alpha.room
        ldg1 = room.domain("ldg1").but(vdisks=(Vdisk(name="d", volume="v1", service="primary-vds0"),))
        room.manager.commit(settle(room.manager.configuration.with_domain(ldg1)))
        room.ok("bind-domain", domain="ldg1")
        room.ok("start-domain", domains=["ldg1"])
        if upto == "booted":
            room.machine.boot_os(room.number("ldg1"))

    def close(self) -> None:
        self.alpha.close()
        self.beta.close()
        for each in (*self.relays, self.real):
            if each is not None:
                each.close()
        assert self.watch.wrong == []

    def move(self, source: Site | None = None, target: str = "beta", **options: Any) -> Moving:
        how = {"password": "secret"} if self.passwords else {"certificates": True}
        return Moving(source or self.alpha, target, MoveOptions(**(how | options)))


class Moving:
    """`migrate-domain ldg1 root@beta` under way in a thread."""

    def __init__(self, site: Site, target: str, options: MoveOptions, name: str = "ldg1") -> None:
        self.site = site
        self.outcome: MoveOutcome | None = None
        self.error: RefusedError | None = None
        self.job: Any = None
        user, _, rest = target.rpartition("@")
        host, _, new = rest.partition(":")
        self.target = Target(user or "root", host, new or None)
        self.options, self.name = options, name
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        def migrate(context: Any) -> None:
            self.job = context
            self.outcome = self.site.migrations.start(self.name, self.target, self.options, job=context)

        self.error = run(self.site.manager, migrate).error

    def done(self) -> MoveOutcome:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the migration does not end"
        assert self.error is None, (self.error.code, self.error.text, self.error.cause)
        assert self.outcome is not None
        return self.outcome

    def refused(self) -> str:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the migration does not end"
        assert self.error is not None and self.outcome is None
        return self.error.code


def cancel(site: Site, *, force: bool = False) -> Outcome:
    """`ldm cancel-operation [-f] migration ldg1`."""
    return site.manager.execute("cancel-migration", {"domain": "ldg1", "force": force})


class Gate:
    """Holds the copying at a point until it is opened."""

    def __init__(self, pair: Pair, where: str) -> None:
        self._where, self._there, self._free = where, threading.Event(), threading.Event()
        pair.workers.on = self._at

    def _at(self, where: str, worker: Any) -> None:
        if where == self._where:
            self._there.set()
            self._free.wait(PATIENCE)

    def reached(self) -> None:
        assert self._there.wait(PATIENCE), f"{self._where} was not reached"

    def open(self) -> None:
        self._free.set()


def until(condition: Callable[[], bool], what: str = "") -> None:
    """Wait for something that real threads bring about."""
    for _ in range(int(PATIENCE / PAUSE)):
        if condition():
            return
        pause()
    raise AssertionError(what or "it does not come")


def pause(seconds: float = PAUSE) -> None:
    """Let the other threads go on."""
    threading.Event().wait(seconds)
