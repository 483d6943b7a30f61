"""Changes while a delayed reconfiguration is pending: what they see, and where they go.

A change of the pending domain is made to the domain as it will be after its reboot; nothing else may change meanwhile
(ldm(1M) of 3.3; `ldmd.planner.reconfiguration`).
"""

from __future__ import annotations

from collections.abc import Callable

from ldmd.messages import refuse
from ldmd.model import Configuration
from ldmd.planner.channels import settle
from ldmd.planner.reconfiguration import changed, check_not_frozen, foreseen

Plan = Callable[[Configuration], Configuration]


def change(configuration: Configuration, name: str, plan: Plan, *, removes_services: bool = False) -> Configuration:
    """Carry out a change of a domain: at once, or, while its delayed reconfiguration is pending, on what will be.

    Devices of bound domains have their numbers and channels afterwards. `removes_services`: the change takes virtual
    I/O away, so that the reconfiguration cannot be cancelled any more.
    """
    check_not_frozen(configuration, name)
    if configuration.pending_for(name) is None:
        return settle(plan(configuration))
    planned = plan(foreseen(configuration))
    for before in configuration.domains:
        if before.name != name and planned.find(before.name) != before:
            refuse("reconf.frozen", name=before.name, pending=name)
    after = settle(planned).find(name)
    if after is None or len(planned.domains) != len(configuration.domains):
        refuse("reconf.frozen", name=name, pending=name)
    return changed(planned.but(domains=configuration.domains), after, removed_io_services=removes_services)
