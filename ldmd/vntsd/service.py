"""The server: a listening socket for each group, a stream to the machine for each console.

`apply` is given all consoles that shall be there; what is new is opened, what is gone is closed, and what stays is not
disturbed.
"""

from __future__ import annotations

import asyncio
import logging
import pwd
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ldmd.hostports import TABLES, tcp_rows
from ldmd.vntsd.client import Client
from ldmd.vntsd.group import Console, Group, Line
from ldmd.vntsd.logfile import ConsoleLog

BACKLOG = 5
MAX_CLIENTS = 64
"""Of one group: the next one is told so and disconnected."""
RETRY_SECONDS = 1.0
INPUT_BYTES = 1 << 16
ALL_CONSOLES = "solaris.vntsd.consoles"
log = logging.getLogger("vntsd")


@dataclass(frozen=True)
class ConsoleEntry:
    """A console that shall be served: what ldmd says of it."""

    guest: int  # the hypervisor's number of the domain
    domain: str
    group: str
    port: int
    number: int  # of the console, in the menu
    log: bool = True


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of the service: vntsd/listen_addr, timeout_minutes, authorization.

    `authorizations`: user name to what it may do, ``solaris.vntsd.consoles`` or ``solaris.vntsd.console-GROUP``.
    """

    listen_addr: str = "localhost"
    timeout_minutes: int = 0
    authorization: bool = False
    authorizations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address to listen at. Raises ValueError where it is none."""
        if self.authorization or self.listen_addr == "localhost":
            return "127.0.0.1"
        if self.listen_addr == "any":
            return "0.0.0.0"
        try:
            socket.inet_aton(self.listen_addr)
        except OSError:
            raise ValueError(f"Invalid listen address '{self.listen_addr}'") from None
        return self.listen_addr


class MachineLine(Line):
    """The way to a guest: a stream socket that the machine has handed out. Opened again where it breaks."""

    def __init__(self, open_stream: Callable[[], socket.socket], send_break: Callable[[], None]) -> None:
        self.printed: Callable[[bytes], None] = lambda data: None
        self._open_stream, self._send_break = open_stream, send_break
        self._writer: asyncio.StreamWriter | None = None
        self._waiting = bytearray()  # typed while there is no stream
        self._task = asyncio.create_task(self._run())
        self._going = asyncio.Event()
        self._going.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                stream = await loop.run_in_executor(None, self._open_stream)
                reader, self._writer = await asyncio.open_connection(sock=stream)
                self._writer.write(bytes(self._waiting))
                self._waiting.clear()
                while data := await reader.read(1 << 16):
                    await self._going.wait()
                    self.printed(data)
            except OSError as error:
                log.debug("console stream: %s", error)
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            await asyncio.sleep(RETRY_SECONDS)

    def send(self, data: bytes) -> None:
        """To the guest. Of what it does not take, INPUT_BYTES wait; more is lost, as on a serial line."""
        if self._writer is None:
            self._waiting += data[: INPUT_BYTES - len(self._waiting)]
        elif self._writer.transport.get_write_buffer_size() < INPUT_BYTES:
            self._writer.write(data)

    def send_break(self) -> None:
        """A break."""
        asyncio.get_running_loop().run_in_executor(None, self._send_break)

    def pause(self, paused: bool) -> None:
        """Stop reading, or go on."""
        (self._going.clear if paused else self._going.set)()

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()


