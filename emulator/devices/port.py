"""A port of a virtual network switch: its VLANs, its inbox, its limits, its counters.

Sources: IEEE 802.1Q; Logical Domains administration guide: pvid, vid, pvlan, maxbw, cos, mode=sc.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.channel import NetPort
from emulator.devices.capture import INBOUND, OUTBOUND, Capture
from emulator.devices.guard import Guard
from emulator.errors import ConfigError

if TYPE_CHECKING:
    from emulator.devices.switch import Switch

HEADER, LEAST_FRAME, TAG_BYTES = 14, 60, 4
VLAN_TYPE = b"\x81\x00"
CLUSTER_TYPE = b"\x08\x33"
"""Heartbeats of Solaris Cluster."""
MAX_FRAME = 16018
"""Header, tag and the 16000 bytes that the largest MTU of a virtual switch allows."""
INBOX = 1024
MAX_HOPS = 8
"""Switches a frame may pass: a ring of joined switches does not run for ever."""
MAX_VLAN = 4094
BURST_SECONDS = 0.1
"""What a port with a limit may send at once: the limit's amount of this time."""
LEAST_BURST = 4 * MAX_FRAME


@dataclass
class PortCounters:
    """What went through a port: `received` from its owner, `sent` to it."""

    received: int = 0
    sent: int = 0
    dropped: int = 0
    """Frames that found the inbox full, or were too short or long, or of a VLAN the port is not in."""
    received_bytes: int = 0
    sent_bytes: int = 0
    limited: int = 0
    """Frames over the bandwidth."""
    refused: int = 0
    """Frames that the link protection does not let through."""


class Bucket:
    """A bandwidth in bits per second: `take` says whether there is enough left of it. `now` in nanoseconds."""

    def __init__(self, bits_per_second: int) -> None:
        self.bits_per_second = bits_per_second
        self._most = max(bits_per_second / 8 * BURST_SECONDS, LEAST_BURST)
        self._left = self._most
        self._at: int | None = None

    def take(self, size: int, now: int) -> bool:
        """Is there room for so many bytes?"""
        if self._at is not None and now > self._at:
            self._left = min(self._most, self._left + (now - self._at) * self.bits_per_second / 8e9)
        self._at = now
        if size > self._left:
            return False
        self._left -= size
        return True


