"""The `vntsd` command: telnet to the consoles of one machine's domains, as a process.

It learns from ldmd which consoles there are, and has their streams from the machine. While ldmd is away it serves the
consoles it knows; while the machine is away, its clients wait.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.errors import EmulatorError
from emulator.places import Place, check_known, find_machine, hold
from emulator.version import __version__
from ldmd.hvctl import Link
from ldmd.messages import RefusedError
from ldmd.notify import sd_notify, tell_fd
from ldmd.operations.context import HypervisorError
from ldmd.rpc.client import Client
from ldmd.vntsd import ConsoleEntry, Settings, Vntsd

OK, FAILED = 0, 1
AGAIN_SECONDS = 1.0
"""Pause before ldmd or the machine are asked again."""
SETTINGS = "vntsd.toml"
log = logging.getLogger("vntsd")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    options = _parser().parse_args(argv)
    ready = [] if options.ready_fd is None else [options.ready_fd]
    try:
        place = find_machine(options.machine)
        check_known(place)
        place.make()
        settings = read_settings(place.state / SETTINGS, options)
        held = hold(place.vntsd_pid)
    except (EmulatorError, OSError, ValueError) as error:
        print(f"vntsd: {error}", file=sys.stderr)
        for fd in ready:
            tell_fd(fd, str(error))
        return FAILED
    logging.basicConfig(
        format="%(asctime)s %(levelname)s: %(message)s", level=logging.INFO,
        filename=None if options.foreground else place.vntsd_log,
    )  # fmt: skip
    try:
        asyncio.run(_serve(place, settings, ready))
    finally:
        held.release()
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vntsd", description="Serves the consoles of a machine's domains to telnet, one TCP port for each group.",
        epilog="Defaults of -p, -t, --authorization: vntsd.toml with the machine's state. vntsd(8) tells more.",
    )  # fmt: skip
    parser.add_argument("--machine", "-m", metavar="NAME",
                        help="the machine; else $SUN4V_MACHINE, else the only one that is on")
    parser.add_argument("-i", dest="device", metavar="VCC", default="virtual-console-concentrator@0",
                        help="instance of the console concentrator; there is only %(default)s")
    parser.add_argument("-p", dest="listen_addr", metavar="ADDRESS",
                        help="listen at this IPv4 address; localhost (default) or any")
    parser.add_argument("-t", dest="timeout_minutes", type=int, metavar="MINUTES",
                        help="disconnect a client that is idle for so long; 0 (default): never")
    parser.add_argument("--authorization", action="store_true", default=None,
                        help="only users who may (vntsd.toml), and only from this host")
    parser.add_argument("--foreground", action="store_true", help="log to standard error, not to the machine's state")
    parser.add_argument("--ready-fd", type=int, metavar="FD", help="write \"ready\" there once consoles are served")
    parser.add_argument("--version", action="version", version=f"vntsd (sun4v {__version__})")
    return parser


def read_settings(path: Path, options: argparse.Namespace) -> Settings:
    """Settings of the file, where there is one, with what the command line says. Raises ValueError, OSError."""
    values: dict[str, Any] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: {error}") from None
    kinds = {"listen_addr": str, "timeout_minutes": int, "authorization": bool, "authorizations": dict}
    for key, value in values.items():
        if key not in kinds or type(value) is not kinds[key]:
            raise ValueError(f"{path}: {key} is not a setting, or its value is of the wrong type")
    for key in ("listen_addr", "timeout_minutes", "authorization"):
        if getattr(options, key) is not None:
            values[key] = getattr(options, key)
    values["authorizations"] = {user: tuple(words) for user, words in values.get("authorizations", {}).items()}
    settings = Settings(**values)
    if settings.timeout_minutes < 0:
        raise ValueError("the time after which idle clients are disconnected is 0 minutes or more")
    _ = settings.address  # raises where it is none
    return settings


# -- the process


async def _serve(place: Place, settings: Settings, ready: list[int]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    machine = Machine(place.hvctl)
    server = Vntsd(
        settings, open_stream=machine.open, send_break=machine.send_break, log_folder=place.state / "console"
    )
    first = asyncio.Event()

    async def apply(entries: Sequence[ConsoleEntry]) -> None:
        await server.apply(entries)
        first.set()

    def changed(entries: Sequence[ConsoleEntry]) -> None:
        asyncio.run_coroutine_threadsafe(apply(entries), loop).result()

    follower = Follower(place.rpc, changed)
    threading.Thread(target=follower.run, name="ldmd", daemon=True).start()
    await asyncio.wait([asyncio.create_task(each.wait()) for each in (first, ended)],
                       return_when=asyncio.FIRST_COMPLETED)
    for fd in ready:
        tell_fd(fd, "ready")
    sd_notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving {place.name}")
    log.info("vntsd %s serves %s at %s", __version__, place.name, settings.address)
    await ended.wait()
    sd_notify("STOPPING=1")
    follower.stop()
    await server.close()
    machine.close()


class Machine:
    """Streams from the machine process. Methods block; they raise OSError."""

    def __init__(self, path: Path) -> None:
        self._link = Link(path, client="vntsd")
        self._connected = False
        self._lock = threading.Lock()

    def _ready(self) -> Link:
        with self._lock:
            if not self._connected:
                self._link.connect()
                self._connected = True
            return self._link

    def open(self, guest: int) -> socket.socket:
        """The console of a guest."""
        try:
            _, fds = self._ready().call_fds("console.open", guest=guest, replay=False)
        except HypervisorError as error:
            raise OSError(str(error)) from error
        if len(fds) != 1:
            for fd in fds:
                os.close(fd)
            raise OSError("the machine sent no stream")
        return socket.socket(fileno=fds[0])

    def send_break(self, guest: int) -> None:
        """A break on a guest's console."""
        try:
            self._ready().call("console.break", guest=guest)
        except HypervisorError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """End the connection."""
        self._link.close()


class Follower:
    """A thread that asks ldmd which consoles there are, now and whenever that changes."""

    def __init__(self, path: Path, changed: Callable[[Sequence[ConsoleEntry]], None]) -> None:
        self._path, self._changed = path, changed
        self._ended = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._ended.is_set():
            try:
                self._follow()
            except (RefusedError, OSError) as error:
                log.debug("ldmd: %s", error)
            self._ended.wait(AGAIN_SECONDS)

    def _follow(self) -> None:
        with Client(self._path) as watcher, Client(self._path) as asker:
            watcher.subscribe()
            self._tell(asker.call("list-consoles"))
            for event in watcher.events():
                if event.get("event") == "consoles":
                    self._tell(event)

    def _tell(self, answer: Mapping[str, Any]) -> None:
        if not self._ended.is_set():
            self._changed([entry(each) for each in answer["consoles"]])

    def stop(self) -> None:
        """No more changes."""
        self._ended.set()


def entry(console: Mapping[str, Any]) -> ConsoleEntry:
    """What ldmd says of a console. Its number in the menu is that of its domain."""
    return ConsoleEntry(
        guest=int(console["guest"]), domain=str(console["domain"]), group=str(console["group"]),
        port=int(console["port"]), number=int(console["guest"]), log=bool(console["log"]),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
