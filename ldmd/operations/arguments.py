"""Arguments of an operation as they come from a client: text as a person typed it, checked here.

A flag is True; an option, operand or property is a string; operands that repeat are a list of strings. A property that
was given without a value (``mtu=``) is "". Names are those of the synopses, operands with ``_`` for ``-``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmd.messages import refuse


class Arguments:
    """Typed access. Raises RefusedError for what is missing, of the wrong type, or malformed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that was given."""
        return tuple(self._values)

    def text(self, name: str) -> str:
        """A string that must be there and not be empty."""
        value = self.optional(name)
        if not value:
            refuse("usage.missing", name=name)
        return value

    def document(self, name: str) -> str:
        """A file's text that must be there; that an empty one is none is for its reader to say."""
        value = self.optional(name)
        if value is None:
            refuse("usage.missing", name=name)
        return value

    def optional(self, name: str) -> str | None:
        """A string, or None where it was not given; "" where it was given empty."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            refuse("usage.type", name=name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Strings of an operand that repeats; () where it was not given."""
        value = self._values.get(name, ())
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            refuse("usage.type", name=name)
        return tuple(value)

    def flag(self, name: str) -> bool:
        """True where a flag was given."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            refuse("usage.type", name=name)
        return value

    def number(self, name: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
        """A decimal or 0x number that must be there."""
        return self._number(name, self.text(name), least, most)

    def optional_number(self, name: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int | None:
        """The same where it was given and is not empty."""
        value = self.optional(name)
        return self._number(name, value, least, most) if value else None

    @staticmethod
    def _number(name: str, text: str, least: int, most: int) -> int:
        try:
            value = int(text, 0) if text.lower().startswith("0x") else int(text, 10)
        except ValueError:
            refuse("usage.number", name=name, value=text)
        if not least <= value <= most:
            refuse("usage.range", name=name, value=text, least=least, most=most)
        return value

    def choice(self, name: str, *choices: str) -> str | None:
        """One of some words; None where it was not given. "" is allowed only where it is one of the words."""
        value = self.optional(name)
        if value is not None and value not in choices:
            refuse("usage.choice", name=name, value=value, choices=", ".join(each for each in choices if each))
        return value
