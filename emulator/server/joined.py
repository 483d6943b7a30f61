"""Servers of one process in one virtual time, with their network devices joined: what deterministic machines have
instead of sockets. Same requests at the same times, same course of events on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.devices.segment import Bridge, bridge
from emulator.errors import ConfigError
from emulator.server.runners import SLICE_NS
from emulator.server.server import Server


def join_servers(one: Server, other: Server, *, device: str = "net0") -> tuple[Bridge, Bridge]:
    """A cable between the networks that a device of the two hangs on. Raises ConfigError in real time.

    Several servers: join each with each, once; frames do not pass through one to the next.
    """
    if not one.deterministic or not other.deterministic:
        raise ConfigError("servers in real time find each other by themselves: Server.open_networks")
    return bridge(one.networks.segment(device), other.networks.segment(device))


def advance_together(servers: Sequence[Server], ns: int, *, slice_ns: int = SLICE_NS) -> None:
    """Move the virtual time of all by so much, by turns; a frame arrives in the receiver's next slice.

    Raises GuestStateError where time is real or runs by itself.
    """
    left = ns
    while left > 0:
        step = min(slice_ns, left)
        for server in servers:
            server.advance(step)
        left -= step
