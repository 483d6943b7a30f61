"""Consoles and groups: who watches which console, and who may write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ldmd.vntsd.logfile import ConsoleLog
from ldmd.vntsd.telnet import escape

if TYPE_CHECKING:
    from ldmd.vntsd.client import Client

FORCED = "Warning: Console connection forced into read-only mode"


class Line:
    """The way to a guest's console. The service makes one for each console; tests make their own."""

    def send(self, data: bytes) -> None:
        """To the guest."""

    def send_break(self) -> None:
        """A break."""

    def pause(self, paused: bool) -> None:
        """Stop reading what the guest prints, or go on."""


class Console:
    """A domain's console. Of its clients, in order of arrival, the first may write."""

    def __init__(self, number: int, domain: str, line: Line, *, log: ConsoleLog | None = None) -> None:
        self.number, self.domain, self.line, self.log = number, domain, line, log
        self.clients: list[Client] = []
        self.paused = False

    def printed(self, data: bytes) -> None:
        """The guest has printed something: to the log and to all clients."""
        if self.log is not None:
            self.log.write(data)
        shown = escape(data)
        for client in list(self.clients):
            client.write(shown)

    def join(self, client: Client) -> None:
        """A client more."""
        self.clients.append(client)

    def leave(self, client: Client) -> None:
        """A client less; the next one may write. A console that was stopped goes on when its writer leaves."""
        was_writer = self.writer is client
        if client in self.clients:
            self.clients.remove(client)
        if was_writer:
            self.pause(False)

    @property
    def writer(self) -> Client | None:
        """Who may write."""
        return self.clients[0] if self.clients else None

    def force(self, client: Client) -> None:
        """Give a client write access; the writer of before becomes the second and is told."""
        former = self.writer
        if former is client:
            return
        self.clients.remove(client)
        self.clients.insert(0, client)
        self.pause(False)
        if former is not None:
            former.write_line(FORCED)

    def pause(self, paused: bool) -> None:
        """XOFF and XON."""
        if paused != self.paused:
            self.paused = paused
            self.line.pause(paused)


class Group:
    """Consoles behind one TCP port, in the order in which they came."""

    def __init__(self, name: str, port: int, *, hostname: Callable[[], str]) -> None:
        self.name, self.port, self.hostname = name, port, hostname
        self.consoles: list[Console] = []
        self.clients: list[Client] = []

    def find(self, number: int) -> Console | None:
        """A console by its number."""
        return next((console for console in self.consoles if console.number == number), None)

    def find_domain(self, name: str) -> Console | None:
        """A console by its domain."""
        return next((console for console in self.consoles if console.domain == name), None)

    def neighbour(self, console: Console, step: int) -> Console:
        """The console `step` places on, in a circle."""
        at = self.consoles.index(console) if console in self.consoles else 0
        return self.consoles[(at + step) % len(self.consoles)]

    def remove(self, console: Console) -> None:
        """A console is gone: its clients leave it, and those at the menu of an empty group are disconnected."""
        self.consoles.remove(console)
        for client in list(self.clients):
            if client.console is console or not self.consoles:
                client.console_gone()
