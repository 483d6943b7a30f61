"""ldmd's log: a line for each command, and what happens by itself, each in a class that can be switched off.

Classes as `ldm set-logctl` has them (ldm(1M) of 3.3): cmd, debug, info, notice, and warning and fatal, which cannot be
switched off.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ldmd.messages.logclasses import LOG_DEFAULTS

LARGEST_BYTES = 10 << 20
"""A log file that has grown beyond this is put aside as NAME.0 (one is kept)."""


class Log:
    """Lines to a sink. From any thread."""

    def __init__(self, write: Callable[[str], None] = lambda line: None, *,
                 now: Callable[[], float] = time.time) -> None:
        self._write, self._now = write, now
        self.levels = dict(LOG_DEFAULTS)

    def line(self, level: str, text: str) -> None:
        """A line of a class, if that is on. Line ends in the text become spaces: one event, one line."""
        if self.levels.get(level, True):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._now()))
            self._write(f"{stamp}Z {level}: {' '.join(text.splitlines())}")

    def cmd(self, text: str) -> None:
        """A command, and how it ended."""
        self.line("cmd", text)

    def debug(self, text: str) -> None:
        """For those who look for a defect."""
        self.line("debug", text)

    def info(self, text: str) -> None:
        """What happens in the normal course of things."""
        self.line("info", text)

    def notice(self, text: str) -> None:
        """Worth knowing."""
        self.line("notice", text)

    def warning(self, text: str) -> None:
        """Somebody should look."""
        self.line("warning", text)

    def fatal(self, text: str) -> None:
        """ldmd ends."""
        self.line("fatal", text)


class LogFile:
    """The sink of the daemon: a file of its own, or the terminal. A full disk loses lines, never ldmd."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Append a line."""
        with self._lock:
            try:
                if self.path is None:
                    print(line, file=sys.stderr, flush=True)
                    return
                if self.path.exists() and self.path.stat().st_size > LARGEST_BYTES:
                    self.path.replace(self.path.with_name(self.path.name + ".0"))
                with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line + "\n")
            except OSError:
                pass  # nowhere to say it
