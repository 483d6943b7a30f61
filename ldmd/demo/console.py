"""A person at a domain's console, through the port that vntsd gives it."""

from __future__ import annotations

import re
import socket
import time
from types import TracebackType

from ldmd.demo.stage import DemoError

PATIENCE = 60.0
"""Longest wait for an answer."""
PROMPT = b"\n# "
GREETING = b"control options .."


class Console:
    """One connection."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._seen = name, b""
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except OSError as error:
            raise DemoError(f"the console of {name} at port {port}: {error}") from None
        self.until(GREETING)

    def __enter__(self) -> Console:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._socket.close()

    def type(self, line: str) -> None:
        """Keys and Enter (a CR would wait for what follows it: telnet)."""
        self._socket.sendall(line.encode() + b"\n")

    def until(self, text: bytes, *, seconds: float = PATIENCE) -> str:
        """What comes up to the end of a text, which is forgotten then."""
        end = time.monotonic() + seconds
        while text not in self._seen:
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise DemoError(f"{self._name} does not answer: waited for {text!r}, saw {self._seen[-200:]!r}"
                                ) from None
            if not data:
                raise DemoError(f"the console of {self._name} was closed after {self._seen[-200:]!r}")
            self._seen += data
        at = self._seen.index(text) + len(text)
        found, self._seen = self._seen[:at], self._seen[at:]
        return found.decode("utf-8", "replace").replace("\r", "")

    def prompt(self) -> None:
        """Wait until the shell is there."""
        self.type("")
        self.until(PROMPT)

    def do(self, line: str) -> str:
        """What a command prints."""
        self.type(line)
        self.until(line.encode())
        return self.until(PROMPT).removesuffix(PROMPT.decode()).removeprefix("\n")

    def find(self, line: str, pattern: str) -> re.Match[str]:
        """A command whose output must have this form."""
        said = self.do(line)
        found = re.search(pattern, said)
        if found is None:
            raise DemoError(f"{self._name}: {line}: {said.strip() or 'it said nothing'}")
        return found
