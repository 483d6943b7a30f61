"""MAC addresses for operations: chosen here or given by hand, and asked about on the network before they are used."""

from __future__ import annotations

from ldmd.messages import refuse
from ldmd.model import Configuration
from ldmd.operations.context import Context
from ldmd.planner import macs

TRIES = 64
"""So many times others may say that they have what we chose."""


def claim_macs(context: Context, count: int) -> tuple[int, ...]:
    """So many automatic addresses that neither this server nor another machine has. May take a second, or more.

    The configuration may be another one afterwards; add `macs.take` to the plan for each that is used.
    """
    avoid: set[int] = set()
    for _ in range(TRIES):
        chosen: list[int] = []
        configuration = context.configuration
        for _ in range(count):
            mac, configuration = macs.allocate(configuration, context.rng, avoid={*avoid, *chosen})
            chosen.append(mac)
        taken = context.macs_elsewhere(chosen) if chosen else frozenset()
        if not taken:
            return tuple(chosen)
        avoid |= taken
    refuse("network.mac-none-left")


def claim_mac(context: Context, text: str | None) -> tuple[int, bool]:
    """(address, automatic) for a ``mac-addr`` property: the one given by hand, or an automatic one."""
    if not text:
        return claim_macs(context, 1)[0], True
    mac = macs.parse_mac(text)
    check_given(context, context.configuration, mac)
    return mac, False


def check_given(context: Context, configuration: Configuration, mac: int, *, now: int | None = None) -> None:
    """Refuse an address given by hand that may not be used, here or because of another machine."""
    macs.check_manual(configuration, mac, now=now)
    if mac != now and context.macs_elsewhere([mac]):
        refuse("network.mac-elsewhere", mac=macs.format_mac(mac))


def take_all(configuration: Configuration, addresses: tuple[int, ...]) -> Configuration:
    """All of them are in use now."""
    for mac in addresses:
        configuration = macs.take(configuration, mac)
    return configuration
