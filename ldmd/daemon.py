"""The `ldmd` command: the Logical Domains Manager of one machine, as a process.

Starts, waits for the machine if it must, serves its socket, ends on SIGTERM and SIGINT, reads its files again on
SIGHUP. Guests do not notice any of it; `kill -9` at any moment loses nothing that was acknowledged.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.exposition import MetricsPage
from emulator.places import Place, check_known, find_machine, hold, home, machine_names
from emulator.places import place as place_of
from emulator.version import __version__
from ldmd.faults import ManagerFaults
from ldmd.hostports import listening_ports
from ldmd.housekeeping import FILE as SETTINGS
from ldmd.housekeeping import Housekeeping, read_detection
from ldmd.hvctl import Link
from ldmd.log import Log, LogFile
from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.metrics import Metering, MetricsSettings, open_metrics, read_metrics
from ldmd.migrationrecord import FOLDER, FolderRecords
from ldmd.migrator.link import Identity
from ldmd.migrator.means import Means
from ldmd.migrator.migrations import Migrations
from ldmd.migrator.peers import publish, withdraw
from ldmd.migrator.settings import Settings, read_settings
from ldmd.migrator.spare import Spares
from ldmd.notify import sd_notify, tell_fd
from ldmd.operations.context import HypervisorError
from ldmd.rpc.access import read_access
from ldmd.rpc.server import Server
from ldmd.security import certificates
from ldmd.store import Step, Store

OK, FAILED = 0, 1
WAIT_SECONDS = 60.0
"""How long a start waits for the machine's process."""
ACCESS = "access.toml"
ENDS = {signal.SIGTERM, signal.SIGINT}
SIGNALS = ENDS | {signal.SIGHUP}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    options = build_parser().parse_args(argv)
    try:
        place = find_machine(options.machine)
        check_known(place)
        directory = Path(options.state_dir).resolve() if options.state_dir else place.manager
        place.make()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (EmulatorError, OSError) as error:
        return _fail(str(error), [] if options.ready_fd is None else [options.ready_fd])
    ready = [] if options.ready_fd is None else [options.ready_fd]
    if options.foreground or os.environ.get("NOTIFY_SOCKET"):
        return _serve(place, directory, options, ready)
    return _detach(place, directory, options, ready)


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="ldmd", description="The Logical Domains Manager of one machine.",
        epilog="Exit status: 0 after an orderly end, 1 for an error, 2 for wrong usage. ldmd(8) tells more.")
    parser.add_argument("--machine", "-m", metavar="NAME",
                        help="the machine; else $SUN4V_MACHINE, else the only one that is on")
    parser.add_argument("--state-dir", metavar="DIR", help="store, certificates and access.toml (default: with the "
                        "machine's state)")
    parser.add_argument("--foreground", action="store_true", help="stay attached, log to standard error")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS",
                        help="how long to wait for the machine's process (default: %(default)g)")
    parser.add_argument("--ready-fd", type=int, metavar="FD",
                        help="write \"ready\" there once commands are served, or what went wrong")
    parser.add_argument("--version", action="version", version=f"ldmd (sun4v {__version__})")
    return parser


def _fail(text: str, ready: Iterable[int], *, cause: str = "", remedy: str = "") -> int:
    """Say what went wrong to the terminal and to who waits for readiness."""
    whole = "\n".join(line for line in (text, cause, remedy) if line)
    print(f"ldmd: {whole}", file=sys.stderr)
    for fd in ready:
        tell_fd(fd, whole)
    return FAILED


# -- into the background


def _detach(place: Place, directory: Path, options: argparse.Namespace, ready: list[int]) -> int:
    """Serve in a child of its own session; return once it is ready, with its status if it is not."""
    ready_in, ready_out = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        for fd in (ready_out, *ready):
            os.close(fd)
        with os.fdopen(ready_in) as pipe:
            word = pipe.read().strip()
        if word == "ready":
            return OK
        print(f"ldmd: {word or 'the process ended'}", file=sys.stderr)
        return FAILED
    status = FAILED
    try:
        os.close(ready_in)
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        status = _serve(place, directory, options, [*ready, ready_out])
    finally:
        os._exit(status)


# -- the daemon itself


