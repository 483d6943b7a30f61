"""MAC addresses: the ranges, automatic choice, those that were freed, rules for those given by hand.

Facts: Administration Guide, "Assigning MAC Addresses Automatically or Manually". Addresses are numbers of 48 bits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from random import Random

from ldmd.messages import message, refuse
from ldmd.model import Configuration, Domain

AUTOMATIC = range(0x0014_4FF8_0000, 0x0014_4FFC_0000)
"""Those that the manager chooses from: 256 K addresses. None of them may be asked for by hand."""
MANUAL = range(0x0014_4FFC_0000, 0x0014_5000_0000)
"""Those meant to be given by hand; any other address outside AUTOMATIC is accepted as well."""
FREED_LIMIT = 256
"""So many freed addresses are remembered and preferred: a DHCP server has only so many leases."""

_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}")
_GROUP_BIT = 1 << 40


def format_mac(mac: int) -> str:
    """``00:14:4f:fb:54:f2``, as all lists print it."""
    return ":".join(f"{mac >> shift & 0xFF:02x}" for shift in range(40, -8, -8))


def parse_mac(text: str) -> int:
    """The number of an address as a person writes it. Refuses what is none, group addresses and zero."""
    if _MAC.fullmatch(text) is None:
        refuse("network.mac-syntax", mac=text)
    mac = int("".join(f"{part:0>2}" for part in text.split(":")), 16)
    if mac == 0 or mac & _GROUP_BIT:
        refuse("network.mac-group", mac=format_mac(mac))
    return mac


def domain_macs(domain: Domain) -> Iterator[tuple[int, str]]:
    """(address, what has it) of a domain, its switches and its network devices."""
    yield domain.mac, f"domain {domain.name}"
    for switch in domain.switches:
        yield switch.mac, f"virtual switch {switch.name}"
    for vnet in domain.vnets:
        yield vnet.mac, f"network {vnet.name} of {domain.name}"
        for mac in vnet.alt_macs:
            yield mac, f"network {vnet.name} of {domain.name}"


def macs_in_use(configuration: Configuration) -> dict[int, str]:
    """All addresses of the server, with what has each; those of delayed reconfigurations are in use as well."""
    used: dict[int, str] = {}
    for pending in configuration.pending:
        used.update(domain_macs(pending.domain))
    for domain in configuration.domains:
        used.update(domain_macs(domain))
    for function in configuration.virtual_functions:
        for name, value in function.properties:
            if name in ("mac-addr", "alt-mac-addrs"):
                used.update((parse_mac(each), f"virtual function {function.name}") for each in value.split(",") if each)
    return used


def allocate(
    configuration: Configuration, rng: Random, *, avoid: Collection[int] = ()
) -> tuple[int, Configuration]:
    """An automatic address that nothing of this server has, and the configuration in which it is not a freed one.

    The address freed last comes first, then chance decides. `avoid`: addresses that other machines have, or that were
    allocated for what is not in the configuration yet. The address is in use once something with it is added.
    """
    used = macs_in_use(configuration)
    for mac in reversed(configuration.freed_macs):
        if mac not in used and mac not in avoid:
            return mac, take(configuration, mac)
    free = len(AUTOMATIC) - sum(1 for mac in {*used, *avoid} if mac in AUTOMATIC)
    if free <= 0:
        refuse("network.mac-none-left")
    while (mac := AUTOMATIC[rng.randrange(len(AUTOMATIC))]) in used or mac in avoid:
        pass
    return mac, take(configuration, mac)


def take(configuration: Configuration, mac: int) -> Configuration:
    """The configuration in which an address is not a freed one: something has it now."""
    if mac not in configuration.freed_macs:
        return configuration
    return configuration.but(freed_macs=tuple(each for each in configuration.freed_macs if each != mac))


def free(configuration: Configuration, mac: int) -> Configuration:
    """Remember an address whose domain or device is gone, if it is an automatic one; the oldest of too many goes."""
    if mac not in AUTOMATIC:
        return configuration
    kept = tuple(each for each in configuration.freed_macs if each != mac)
    return configuration.but(freed_macs=(*kept, mac)[-FREED_LIMIT:])


def free_domain(configuration: Configuration, domain: Domain) -> Configuration:
    """Remember all addresses of a domain that was removed, its switches' and network devices' first."""
    for mac, _ in reversed(tuple(domain_macs(domain))):
        configuration = free(configuration, mac)
    return configuration


def check_manual(configuration: Configuration, mac: int, *, now: int | None = None) -> None:
    """Refuse an address given by hand that is in the automatic range or has an owner on this server.

    `now`: the address that the device has at present, which it may be given again.
    """
    if mac == now:
        return
    if mac in AUTOMATIC:
        refuse("network.mac-automatic-range", mac=format_mac(mac))
    owner = macs_in_use(configuration).get(mac)
    if owner is not None:
        raise message("network.mac-in-use", mac=format_mac(mac), owner=owner)
