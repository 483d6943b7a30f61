"""A domain's console in a test: what it has said, expected on virtual time; lines typed at it."""

from __future__ import annotations

import re
from collections.abc import Callable

from ldmd.testing.errors import ExpectError

SECONDS = 20.0
"""Virtual seconds that something may take to be said."""
SHOWN = 800
"""Of the output, in the message of an error."""
Pattern = str | re.Pattern[str]


class Console:
    """Output of a domain, wherever it runs, without carriage returns. `until` lets virtual time pass."""

    def __init__(self, name: str, type_: Callable[[bytes], object],
                 until: Callable[..., bool], prompt: Pattern) -> None:
        self._name, self._type, self._until = name, type_, until
        self._said = bytearray()
        self.prompt = prompt
        """What `do` waits for."""
        self.position = 0
        """How much of `text` has been expected so far: the next `expect` looks behind it."""

    def hear(self, data: bytes) -> None:
        """More output."""
        self._said += data.replace(b"\r", b"")

    @property
    def text(self) -> str:
        """All output since the domain was made."""
        return self._said.decode("utf-8", "replace") if b"\xff" not in self._said else self._said.decode("latin-1")

    def send(self, text: str) -> None:
        """Type."""
        self._type(text.encode())

    def sendline(self, line: str = "") -> None:
        """Type a line and the return key."""
        self.send(f"{line}\r")

    def expect(self, pattern: Pattern, *, seconds: float = SECONDS) -> str:
        """Let virtual time pass until the domain says it; the output up to its end.

        A text is looked for as it is, a compiled expression as such; only behind what was expected before. Raises
        ExpectError after so many virtual seconds, or where the domain has ended.
        """
        expression = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        found: list[re.Match[str]] = []

        def said() -> bool:
            match = expression.search(self.text[self.position:])  # "\A" is where the last one ended
            found.extend([match] if match else [])
            return match is not None

        if not said() and not self._until(said, seconds=seconds):
            rest = self.text[self.position:]
            wanted = pattern if isinstance(pattern, str) else pattern.pattern
            raise ExpectError(f"{self._name} did not say {wanted!r} within {seconds:g} virtual seconds; "
                              f"it said: {rest[-SHOWN:]!r}")
        begin, self.position = self.position, self.position + found[0].end()
        return self.text[begin:self.position]

    def do(self, line: str, *, prompt: Pattern | None = None, seconds: float = SECONDS) -> str:
        """Type a command at the prompt; its output, without the echo and the next prompt."""
        self.position = len(self.text)
        self.sendline(line)
        wanted = self.prompt if prompt is None else prompt
        end = "\n" if isinstance(wanted, str) else ""
        if isinstance(wanted, str):
            # at the beginning of a line: the echo before it may be all there is, and is not searched any more
            wanted = re.compile(rf"(?<![^\n]){re.escape(wanted)}\Z")
        echo = re.compile(re.escape(line) + r"[^\n]*\n") if line else re.compile(r"\n")
        self.expect(echo, seconds=seconds)
        output = self.expect(wanted, seconds=seconds)
        last = re.search(wanted, output)
        return output[: last.start()].removesuffix(end) if last else output
