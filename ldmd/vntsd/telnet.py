"""The telnet protocol as vntsd speaks it (RFC 854): a decoder from bytes to characters and commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

IAC, DONT, DO, WONT, WILL = 255, 254, 253, 252, 251
SB, AYT, IP, BRK, SE = 250, 246, 244, 243, 240
ECHO, SGA, STATUS, TM, TERMTYPE, NAWS, TERMSPEED, RFC, LINEMODE, ENV = 1, 3, 5, 6, 24, 31, 32, 33, 34, 36

OPTIONS = bytes(
    (IAC, DONT, LINEMODE, IAC, WILL, SGA, IAC, WILL, ECHO, IAC, DONT, TERMTYPE, IAC, DONT, TERMSPEED,
     IAC, DONT, STATUS, IAC, DONT, RFC, IAC, DONT, TM, IAC, DONT, ENV, IAC, DONT, NAWS)
)  # fmt: skip
"""What every client is sent first: character at a time, and the server echoes."""

_WITH_OPTION = (WILL, WONT, DO, DONT)
_DATA, _COMMAND, _OPTION, _SUB, _SUB_IAC = range(5)


@dataclass(frozen=True)
class Command:
    """A telnet command; `option` is None where it has none."""

    code: int
    option: int | None = None


class Decoder:
    """Bytes as they come to characters (numbers) and commands; what is incomplete waits for more.

    An escaped 255 is a character; subnegotiations are passed over; of CR LF and CR NUL only CR is left.
    """

    def __init__(self) -> None:
        self._state = _DATA
        self._code = 0
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[int | Command]:
        """The characters and commands that are complete now."""
        for byte in data:
            token = self._step(byte)
            if token is not None:
                yield token

    def _step(self, byte: int) -> int | Command | None:
        if self._state == _DATA:
            return self._data(byte)
        if self._state == _COMMAND:
            return self._command(byte)
        if self._state == _OPTION:
            self._state = _DATA
            return Command(self._code, byte)
        if self._state == _SUB:
            self._state = _SUB_IAC if byte == IAC else _SUB
        else:
            self._state = _DATA if byte == SE else _SUB
        return None

    def _data(self, byte: int) -> int | None:
        if byte == IAC:
            self._state = _COMMAND
            return None
        skip = byte == 0 or (byte == 10 and self._after_cr)
        self._after_cr = byte == 13
        return None if skip else byte

    def _command(self, byte: int) -> int | Command | None:
        self._state = _DATA
        if byte == IAC:
            return IAC
        if byte in _WITH_OPTION:
            self._state, self._code = _OPTION, byte
            return None
        if byte == SB:
            self._state = _SUB
            return None
        return Command(byte)


def escape(data: bytes) -> bytes:
    """Console output as a telnet client shall get it: without NUL and without ``^@``, 255 doubled."""
    return data.replace(b"\0", b"").replace(b"^@", b"").replace(b"\xff", b"\xff\xff")
