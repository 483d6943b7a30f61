"""A virtual network switch: learns addresses, keeps VLANs apart, and hands frames to its ports.

A frame is an Ethernet frame without its checksum, from the destination address on. A port has an inbox, out of which
its owner takes frames when it can; what comes while the inbox is full is dropped, as on a wire. Ports of several
machines may send at once, from several threads.

::

    guest --vnet--> VnetPort (emulator.devices.vnet) ── Switch ── Port (a test, a tap, another switch by `join`)

Sources: IEEE 802.1D and 802.1Q, as much as is needed; Logical Domains administration guide: pvid, vid.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emulator.devices.capture import INBOUND, OUTBOUND, Capture
from emulator.errors import ConfigError

HEADER, LEAST_FRAME, TAG_BYTES = 14, 60, 4
VLAN_TYPE = b"\x81\x00"
BROADCAST = b"\xff" * 6
MAX_FRAME = 16018
"""Header, tag and the 16000 bytes that the largest MTU of a virtual switch allows."""
MAX_LEARNED = 8192
MAX_GROUPS = 1024
"""Multicast addresses of a port."""
INBOX = 1024
MAX_HOPS = 8
"""Switches a frame may pass: a ring of joined switches does not run for ever."""
MAX_VLAN = 4094
AGE_NS = 300 * 10**9
"""An address that nothing was heard of for so long is forgotten (802.1D, 7.9: 300 s)."""


def mac_bytes(number: int) -> bytes:
    """A MAC address of 48 bits as six bytes. Raises ConfigError."""
    if not 0 <= number < 1 << 48:
        raise ConfigError(f"not a MAC address: {number:#x}")
    return number.to_bytes(6, "big")


@dataclass
class PortCounters:
    """What went through a port: `received` from its owner, `sent` to it."""

    received: int = 0
    sent: int = 0
    dropped: int = 0
    """Frames that found the inbox full, or were too short or long, or of a VLAN the port is not in."""


class Port:
    """A port of a switch. Its owner calls `send` and `take`.

    `pvid`: the VLAN of its untagged frames; `vids`: further VLANs, whose frames carry tags; `trunk`: all of them.
    `every_group`: multicast frames of any group come in, not only of those in `groups`.
    `wake` is called when a frame has come, from whatever thread brought it.
    """

    def __init__(
        self,
        name: str,
        *,
        pvid: int = 1,
        vids: Iterable[int] = (),
        trunk: bool = False,
        every_group: bool = False,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.pvid = pvid
        self.vids = frozenset(vids)
        if any(not 1 <= vid <= MAX_VLAN for vid in (pvid, *self.vids)):
            raise ConfigError(f"VLANs are 1 to {MAX_VLAN}")
        self.trunk = trunk
        self.every_group = every_group
        self.groups: set[bytes] = set()
        self.wake = wake
        self.counters = PortCounters()
        self.switch: Switch | None = None
        self._inbox: deque[bytes] = deque()
        self._capture: tuple[Capture, int] | None = None
        self.clock: Callable[[], int] | None = None
        """Nanoseconds since 1970 for captures; None: the capture's own clock."""

    def record(self, capture: Capture) -> None:
        """Record what goes through the port from now on."""
        self._capture = capture, capture.interface(self.name)

    def _note(self, frame: bytes, direction: int) -> None:
        if self._capture:
            capture, interface = self._capture
            capture.frame(interface, frame, direction, time_ns=self.clock() if self.clock else None)

    def send(self, frame: bytes) -> None:
        """Give a frame to the switch."""
        self.pass_on(frame, MAX_HOPS)

    def pass_on(self, frame: bytes, hops: int) -> None:
        """As `send`, for a frame that has come through other switches."""
        self.counters.received += 1
        self._note(frame, INBOUND)
        if self.switch is not None:
            self.switch.forward(self, frame, hops)

    def deliver(self, frame: bytes, hops: int) -> None:
        """The switch has a frame for this port."""
        del hops  # counts where a port leads to another switch
        if len(self._inbox) >= INBOX:
            self.counters.dropped += 1
            return
        self.counters.sent += 1
        self._note(frame, OUTBOUND)
        self._inbox.append(frame)
        if self.wake is not None:
            self.wake()

    @property
    def waiting(self) -> int:
        """Frames in the inbox."""
        return len(self._inbox)

    def take(self) -> bytes | None:
        """The oldest frame of the inbox; None: it is empty."""
        return self._inbox.popleft() if self._inbox else None

    def discard(self) -> None:
        """Empty the inbox."""
        self._inbox.clear()

    @property
    def pending(self) -> tuple[bytes, ...]:
        """The frames of the inbox, which stay there."""
        return tuple(self._inbox)

    def restore(self, frames: Iterable[bytes]) -> None:
        """An inbox as it was at another place."""
        self._inbox = deque(frames)

    def carries(self, vlan: int) -> bool:
        """Is the port in a VLAN?"""
        return self.trunk or vlan == self.pvid or vlan in self.vids

    def __repr__(self) -> str:
        return f"<Port {self.name}>"


