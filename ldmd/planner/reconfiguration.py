"""Delayed reconfiguration: changes of the control domain or a root domain that wait for its next reboot.

A `Pending` holds the whole domain as it will be, with its binding: memory and strands that it will get stay free until
then, because nothing else may be changed meanwhile. Facts: Administration Guide, "Delayed Reconfiguration".

Whoever changes a domain asks `changeable` for it, makes another one of it, and gives that to `changed`: where a delayed
reconfiguration of it is pending the change becomes part of that, else it is true at once. Plans that need to know who
has what are made on `foreseen`.
"""

from __future__ import annotations

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, Pending, State

SETTLED = (State.INACTIVE, State.BOUND, State.ACTIVE)
"""States in which a domain may be changed; the others pass."""


def find(configuration: Configuration, name: str) -> Domain:
    """A domain as it is now. Refuses a name that nothing has."""
    domain = configuration.find(name)
    if domain is None:
        refuse("domain.not-found", name=name)
    return domain


def check_not_frozen(configuration: Configuration, name: str | None = None) -> None:
    """Refuse a change of this domain, or a new one, while a delayed reconfiguration of another one is pending."""
    if not configuration.pending:
        return
    pending = configuration.pending[0].domain.name
    if name is None:
        refuse("reconf.frozen-domains", pending=pending)
    if configuration.pending_for(name) is None:
        refuse("reconf.frozen", pending=pending, name=name)


def changeable(configuration: Configuration, name: str) -> Domain:
    """The domain that a change is made on: as it is, or as it will be. Refuses what may not be changed now."""
    domain = find(configuration, name)
    check_not_frozen(configuration, name)
    if domain.state not in SETTLED:
        refuse("domain.busy", name=name, state=domain.state)
    pending = configuration.pending_for(name)
    return domain if pending is None else pending.domain


def foreseen(configuration: Configuration) -> Configuration:
    """As it will be when all that is pending has become true."""
    for each in configuration.pending:
        configuration = configuration.with_domain(each.domain)
    return configuration


def changed(configuration: Configuration, domain: Domain, *, removed_io_services: bool = False) -> Configuration:
    """With this domain in place of the one that `changeable` gave."""
    pending = configuration.pending_for(domain.name)
    if pending is None:
        return configuration.with_domain(domain)
    new = Pending(domain=domain, removed_io_services=removed_io_services or pending.removed_io_services)
    return configuration.but(pending=tuple(new if each is pending else each for each in configuration.pending))


def is_delayed(configuration: Configuration, name: str) -> bool:
    """True while changes of this domain wait for its reboot."""
    return configuration.pending_for(name) is not None


def is_root(configuration: Configuration, domain: Domain) -> bool:
    """True for a domain that owns a PCIe bus."""
    return domain.control or any(not name.startswith("/") for name in domain.io)


def begin(configuration: Configuration, name: str) -> Configuration:
    """Start a delayed reconfiguration: of the control domain, or of a root domain. Nothing where one is pending."""
    domain = find(configuration, name)
    if is_delayed(configuration, name):
        return configuration
    check_not_frozen(configuration, name)
    if not is_root(configuration, domain):
        refuse("reconf.not-root", name=name)
    if domain.state is not State.ACTIVE:
        refuse("reconf.not-active", name=name, state=domain.state)
    return configuration.but(pending=(*configuration.pending, Pending(domain=domain)))


def cancel(configuration: Configuration, name: str) -> Configuration:
    """Forget a delayed reconfiguration. Refuses where virtual I/O was removed in it."""
    find(configuration, name)
    pending = configuration.pending_for(name)
    if pending is None:
        refuse("reconf.none", name=name)
    if pending.removed_io_services:
        refuse("reconf.removed-io", name=name)
    return without(configuration, name)


def without(configuration: Configuration, name: str) -> Configuration:
    """Without the delayed reconfiguration of a domain."""
    return configuration.but(pending=tuple(each for each in configuration.pending if each.domain.name != name))


def complete(configuration: Configuration, name: str) -> Configuration:
    """The domain has been rebooted: what was pending is true. The domain's state remains what it is."""
    pending = configuration.pending_for(name)
    if pending is None:
        return configuration
    now = find(configuration, name)
    domain = pending.domain.but(state=now.state, started_at=now.started_at, degraded=now.degraded)
    return without(configuration, name).with_domain(domain)
