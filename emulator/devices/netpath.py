"""The part of a virtual network that is C: both rings of a session that is up, and flows between ports (csrc/vio).

A `NetPath` belongs to one channel of a machine in real time. While the session is lent, frames of the guest either
follow a flow, or come out of `frames` for the switch; those that wait in the port go to the guest without us.
docs/internals/networks.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from emulator.channel import Channel, NetPort
from emulator.devices.vio import Ring


@dataclass
class Lane:
    """What C has to know of a session, and what has become of it: the members of `s4v_net_lane`."""

    ident: int
    out_ident: int
    sequence: int
    session: int
    received: int
    sent: int
    mtu: int
    slot_bytes: int
    next: int
    first: int
    busy: int
    due: int = 0
    broken: int = 0


class NetPath:
    """The lane of one channel."""

    def __init__(self, channel: Channel, port: NetPort) -> None:
        self._channel, self.port = channel, port
        self.lent = False
        """Has C the session?"""

    def lend(self, lane: Lane, ring: Ring) -> bool:
        """Let C serve a session. False: not this one."""
        values = {field.name: int(getattr(lane, field.name)) for field in fields(lane)}
        cookies = [(cookie.address, cookie.size) for cookie in ring.cookies]
        self.lent = self._channel.net_lend(
            self.port, values, entries=ring.entries, entry_bytes=ring.entry_bytes, cookies=cookies
        )
        return self.lent

    def take_back(self) -> Lane:
        """The end of that. Frames are to be taken first, until `finish` has nothing more."""
        self.lent = False
        return Lane(**self._channel.net_take_back())

    def frames(self) -> Iterable[bytes]:
        """Frames of the guest for the switch."""
        return self._channel.net_frames()

    def serve(self) -> bool:
        """Go on with messages of the guest. True: there are frames, or a message that is not for C."""
        return self._channel.net_serve()

    def finish(self) -> bool:
        """Go on with the message that is begun. True: it is not done with, take frames first."""
        return self._channel.net_serve(finish=True)
