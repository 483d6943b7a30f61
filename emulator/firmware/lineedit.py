"""The line editor of the console: keys in, echo out, a line at the end.

The keys are those of OpenBoot: Emacs' for moving, ^H and DEL, ^U, ^W, ^K and ^Y for erasing, ^P and ^N (or the arrows)
for what was typed before. Input comes byte by byte, so it may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emulator.errors import StateError

LINE_LIMIT = 1023
HISTORY_LINES = 64
HISTORY_CHARACTERS = 16384
BELL = "\a"
_SEQUENCES = ("", "esc", "esc[", "quote")
_ARROWS = {"A": 16, "B": 14, "C": 6, "D": 2, "P": 8}


class LineEditor:
    """One line being typed. `write` gets the echo. `key` returns what the key asks of the caller:

    "accept" (the line is complete), "cancel" (^C), "previous", "next" (lines), "list" (^L), "retype" (^R), "open" (^O),
    "join" (^K at the end of the line, ^D there), "complete" (^Space), or "".
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.text = ""
        self.cursor = 0
        self.killed = ""
        self.sequence = ""
        self._actions: dict[int, Callable[[], str]] = {
            0: lambda: "complete", 1: lambda: self._move(0), 2: lambda: self._move(self.cursor - 1), 3: self._cancel,
            4: self._erase_next, 5: lambda: self._move(len(self.text)), 6: lambda: self._move(self.cursor + 1),
            8: self._erase_previous, 9: lambda: self.insert(" "), 10: lambda: "accept", 11: self._kill_to_end,
            12: lambda: "list", 13: lambda: "accept", 14: lambda: "next", 15: lambda: "open", 16: lambda: "previous",
            17: lambda: self._await("quote"), 18: lambda: "retype", 21: self._kill_line, 23: self._erase_word,
            24: lambda: "accept", 25: self._yank, 27: lambda: self._await("esc"), 127: self._erase_previous,
        }  # fmt: skip

    def clear(self) -> None:
        """Begin an empty line."""
        self.text, self.cursor, self.sequence = "", 0, ""

    def key(self, byte: int) -> str:
        """One byte typed."""
        sequence, self.sequence = self.sequence, ""
        character = chr(byte & 0xFF)
        if sequence == "quote":
            return self.insert(character)
        if sequence == "esc":
            return self._escape(character)
        if sequence == "esc[":
            return self._actions[_ARROWS[character]]() if character in _ARROWS else self._beep()
        if " " <= character <= "~" or character >= "\xa0":
            return self.insert(character)
        action = self._actions.get(byte)
        return action() if action else self._beep()

    def _escape(self, character: str) -> str:
        """The key after ESC."""
        if character in "[O":
            return self._await("esc[")
        if character in "bB":
            return self._move(self._word_start())
        if character in "fF":
            return self._move(self._word_end())
        if character in "hH\b":
            return self._erase_word()
        if character in "dD\x7f":
            self.killed = self.text[self.cursor : self._word_end()]
            return self._remove(self.cursor, self._word_end())
        return self._beep()

    def _await(self, sequence: str) -> str:
        self.sequence = sequence
        return ""

    def _beep(self) -> str:
        self.write(BELL)
        return ""

    def insert(self, text: str) -> str:
        """Put characters in at the cursor."""
        if len(self.text) + len(text) > LINE_LIMIT:
            return self._beep()
        tail = self.text[self.cursor :]
        self.text = self.text[: self.cursor] + text + tail
        self.cursor += len(text)
        self.write(text + tail + "\b" * len(tail))
        return ""

    def word(self) -> str:
        """What is typed of the word at the cursor."""
        head = self.text[: self.cursor]
        return head[head.rfind(" ") + 1 :]

    def _move(self, place: int) -> str:
        """Move the cursor."""
        if not 0 <= place <= len(self.text):
            return self._beep()
        if place < self.cursor:
            self.write("\b" * (self.cursor - place))
        else:
            self.write(self.text[self.cursor : place])
        self.cursor = place
        return ""

    def _remove(self, start: int, end: int) -> str:
        """Take characters out, and show what is left."""
        if start == end:
            return self._beep()
        self._move(start)
        tail = self.text[end:]
        self.text = self.text[:start] + tail
        gone = end - start
        if tail:
            self.write(tail + " " * gone + "\b" * (gone + len(tail)))
        else:
            self.write(" " * gone + "\b" * gone)
        return ""

    def _erase_previous(self) -> str:
        return self._remove(max(self.cursor - 1, 0), self.cursor)

    def _erase_next(self) -> str:
        if self.cursor == len(self.text):
            return "join"
        return self._remove(self.cursor, self.cursor + 1)

    def _word_start(self) -> int:
        head = self.text[: self.cursor].rstrip(" ")
        return head.rfind(" ") + 1

    def _word_end(self) -> int:
        place = self.cursor
        while place < len(self.text) and self.text[place] == " ":
            place += 1
        while place < len(self.text) and self.text[place] != " ":
            place += 1
        return place

    def _erase_word(self) -> str:
        start = self._word_start()
        self.killed = self.text[start : self.cursor] or self.killed
        return self._remove(start, self.cursor)

    def _kill_line(self) -> str:
        if not self.text:
            return ""
        self.killed = self.text
        self._move(len(self.text))
        return self._remove(0, len(self.text))

    def _kill_to_end(self) -> str:
        if self.cursor == len(self.text):
            return "join"
        self.killed = self.text[self.cursor :]
        return self._remove(self.cursor, len(self.text))

    def _yank(self) -> str:
        return self.insert(self.killed) if self.killed else self._beep()

    def _cancel(self) -> str:
        return "cancel"

    def replace(self, text: str) -> None:
        """Show another line in place of this one."""
        if self.text:
            self._move(len(self.text))
            self._remove(0, len(self.text))
        self.insert(text[:LINE_LIMIT])

    def save(self) -> dict[str, Any]:
        """The line as plain data."""
        return {"text": self.text, "cursor": self.cursor, "killed": self.killed, "sequence": self.sequence}

    def load(self, state: dict[str, Any]) -> None:
        """Take a line back, without echo. Raises StateError."""
        text, cursor, killed, sequence = (state.get(name) for name in ("text", "cursor", "killed", "sequence"))
        if not isinstance(text, str) or not isinstance(killed, str) or max(len(text), len(killed)) > LINE_LIMIT:
            raise StateError("prompt: not a line")
        if not isinstance(cursor, int) or not 0 <= cursor <= len(text) or sequence not in _SEQUENCES:
            raise StateError("prompt: not a place in a line")
        self.text, self.cursor, self.killed, self.sequence = text, cursor, killed, str(sequence)