class Daemon:
    """What lives between start and end."""

    def __init__(self, place: Place, directory: Path, log: Log) -> None:
        self.place, self.directory, self.log = place, directory, log
        self.link = Link(place.hvctl, on_again=self._again, on_lost=self._lost)
        self.manager: Manager | None = None
        self.server: Server | None = None
        self.housekeeping: Housekeeping | None = None
        self.migrations: Migrations | None = None
        self.spares = Spares()
        self.metrics: MetricsPage | None = None

    def start(self, wait_seconds: float) -> None:
        """Up to serving. Raises RefusedError, HypervisorError, OSError."""
        access = read_access(self.directory / ACCESS)
        detection = read_detection(self.directory / SETTINGS)
        settings, metrics = read_settings(self.directory / SETTINGS), read_metrics(self.directory / SETTINGS)
        certificate, key = certificates(self.directory, self.place.name)
        faults = ManagerFaults(self.link.call)
        step = _both(crash_steps(), faults.step)
        store = Store(self.directory / self.place.store.name, step=step)
        self._connect(wait_seconds)
        faults.refresh()
        self.manager = Manager(self.link, store, log=self.log, step=step)
        self.manager.faults = faults
        self.manager.listening = listening_ports
        self.manager.records = FolderRecords(self.directory / FOLDER, self.log.warning)
        self.migrations = migrations = self._movers(self.manager, Identity(certificate, key), settings, step)
        self.manager.migrations = self.manager.movers = migrations
        self.manager.start()
        migrations.restart()
        self.server = Server(self.manager, self.place.rpc, access)
        self._measure(self.manager, self.server, metrics)
        self.server.start()
        self.housekeeping = Housekeeping(self.manager, detection, alone=self._alone)
        self.housekeeping.start()
        self._listen(migrations, settings)
        self.spares.warm_later()

    def _measure(self, manager: Manager, server: Server, settings: MetricsSettings) -> None:
        """Count, and show what was counted where that is wanted."""
        metering = Metering(manager, self.place.name, clients=lambda: server.clients)
        try:
            self.metrics = open_metrics(settings, metering)
        except OSError as error:
            self.log.warning(f"metrics: {settings.listen} port {settings.port}: {error}; there are none")

    def _movers(self, manager: Manager, identity: Identity, settings: Settings, step: Step) -> Migrations:
        """What moves domains, on the machine's behalf."""
        return Migrations(Means(
            manager, self.directory, identity, settings=settings, step=step, home=home(),
            machine_alive=lambda: self.place.on, faults=manager.faults, start_worker=self.spares.start))

    def _listen(self, migrations: Migrations, settings: Settings) -> None:
        """Let other managers in. Without a port domains can still leave."""
        try:
            publish(self.place, *migrations.listen())
        except OSError as error:
            self.log.warning(f"migration: nobody can connect to {settings.listen} port {settings.port}: {error}")

    def _lost(self) -> None:
        """The connection to the machine is gone."""
        if self.migrations is not None:
            self.migrations.machine_lost()

    def _connect(self, seconds: float) -> None:
        """The machine may be starting as well."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.link.connect()
                return
            except HypervisorError as error:
                if error.code != "unreachable" or time.monotonic() >= deadline:
                    raise
            if signal.sigtimedwait(ENDS, 0.1) is not None:
                raise HypervisorError("unreachable", "told to end before the machine was there")

    def _again(self) -> None:
        """The machine's process is back, or another one of its name."""
        if self.manager is None:
            return
        try:
            self.manager.again()
            self.log.notice("the machine is back")
            self.manager.publish("machine-back", boot=self.manager.boot)
        except (RefusedError, HypervisorError) as error:
            self.log.warning(f"after the machine came back: {error}")

    def _alone(self) -> bool:
        """Is no other machine of ours on?"""
        return not any(place_of(name).on for name in machine_names() if name != self.place.name)

    def reload(self) -> None:
        """SIGHUP: the access file again. A faulty one changes nothing."""
        try:
            access = read_access(self.directory / ACCESS)
        except RefusedError as error:
            self.log.warning(f"{error.text}; the old rules go on")
            return
        if self.server is not None:
            self.server.access = access
        self.log.notice("read the access rules again")

    def stop(self) -> None:
        """The end. Operations that wait are cancelled."""
        if self.metrics is not None:
            self.metrics.close()
        if self.housekeeping is not None:
            self.housekeeping.close()
        if self.server is not None:
            self.server.close()
        if self.migrations is not None:
            withdraw(self.place)
            self.migrations.close()
        self.spares.close()
        if self.manager is not None:
            self.manager.close()
        self.link.close()


def _serve(place: Place, directory: Path, options: argparse.Namespace, ready: list[int]) -> int:
    """Start, serve, end. `ready`: descriptors that are told."""
    try:
        held = hold(place.ldmd_pid)
    except (EmulatorError, OSError) as error:
        return _fail(f"another ldmd serves {place.name} ({error})", ready)
    log = Log(LogFile(None if options.foreground else place.ldmd_log).write)
    daemon = Daemon(place, directory, log)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they are waited for; no thread is ever interrupted
    try:
        daemon.start(options.wait)
    except (RefusedError, HypervisorError, OSError) as error:
        log.fatal(str(error))
        daemon.stop()
        held.release()
        return _fail(str(error), ready, cause=getattr(error, "cause", ""), remedy=getattr(error, "remedy", ""))
    log.notice(f"ldmd {__version__} serves {place.name} on {place.rpc}")
    for fd in ready:
        tell_fd(fd, "ready")
    sd_notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving {place.name}")
    _until_ended(daemon)
    sd_notify("STOPPING=1")
    daemon.stop()
    held.release()
    log.notice("ldmd ended")
    return OK


def _until_ended(daemon: Daemon) -> None:
    while signal.sigwait(SIGNALS) not in ENDS:
        sd_notify("RELOADING=1")
        daemon.reload()
        sd_notify("READY=1")


def _both(first: Callable[[str], None], second: Callable[[str], None]) -> Callable[[str], None]:
    def step(name: str) -> None:
        first(name)
        second(name)

    return step


def crash_steps() -> Callable[[str], None]:
    """For tests of crashes: with S4V_LDMD_CRASH=n the process ends, without a word, at its n-th step."""
    wanted = os.environ.get("S4V_LDMD_CRASH", "")
    if not wanted.isdecimal():
        return lambda name: None
    count = 0

    def step(name: str) -> None:
        nonlocal count
        count += 1
        if count == int(wanted):
            with contextlib.suppress(OSError):
                os.write(2, f"crash at {name}\n".encode())
            os._exit(111)

    return step


if __name__ == "__main__":
    sys.exit(main())
