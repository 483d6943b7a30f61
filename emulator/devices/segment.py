"""A piece of cable with several plugs: what physical network devices of a machine hang on.

Frames pass as they are, tags and all. Who is behind which member is learned from the frames, VLAN by VLAN, so that a
frame for one goes to one. Members with `mesh` never hear each other's frames: each of them has the others as its own
neighbours already (split horizon), so that there is no way in a ring.

::

    Switch ── UplinkPort ──┐                 ┌── a wire to another machine (mesh)
    Switch ── UplinkPort ──┴──── Segment ────┴── a wire to something else: QEMU, passt, a TAP device

Sources: IEEE 802.1D, learning and ageing; RFC 4762, 4.4: split horizon in a full mesh.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from emulator.devices.switch import AGE_NS, HEADER, MAX_FRAME, MAX_LEARNED, TAG_BYTES, VLAN_TYPE


@dataclass
class WireCounters:
    """Frames that came from a member, and that went to it."""

    in_frames: int = 0
    in_bytes: int = 0
    out_frames: int = 0
    out_bytes: int = 0
    dropped: int = 0
    """Frames of no possible size, or for which there was no room."""


class Member:
    """What hangs on a segment. `transmit` is called from any thread and must not wait."""

    def __init__(self, name: str, *, mesh: bool = False) -> None:
        self.name, self.mesh = name, mesh
        self.counters = WireCounters()
        self.segment: Segment | None = None

    def transmit(self, frame: bytes) -> None:
        """A frame for this member."""
        raise NotImplementedError

    def receive(self, frame: bytes) -> None:
        """A frame from this member, of any size."""
        counters = self.counters
        if not HEADER <= len(frame) <= MAX_FRAME + TAG_BYTES:
            counters.dropped += 1
            return
        counters.in_frames += 1
        counters.in_bytes += len(frame)
        if self.segment is not None:
            self.segment.forward(self, frame)


class Segment:
    """`clock`: nanoseconds that only grow, by which addresses are forgotten. Safe from several threads."""

    def __init__(self, name: str, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._members: tuple[Member, ...] = ()
        self._learned: OrderedDict[bytes, tuple[Member, int]] = OrderedDict()

    @property
    def members(self) -> tuple[Member, ...]:
        """In the order they were added."""
        return self._members

    def add(self, member: Member) -> None:
        """Plug in a member."""
        with self._lock:
            member.segment = self
            if member not in self._members:
                self._members = (*self._members, member)

    def remove(self, member: Member) -> None:
        """Unplug a member; what is behind it is forgotten."""
        with self._lock:
            self._members = tuple(each for each in self._members if each is not member)
            member.segment = None
            for key in [key for key, (owner, _) in self._learned.items() if owner is member]:
                del self._learned[key]

    def forward(self, source: Member, frame: bytes) -> None:
        """A frame has come from a member."""
        vlan = frame[14:16] if frame[12:14] == VLAN_TYPE else b""
        with self._lock:
            now = self._clock()
            if not frame[6] & 1:
                key = frame[6:12] + vlan_key(vlan)
                self._learned[key] = source, now
                self._learned.move_to_end(key)
                if len(self._learned) > MAX_LEARNED:
                    self._learned.popitem(last=False)
            targets = self._targets(source, frame, vlan, now)
        for target in targets:
            target.transmit(frame)

    def _targets(self, source: Member, frame: bytes, vlan: bytes, now: int) -> tuple[Member, ...]:
        if not frame[0] & 1:
            known = self._learned.get(frame[:6] + vlan_key(vlan))
            if known is not None and now - known[1] <= AGE_NS:
                one = known[0]
                return () if one is source or (one.mesh and source.mesh) else (one,)
        mesh = source.mesh
        return tuple(each for each in self._members if each is not source and not (mesh and each.mesh))

    def where(self, address: bytes, vlan: int = 0) -> Member | None:
        """The member behind which an address is; `vlan` 0: frames without a tag."""
        found = self._learned.get(address + (vlan.to_bytes(2, "big") if vlan else b""))
        return found[0] if found else None


def vlan_key(tag: bytes) -> bytes:
    """A tag without its priority, two bytes; a tag that is nothing but a priority is none."""
    if len(tag) < TAG_BYTES // 2:
        return b""
    vlan = bytes((tag[0] & 0x0F, tag[1]))
    return vlan if vlan != b"\0\0" else b""


class Bridge(Member):
    """One end of a cable between the segments of two servers in one process."""

    other: Bridge

    def transmit(self, frame: bytes) -> None:
        """In at the other end, at once."""
        self.counters.out_frames += 1
        self.counters.out_bytes += len(frame)
        self.other.receive(frame)


def bridge(one: Segment, other: Segment) -> tuple[Bridge, Bridge]:
    """Join two segments as two machines of a lab are joined."""
    ends = Bridge(other.name, mesh=True), Bridge(one.name, mesh=True)
    ends[0].other, ends[1].other = ends[1], ends[0]
    one.add(ends[0])
    other.add(ends[1])
    return ends