class History:
    """Lines typed before, oldest first. `place` counts from the end while somebody looks: 0 is the new line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.place = 0

    def add(self, line: str) -> None:
        """Remember a line, unless it is empty or the one before."""
        self.place = 0
        if not line.strip() or (self.lines and self.lines[-1] == line):
            return
        self.lines.append(line)
        while len(self.lines) > HISTORY_LINES or sum(map(len, self.lines)) > HISTORY_CHARACTERS:
            del self.lines[0]

    def move(self, step: int) -> str | None:
        """The line one older (step 1) or newer (-1); None: there is none."""
        if not 0 <= self.place + step <= len(self.lines):
            return None
        self.place += step
        return self.lines[-self.place] if self.place else ""

    def save(self) -> dict[str, Any]:
        """The lines as plain data."""
        return {"lines": list(self.lines), "place": self.place}

    def load(self, state: dict[str, Any]) -> None:
        """Take lines back. Raises StateError."""
        lines, place = state.get("lines"), state.get("place")
        if not isinstance(lines, list) or len(lines) > HISTORY_LINES:
            raise StateError("prompt: not a history")
        if not all(isinstance(line, str) and len(line) <= LINE_LIMIT for line in lines):
            raise StateError("prompt: not a history")
        if not isinstance(place, int) or not 0 <= place <= len(lines):
            raise StateError("prompt: not a place in a history")
        self.lines, self.place = list(lines), place
