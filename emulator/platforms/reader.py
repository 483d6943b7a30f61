"""Reads servers and chip facts from TOML, and says precisely what is wrong with a file.

Every complaint names the file, the key, what stands there and what is allowed. All complaints of a file are
collected, so that a person mends it in one go.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emulator.chips import CHIPS
from emulator.errors import PlatformFileError, UnitError
from emulator.platforms.model import MARKS, PAGE_BYTES
from emulator.units import MIB, format_size, parse_size

PA_BITS = 52
"""No address above this many bits is taken: the TTE's address field ends at bit 55 and 13 bits are page offset."""

Table = Mapping[str, Any]


class Complaints:
    """What is wrong with one file."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.lines: list[str] = []

    def add(self, key: str, text: str) -> None:
        """Note a complaint about a key."""
        self.lines.append(f"{self.origin}: {key}: {text}")

    def raise_any(self) -> None:
        """Raise PlatformFileError if there is a complaint."""
        if self.lines:
            raise PlatformFileError(self.lines)


class Keys:
    """One table of a file. Every getter notes a complaint and gives a harmless value instead of failing."""

    def __init__(self, table: object, prefix: str, complaints: Complaints) -> None:
        self.prefix = prefix
        self.complaints = complaints
        self.asked: set[str] = set()
        self.table: Table = {}
        if isinstance(table, dict):
            self.table = table
        else:
            complaints.add(prefix.rstrip("."), f"must be a table, not {_say(table)}")

    def wrong(self, key: str, text: str) -> None:
        """Note a complaint about a key of this table."""
        self.complaints.add(f"{self.prefix}{key}", text)

    def has(self, key: str) -> bool:
        """True where the file has the key."""
        self.asked.add(key)
        return key in self.table

    def _get(self, key: str, what: str) -> Any:
        if not self.has(key):
            self.wrong(key, f"is missing: {what}")
            return None
        return self.table[key]

    def text(self, key: str, what: str, default: str | None = None) -> str:
        """A printable text of one line that is not empty; `what` describes it."""
        if default is not None and not self.has(key):
            return default
        value = self._get(key, what)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        if value is not None:
            self.wrong(key, f"{_say(value)} is not allowed: {what}")
        return default or "?"

    def choice(self, key: str, allowed: Iterable[str]) -> str:
        """One of the allowed words."""
        words = list(allowed)
        value = self.text(key, "one of " + ", ".join(words))
        if value not in words:
            if value != "?":
                self.wrong(key, f"{value!r} is not known: one of {', '.join(words)}{_hint(value, words)}")
            return words[0]
        return value

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer in a range."""
        allowed = f"an integer from {_number(low)} to {_number(high)}"
        if default is not None and not self.has(key):
            return default
        value = self._get(key, allowed)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        if value is not None:
            self.wrong(key, f"{_say(value)} is not allowed: {allowed}")
        return low

    def size(self, key: str, low: int, high: int, step: int = PAGE_BYTES) -> int:
        """A size such as "512G" in a range, a multiple of `step`."""
        return self._size(key, self._get(key, _sizes(low, high, step)), low, high, step)

    def sizes(self, key: str, low: int, high: int, step: int = PAGE_BYTES) -> tuple[int, ...]:
        """An array of sizes, possibly empty."""
        value = self._get(key, "an array of sizes")
        if value is not None and not isinstance(value, list):
            self.wrong(key, f"must be an array of sizes, not {_say(value)}")
        items = value if isinstance(value, list) else []
        return tuple(self._size(f"{key}[{i}]", item, low, high, step) for i, item in enumerate(items))

    def _size(self, key: str, value: object, low: int, high: int, step: int) -> int:
        allowed = _sizes(low, high, step)
        if value is None:
            return low
        try:
            size = parse_size(value) if isinstance(value, str) or type(value) is int else -1
        except UnitError as error:
            self.wrong(key, f"{error}; {allowed}")
            return low
        if low <= size <= high and size % step == 0:
            return size
        self.wrong(key, f"{_say(value)} is not allowed: {allowed}")
        return low

    def words(self, key: str, allowed: Iterable[str] | None = None) -> tuple[str, ...]:
        """An array of texts, all different, each one of the allowed words if these are given. Missing: empty."""
        value = self.table.get(key, []) if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.wrong(key, f"{_say(value)} is not allowed: an array of texts")
            return ()
        known = None if allowed is None else list(allowed)
        for item in value:
            if known is not None and item not in known:
                self.wrong(key, f"{item!r} is not known: one of {', '.join(known)}{_hint(item, known)}")
            if value.count(item) > 1 and item not in value[: value.index(item)]:
                self.wrong(key, f"{item!r} stands there more than once")
        return tuple(dict.fromkeys(value))

    def within(self, key: str) -> Keys:
        """A table inside this one; where it is missing an empty one."""
        found: object = self.table[key] if self.has(key) else {}
        return Keys(found, f"{self.prefix}{key}.", self.complaints)

    def each(self, key: str) -> list[Keys]:
        """The tables of an array of tables. Missing: none."""
        value = self.table[key] if self.has(key) else []
        if not isinstance(value, list):
            self.wrong(key, f"must be an array of tables ([[{self.prefix}{key}]]), not {_say(value)}")
            return []
        return [Keys(item, f"{self.prefix}{key}[{i}].", self.complaints) for i, item in enumerate(value)]

    def close(self) -> None:
        """Complain about keys that nobody asked for."""
        for key in self.table:
            if key not in self.asked:
                known = sorted(self.asked)
                self.wrong(key, f"is not a key: one of {', '.join(known)}{_hint(key, known)}")


def read_toml(path: Path, origin: str) -> dict[str, Any]:
    """The tables of a file. Raises PlatformFileError where it is not TOML, OSError where it cannot be read."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"), origin)
    except UnicodeDecodeError as error:
        raise PlatformFileError([f"{origin}: not TOML: byte {error.start} is not UTF-8"]) from None


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """The tables of a file's text. Raises PlatformFileError where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlatformFileError([f"{origin}: not TOML: {error}"]) from None


def read_marks(keys: Keys, allowed: set[str], required: set[str]) -> dict[str, str]:
    """The table `marks`: how well each key is known, by key. Required keys must have a mark."""
    table = keys.within("marks")
    marks: dict[str, str] = {}
    for mark in MARKS:
        for key in table.words(mark, sorted(allowed)):
            if key in marks:
                table.wrong(mark, f"{key!r} is also {marks[key]}: one mark for a key")
            marks[key] = mark
    table.close()
    for key in sorted(required - marks.keys()):
        keys.complaints.add("marks", f"{key!r} has no mark: list it under one of {', '.join(MARKS)}")
    return marks


def merge(base: Table, over: Table) -> dict[str, Any]:
    """`base` with the keys of `over` in place of its own; tables key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def chip_names() -> list[str]:
    """The names a file may use for a chip."""
    return list(CHIPS)


def _hint(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _say(value: object) -> str:
    kinds = {dict: "a table", list: "an array", bool: str(value).lower()}
    return kinds.get(type(value), repr(value))


def _number(value: int) -> str:
    return f"{value:#x}" if value >= MIB else str(value)


def _sizes(low: int, high: int, step: int) -> str:
    return f"a size from {format_size(low)} to {format_size(high)}, a multiple of {format_size(step)}"