class Vntsd:
    """All groups of one server. `open_stream(guest)` and `send_break(guest)` may block; they raise OSError."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_stream: Callable[[int], socket.socket],
        send_break: Callable[[int], None],
        log_folder: Path | None = None,
        hostname: Callable[[], str] = socket.gethostname,
    ) -> None:
        self.settings = settings
        self._address = settings.address
        self._open_stream, self._send_break = open_stream, send_break
        self._log_folder, self._hostname = log_folder, hostname
        self._groups: dict[tuple[str, int], Group] = {}
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._consoles: dict[ConsoleEntry, Console] = {}
        self._lines: dict[ConsoleEntry, MachineLine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: set[tuple[str, int]] = set()  # groups whose port cannot be had yet

    @property
    def entries(self) -> tuple[ConsoleEntry, ...]:
        """The consoles that are served."""
        return tuple(self._consoles)

    async def apply(self, entries: Sequence[ConsoleEntry]) -> None:
        """Serve these consoles and no others. A port that cannot be had is logged, and tried again every second."""
        wanted = set(entries)
        for entry in [each for each in self._consoles if each not in wanted]:
            await self._remove(entry)
        for entry in entries:
            if entry not in self._consoles:
                self._add(entry)
        for key, group in list(self._groups.items()):
            if group.consoles and key not in self._servers:
                await self._listen(key, group)
            elif not group.consoles:
                await self._stop_listening(key)

    def _add(self, entry: ConsoleEntry) -> None:
        key = (entry.group, entry.port)
        group = self._groups.setdefault(key, Group(entry.group, entry.port, hostname=self._hostname))
        line = MachineLine(lambda: self._open_stream(entry.guest), lambda: self._send_break(entry.guest))
        console_log = ConsoleLog(self._log_folder / entry.domain) if entry.log and self._log_folder else None
        console = Console(entry.number, entry.domain, line, log=console_log)
        line.printed = console.printed
        group.consoles.append(console)
        self._consoles[entry], self._lines[entry] = console, line

    async def _remove(self, entry: ConsoleEntry) -> None:
        console = self._consoles.pop(entry)
        self._groups[entry.group, entry.port].remove(console)
        await self._lines.pop(entry).close()
        if console.log is not None:
            console.log.close()

    async def _listen(self, key: tuple[str, int], group: Group) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(group, reader, writer)

        try:
            self._servers[key] = await asyncio.start_server(serve, self._address, group.port, backlog=BACKLOG)
        except OSError as error:
            if key not in self._refused:
                log.error("group %s: cannot listen at %s port %d: %s", group.name, self._address, group.port, error)
                self._refused.add(key)
                self._later(key)
            return
        if key in self._refused:
            self._refused.discard(key)
            log.info("group %s: listens at %s port %d now", group.name, self._address, group.port)

    def _later(self, key: tuple[str, int]) -> None:
        """Try again until the port can be had, or nobody wants it any more."""

        async def again() -> None:
            while key in self._refused:
                await asyncio.sleep(RETRY_SECONDS)
                group = self._groups.get(key)
                if group is None or not group.consoles or key in self._servers:
                    self._refused.discard(key)
                else:
                    await self._listen(key, group)

        task = asyncio.create_task(again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop_listening(self, key: tuple[str, int]) -> None:
        server = self._servers.pop(key, None)
        if server is not None:
            server.close()
        self._groups.pop(key)

    async def _serve(self, group: Group, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(group.clients) >= MAX_CLIENTS or not self._allowed(writer, group.name):
            writer.close()
            return

        def send(data: bytes) -> int:
            if not writer.is_closing():
                writer.write(data)
            return writer.transport.get_write_buffer_size()

        client = Client(group, send, writer.close, abort=writer.transport.abort)
        watch = _IdleWatch(client, self.settings.timeout_minutes * 60)
        conversation = asyncio.create_task(client.run())
        self._tasks.add(conversation)
        conversation.add_done_callback(self._tasks.discard)
        try:
            while not conversation.done():
                data = await reader.read(4096)
                if not data:
                    break
                client.feed(data)
        except OSError:
            pass
        client.disconnected()
        await asyncio.gather(conversation, return_exceptions=True)
        watch.stop()

    def _allowed(self, writer: asyncio.StreamWriter, group: str) -> bool:
        if not self.settings.authorization:
            return True
        user = _peer_user(writer.get_extra_info("peername"))
        granted = self.settings.authorizations.get(user or "", ())
        return ALL_CONSOLES in granted or f"solaris.vntsd.console-{group}" in granted

    async def close(self) -> None:
        """End everything."""
        await self.apply(())
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _IdleWatch:
    """Disconnects a client after some time without input and output; 0 seconds: never."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._client, self._seconds = client, seconds
        self._timer: asyncio.TimerHandle | None = None
        if seconds:
            client.touched = self._restart
            self._restart()

    def _restart(self) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._client.disconnected)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()


def _peer_user(peer: tuple[str, int]) -> str | None:
    """Whose the other end of a connection on this host is, from the kernel's table of TCP sockets."""
    address = int.from_bytes(socket.inet_aton(peer[0]), "little")
    wanted = f"{address:08X}:{peer[1]:04X}"
    for fields in tcp_rows(TABLES[0]):
        if fields[1] == wanted:
            try:
                return pwd.getpwuid(int(fields[7])).pw_name
            except KeyError:
                return None
    return None
