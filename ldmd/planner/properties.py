"""Properties of a domain: what a person writes, what it means, and in which states of the domain it may be changed.

Facts: ldm(1M), add-domain and set-domain. `allowed` of a row: the states in which set-domain changes it; where ACTIVE
is missing, the control domain changes it with a delayed reconfiguration if `delays`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from emulator.chips import cpu_archs
from ldmd.messages import refuse
from ldmd.model import BootPolicy, Configuration, Domain, FailurePolicy, State
from ldmd.planner.cpus import core_count
from ldmd.planner.factory import has_counters
from ldmd.planner.hardware import hardware
from ldmd.planner.macs import check_manual, parse_mac

MASTERS = 4
COUNTERS = ("global", "htstrand", "strand")
HOSTID = 0x8400_0000
"""First byte of a hostid that was not given: the others are the last three of the MAC address (recalled)."""

ANY = (State.INACTIVE, State.BOUND, State.ACTIVE)
STOPPED = (State.INACTIVE, State.BOUND)

Setter = Callable[[Configuration, Domain, str], Domain]


@dataclass(frozen=True)
class Property:
    """A row: name, how to set it, the states in which it can be changed."""

    name: str
    set: Setter
    allowed: tuple[State, ...] = ANY
    delays: bool = False  # on the active control domain it starts a delayed reconfiguration
    may_be_empty: bool = False


def _cpu_arch(configuration: Configuration, domain: Domain, value: str) -> Domain:
    chip = hardware(configuration).chip
    known = cpu_archs(chip.name)
    if value not in known:
        refuse("domain.cpu-arch", value=value, chip=chip.title, known=", ".join(known))
    return domain.but(cpu_arch=value)


def _mac(configuration: Configuration, domain: Domain, value: str) -> Domain:
    mac = parse_mac(value)
    check_manual(configuration, mac, now=domain.mac)
    hostid = hostid_of(mac) if domain.hostid == hostid_of(domain.mac) else domain.hostid
    return domain.but(mac=mac, automatic_mac=False, hostid=hostid)


def hostid_of(mac: int) -> int:
    """The hostid that follows from a MAC address."""
    return HOSTID | mac & 0xFF_FFFF


def _hostid(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    if re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,8}", value) is None:
        refuse("domain.hostid", value=value)
    return domain.but(hostid=int(value, 16))


def _failure_policy(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    return domain.but(failure_policy=FailurePolicy(_word("failure-policy", value, tuple(FailurePolicy))))


def _word(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        refuse("usage.choice", name=name, value=value, choices=", ".join(each for each in choices if each))
    return value


def _extended_mapin(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    return domain.but(extended_mapin_space=_word("extended-mapin-space", value, ("on", "off", "")) != "off")


def _masters(configuration: Configuration, domain: Domain, value: str) -> Domain:
    masters = tuple(value.split(",")) if value else ()
    if len(masters) > MASTERS:
        refuse("domain.master-many", name=domain.name, count=len(masters))
    for master in masters:
        if master == domain.name:
            refuse("domain.master-self", name=domain.name)
        if configuration.find(master) is None:
            refuse("domain.not-found", name=master)
        if masters.count(master) > 1:
            refuse("domain.repeated", name=master)
        chain = master_chain(configuration, master, domain.name)
        if chain:
            refuse("domain.master-cycle", master=master, name=domain.name, chain=" - ".join((domain.name, *chain)))
    return domain.but(masters=masters)


def master_chain(configuration: Configuration, start: str, wanted: str) -> tuple[str, ...]:
    """The shortest way from a domain over masters to another one, both included; () where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    reached = {start}
    while ways:
        way = ways.pop(0)
        if way[-1] == wanted:
            return way
        domain = configuration.find(way[-1])
        for master in domain.masters if domain else ():
            if master not in reached:
                reached.add(master)
                ways.append((*way, master))
    return ()


def _max_cores(configuration: Configuration, domain: Domain, value: str) -> Domain:
    if value in ("", "unlimited"):
        return domain.but(cpus=replace(domain.cpus, max_cores=None))
    if not (value.isascii() and value.isdigit() and len(value) < 8) or int(value) < 1:
        refuse("domain.max-cores-number", value=value)
    if domain.cpus.vcpus and not domain.cpus.whole_core:
        refuse("domain.max-cores", name=domain.name)
    limit, cores = int(value), core_count(hardware(configuration), domain.cpus)
    if cores > limit:
        refuse("domain.max-cores-few", limit=limit, cores=cores, name=domain.name)
    return domain.but(cpus=replace(domain.cpus, max_cores=limit, whole_core=True))


