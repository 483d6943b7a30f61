"""A vntsd over consoles that the test itself is the guest of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from host_shares import free_ports

from ldmd.vntsd import ConsoleEntry, Settings, Vntsd
from ldmd.vntsd.telnet import OPTIONS

PATIENCE = 30.0
"""Seconds a test waits for what must come; no test depends on how long it takes."""


class Guests:
    """The machine's side: one stream for each guest, and what arrived on it."""

    def __init__(self) -> None:
        self.streams: dict[int, socket.socket] = {}
        self.breaks: list[int] = []
        self.opened = 0
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def open(self, guest: int) -> socket.socket:
        """What hvctl's console.open does; in a thread of its own."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.streams[guest] = ours
        self.opened += 1
        self._loop.call_soon_threadsafe(self._news.set)
        return theirs

    async def _stream(self, guest: int) -> socket.socket:
        while guest not in self.streams:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE)
        return self.streams[guest]

    async def received(self, guest: int, wanted: bytes) -> None:
        """Wait until the guest has been sent exactly this."""
        stream, got = await self._stream(guest), b""
        while len(got) < len(wanted):
            got += await asyncio.wait_for(self._loop.sock_recv(stream, 4096), PATIENCE)
        assert got == wanted

    def send_break(self, guest: int) -> None:
        """What hvctl's console.break does; in a thread of its own."""
        self._loop.call_soon_threadsafe(self._broken, guest)

    def _broken(self, guest: int) -> None:
        self.breaks.append(guest)
        self._news.set()

    async def broken(self, wanted: list[int]) -> None:
        """Wait until these guests have been sent a break, and no other."""
        while len(self.breaks) < len(wanted):
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE)
        assert self.breaks == wanted

    async def prints(self, guest: int, data: bytes) -> None:
        """The guest prints something."""
        await self._loop.sock_sendall(await self._stream(guest), data)


class Telnet:
    """A client that sees every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Telnet:
        """Connect, and take the options that come first."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert await client.exactly(len(OPTIONS)) == OPTIONS
        return client

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def expect(self, data: bytes) -> None:
        """The next bytes are these."""
        assert await self.exactly(len(data)) == data

    async def connected(self, domain: str, group: str) -> None:
        """The message of a console."""
        await self.expect(
            f'\r\nConnecting to console "{domain}" in group "{group}" ....\r\n'
            "Press ~? for control options ..\r\n".encode()
        )

    def type(self, data: bytes) -> None:
        """Send."""
        self.writer.write(data)

    async def end(self) -> None:
        """The server closes the connection, and says nothing more."""
        assert await asyncio.wait_for(self.reader.read(), PATIENCE) == b""


def free_port() -> int:
    """A port nobody has."""
    return free_ports(1)


@asynccontextmanager
async def serving(
    entries: Iterable[ConsoleEntry], *, settings: Settings | None = None, log_folder: Path | None = None
) -> AsyncIterator[tuple[Vntsd, Guests]]:
    """A vntsd that serves these consoles."""
    guests = Guests()
    server = Vntsd(
        settings or Settings(), open_stream=guests.open, send_break=guests.send_break, log_folder=log_folder,
        hostname=lambda: "alpha",
    )  # fmt: skip
    await server.apply(tuple(entries))
    try:
        yield server, guests
    finally:
        await asyncio.wait_for(server.close(), PATIENCE)
