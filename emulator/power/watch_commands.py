"""`sun4v console`, `sun4v events` and `sun4v trace`: look at a machine that is on."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from emulator.arguments import EXIT_USAGE, FAILED, OK, Parser, complain, reporting
from emulator.hvctl.client import Hvctl, HvctlError
from emulator.places import Place, find_machine, place, why_off
from emulator.power.commands import Commands, add_parser
from emulator.power.control import PowerError
from emulator.terminal import HostConsole, QuitError

LINGER_SECONDS = 1.0
MOST_TRACE_SECONDS = 86400.0
_CHUNK_BYTES = 1 << 16


def add_watch(commands: Commands) -> dict[str, Parser]:
    """The parsers of these commands by name."""
    return {"console": _add_console(commands), "events": _add_events(commands), "trace": _add_trace(commands)}


def connect(where: Place) -> Hvctl:
    """A client of a machine. Raises PowerError where it is not on, HvctlError."""
    if not where.on:
        raise PowerError(why_off(where))
    return Hvctl(where.hvctl)


# -- console


def _add_console(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "console", about="connect to the console of a domain", usage="[OPTION ...] [MACHINE/]DOMAIN",
        more=" At the start of a line:\n~. leaves, ~# sends a break, ~~ sends ~, ~? tells these.\n"
        "Input may come from a pipe.",
    )  # fmt: skip
    parser.add_argument("domain", metavar="[MACHINE/]DOMAIN", help="name or number of a domain")
    parser.add_argument("--no-replay", action="store_true", help="not what was written before")
    parser.add_argument(
        "--until", metavar="TEXT", help="leave when the domain has written TEXT (input from a pipe is sent first)"
    )
    parser.add_argument(
        "--linger", metavar="SECONDS", type=float, default=LINGER_SECONDS,
        help="after the end of piped input: leave when the domain was silent for so long (default 1)",
    )  # fmt: skip
    parser.set_defaults(handler=reporting(_console))
    return parser


def _console(options: argparse.Namespace) -> int:
    machine_name, slash, domain = options.domain.rpartition("/")
    where = place(machine_name) if slash else find_machine()
    with connect(where) as machine:
        guest = find_guest(machine, domain)
        _, fds = machine.call_fds("console.open", guest=guest, replay=not options.no_replay)
        with socket.socket(fileno=fds[0]) as stream, HostConsole(raw=True) as host:
            session = ConsoleSession(
                stream, host, send_break=lambda: machine.call("console.break", guest=guest),
                until=(options.until or "").encode(), linger=options.linger,
            )  # fmt: skip
            return session.run()


def find_guest(machine: Hvctl, domain: str) -> int:
    """A guest's number by its name, or by its number. Raises PowerError."""
    guests: list[dict[str, Any]] = machine.call("guest.list")
    found = [guest["guest"] for guest in guests if guest["name"] == domain]
    found = found or [guest["guest"] for guest in guests if str(guest["guest"]) == domain]
    if not found:
        known = ", ".join(guest["name"] for guest in guests) or "none"
        raise PowerError(f"no domain {domain} is bound on {machine.hello['machine']}; bound are: {known}")
    if found[0] == 0:
        raise PowerError(f"{domain} is the control domain, which has no console: `ldm` works in its place")
    number: int = found[0]
    return number