class Switch:
    """A switch without ports; `default_vlan` is the pvid that ports are given by their builders."""

    def __init__(self, name: str = "switch", *, default_vlan: int = 1) -> None:
        self.name = name
        self.default_vlan = default_vlan
        self._lock = threading.Lock()
        self._ports: list[Port] = []
        self._learned: OrderedDict[tuple[int, bytes], Port] = OrderedDict()
        self._owners: dict[bytes, Port] = {}

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports, in the order they were added."""
        return tuple(self._ports)

    def add(self, port: Port) -> Port:
        """Plug in a port. Raises ConfigError where it is in a switch already."""
        if port.switch is not None:
            raise ConfigError(f"port {port.name} is in switch {port.switch.name} already")
        with self._lock:
            port.switch = self
            self._ports.append(port)
        return port

    def remove(self, port: Port) -> None:
        """Unplug a port; the addresses behind it are forgotten."""
        with self._lock:
            self._ports.remove(port)
            port.switch = None
            self._disown(port)
            for key in [key for key, owner in self._learned.items() if owner is port]:
                del self._learned[key]

    def assign(self, port: Port, addresses: Iterable[bytes]) -> None:
        """These addresses are the port's, whatever others send or say, until another call, or `remove`.

        An address that is another port's already stays that one's.
        """
        with self._lock:
            self._disown(port)
            for address in addresses:
                self._owners.setdefault(address, port)

    def _disown(self, port: Port) -> None:
        for address in [address for address, owner in self._owners.items() if owner is port]:
            del self._owners[address]

    def _owner(self, address: bytes, vlan: int) -> Port | None:
        owner = self._owners.get(address)
        return owner if owner is not None and owner.carries(vlan) else None

    def learn(self, port: Port, address: bytes, vlan: int | None = None) -> None:
        """An address is behind a port, as a handshake says before any frame does."""
        with self._lock:
            self._learn(port, address, port.pvid if vlan is None else vlan)

    def _learn(self, port: Port, address: bytes, vlan: int) -> None:
        if address[0] & 1 or address == bytes(6):
            return  # a group sends nothing
        if self._owner(address, vlan) not in (None, port):
            return
        self._learned[vlan, address] = port
        self._learned.move_to_end((vlan, address))
        if len(self._learned) > MAX_LEARNED:
            self._learned.popitem(last=False)

    def where(self, address: bytes, vlan: int = 1) -> Port | None:
        """The port an address was learned at."""
        return self._owner(address, vlan) or self._learned.get((vlan, address))

    def forward(self, port: Port, frame: bytes, hops: int) -> None:
        """A frame has come in at a port."""
        if not HEADER <= len(frame) <= MAX_FRAME + TAG_BYTES or hops <= 0:
            port.counters.dropped += 1
            return
        vlan, priority, plain = _untag(frame, port.pvid)
        if not port.carries(vlan):
            port.counters.dropped += 1
            return
        with self._lock:
            self._learn(port, frame[6:12], vlan)
            targets = self._targets(port, frame[:6], vlan)
        tagged = plain[:12] + VLAN_TYPE + (priority | vlan).to_bytes(2, "big") + plain[12:]
        for target in targets:
            target.deliver(plain if target.pvid == vlan else tagged, hops - 1)

    def _targets(self, port: Port, to: bytes, vlan: int) -> list[Port]:
        others = [other for other in self._ports if other is not port and other.carries(vlan)]
        if to == BROADCAST:
            return others
        if to[0] & 1:
            return [other for other in others if other.every_group or to in other.groups]
        known = self._owner(to, vlan) or self._learned.get((vlan, to))
        if known is None:
            return others
        return [known] if known in others else []

    def __repr__(self) -> str:
        return f"<Switch {self.name} ports={len(self._ports)}>"


def _untag(frame: bytes, pvid: int) -> tuple[int, int, bytes]:
    """VLAN and priority bits of a frame, and the frame without its tag. VLAN 0 is a priority without a VLAN."""
    if frame[12:14] != VLAN_TYPE or len(frame) < HEADER + TAG_BYTES:
        return pvid, 0, frame
    tag = int.from_bytes(frame[14:16], "big")
    return tag & 0xFFF or pvid, tag & 0xF000, frame[:12] + frame[16:]


class JoinPort(Port):
    """One end of a cable between two switches: what it is handed goes in at the other end at once."""

    other: JoinPort

    def deliver(self, frame: bytes, hops: int) -> None:
        """On to the other switch."""
        self.counters.sent += 1
        self.other.pass_on(frame, hops)


def join(one: Switch, other: Switch) -> tuple[JoinPort, JoinPort]:
    """A cable between two switches, for all VLANs."""
    ends = tuple(
        JoinPort(f"{a.name}-{b.name}", pvid=a.default_vlan, trunk=True, every_group=True)
        for a, b in ((one, other), (other, one))
    )
    ends[0].other, ends[1].other = ends[1], ends[0]
    one.add(ends[0])
    other.add(ends[1])
    return ends[0], ends[1]
