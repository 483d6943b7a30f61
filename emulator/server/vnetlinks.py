"""Links between two networks of a switch: channels from guest to guest, past the switch and whoever serves it.

::

    guest A: vnet-port ── endpoint ── wire side 0 │ wire side 1 ── endpoint ── vnet-port: guest B

Both guests' specifications say which channel leads to which MAC address; switch and addresses name the wire. A guest
plugs its own ends in and out in its own turn, and nobody waits for the other. A guest that stands still, or is on its
way to another server, has its ends out: nothing of it is read or written behind its back, and both begin anew then.

Source: Logical Domains administration guide, inter-vnet LDC channels.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator

from emulator.channel import Wire
from emulator.machine import Machine
from emulator.mdesc import most_channels
from emulator.server.spec import Net

Key = tuple[str, int, int]


class Wires:
    """The wires of a server, as long as somebody has hold of them. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wires: weakref.WeakValueDictionary[Key, Wire] = weakref.WeakValueDictionary()

    def between(self, switch: str, own: int, other: int) -> tuple[Wire, int]:
        """The wire between two addresses of a switch, and the side of the first of them."""
        key = switch, min(own, other), max(own, other)
        with self._lock:
            wire = self._wires.get(key)
            if wire is None:
                wire = self._wires[key] = Wire()
            return wire, int(own > other)


class NetLinks:
    """The ends of one guest. For its turn only."""

    def __init__(self, machine: Machine, wires: Wires) -> None:
        self._machine, self._registry = machine, wires
        self._wanted: dict[int, Key] = {}  # by channel: switch, own address, the other one's
        self._held: dict[int, Wire] = {}
        self._joined = False

    def want(self, nets: Iterable[Net]) -> Iterator[str]:
        """Have endpoints for these networks' links; says what changed."""
        wanted = {channel: (net.switch, net.mac, peer) for net in nets for channel, peer in net.peers}
        for channel in [channel for channel, key in self._wanted.items() if wanted.get(channel) != key]:
            self._machine.remove_channel(channel)
            self._held.pop(channel, None)
            yield f"link on channel {channel} removed"
        for channel in [channel for channel in wanted if self._wanted.get(channel) != wanted[channel]]:
            self._machine.add_wire_channel(channel)
            yield f"link on channel {channel} added"
        self._wanted = wanted
        if self._joined:
            self.join()

    def join(self) -> None:
        """Plug all ends in."""
        self._joined = True
        for channel, (switch, own, other) in self._wanted.items():
            if channel not in self._held:
                wire, side = self._registry.between(switch, own, other)
                self._machine.plug_wire(channel, wire, side)
                self._held[channel] = wire

    def cut(self) -> None:
        """Take all ends out: the guests at the other ends see their channels go down."""
        self._joined = False
        for channel in self._held:
            self._machine.unplug_wire(channel)
        self._held = {}

    def loaded(self) -> None:
        """The machine's endpoints are those of a state image: make them what is wanted here."""
        self._held = {}
        most = most_channels(self._machine.platform)
        there = {number for number in range(most) if self._machine.is_wire_channel(number)}
        for channel in there - self._wanted.keys():
            self._machine.remove_channel(channel)
        for channel in self._wanted.keys() - there:
            self._machine.add_wire_channel(channel)
