"""Checks of saved states: what was written by somebody else is believed only after it was looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from emulator.errors import StateError

T = TypeVar("T")
CELL = (1 << 64) - 1


class Fields:
    """A mapping of a saved state; `where` names it in errors. Every method raises StateError."""

    def __init__(self, state: object, where: str) -> None:
        if not isinstance(state, Mapping):
            raise StateError(f"{where}: not a table")
        self.state: Mapping[Any, Any] = state
        self.where = where

    def fault(self, name: str) -> StateError:
        """The error for a field."""
        return StateError(f"{self.where}: {name} is missing or wrong")

    def number(self, name: str, low: int = 0, high: int = CELL) -> int:
        """An int in a range."""
        value = self.state.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fault(name)
        return value

    def flag(self, name: str) -> bool:
        """A bool."""
        value = self.state.get(name)
        if not isinstance(value, bool):
            raise self.fault(name)
        return value

    def text(self, name: str, limit: int) -> str:
        """A string of at most `limit` characters, none beyond Latin-1."""
        value = self.state.get(name)
        if not isinstance(value, str) or len(value) > limit or any(character > "\xff" for character in value):
            raise self.fault(name)
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of a few strings."""
        value = self.state.get(name)
        if not isinstance(value, str) or value not in choices:
            raise self.fault(name)
        return value

    def data(self, name: str, limit: int) -> bytes:
        """Bytes, saved as hexadecimal digits."""
        value = self.state.get(name)
        if not isinstance(value, str) or len(value) > 2 * limit:
            raise self.fault(name)
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise self.fault(name) from None

    def items(self, name: str, limit: int, convert: Callable[[object], T]) -> list[T]:
        """A list of at most `limit` items, each converted."""
        value = self.state.get(name)
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise self.fault(name)
        return [convert(item) for item in value]

    def cells(self, name: str, limit: int) -> list[int]:
        """A list of cells."""
        return self.items(name, limit, self._cell)

    def _cell(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= CELL:
            raise self.fault("a cell")
        return value

    def strings(self, name: str, limit: int, length: int) -> list[str]:
        """A list of strings."""

        def convert(value: object) -> str:
            if not isinstance(value, str) or len(value) > length or any(character > "\xff" for character in value):
                raise self.fault(name)
            return value

        return self.items(name, limit, convert)

    def part(self, name: str) -> Fields | None:
        """A mapping inside, or None."""
        value = self.state.get(name)
        return None if value is None else Fields(value, f"{self.where}.{name}")

    def must(self, name: str) -> Fields:
        """A mapping inside."""
        return Fields(self.state.get(name), f"{self.where}.{name}")
