"""What a server that was powered on again comes up with: the configuration that its SP has for the next power-on.

Every domain that is bound in it comes back active. Domains that are not part of it keep their constraints and are
inactive, as the product's constraints database keeps them. What ran before, if it was never saved, is put aside as the
autosave configuration of the one that was current.
"""

from __future__ import annotations

from random import Random

from ldmd.leftovers import admit
from ldmd.log import Log
from ldmd.messages import RefusedError
from ldmd.model import Configuration, Domain, Server, State
from ldmd.operations.context import SpConfigs
from ldmd.planner.factory import FACTORY, factory_default


def after_power_on(before: Configuration, server: Server, saved: SpConfigs, *, rng: Random, now: float,
                   log: Log) -> Configuration:
    """The configuration of the server that was just powered on; guests are as they shall be, not yet as they are."""
    name = before.next_poweron
    loaded = _loaded(name, server, saved, log)
    if loaded is None:
        loaded, name = factory_default(server, rng=rng, started_at=now), FACTORY
    _put_aside(before, saved, log)
    control = before.primary
    domains = [_up(domain, now) for domain in loaded.domains]
    # who the control domain is does not depend on the configuration: one board, one name, one address
    domains[0] = domains[0].but(uuid=control.uuid, mac=control.mac, hostid=control.hostid)
    log.notice(f"the machine was powered on: configuration {name}")
    whole = loaded.but(server=server, domains=tuple(domains), spconfig=name, next_poweron=name, pending=(),
                       freed_macs=before.freed_macs)
    for domain in before.domains:
        if whole.find(domain.name) is None:
            whole = admit(whole, domain, rng=rng, log=log)
    return whole


def _loaded(name: str, server: Server, saved: SpConfigs, log: Log) -> Configuration | None:
    try:
        loaded = saved.load(name)
    except RefusedError as error:
        log.warning(f"{error.text}; the machine comes up with {FACTORY}")
        return None
    if loaded is None:
        log.warning(f"configuration {name} is not on the SP; the machine comes up with {FACTORY}")
        return None
    if (loaded.server.platform, loaded.server.memory_bytes, loaded.server.platform_toml) != (
            server.platform, server.memory_bytes, server.platform_toml):
        log.warning(f"configuration {name} is that of other hardware; the machine comes up with {FACTORY}")
        return None
    return loaded


def _put_aside(before: Configuration, saved: SpConfigs, log: Log) -> None:
    """Keep what ran, where it is not what was saved."""
    if not before.guests and before.spconfig == FACTORY:
        return
    try:
        kept = saved.load(before.spconfig)
        if kept is None or timeless(kept) != timeless(before):
            saved.save(before.spconfig, before, autosave=True)
    except RefusedError as error:
        log.warning(f"autosave of {before.spconfig}: {error.text}")


def timeless(configuration: Configuration) -> Configuration:
    """Without what changes by itself: states, times, marks of saved configurations."""
    domains = tuple(
        domain.but(state=State.INACTIVE if domain.binding is None else State.BOUND, started_at=None)
        for domain in configuration.domains)
    return configuration.but(domains=domains, spconfig="", next_poweron="", freed_macs=())


def _up(domain: Domain, now: float) -> Domain:
    if domain.binding is None:
        return domain.but(state=State.INACTIVE, started_at=None)
    return domain.but(state=State.ACTIVE, started_at=now)

