"""Domains and names as an operation is given them: found, or refused with the product's words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State

NAME_LIMIT = 128
_NAME = re.compile(r"[A-Za-z0-9_.:+#%-]+")
_UNSTEADY = frozenset({State.BINDING, State.UNBINDING, State.STARTING, State.STOPPING, State.SUSPENDED})


def fits(name: str) -> bool:
    """Can lists and ``name@service`` show this name? The product's own rule is not published."""
    return len(name) <= NAME_LIMIT and _NAME.fullmatch(name) is not None and name[0] != "-"


def check_name(what: str, name: str) -> None:
    """Refuse the name of a device or service that does not fit."""
    if not fits(name):
        refuse("name.syntax", what=what, name=name, limit=NAME_LIMIT)


def find_domain(configuration: Configuration, name: str) -> Domain:
    """A domain by name, or a refusal."""
    domain = configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    return domain


def steady_domain(configuration: Configuration, name: str) -> Domain:
    """A domain by name that is inactive, bound or active; refused while it is on the way or suspended."""
    domain = find_domain(configuration, name)
    if domain.state in _UNSTEADY:
        refuse("domain.busy", name=name, state=domain.state.value)
    return domain


def split_volume(text: str) -> tuple[str, str]:
    """``volume@service`` as (volume, service)."""
    volume, at, service = text.partition("@")
    if not at or not volume or not service or "@" in service:
        refuse("disk.volume-syntax", text=text)
    return volume, service


def joined(names: Iterable[str], *, most: int = 4) -> str:
    """A list of names for a message, cut where it is long."""
    rows = sorted(set(names))
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more
