"""A telnet client: the menu of its group, then a console with escape commands.

One coroutine for each client. It waits for characters in `_read`, where a console that goes away and a client that
leaves interrupt it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

from ldmd.vntsd import telnet
from ldmd.vntsd.group import Console, Group

EOL = b"\r\n"
CR, LF, BS, DEL, CTRL_B, XON, XOFF, TILDE = 13, 10, 8, 127, 2, 17, 19, ord("~")
PROMPT_BYTES = 72
LINE_BYTES = 256
BACKLOG_BYTES = 1 << 20
"""A client that does not read so much output is disconnected."""
PENDING_CHARACTERS = 1 << 16
"""Input that waits: more is thrown away."""
NO_WRITE_ACCESS = "You do not have write access"
MENU_HELP = (
    "h -- this help", "l -- list of consoles", "q -- quit",
    "c{id}, n{name} -- connect to a console of domain {id} or domain {name}",
)  # fmt: skip
FORCE_WARNING = (
    "Warning: another user currently has write permission",
    "to this console and forcibly removing him/her will terminate",
    "any current write action and all work will be lost.",
)
QUESTION = b"Would you like to continue?[y/n] "
log = logging.getLogger("vntsd")


class Leave(Enum):
    """Why a client leaves a console."""

    RESELECT = 0
    NEXT = 1
    PREVIOUS = -1


class GoneError(Exception):
    """The console the client is on is gone, or its group has none left."""


class QuitError(Exception):
    """The client is gone, or wants to be."""


class Client:
    """A connection. `send` gives bytes to the transport and tells how many of them wait there; `abort` drops them."""

    def __init__(
        self, group: Group, send: Callable[[bytes], int], close: Callable[[], None], *, abort: Callable[[], None]
    ) -> None:
        self.group = group
        self.console: Console | None = None
        self.touched: Callable[[], None] = lambda: None  # called for all input and output: the idle clock
        self._send, self._close, self._abort = send, close, abort
        self._decoder = telnet.Decoder()
        self._input: asyncio.Queue[int | telnet.Command | type[Exception]] = asyncio.Queue()
        self._line_start = True

    # -- from outside

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self.touched()
        for token in self._decoder.feed(data):
            if self._input.qsize() < PENDING_CHARACTERS:
                self._input.put_nowait(token)

    def disconnected(self) -> None:
        """The client has closed its connection, or was idle for too long."""
        self._input.put_nowait(QuitError)

    def console_gone(self) -> None:
        """Its console was removed, or its group is empty."""
        self._input.put_nowait(GoneError)

    def write(self, data: bytes) -> None:
        """Bytes to the client."""
        self.touched()
        if data and self._send(data) > BACKLOG_BYTES:
            log.warning("a client of group %s does not read: disconnected", self.group.name)
            self._abort()
            self.disconnected()

    def write_line(self, text: str = "") -> None:
        """A line to the client."""
        self.write(text.encode() + EOL)

    # -- the conversation

    async def run(self) -> None:
        """Serve the client until one side ends it."""
        self.group.clients.append(self)
        self.write(telnet.OPTIONS)
        chosen: Console | None = None
        try:
            while self.group.consoles:
                try:
                    chosen = await self._converse(chosen)
                except GoneError:
                    chosen = None
        except QuitError:
            pass
        finally:
            self.group.clients.remove(self)
            self._close()

    async def _converse(self, chosen: Console | None) -> Console | None:
        """One choice at the menu, or one stay on a console; returns the console to go to, None: the menu."""
        consoles = self.group.consoles
        if chosen is None:
            chosen = consoles[0] if len(consoles) == 1 else await self._menu()
            if chosen is None:
                return None
        leave = await self._stay(chosen)
        if leave is Leave.RESELECT:
            if self.group.consoles == [chosen]:
                raise QuitError
            return None
        return self.group.neighbour(chosen, leave.value)

    async def _menu(self) -> Console | None:
        prompt = f"{self.group.hostname()}-vnts-{self.group.name}: h, l, c{{id}}, n{{name}}, q:"
        if len(prompt) >= PROMPT_BYTES:
            prompt = "vnts: h, l, c{id}, n{name}, q:"
        self.write(EOL + prompt.encode())
        character = await self._read_character()
        if character != BS:
            self.write(bytes([character]))
        letter = chr(character).lower()
        if len(self.group.consoles) == 1:
            return self.group.consoles[0]
        if letter == "q":
            raise QuitError
        if letter in "cn":
            found = self._choose(letter, await self._read_line())
            if found is not None:
                return found
        if letter == "l":
            self._list()
        else:
            self.write(EOL)
            for line in MENU_HELP:
                self.write_line(line)
        return None

    def _choose(self, letter: str, text: str) -> Console | None:
        text = text.strip()
        if letter == "n":
            return self.group.find_domain(text)
        digits = text[: next((n for n, c in enumerate(text) if not c.isdigit()), len(text))]
        return self.group.find(int(digits)) if digits.isascii() and digits else None

    def _list(self) -> None:
        self.write(EOL)
        self.write_line(f"{'DOMAIN ID':<20}{'DOMAIN NAME':<30}{'DOMAIN STATE':<25}")
        for console in self.group.consoles:
            state = "connected" if console.clients else "online"
            self.write_line(f"{console.number:<20d}{console.domain:<30}{state:<25}")

    async def _stay(self, console: Console) -> Leave:
        self.console = console
        self._line_start = True
        console.join(self)
        try:
            self.write(EOL)
            self.write_line(f'Connecting to console "{console.domain}" in group "{self.group.name}" ....')
            self.write_line("Press ~? for control options ..")
            while True:
                leave = await self._serve(console)
                if leave is not None:
                    return leave
        finally:
            self.console = None
            console.leave(self)

    async def _serve(self, console: Console) -> Leave | None:
        """One character of a client that is on a console."""
        character = await self._read_character()
        if character == TILDE and self._line_start:
            letter = await self._read_character()
            if letter != TILDE:
                return await self._escape(console, letter)
        self._line_start = character == CR
        if console.writer is not self:
            if character not in (CR, LF):
                self.write_line(NO_WRITE_ACCESS)
        elif character in (XON, XOFF):
            console.pause(character == XOFF)
        else:
            console.line.send(bytes([character]))
        return None

    async def _escape(self, console: Console, letter: int) -> Leave | None:
        if letter == ord("."):
            return Leave.RESELECT
        if letter in (ord("n"), ord("p")):
            if len(self.group.consoles) > 1:
                return Leave.NEXT if letter == ord("n") else Leave.PREVIOUS
        elif letter == ord("w"):
            await self._force(console)
        elif letter in (ord("#"), CTRL_B):
            self._break(console, alternate=letter == CTRL_B)
        else:
            self.write(EOL)
            self.write_line("VNTSD commands")
            for line in ESCAPES.values():
                self.write_line(line)
        return None

    def _break(self, console: Console, *, alternate: bool) -> None:
        if console.writer is not self:
            self.write_line(NO_WRITE_ACCESS)
        elif alternate:
            console.line.send(bytes((CR, TILDE, CTRL_B)))  # what the guest's zs and su drivers take for a break
        else:
            console.line.send_break()

    async def _force(self, console: Console) -> None:
        if console.writer is self:
            self.write_line("You have write permission")
            return
        self.write(EOL)
        for line in FORCE_WARNING:
            self.write_line(line)
        self.write(EOL)
        while True:
            self.write(QUESTION)
            answer = await self._read_character()
            self.write(bytes([answer]) + EOL)
            if chr(answer).lower() == "y":
                console.force(self)
                return
            if chr(answer).lower() == "n":
                return
            self.write_line("Invalid response. Try again.")

    # -- reading

    async def _read_character(self) -> int:
        while True:
            token = await self._input.get()
            if isinstance(token, int):
                return token
            if isinstance(token, telnet.Command):
                self._command(token)
            elif token is QuitError or self.console is not None or not self.group.consoles:
                raise token

    async def _read_line(self) -> str:
        """The rest of a line, echoed; backspace takes a character back."""
        line = bytearray()
        while len(line) < LINE_BYTES:
            character = await self._read_character()
            if character in (BS, DEL):
                if line:
                    line.pop()
                    self.write(b"\b \b")
                continue
            self.write(bytes([character]))
            if character == CR:
                break
            line.append(character)
        return line.decode("utf-8", "replace")

    def _command(self, command: telnet.Command) -> None:
        code, option = command.code, command.option
        if code in (telnet.DO, telnet.DONT):
            self.write(bytes((telnet.IAC, telnet.WILL, option or 0)))
        elif code == telnet.BRK:
            if self.console is not None:
                self._break(self.console, alternate=False)
        elif code == telnet.AYT:
            self.write(bytes((telnet.AYT,)))
        elif code == telnet.WONT or (
            code == telnet.WILL and option not in (telnet.ECHO, telnet.SGA, telnet.LINEMODE)
        ):
            log.info("not support telnet %s %x", "WILL" if code == telnet.WILL else "WONT", option)
        elif code not in (telnet.WILL, telnet.IP):
            log.info("not support telnet ctrl %x", code)


ESCAPES = {
    ord("#"): "~# - Send break",
    CTRL_B: "~^B - Send alternate break",
    ord("."): "~. - Exit from this console",
    ord("w"): "~w - Force write access",
    ord("n"): "~n - Console next",
    ord("p"): "~p - Console previous",
    ord("?"): "~? - Help",
}
"""What may follow ``~`` at the beginning of a line, and how the help shows it. Anything else prints the help."""
