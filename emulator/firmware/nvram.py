"""Configuration variables kept in a file: what a domain's firmware finds again when the emulator is started anew.

One JSON object of names and texts, those that differ from their defaults. It is replaced as a whole at every change, so
that a full disk or a cut leaves the old one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.firmware.variables import Variables

MAX_BYTES = 1 << 20


class NvramError(EmulatorError):
    """The file cannot be read, or is none of ours."""

    code = "nvram"


class NvramFile:
    """A file of variables. It need not exist yet. `complain` is told where a change cannot be written."""

    def __init__(self, path: str | Path, complain: Callable[[str], None] = lambda text: None) -> None:
        self.path = Path(path)
        self._complain = complain
        self._stored: dict[str, str] = {}

    def load(self) -> Variables:
        """The variables of the file; changes go back to it from now on. Raises NvramError."""
        self._stored = self._read()
        return Variables.lenient(self._stored, self._changed)

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_bytes()[: MAX_BYTES + 1]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise NvramError(f"{self.path}: {error.strerror or error}") from error
        try:
            stored = json.loads(text)
        except ValueError:
            stored = None
        texts = isinstance(stored, dict) and all(isinstance(value, str) for value in stored.values())
        if not texts or len(text) > MAX_BYTES:
            raise NvramError(f"{self.path}: not a file of OpenBoot variables (a JSON object of names and texts)")
        return dict(stored)

    def _changed(self, name: str, value: str | None) -> None:
        """Write the file. Where that fails the old one stays as it was, the guest goes on, and a person is told."""
        if value is None:
            self._stored.pop(name, None)
        else:
            self._stored[name] = value
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump(self._stored, file, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            self._complain(f"{self.path}: {name} is not kept: {error.strerror or error}")
