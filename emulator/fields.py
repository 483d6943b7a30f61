"""Plain data that came from outside, taken apart with checks: each mistake is one line that names the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard, TypeVar

from emulator.errors import EmulatorError

T = TypeVar("T")
MAX_TEXT = 4096
MAX_ITEMS = 65536


class Fields:
    """The members of a map, each taken once; `end` refuses what nobody took. `error` makes the exception of a mistake.

    A member that is missing has the default, where one is given.
    """

    def __init__(self, data: object, where: str, error: Callable[[str], EmulatorError]) -> None:
        self.where, self.error = where, error
        if not isinstance(data, Mapping):
            raise error(f"{where or 'arguments'}: a map is wanted, not {_kind(data)}")
        self._data = dict(data)

    def _at(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def wrong(self, name: str, wanted: str, found: object) -> EmulatorError:
        """The exception for a member."""
        shown = repr(found) if isinstance(found, int | str | bool | float) else _kind(found)
        return self.error(f"{self._at(name)}: {wanted} is wanted, not {shown[:80]}")

    def has(self, name: str) -> bool:
        """Is there such a member, not yet taken, that is not null?"""
        return self._data.get(name) is not None

    def raw(self, name: str, default: object = ...) -> object:
        """A member as it is."""
        if name in self._data:
            return self._data.pop(name)
        if default is ...:
            raise self.error(f"{self._at(name)} is missing")
        return default

    def number(self, name: str, low: int, high: int, default: object = ...) -> int:
        """A whole number in a range."""
        value = self.raw(name, default)
        if not _is_number(value) or not low <= value <= high:
            raise self.wrong(name, f"a number from {low} to {high}", value)
        return value

    def optional(self, name: str, low: int, high: int) -> int | None:
        """A whole number in a range, or None where it is missing or null."""
        if not self.has(name):
            self._data.pop(name, None)
            return None
        return self.number(name, low, high)

    def text(self, name: str, default: object = ..., *, most: int = MAX_TEXT) -> str:
        """A text of at most so many characters, without NUL."""
        value = self.raw(name, default)
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise self.wrong(name, f"a text of at most {most} characters", value)
        return value

    def optional_text(self, name: str, *, most: int = MAX_TEXT) -> str | None:
        """A text, or None where it is missing or null."""
        if not self.has(name):
            self._data.pop(name, None)
            return None
        return self.text(name, most=most)

    def flag(self, name: str, default: object = ...) -> bool:
        """True or False."""
        value = self.raw(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def items(self, name: str, default: object = ..., *, most: int = MAX_ITEMS) -> list[object]:
        """A list."""
        value = self.raw(name, default)
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self.wrong(name, f"a list of at most {most}", value)
        return list(value)

    def numbers(self, name: str, low: int, high: int, default: object = ...) -> tuple[int, ...]:
        """A list of numbers in a range, no two alike."""
        found: list[int] = []
        for value in self.items(name, default):
            if not _is_number(value) or not low <= value <= high or value in found:
                raise self.wrong(name, f"a list of different numbers from {low} to {high}", value)
            found.append(value)
        return tuple(found)

    def tuples(self, name: str, count: int, default: object = ...) -> tuple[tuple[int, ...], ...]:
        """A list of lists of `count` numbers that are not negative and fit 64 bits."""
        found: list[tuple[int, ...]] = []
        for item in self.items(name, default):
            numbers = [n for n in item if _is_number(n) and 0 <= n < 1 << 64] if isinstance(item, list | tuple) else []
            if not isinstance(item, list | tuple) or not len(numbers) == len(item) == count:
                raise self.wrong(name, f"a list of {count} numbers each", item)
            found.append(tuple(numbers))
        return tuple(found)

    def texts(self, name: str, default: object = ..., *, allowed: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts, perhaps only of those allowed."""
        found = []
        for item in self.items(name, default):
            if not isinstance(item, str) or len(item) > MAX_TEXT or (allowed is not None and item not in allowed):
                raise self.wrong(name, f"a list of {'texts' if allowed is None else ', '.join(allowed)}", item)
            found.append(item)
        return tuple(found)

    def pairs(self, name: str, default: object = ..., *, most: int = MAX_TEXT) -> tuple[tuple[str, str], ...]:
        """A map of texts to texts."""
        value = self.raw(name, default)
        if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
            raise self.wrong(name, "a map of texts", value)
        for key, text in value.items():
            if not isinstance(key, str) or not key or not isinstance(text, str) or max(len(key), len(text)) > most:
                raise self.wrong(name, "a map of texts", key if not isinstance(key, str) else text)
        return tuple(value.items())

    def each(self, name: str, make: Callable[[Fields], T], default: object = ..., *, most: int = 4096) -> tuple[T, ...]:
        """A list of maps, each made into something."""
        items = self.items(name, default, most=most)
        return tuple(make(Fields(item, f"{self._at(name)}[{n}]", self.error)) for n, item in enumerate(items))

    def end(self) -> None:
        """There shall be nothing more."""
        if self._data:
            names = ", ".join(sorted(str(name)[:40] for name in self._data)[:5])
            raise self.error(f"{self.where or 'arguments'}: unknown: {names}")


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: object) -> str:
    names = {type(None): "nothing", dict: "a map", list: "a list", tuple: "a list", bytes: "bytes", str: "a text"}
    return names.get(type(value), type(value).__name__)
