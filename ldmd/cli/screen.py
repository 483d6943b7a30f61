"""What the user sees: standard output and error, the line of progress on a terminal, JSON lines for programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from ldmd.messages import RefusedError

JSON_VERSION = 1
"""Of the shapes that --json prints: a change that could break a reader makes it 2."""


class Screen:
    """Lines go out as they come. `terminal`: standard error is one, so that progress may be shown there."""

    def __init__(self, out: TextIO, err: TextIO, *, terminal: bool = False) -> None:
        self._out, self._err, self._terminal = out, err, terminal
        self.json = False
        self.lists = False  # with JSON: one document, and nothing else on standard output
        self.outlives_terminal = False  # what was begun goes on where the terminal is lost
        self._progress = 0  # letters of the line of progress that stands there

    def print(self, lines: Iterable[str]) -> None:
        """Text for standard output."""
        self._wipe()
        for line in lines:
            self._out.write(f"{line}\n")
        self._out.flush()

    def complain(self, text: str) -> None:
        """Text for standard error."""
        self._wipe()
        self._err.write(f"{text}\n")
        self._err.flush()

    def document(self, result: Any) -> None:
        """A whole JSON document."""
        body = result if isinstance(result, Mapping) else {"result": result}
        self.print([json.dumps({"version": JSON_VERSION, **body}, indent=2)])

    def record(self, **row: Any) -> None:
        """A JSON line."""
        self.print([json.dumps(row)])

    def line(self, kind: str, what: Any) -> None:
        """Something an operation says while it runs: "say", "warn" or "progress"."""
        if self.json and not self.lists:
            self.record(**{kind: what})
        elif kind == "say":
            self.print([what])
        elif kind == "warn":
            self.complain(what)
        elif kind == "progress" and self._terminal:
            self._show_progress(f"{what['percent']:3d}% {what['text']}")

    def refused(self, error: RefusedError) -> None:
        """Why a command was not carried out: text, then cause and remedy on lines of their own."""
        if self.json:
            self.document({"error": {"code": error.code, "text": error.text, "cause": error.cause,
                                     "remedy": error.remedy}})  # fmt: skip
            return
        self.complain(error.text)
        for title, text in (("Cause", error.cause), ("Remedy", error.remedy)):
            if text:
                self.complain(f"{title}: {text}")

    def terminal_lost(self) -> None:
        """Nobody looks any more."""
        self._terminal, self._progress = False, 0

    def close(self) -> None:
        """Nothing of a line of progress stays behind."""
        self._wipe()

    def _show_progress(self, text: str) -> None:
        text = text[: max(20, shutil.get_terminal_size().columns - 1)]  # a line that wraps cannot be wiped
        self._err.write("\r" + text.ljust(self._progress))
        self._err.flush()
        self._progress = len(text)

    def _wipe(self) -> None:
        if self._progress:
            self._err.write("\r" + " " * self._progress + "\r")
            self._err.flush()
            self._progress = 0
