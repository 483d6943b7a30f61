"""The host side of a console: raw bytes on two file descriptors, perhaps a terminal."""

from __future__ import annotations

import os
import select
import termios
import tty
from types import TracebackType
from typing import Any

QUIT_KEY = b"\x1d"  # Ctrl-]
ESCAPE = ord("~")
ESCAPE_HELP = b"\r\n~.  end\r\n~#  send a break\r\n~~  send ~\r\n~?  this list\r\n"
HINT = b"~. at the start of a line leaves, ~? tells more\n"
_CHUNK_BYTES = 65536


class QuitError(Exception):
    """The user pressed Ctrl-], or typed ``~.``."""


class HostConsole:
    """Reads `input_fd` without blocking and writes all of what it is given to `output_fd`.

    As a context manager it puts a terminal into cbreak mode (each key at once, no echo, Ctrl-C still
    interrupts) and restores it; with `raw`, Ctrl-C and its like are the guest's, and at the start of a line ``~``
    begins an escape, as on the consoles of logical domains. `ended` is True once the input has come to its end.
    """

    def __init__(self, input_fd: int = 0, output_fd: int = 1, *, raw: bool = False) -> None:
        self.raw = raw
        self._line_start = True
        self._escaped = False
        self._break = False
        self.input_fd = input_fd
        self.output_fd = output_fd
        self.ended = False
        self._saved: list[Any] | None = None

    @property
    def interactive(self) -> bool:
        """True where input comes from a terminal."""
        try:
            return os.isatty(self.input_fd)
        except OSError:
            return False

    def __enter__(self) -> HostConsole:
        if self.interactive:
            self._saved = termios.tcgetattr(self.input_fd)
            if self.raw and os.isatty(self.output_fd) and os.isatty(2):  # Ctrl-C will not do: say what does
                os.write(2, HINT)
            (tty.setraw if self.raw else tty.setcbreak)(self.input_fd, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._saved is not None:
            termios.tcsetattr(self.input_fd, termios.TCSADRAIN, self._saved)
            self._saved = None

    def read(self, *, wait: bool = False, also: int | None = None) -> bytes:
        """Input that is there now (maybe none); with `wait` block until there is some or the input ends, or there is
        something on the descriptor `also`.

        Raises QuitError where a terminal sends Ctrl-] (or ~.).
        """
        if self.ended:
            if wait and also is not None:
                select.select([also], [], [])
            return b""
        try:
            watched = [self.input_fd] if also is None else [self.input_fd, also]
            ready, _, _ = select.select(watched, [], [], None if wait else 0)
            data = os.read(self.input_fd, _CHUNK_BYTES) if self.input_fd in ready else None
        except BlockingIOError:
            return b""
        except (OSError, ValueError):
            data = b""  # closed, or a terminal that went away: the same as its end
        if data is None:
            return b""
        if not data:
            self.ended = True
        if self._saved is not None and QUIT_KEY in data:
            raise QuitError("Ctrl-]")
        return self._escapes(data) if self._saved is not None and self.raw else data

    def _escapes(self, data: bytes) -> bytes:
        """The bytes for the guest; what stands behind a ``~`` at the start of a line is for us."""
        out = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                self._escape(byte, out)
            elif self._line_start and byte == ESCAPE:
                self._escaped = True
                continue
            else:
                out.append(byte)
            self._line_start = byte in b"\r\n"
        return bytes(out)

    def _escape(self, byte: int, out: bytearray) -> None:
        match chr(byte):
            case ".":
                raise QuitError("~.")
            case "#":
                self._break = True
            case "?":
                self.write(ESCAPE_HELP)
            case "~":
                out.append(ESCAPE)
            case _:
                out += bytes([ESCAPE, byte])

    def take_break(self) -> bool:
        """True where the user has asked for a break since the last call."""
        asked, self._break = self._break, False
        return asked

    def read_all(self) -> bytes:
        """Everything up to the end of input."""
        out = bytearray()
        while not self.ended:
            out += self.read(wait=True)
        return bytes(out)

    def write(self, data: bytes) -> None:
        """Write everything. Raises BrokenPipeError where the reader went away."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.output_fd, view) :]
            except BlockingIOError:
                select.select([], [self.output_fd], [])
