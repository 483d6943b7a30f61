"""Domains that are not part of the configuration a server comes up with: kept as constraints, beside those that are.

What such a domain has may be another's in that configuration: it was given up, and given again, after that was saved.
The loaded configuration is right; the domain that is kept gets another address, and loses services and devices that
are somebody else's. Each is said in the log.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

from ldmd.log import Log
from ldmd.model import Configuration, Domain, State
from ldmd.planner.macs import allocate, format_mac, macs_in_use

SERVICES = ("disk_servers", "switches", "vccs", "vsans", "vdpcss")


def inactive(domain: Domain) -> Domain:
    """Its constraints alone."""
    return domain.but(state=State.INACTIVE, binding=None, started_at=None, degraded=False)


def admit(configuration: Configuration, domain: Domain, *, rng: Random, log: Log) -> Configuration:
    """The configuration with one more domain, inactive, that has nothing of what another one has."""
    kept = _without_services(configuration, inactive(domain), log)
    if any(kept.uuid == each.uuid for each in configuration.domains):
        kept = kept.but(uuid=str(UUID(int=rng.getrandbits(128), version=4)))
        log.warning(f"{kept.name}: its UUID is another domain's; it has a new one")
    taken = {device for each in configuration.domains for device in each.io}
    if lost := [device for device in kept.io if device in taken]:
        log.warning(f"{kept.name}: {', '.join(lost)} belongs to another domain")
        kept = kept.but(io=tuple(device for device in kept.io if device not in taken))
    if "global" in kept.perf_counters and any("global" in each.perf_counters for each in configuration.domains):
        kept = kept.but(perf_counters=tuple(each for each in kept.perf_counters if each != "global"))
        log.warning(f"{kept.name}: perf-counters=global is held by another domain")
    return _with_own_macs(configuration, kept, rng, log)


def _without_services(configuration: Configuration, domain: Domain, log: Log) -> Domain:
    changes: dict[str, Any] = {}
    for kind in SERVICES:
        taken = {service.name for each in configuration.domains for service in getattr(each, kind)}
        lost = [service.name for service in getattr(domain, kind) if service.name in taken]
        if lost:
            changes[kind] = tuple(each for each in getattr(domain, kind) if each.name not in taken)
            log.warning(f"{domain.name}: service {', '.join(lost)} is another domain's; it is not kept")
    return domain.but(**changes) if changes else domain


def _with_own_macs(configuration: Configuration, domain: Domain, rng: Random, log: Log) -> Configuration:
    used = set(macs_in_use(configuration))
    now = configuration

    def own(mac: int) -> int:
        nonlocal now
        found = mac
        if mac in used:
            found, now = allocate(now, rng, avoid=used)
            log.warning(f"{domain.name}: MAC address {format_mac(mac)} is used elsewhere; "
                        f"{format_mac(found)} takes its place")  # fmt: skip
        used.add(found)
        return found

    kept = domain.but(
        mac=own(domain.mac), switches=tuple(replace(each, mac=own(each.mac)) for each in domain.switches),
        vnets=tuple(replace(net, mac=own(net.mac), alt_macs=tuple(own(mac) for mac in net.alt_macs))
                    for net in domain.vnets))  # fmt: skip
    kept = kept.but(vnets=tuple(
        replace(new, automatic_alt_macs=tuple(
            new.alt_macs[old.alt_macs.index(mac)] for mac in old.automatic_alt_macs if mac in old.alt_macs))
        for new, old in zip(kept.vnets, domain.vnets, strict=True)))
    return now.with_domain(kept)