class ConsoleSession:
    """Bytes between the host's console and a domain's."""

    def __init__(
        self, stream: socket.socket, host: HostConsole, *, send_break: Callable[[], object], until: bytes = b"",
        linger: float = LINGER_SECONDS, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._stream, self._host, self._send_break = stream, host, send_break
        self._until, self._linger, self._clock = until, linger, clock
        self._recent = b""
        self._heard = clock()

    def run(self) -> int:
        """Until the user leaves, the machine ends, or there is no more to say; returns the exit status."""
        interactive = self._host.interactive
        try:
            while True:
                inputs: list[socket.socket | int] = [self._stream]
                inputs += [] if self._host.ended else [self._host.input_fd]
                ready, _, _ = select.select(inputs, [], [], self._patience(interactive))
                if self._stream in ready and not self._output():
                    return OK if not interactive else self._ended()
                if self._host.input_fd in ready:
                    self._input()
                if self._done(bool(ready)):
                    return OK
        except (QuitError, KeyboardInterrupt):
            self._host.write(b"\r\n")
            return OK
        except (ConnectionError, HvctlError):
            return self._ended()

    def _patience(self, interactive: bool) -> float | None:
        """How long to wait for the domain once the input has ended."""
        if not self._host.ended or interactive or self._until:
            return None
        return max(0.0, self._linger - (self._clock() - self._heard))

    def _done(self, something: bool) -> bool:
        if self._until:
            return self._until in self._recent
        return self._host.ended and not something and self._clock() - self._heard >= self._linger

    def _output(self) -> bool:
        data = self._stream.recv(_CHUNK_BYTES)
        if data:
            self._host.write(data)
            self._heard = self._clock()
            self._recent = (self._recent + data)[-len(self._until) - len(data) :] if self._until else b""
        return bool(data)

    def _input(self) -> None:
        data = self._host.read()
        if self._host.take_break():
            self._send_break()
        if data:
            self._stream.sendall(data)
        self._heard = self._clock()

    def _ended(self) -> int:
        os.write(2, b"\r\nsun4v: the machine has closed the console\r\n")
        return FAILED


# -- traces


def _add_trace(commands: Commands) -> Parser:
    parser = add_parser(
        commands, "trace", about="record what a machine does into a trace for ui.perfetto.dev",
        usage="[--seconds S] [MACHINE] FILE.json",
        more=" Strands at work, traps,\nhypercalls, disks, consoles, events; until Ctrl-C, or for some seconds.",
    )  # fmt: skip
    parser.add_argument("name", metavar="MACHINE", nargs="?", help="machine (default: the only one that is on)")
    parser.add_argument("file", metavar="FILE.json", help="file to write")
    parser.add_argument("--seconds", metavar="S", type=float, help="end by itself after so long")
    parser.set_defaults(handler=reporting(_trace))
    return parser


def _trace(options: argparse.Namespace) -> int:
    if options.seconds is not None and not 0 <= options.seconds <= MOST_TRACE_SECONDS:
        complain(f"trace: --seconds is a number from 0 to {MOST_TRACE_SECONDS:g}")
        return EXIT_USAGE
    where = place(options.name) if options.name else find_machine()
    with connect(where) as machine:
        machine.call("trace.start")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait(options.seconds)
        done = machine.call("trace.stop", path=os.path.abspath(options.file))
    print(f"{options.file}: {done['events']} events")
    return OK


# -- events


def _add_events(commands: Commands) -> Parser:
    parser = add_parser(commands, "events", about="show what has happened on a machine")
    parser.add_argument("name", metavar="NAME", nargs="?", help="machine (default: the only one that is on)")
    parser.add_argument("--follow", action="store_true", help="stay, and show what happens")
    parser.add_argument("--since", metavar="N", type=int, default=0, help="only events after number N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(handler=reporting(_events))
    return parser


def _events(options: argparse.Namespace) -> int:
    where = place(options.name) if options.name else find_machine()
    show = json.dumps if options.json else event_text
    with connect(where) as machine:
        answer = machine.call("events.subscribe", since=options.since)
        if answer["lost"]:
            print("(older events are not kept)" if not options.json else json.dumps({"event": "lost"}))
        for event in machine.pending():
            print(show(event))
        if options.follow:
            for event in machine.events():
                print(show(event), flush=True)
    return OK


def event_text(event: dict[str, Any]) -> str:
    """One line: time (of day, UTC), number, kind, and the rest."""
    at = event["time"]
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    rest = " ".join(
        f"{name}={value if isinstance(value, int | str) and value != '' else json.dumps(value)}"
        for name, value in event.items() if name not in ("event", "seq", "time")
    )  # fmt: skip
    return f"{clock}.{int(at % 1 * 1000):03d} {event['seq']:>6} {event['event']} {rest}".rstrip()