class Port:
    """A port of a switch. Its owner calls `send` and `take`.

    `pvid`: the VLAN of its untagged frames; `vids`: further VLANs, whose frames carry tags; `trunk`: all of them.
    `every_group`: multicast frames of any group come in, not only of those in `groups`.
    `wake` is called when a frame has come, from whatever thread brought it; then not again until `awake` was called.
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
        self.trunk = trunk
        self.every_group = every_group
        self.groups: set[bytes] = set()
        self.wake = wake
        self._counters = PortCounters()
        self.switch: Switch | None = None
        self._capture: tuple[Capture, int] | None = None
        self.secondary: tuple[int, bool] | None = None
        """A private VLAN: its secondary VLAN, and whether the ports of that are isolated from each other too."""
        self.guard: Guard | None = None
        self.priority_bits = 0
        """Of the tag of frames that come without one (cos)."""
        self.inbound = self.outbound = None  # type: Bucket | None
        self.clock: Callable[[], int] | None = None
        """Nanoseconds since 1970 for captures and limits; None: the host's."""
        self._inbox: deque[bytes] = deque()
        self.core: NetPort | None = None
        """Where frames wait instead, for a guest whose rings C serves."""
        self._called = False  # by `wake`, and has not come yet
        self.set_vlans(pvid, vids)

    def set_vlans(self, pvid: int, vids: Iterable[int]) -> None:
        """Put the port into other VLANs. Raises ConfigError."""
        found = frozenset(vids)
        if any(not 1 <= vid <= MAX_VLAN for vid in (pvid, *found)):
            raise ConfigError(f"VLANs are 1 to {MAX_VLAN}")
        self.pvid, self.vids = pvid, found
        self.changed()

    def changed(self) -> None:
        """What goes through the port is to be looked at anew: it is in other VLANs, limited, guarded or recorded."""
        if self.switch is not None:
            self.switch.forget_flows()

    @property
    def is_free(self) -> bool:
        """May frames pass that nobody here looks at?"""
        limits = self.inbound, self.outbound, self.guard, self._capture
        return self.core is not None and all(each is None for each in limits)

    @property
    def counters(self) -> PortCounters:
        """What went through, with what passed without us."""
        self.collect()
        return self._counters

    def collect(self) -> None:
        """Count what passed without us."""
        if self.core is None:
            return
        found, counters = self.core.counted(), self._counters
        counters.received += found["in_frames"]
        counters.received_bytes += found["in_bytes"]
        counters.sent += found["out_frames"]
        counters.sent_bytes += found["out_bytes"]
        counters.dropped += found["dropped"]
        if found["in_frames"] and self.switch is not None:
            count = self.switch.vlans.setdefault(self.pvid, [0, 0])
            count[0] += found["in_frames"]
            count[1] += found["in_bytes"]

    def limit(self, bits_per_second: int | None) -> None:
        """Bandwidth in each direction; None: no limit."""
        if bits_per_second is None:
            self.inbound = self.outbound = None
        elif self.inbound is None or self.inbound.bits_per_second != bits_per_second:
            self.inbound, self.outbound = Bucket(bits_per_second), Bucket(bits_per_second)
        self.changed()

    def record(self, capture: Capture | None) -> None:
        """Record what goes through the port from now on; None: no more."""
        self._capture = None if capture is None else (capture, capture.interface(self.name))
        self.changed()

    def _note(self, frame: bytes, direction: int) -> None:
        noted = self._capture
        if noted is not None:
            noted[0].frame(noted[1], frame, direction, time_ns=self.clock() if self.clock else None)

    def _now(self) -> int:
        return self.clock() if self.clock else time.monotonic_ns()

    def send(self, frame: bytes) -> None:
        """Give a frame to the switch."""
        self.pass_on(frame, MAX_HOPS)

    def pass_on(self, frame: bytes, hops: int) -> None:
        """As `send`, for a frame that has come through other switches."""
        counters = self._counters
        counters.received += 1
        counters.received_bytes += len(frame)
        if self._capture is not None:
            self._note(frame, INBOUND)
        if self.guard is not None and not self.guard.allows(frame):
            counters.refused += 1
            counters.dropped += 1
            return
        if self.inbound is not None and not self.inbound.take(len(frame), self._now()):
            counters.limited += 1
            counters.dropped += 1
            return
        if self.switch is not None:
            self.switch.forward(self, frame, hops)

    def deliver(self, frame: bytes, hops: int) -> None:
        """The switch has a frame for this port."""
        del hops  # counts where a port leads to another switch
        counters = self._counters
        first = self.switch is not None and self.switch.cluster and frame[12:14] == CLUSTER_TYPE
        if self.waiting >= (2 * INBOX if first else INBOX):
            counters.dropped += 1
            return
        if self.outbound is not None and not first and not self.outbound.take(len(frame), self._now()):
            counters.limited += 1
            counters.dropped += 1
            return
        counters.sent += 1
        counters.sent_bytes += len(frame)
        if self._capture is not None:
            self._note(frame, OUTBOUND)
        if self.core is not None:
            if self.core.put(frame, front=first, most=2 * INBOX):
                return  # the machine looks by itself
        elif first:
            self._inbox.appendleft(frame)
        else:
            self._inbox.append(frame)
        if self.wake is not None and not self._called:
            self._called = True
            self.wake()

    def awake(self) -> None:
        """The owner is about to take frames. Those that come from here on call it again."""
        self._called = False

    @property
    def waiting(self) -> int:
        """Frames in the inbox."""
        return len(self._inbox) if self.core is None else len(self.core)

    def take(self) -> bytes | None:
        """The oldest frame of the inbox; None: it is empty."""
        if self.core is not None:
            return self.core.take()
        return self._inbox.popleft() if self._inbox else None

    def discard(self) -> None:
        """Empty the inbox."""
        if self.core is not None:
            self.core.clear()
        self._inbox.clear()

    @property
    def pending(self) -> tuple[bytes, ...]:
        """The frames of the inbox, which stay there."""
        return tuple(self._inbox) if self.core is None else self.core.all()

    def restore(self, frames: Iterable[bytes]) -> None:
        """An inbox as it was at another place."""
        self.discard()
        for frame in frames:
            if self.core is None:
                self._inbox.append(frame)
            else:
                self.core.put(frame, most=2 * INBOX)

    def carries(self, vlan: int) -> bool:
        """Is the port in a VLAN?"""
        return self.trunk or vlan == self.pvid or vlan in self.vids

    def hears(self, other: Port) -> bool:
        """May frames of another port come here? Not between ports of a private VLAN that are kept apart."""
        mine, others = self.secondary, other.secondary
        return mine is None or others is None or (mine == others and not mine[1])

    def __repr__(self) -> str:
        return f"<Port {self.name}>"
