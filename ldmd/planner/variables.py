"""OpenBoot variables of a domain: names, values, how many.

Any name may be set: firmware keeps those that it does not know. Limits are firmware's (OpenBoot: names of 63 bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ldmd.messages import refuse
from ldmd.model import Domain

NAME_LIMIT = 63
VALUE_LIMIT = 8192
COUNT_LIMIT = 256


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """``name=value`` of each. Refuses what is none, or is named twice."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            refuse("variable.syntax", text=text[:64])
        check_name(name)
        if name in values:
            refuse("variable.repeated", name=name)
        check_value(name, value)
        values[name] = value
    if not values:
        refuse("variable.none")
    return values


def check_name(name: str) -> None:
    """Refuse what cannot be a variable's name."""
    why = ""
    if not name:
        why = "it is empty"
    elif len(name) > NAME_LIMIT:
        why = f"it is longer than {NAME_LIMIT} characters"
    elif not all("!" <= character <= "~" for character in name) or "=" in name:
        why = "a character in it is a blank, = or not printable"
    if why:
        refuse("variable.name", name=name[:NAME_LIMIT], why=why)


def check_value(name: str, value: str) -> None:
    """Refuse what firmware cannot keep: NUL ends a value, and a character has one byte."""
    why = ""
    if len(value) > VALUE_LIMIT:
        why = f"it has {len(value)} characters"
    elif "\0" in value:
        why = "it has a NUL in it"
    elif any(ord(character) > 0xFF for character in value):
        why = "it has characters in it that are not Latin-1"
    if why:
        refuse("variable.value", name=name, why=why, limit=VALUE_LIMIT)


def with_values(domain: Domain, values: Mapping[str, str], *, new: bool = False) -> Domain:
    """The domain with variables set. `new`: none of them may be there already."""
    have = dict(domain.variables)
    for name in values:
        if new and name in have:
            refuse("variable.exists", variable=name, name=domain.name)
    have.update(values)
    if len(have) > COUNT_LIMIT:
        refuse("variable.many", name=domain.name, count=len(have), limit=COUNT_LIMIT)
    return domain.but(variables=tuple(sorted(have.items())))


def without(domain: Domain, names: Iterable[str]) -> Domain:
    """The domain without variables; each must be there."""
    have = dict(domain.variables)
    names = tuple(names)
    if not names:
        refuse("variable.none")
    for name in names:
        if name not in have:
            refuse("variable.not-found", variable=name[:NAME_LIMIT], name=domain.name)
        del have[name]
    return domain.but(variables=tuple(sorted(have.items())))
