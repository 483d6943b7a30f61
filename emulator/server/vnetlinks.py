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
from collections.abc import Callable, Iterable

from emulator.channel import Wire
from emulator.machine import Machine
from emulator.mdesc import most_channels
from emulator.server.spec import MAC_BITS, Net

Key = tuple[str, int, int]
Pair = tuple[int, int]


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
    """The ends of one guest. For its turn only.

    A guest knows a channel by the peer that it read in its machine description. Linux is not told of changes there
    (`Requests.tell_description`), so an end that it uses stays, DOWN, when its link goes: it then sends through the
    switch, and finds the link again when that comes back. To another peer such an end never leads.
    """

    def __init__(self, machine: Machine, wires: Wires, listens: Callable[[], bool]) -> None:
        self._machine, self._registry, self._listens = machine, wires, listens
        self._wanted: dict[int, tuple[str, Pair]] = {}  # by channel: switch, own and other address
        self._ends: dict[int, Pair] = {}  # endpoints there are, and what the guest takes them for
        self._held: dict[int, tuple[str, Wire]] = {}  # what is plugged in, of which switch
        self._joined = False

    def want(self, nets: Iterable[Net]) -> list[str]:
        """Have endpoints for these networks' links; says what changed."""
        wanted = {channel: (net.switch, (net.mac, peer)) for net in nets for channel, peer in net.peers}
        gone = [channel for channel, what in self._wanted.items() if wanted.get(channel) != what]
        fresh = [channel for channel, what in wanted.items() if self._wanted.get(channel) != what]
        self._wanted = wanted
        self.settle()
        return [f"link on channel {n} removed" for n in gone] + [f"link on channel {n} added" for n in fresh]

    def settle(self) -> None:
        """Ends as they are wanted, as far as the guest lets them go."""
        for channel, pair in list(self._ends.items()):
            switch, wanted = self._wanted.get(channel, ("", None))
            if pair == wanted and self._held.get(channel, (switch,))[0] == switch:
                continue
            self._unplug(channel)
            if pair != wanted and (self._listens() or not self._machine.channel(channel).info.rx_entries):
                self.give_way([channel])
        for channel, (switch, pair) in self._wanted.items():
            if channel not in self._ends:
                self._machine.add_wire_channel(channel)
                self._ends[channel] = pair
            if self._joined and channel not in self._held and self._ends[channel] == pair:
                wire, side = self._registry.between(switch, *pair)
                self._machine.plug_wire(channel, wire, side)
                self._held[channel] = switch, wire

    def give_way(self, channels: Iterable[int]) -> None:
        """These channels are other devices' from now on."""
        for channel in channels:
            if self._ends.pop(channel, None) is not None:
                self._held.pop(channel, None)
                self._machine.remove_channel(channel)

    def _unplug(self, channel: int) -> None:
        if self._held.pop(channel, None) is not None:
            self._machine.unplug_wire(channel)

    def join(self) -> None:
        """Plug all ends in."""
        self._joined = True
        self.settle()

    def cut(self) -> None:
        """Take all ends out: the guests at the other ends see their channels go down."""
        self._joined = False
        for channel in list(self._held):
            self._unplug(channel)

    def loaded(self) -> None:
        """The machine's endpoints are those of a state image; its description says what the guest takes them for."""
        md = self._machine.machine_description
        known = {}
        for index in md.find("virtual-device-port", name="vnet-port"):
            number = md[index].get("id")
            if isinstance(number, int) and number >> MAC_BITS:
                known[number >> MAC_BITS] = number & (1 << MAC_BITS) - 1
        own = {channel: pair[0] for channel, (_, pair) in self._wanted.items()}
        most = most_channels(self._machine.platform)
        there = self._machine.wire_channels(most)
        self._held = {}
        self._ends = {number: (own.get(number, 0), known.get(number, 0)) for number in there}
        self.settle()
