"""Configurations on the service processor: names, what is saved."""

from __future__ import annotations

import re

from ldmd.messages import refuse
from ldmd.model import Configuration, State
from ldmd.planner.channels import settle
from ldmd.planner.factory import FACTORY
from ldmd.planner.reconfiguration import complete

LIMIT = 8
"""So many configurations are kept, factory-default included."""
RESERVED = (FACTORY, "@post-migration")
NAME_LIMIT = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")


def check_new_name(name: str) -> None:
    """Refuse what cannot be the name of a configuration that a person saves."""
    if name in RESERVED:
        refuse("spconfig.reserved", name=name, what="overwritten")
    why = ""
    if not name:
        why = "it is empty"
    elif len(name) > NAME_LIMIT:
        why = f"it is longer than {NAME_LIMIT} characters"
    elif _NAME.fullmatch(name) is None:
        why = "a character in it is not possible"
    if why:
        refuse("spconfig.name", name=name[:NAME_LIMIT], why=why)


def to_save(configuration: Configuration, name: str) -> Configuration:
    """What is saved: all as it will be once everything pending is true, and nobody is between two states."""
    for pending in configuration.pending:
        configuration = complete(configuration, pending.domain.name)
    domains = []
    for domain in configuration.domains:
        state = domain.state
        if not domain.control:
            state = State.INACTIVE if domain.binding is None else \
                State.BOUND if state in (State.BOUND, State.BINDING, State.UNBINDING, State.STOPPING) else State.ACTIVE
        else:
            state = State.ACTIVE
        domains.append(domain.but(state=state, started_at=None))
    return settle(configuration.but(domains=tuple(domains), spconfig=name, next_poweron=name))
