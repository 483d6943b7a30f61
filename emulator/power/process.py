"""The machine process, which `sun4v power-on` starts: ``python -m emulator.power.process NAME --platform P ...``.

It holds its process file, serves hvctl, and ends with `machine.power_off`, SIGTERM or SIGINT, all guests with it.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import os
import queue
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator.descriptors import raise_limit, shortage
from emulator.engines import DEFAULT_ENGINE
from emulator.errors import ConfigError, EmulatorError
from emulator.hvctl.operations import Station
from emulator.hvctl.server import HvctlServer
from emulator.netdev import parse_plan, parse_words
from emulator.places import Place, hold, place
from emulator.platforms.catalogue import SUFFIX
from emulator.power.options import MachineOptions, write_options
from emulator.server import Server
from emulator.server.events import Event
from emulator.server.labnet import Home
from emulator.units import format_size, parse_size

if TYPE_CHECKING:
    from emulator.server.metrics import MetricsServer

LOG = logging.getLogger("sun4v.machine")
OK, FAILED = 0, 1
READY = "ready"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the process; returns the exit status."""
    options = _parse(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    faulthandler.enable()
    where = place(options.name)
    machine = MachineOptions(
        platform=options.platform, memory_bytes=parse_size(options.memory), deterministic=options.deterministic,
        nets=tuple(parse_words(options.net).items()), metrics=options.metrics,
        engine=options.engine,
    )  # fmt: skip
    try:
        run(where, machine, ready_fd=options.ready_fd)
    except (EmulatorError, OSError) as error:
        LOG.error("%s", error)
        _tell(options.ready_fd, str(error))
        return FAILED
    return OK


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sun4v-machine", description="One emulated server; see sun4v-power-on(1).")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--platform", required=True)
    parser.add_argument("--memory", required=True)
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--net", action="append", default=[])
    parser.add_argument("--metrics", type=int, default=0)
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--ready-fd", type=int)
    return parser.parse_args(argv)


def run(where: Place, options: MachineOptions, *, ready_fd: int | None = None) -> None:
    """Be the machine until it is powered off. Raises EmulatorError, OSError where it cannot begin."""
    where.make()
    held = hold(where.machine_pid)
    try:
        ends: queue.SimpleQueue[str] = queue.SimpleQueue()  # may be put to by a signal's handler
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: ends.put(signal.Signals(number).name))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        limit = raise_limit()
        server = Server(
            options.platform, name=where.name, memory_bytes=options.memory_bytes, deterministic=options.deterministic,
            nets=parse_plan(dict(options.nets)), engine=options.engine,
        )  # fmt: skip
        metrics = _metrics(server, options.metrics)
        if not server.deterministic:
            server.open_networks(Home(where.run.parent, where.name))
        if words := shortage(limit, server.platform.max_domains):
            LOG.warning("%s", words)
        if server.engine_note:
            LOG.warning("guests are interpreted: no translator: %s", server.engine_note)
        from_file = options.platform if options.platform.lower().endswith(SUFFIX) else None
        hvctl = HvctlServer(server, where.hvctl, station=Station(os.getpid(), from_file))
        write_options(where, options)
        _serve(server, hvctl, ends, ready_fd)
        if metrics is not None:
            metrics.close()
    finally:
        held.release()


def _metrics(server: Server, port: int) -> MetricsServer | None:
    """Raises ConfigError where the port cannot be had."""
    if not port:
        return None
    from emulator.server.metrics import MetricsServer

    try:
        return MetricsServer(server, port)
    except OSError as error:
        raise ConfigError(f"metrics: port {port} of the loopback: {error.strerror or error}") from None


def _serve(server: Server, hvctl: HvctlServer, ends: queue.SimpleQueue[str], ready_fd: int | None) -> None:
    if server.scheduler is not None:
        server.scheduler.start()
    server.events.subscribe(lambda event: _heard(event, ends))
    hvctl.start()
    memory = format_size(server.memory_bytes)
    LOG.info("%s is on: a %s with %s, process %d", server.name, server.platform.title, memory, os.getpid())
    os.chdir("/")
    _tell(ready_fd, READY)
    why = ends.get()
    LOG.info("%s is being powered off (%s)", server.name, why)
    server.power_off()
    hvctl.close()
    LOG.info("%s is off", server.name)


def _heard(event: Event, ends: queue.SimpleQueue[str]) -> None:
    """States of guests go to the log."""
    if event["event"] == "machine.power_off":
        ends.put("off")
    elif event["event"] == "guest.state":
        text = f": {event['text']}" if event["text"] else ""
        level = logging.WARNING if event["why"] in ("error", "watchdog", "panic") else logging.INFO
        LOG.log(level, "guest %d is %s (%s)%s", event["guest"], event["state"], event["why"], text)


def _tell(fd: int | None, text: str) -> None:
    """To who has started the process: ready, or what is wrong."""
    if fd is not None:
        with contextlib.suppress(OSError):
            os.write(fd, f"{text}\n".encode())
        with contextlib.suppress(OSError):
            os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
