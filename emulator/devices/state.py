"""Protocol state of devices as bytes: JSON with sorted keys, read back with every value checked.

A state image may come from anywhere, so whatever is taken from one has its type and range tested here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from emulator.errors import StateError

MAX_BYTES = 1 << 24
"""Of one device's state: what is larger was not written by us."""

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def pack(fields: Mapping[str, Json]) -> bytes:
    """The same fields give the same bytes."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(data: bytes) -> Fields:
    """The fields of `pack`. Raises StateError."""
    if len(data) > MAX_BYTES:
        raise StateError(f"the state of a device has {len(data)} bytes, and at most {MAX_BYTES} can be")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise StateError("the state of a device is damaged") from None
    return Fields(found)


class Fields:
    """Named values of unknown origin. Every getter raises StateError for what is missing or out of range."""

    def __init__(self, values: object) -> None:
        if not isinstance(values, dict):
            raise StateError("the state of a device is damaged")
        self._values: dict[str, object] = values

    def wrong(self, name: str) -> StateError:
        """The error for a field that cannot be."""
        return StateError(f"the state of a device is damaged: {name}")

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all values."""
        return tuple(self._values)

    def value(self, name: str) -> object:
        """A value, unchecked; None where it is missing."""
        return self._values.get(name)

    def number(self, name: str, most: int, *, least: int = 0) -> int:
        """An integer from `least` to `most`."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name)
        return value

    def flag(self, name: str) -> bool:
        """True or False."""
        value = self._values.get(name)
        if not isinstance(value, bool):
            raise self.wrong(name)
        return value

    def text(self, name: str, most: int = 1 << 16) -> str:
        """A string of at most `most` characters."""
        value = self._values.get(name)
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(name)
        return value

    def data(self, name: str, most: int = 1 << 20) -> bytes:
        """Bytes, stored as hexadecimal digits."""
        try:
            return bytes.fromhex(self.text(name, 2 * most))
        except ValueError:
            raise self.wrong(name) from None

    def fields(self, name: str) -> Fields:
        """Fields inside a field."""
        return Fields(self._values.get(name))

    def items(self, name: str, most: int = 1 << 16) -> list[object]:
        """A list of at most `most` values, unchecked."""
        value = self._values.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name)
        return value

    def numbers(self, name: str, most: int, *, count: int = 1 << 16) -> list[int]:
        """A list of integers from 0 to `most`."""
        values = self.items(name, count)
        good = [v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= most]
        if len(good) != len(values):
            raise self.wrong(name)
        return good

    def texts(self, name: str, *, count: int = 1 << 16) -> dict[str, str]:
        """Strings by name."""
        value = self._values.get(name)
        if not isinstance(value, dict) or len(value) > count:
            raise self.wrong(name)
        if not all(isinstance(key, str) and isinstance(text, str) for key, text in value.items()):
            raise self.wrong(name)
        return dict(value)