def _uuid(configuration: Configuration, domain: Domain, value: str) -> Domain:
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) is None:
        refuse("domain.uuid", value=value)
    text = str(uuid.UUID(value))
    for other in configuration.domains:
        if other.uuid == text and other.name != domain.name:
            refuse("domain.uuid-taken", value=text, owner=other.name)
    return domain.but(uuid=text)


def _shutdown_group(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    least = 0 if domain.control else 1
    if not (value.isascii() and value.isdigit() and len(value) < 4) or not least <= int(value) <= 15:
        refuse("usage.range", name="shutdown-group", value=value, least=least, most=15)
    return domain.but(shutdown_group=int(value))


def _rc_add_policy(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    return domain.but(rc_add_policy=_word("rc-add-policy", value, ("", "iov")))


def _perf_counters(configuration: Configuration, domain: Domain, value: str) -> Domain:
    counters = tuple(value.split(",")) if value else ()
    why = ""
    if any(each not in COUNTERS for each in counters):
        why = "there is no such set"
    elif len(counters) != len(set(counters)) or len(counters) > 2:
        why = "a set is named twice, or there are more than two"
    elif {"htstrand", "strand"} <= set(counters):
        why = "htstrand has all that strand has"
    if why:
        refuse("domain.perf-counters", value=value, why=why)
    if counters and not has_counters(configuration.server):
        refuse("domain.perf-platform", value=value)
    for other in configuration.domains:
        if "global" in counters and "global" in other.perf_counters and other.name != domain.name:
            refuse("domain.perf-global", owner=other.name)
    return domain.but(perf_counters=counters)


def _boot_policy(_configuration: Configuration, domain: Domain, value: str) -> Domain:
    return domain.but(boot_policy=BootPolicy(_word("boot-policy", value, tuple(BootPolicy))))


PROPERTIES: Mapping[str, Property] = {row.name: row for row in (
    Property("cpu-arch", _cpu_arch, STOPPED),
    Property("mac-addr", _mac, STOPPED, delays=True),
    Property("hostid", _hostid, STOPPED, delays=True),
    Property("failure-policy", _failure_policy),
    Property("extended-mapin-space", _extended_mapin, STOPPED, delays=True, may_be_empty=True),
    Property("master", _masters, may_be_empty=True),
    Property("max-cores", _max_cores, (State.INACTIVE,), delays=True, may_be_empty=True),
    Property("uuid", _uuid, ()),
    Property("shutdown-group", _shutdown_group),
    Property("rc-add-policy", _rc_add_policy, may_be_empty=True),
    Property("perf-counters", _perf_counters, may_be_empty=True),
    Property("boot-policy", _boot_policy),
)}
"""In the order of the synopsis. extended-mapin-space= (empty) is taken as its default, on."""


def apply(configuration: Configuration, domain: Domain, values: Mapping[str, str]) -> Domain:
    """The domain with properties set. `values`: by name, as written. Refuses unknown names and values."""
    for name, value in values.items():
        if name == "threading":
            refuse("domain.threading")
        row = PROPERTIES.get(name)
        if row is None:
            refuse("domain.property-unknown", property=name, known=", ".join(PROPERTIES))
        if value == "" and not row.may_be_empty:
            refuse("domain.property-empty", property=name)
        domain = row.set(configuration, domain, value)
    return domain


def check_states(domain: Domain, values: Mapping[str, str], *, delayed: bool) -> bool:
    """Whether a delayed reconfiguration has to begin for these properties; refuses those that cannot be set now."""
    begins = False
    for name in values:
        row = PROPERTIES.get(name)
        if row is None:
            continue
        if not row.allowed:
            refuse("domain.uuid-fixed")
        if domain.state in row.allowed or (delayed and row.delays):
            continue
        if domain.control and row.delays:
            begins = True
            continue
        words = " or ".join(row.allowed)
        remedy = "the control domain always runs" if domain.control else \
            f"`ldm stop-domain {domain.name}`" + (f" and `ldm unbind-domain {domain.name}`"
                                                  if row.allowed == (State.INACTIVE,) else "")
        refuse("domain.property-state", property=name, name=domain.name, state=domain.state, allowed=words,
               remedy=remedy)
    return begins

