"""Changes while a delayed reconfiguration is pending: what they see, and where they go.

A change of the pending domain is made to the domain as it will be after its reboot; nothing else may change meanwhile
(ldm-cli 2.12, 3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ldmd.messages import refuse
from ldmd.model import Configuration, Pending

Plan = Callable[[Configuration], Configuration]


def as_pending(configuration: Configuration, name: str) -> Configuration:
    """The configuration as a change of that domain sees it: with the domain as it will be.

    Refused where another domain's delayed reconfiguration is pending.
    """
    if not configuration.pending:
        return configuration
    pending = configuration.pending_for(name)
    if pending is None:
        refuse("reconf.not-permitted", name=name, pending=configuration.pending[0].domain.name)
    return configuration.with_domain(pending.domain)


def change(configuration: Configuration, name: str, plan: Plan, *, removes_services: bool = False) -> Configuration:
    """Carry out a change of a domain: at once, or, while its delayed reconfiguration is pending, on what will be.

    `removes_services`: the change takes virtual I/O away, so that the reconfiguration cannot be cancelled any more.
    """
    pending = configuration.pending_for(name)
    if pending is None:
        as_pending(configuration, name)
        return plan(configuration)
    planned = plan(as_pending(configuration, name))
    after = planned.find(name)
    if after is None or {d.name for d in planned.domains} != {d.name for d in configuration.domains}:
        refuse("reconf.not-permitted", name=name, pending=name)
    for before in configuration.domains:
        if before.name != name and planned.find(before.name) != before:
            refuse("reconf.not-permitted", name=before.name, pending=name)
    now = replace(pending, domain=after, removed_io_services=pending.removed_io_services or removes_services)
    others = tuple(now if each.domain.name == name else each for each in configuration.pending)
    return planned.but(domains=configuration.domains, pending=others)


def begin(configuration: Configuration, name: str) -> Configuration:
    """Begin a delayed reconfiguration of an active domain, if none is pending for it."""
    if configuration.pending_for(name) is not None:
        return configuration
    as_pending(configuration, name)
    domain = configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    return configuration.but(pending=(*configuration.pending, Pending(domain=domain)))
