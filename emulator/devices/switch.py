"""A virtual network switch: learns addresses, keeps VLANs apart, and hands frames to its ports.

A frame is an Ethernet frame without its checksum, from the destination address on. A port has an inbox, out of which
its owner takes frames when it can; what comes while the inbox is full is dropped, as on a wire. Ports of several
machines may send at once, from several threads.

::

    guest --vnet--> VnetPort (emulator.devices.vnet) ── Switch ── Port (a test, a tap, another switch by `join`)

Sources: IEEE 802.1D and 802.1Q, as much as is needed; Logical Domains administration guide: pvid, vid, pvlan.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from emulator.devices.port import (
    HEADER,
    INBOX,
    LEAST_FRAME,
    MAX_FRAME,
    MAX_HOPS,
    MAX_VLAN,
    TAG_BYTES,
    VLAN_TYPE,
    Port,
    PortCounters,
)
from emulator.errors import ConfigError
from emulator.faults.frames import FrameFaults

BROADCAST = b"\xff" * 6
NET_FRAME = "net.frame"
"""Of emulator.faults.points."""
MAX_LEARNED = 8192
MAX_GROUPS = 1024
"""Multicast addresses of a port."""
AGE_NS = 300 * 10**9
"""An address that nothing was heard of for so long is forgotten (802.1D, 7.9: 300 s)."""
__all__ = [
    "AGE_NS", "BROADCAST", "HEADER", "INBOX", "LEAST_FRAME", "MAX_FRAME", "MAX_GROUPS", "MAX_HOPS", "MAX_LEARNED",
    "MAX_VLAN", "TAG_BYTES", "VLAN_TYPE", "JoinPort", "Port", "PortCounters", "Switch", "join", "mac_bytes",
]  # fmt: skip


def mac_bytes(number: int) -> bytes:
    """A MAC address of 48 bits as six bytes. Raises ConfigError."""
    if not 0 <= number < 1 << 48:
        raise ConfigError(f"not a MAC address: {number:#x}")
    return number.to_bytes(6, "big")


class Switch:
    """A switch without ports; `default_vlan` is the pvid that ports are given by their builders.

    `clock`: nanoseconds that only grow, by which addresses are forgotten.
    """

    def __init__(
        self, name: str = "switch", *, default_vlan: int = 1, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.name = name
        self.default_vlan = default_vlan
        self.most = MAX_FRAME + TAG_BYTES
        """Bytes of the largest frame, with its tag."""
        self.cluster = False
        """Heartbeats of Solaris Cluster go first (mode=sc)."""
        self.faults: FrameFaults | None = None
        self.vlans: dict[int, list[int]] = {}
        """Frames and bytes that came in, by VLAN."""
        self.oversized = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._ports: list[Port] = []
        self._learned: OrderedDict[tuple[int, bytes], tuple[Port, int]] = OrderedDict()
        self._owners: dict[bytes, Port] = {}
        self._secondaries: dict[int, int] = {}  # secondary VLAN -> primary

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
            self._settle()
            self.forget_flows()
        return port

    def remove(self, port: Port) -> None:
        """Unplug a port; the addresses behind it are forgotten."""
        with self._lock:
            self._ports.remove(port)
            port.switch = None
            for key in [key for key, (owner, _) in self._learned.items() if owner is port]:
                del self._learned[key]
            self._disown(port)
            self._settle()
            port.collect()
            self.forget_flows()
        if port.core is not None:
            port.core.forget()

    def forget_flows(self) -> None:
        """What was decided before may be wrong now."""
        for port in self._ports:
            if port.core is not None:
                port.core.forget()

    def collect(self) -> None:
        """Count what passed by flows."""
        for port in self.ports:
            port.collect()

    def assign(self, port: Port, addresses: Iterable[bytes]) -> None:
        """These addresses are the port's, whatever others send or say, until another call, or `remove`.

        An address that is another port's already stays that one's.
        """
        with self._lock:
            self._disown(port)
            for address in addresses:
                self._owners.setdefault(address, port)
            self.forget_flows()

    def _disown(self, port: Port) -> None:
        for address in [address for address, owner in self._owners.items() if owner is port]:
            del self._owners[address]

    def _owner(self, address: bytes, vlan: int) -> Port | None:
        owner = self._owners.get(address)
        return owner if owner is not None and owner.carries(vlan) else None

    def settle(self) -> None:
        """Ports have got other VLANs: what was learned of them is forgotten."""
        with self._lock:
            self._learned.clear()
            self._settle()
            self.forget_flows()

    def _settle(self) -> None:
        self._secondaries = {port.secondary[0]: port.pvid for port in self._ports if port.secondary is not None}

    def learn(self, port: Port, address: bytes, vlan: int | None = None) -> None:
        """An address is behind a port, as a handshake says before any frame does."""
        with self._lock:
            self._learn(port, address, port.pvid if vlan is None else vlan)

    def _learn(self, port: Port, address: bytes, vlan: int) -> None:
        if address[0] & 1 or address == bytes(6):
            return  # a group sends nothing
        if self._owner(address, vlan) not in (None, port):
            return
        key = vlan, address
        known = self._learned.get(key)
        if known is not None and known[0] is not port:
            self.forget_flows()  # it has moved
        self._learned[key] = port, self._clock()
        self._learned.move_to_end(key)
        if len(self._learned) > MAX_LEARNED:
            self._learned.popitem(last=False)

    def where(self, address: bytes, vlan: int = 1) -> Port | None:
        """The port behind which an address is."""
        owner = self._owner(address, vlan)
        if owner is not None:
            return owner
        found = self._learned.get((vlan, address))
        return found[0] if found is not None and self._clock() - found[1] <= AGE_NS else None

    def forward(self, port: Port, frame: bytes, hops: int) -> None:
        """A frame has come in at a port."""
        faults = self.faults
        if faults is None or not self._faulty(port):
            self._forward(port, frame, hops)
        else:
            domain, _, net = port.name.partition("/")
            faults.pass_on(NET_FRAME, frame, lambda form: self._forward(port, form, hops), domain=domain, net=net)

    def _faulty(self, port: Port) -> bool:
        if self.faults is None or not self.faults.armed:
            return False
        domain, _, net = port.name.partition("/")
        return bool(net) and self.faults.watches(NET_FRAME, domain=domain, net=net)

    def _forward(self, port: Port, frame: bytes, hops: int) -> None:
        if port.switch is not self:
            return  # it was unplugged while the frame was late
        size = len(frame)
        if not HEADER <= size <= self.most or hops <= 0:
            port.counters.dropped += 1
            self.oversized += size > self.most
            return
        tagged = frame[12:14] == VLAN_TYPE and size >= HEADER + TAG_BYTES
        tag = int.from_bytes(frame[14:16], "big") if tagged else port.priority_bits
        vlan = tag & 0xFFF or port.pvid
        seen = vlan
        if port.trunk and vlan in self._secondaries:
            vlan = self._secondaries[vlan]  # from outside, of ports of a private VLAN
        if not port.carries(vlan):
            port.counters.dropped += 1
            return
        with self._lock:
            self._learn(port, frame[6:12], vlan)
            generation = port.core.generation if port.core is not None else 0
            count = self.vlans.setdefault(vlan, [0, 0])
            count[0] += 1
            count[1] += size
            targets = self._targets(port, frame[:6], vlan)
        if len(targets) == 1 and port.is_free and not tagged and seen == vlan == port.pvid and not frame[0] & 1:
            self._flow(port, targets[0], frame, generation)
        if seen != vlan:  # isolated ports hear those of no other machine either
            targets = [each for each in targets if each.secondary in (None, (seen, False))]
        forms = Forms(frame, tagged=tagged, priority=tag & 0xF000)
        for target in targets:
            wanted = port.secondary[0] if target.trunk and port.secondary is not None else vlan
            target.deliver(forms.plain if target.pvid == wanted else forms.tagged_with(wanted), hops - 1)

    def _flow(self, port: Port, target: Port, frame: bytes, generation: int) -> None:
        """Frames like this one need not be asked about for a while."""
        if port.core is None or target.core is None or not target.is_free or target.pvid != port.pvid:
            return
        if self._faulty(port):
            return
        if self.where(frame[:6], port.pvid) is target:  # not one that was sent to all
            port.core.flow(generation, frame[:12], self.most, target.core)

    def _targets(self, port: Port, to: bytes, vlan: int) -> list[Port]:
        if not to[0] & 1:
            known = self.where(to, vlan)
            if known is not None:
                fits = known is not port and known.carries(vlan) and known.hears(port)
                return [known] if fits else []
        others = [each for each in self._ports if each is not port and each.carries(vlan) and each.hears(port)]
        if to[0] & 1 and to != BROADCAST:
            return [each for each in others if each.every_group or to in each.groups]
        return others

    def __repr__(self) -> str:
        return f"<Switch {self.name} ports={len(self._ports)}>"


class Forms:
    """A frame with a tag and without one; each form is made once, and only when it is wanted."""

    def __init__(self, frame: bytes, *, tagged: bool, priority: int) -> None:
        self._frame, self._tagged, self._priority = frame, tagged, priority
        self._plain: bytes | None = None if tagged else frame
        self._made: dict[int, bytes] = {}

    @property
    def plain(self) -> bytes:
        """Without a tag."""
        if self._plain is None:
            self._plain = self._frame[:12] + self._frame[16:]
        return self._plain

    def tagged_with(self, vlan: int) -> bytes:
        """With the tag of a VLAN, and the priority that the frame had."""
        found = self._made.get(vlan)
        if found is None:
            tag = (self._priority | vlan).to_bytes(2, "big")
            frame = self._frame
            if self._tagged:
                found = frame if frame[14:16] == tag else frame[:14] + tag + frame[16:]
            else:
                found = frame[:12] + VLAN_TYPE + tag + frame[12:]
            self._made[vlan] = found
        return found


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
