"""The physical network devices of a server: net0, net1, ...: where each is plugged in, and whether its link is up.

A virtual switch whose `net-dev` names a device has an uplink there. A device is plugged into the lab network of its own
name, unless the server was told otherwise. Devices are there as soon as somebody names them: what a domain may name is
the manager's business.

::

    Switch ── UplinkPort ── Segment ── LabNetwork: other machines, QEMU guests      (emulator.server.labnet)
                                    └─ Outward: passt, stream, TAP                  (emulator.server.outward)

Without `open` there is nothing outside this process: so it is on deterministic machines, whose frames may not depend on
the host's time. Two of those in one process can be joined: `join_servers` (emulator.server.joined).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.devices.capture import OUTBOUND
from emulator.devices.segment import Member, Segment
from emulator.devices.switch import MAX_HOPS, Port
from emulator.errors import ConfigError, EmulatorError
from emulator.faults.frames import FrameFaults
from emulator.netdev import MAX_DEVICES, NETWORK, NONE, Outlet, check_device
from emulator.server.labnet import Home, LabNetwork
from emulator.server.netloop import Loop
from emulator.server.outward import Outward

LOG = logging.getLogger("sun4v.machine")


class UplinkPort(Port):
    """A switch's port to a physical device, for all its VLANs; those of its default VLAN go without a tag."""

    def __init__(self, device: str, *, default_vlan: int) -> None:
        super().__init__(device, pvid=default_vlan, trunk=True, every_group=True)
        self.end = _UplinkEnd(self)

    def deliver(self, frame: bytes, hops: int) -> None:
        """Out, at once."""
        del hops  # a segment leads to no other port of this switch
        self.counters.sent += 1
        self.counters.sent_bytes += len(frame)
        if self._capture is not None:
            self._note(frame, OUTBOUND)
        self.end.receive(frame)


class _UplinkEnd(Member):
    """The cable's end, where rules of faults are asked about each frame, while there are some."""

    def __init__(self, port: UplinkPort) -> None:
        super().__init__(port.name)
        self._port = port
        self.faults: FrameFaults | None = None

    def transmit(self, frame: bytes) -> None:
        """In from the segment."""
        self._pass_on(frame, self._come_in, "in")

    def _come_in(self, frame: bytes) -> None:
        self.counters.out_frames += 1
        if self._port.switch is not None:
            self._port.pass_on(frame, MAX_HOPS)

    def receive(self, frame: bytes) -> None:
        """Out of the switch."""
        self._pass_on(frame, super().receive, "out")

    def _pass_on(self, frame: bytes, to: Callable[[bytes], None], direction: str) -> None:
        if self.faults is None:
            to(frame)
        else:
            self.faults.pass_on("link.frame", frame, to, device=self.name, direction=direction)


@dataclass
class _Device:
    name: str
    outlet: Outlet
    segment: Segment
    uplinks: list[UplinkPort] = field(default_factory=list)
    outward: Outward | None = None


class Networks:
    """The network devices of a server. `plan`: where devices are plugged in; the others are in networks of their names.

    `changed` is called, from any thread, when the link of a device went up or down. Safe from several threads.
    """

    def __init__(
        self, plan: Mapping[str, Outlet] | None = None, *, clock: Callable[[], int] = time.monotonic_ns,
        changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.clock, self._changed = clock, changed
        self._lock = threading.RLock()
        self._plan = dict(plan or {})
        self._devices: dict[str, _Device] = {}
        self._segments: dict[str, Segment] = {}
        self._labs: dict[str, LabNetwork] = {}
        self._home: Home | None = None
        self._loop: Loop | None = None
        self.faults: FrameFaults | None = None
        """Of what is attached from now on."""
        self._up: dict[str, bool] = {}
        for name in self._plan:
            self._device(name)

    # -- life

    def open(self, home: Home) -> None:
        """Join the networks outside this process. Raises PlaceError for a network whose socket has too long a path."""
        with self._lock:
            for device in self._devices.values():
                if device.outlet.kind == NETWORK:
                    home.socket(device.outlet.target)
            self._home, self._loop = home, Loop()
            self._loop.start()
            for device in self._devices.values():
                self._connect(device)

    def close(self) -> None:
        """Leave all networks. Twice is fine."""
        with self._lock:
            loop, self._loop = self._loop, None
            labs, self._labs = list(self._labs.values()), {}
        if loop is None:
            return
        for lab in labs:
            loop.later(lab.close)
        for device in self._devices.values():
            if device.outward is not None:
                loop.later(device.outward.close)
        loop.close()

    # -- devices

    def attach(self, name: str, port: UplinkPort) -> None:
        """Plug a switch's uplink into a device."""
        with self._lock:
            device = self._device(name)
            port.end.faults = self.faults
            device.uplinks.append(port)
            device.segment.add(port.end)
            self._connect(device)

    def detach(self, name: str, port: UplinkPort) -> None:
        """Take it out again."""
        with self._lock:
            device = self._devices.get(name)
            if device is not None and port in device.uplinks:
                device.uplinks.remove(port)
                device.segment.remove(port.end)

    def plug(self, name: str, outlet: Outlet) -> None:
        """Plug a device in elsewhere. Raises ConfigError where that cannot be, and nothing has changed then."""
        with self._lock:
            device = self._device(check_device(name))
            if outlet == device.outlet:
                return
            if outlet.outward:
                self._check_outward(name, outlet)
            if outlet.kind == NETWORK and self._home is not None:
                self._home.socket(outlet.target)
            for port in device.uplinks:
                device.segment.remove(port.end)
            if device.outward is not None and self._loop is not None:
                self._loop.later(device.outward.close)
            device.outward = None
            left, device.outlet = device.outlet, outlet
            self._plan[name] = outlet
            device.segment = self._segment(name, outlet)
            for port in device.uplinks:
                device.segment.add(port.end)
            self._leave(left)
            self._connect(device)
        self._look()

    def _check_outward(self, name: str, outlet: Outlet) -> None:
        if self._loop is None:
            raise ConfigError(f"{name}={outlet}: {DETERMINISTIC}")
        for other in self._devices.values():
            if other.outlet == outlet:
                raise ConfigError(f"{outlet}: only one of {other.name} and {name} can be plugged in there")

    def _leave(self, outlet: Outlet) -> None:
        """Of a lab network without a device of ours this machine is no part any more."""
        if outlet.kind != NETWORK or any(each.outlet == outlet for each in self._devices.values()):
            return
        self._segments.pop(outlet.target, None)
        lab = self._labs.pop(outlet.target, None)
        if lab is not None and self._loop is not None:
            self._loop.later(lab.close)

    def _device(self, name: str) -> _Device:
        device = self._devices.get(name)
        if device is None:
            check_device(name)
            if len(self._devices) >= MAX_DEVICES:
                raise ConfigError(f"a machine has at most {MAX_DEVICES} network devices")
            outlet = self._plan.get(name) or Outlet(NETWORK, name)
            device = self._devices[name] = _Device(name, outlet, self._segment(name, outlet))
            self._up[name] = self._state(device)[0]
        return device

    def _segment(self, name: str, outlet: Outlet) -> Segment:
        if outlet.kind != NETWORK:
            return Segment(name, clock=self.clock)
        found = self._segments.get(outlet.target)
        if found is None:
            found = self._segments[outlet.target] = Segment(outlet.target, clock=self.clock)
        return found

    def segment(self, name: str) -> Segment:
        """What a device hangs on now."""
        with self._lock:
            return self._device(name).segment

    def _connect(self, device: _Device) -> None:
        """To what is outside, where that was not done before: outward ones at once, lab networks when they are used."""
        loop, home, outlet = self._loop, self._home, device.outlet
        if loop is None or home is None:
            return
        if outlet.outward and device.outward is None:
            device.outward = Outward(device.segment, outlet, loop, changed=self._look)
            loop.later(device.outward.open)
        elif outlet.kind == NETWORK and device.uplinks and outlet.target not in self._labs:
            try:
                lab = LabNetwork(device.segment, home, loop, changed=self._look)
            except EmulatorError as error:
                LOG.error("network %s: not joined to other machines: %s", outlet.target, error)
                return
            self._labs[outlet.target] = lab
            loop.later(lab.open)

    # -- how they are

    def _look(self) -> None:
        """Has a link gone up or down?"""
        with self._lock:
            now = {name: self._state(device)[0] for name, device in self._devices.items()}
            different, self._up = now != self._up, now
        if different:
            self._changed()

    def _state(self, device: _Device) -> tuple[bool, str]:
        outlet = device.outlet
        if outlet.kind == NONE:
            return False, "nothing is plugged in"
        if outlet.kind == NETWORK:
            return True, "" if self._loop is not None else DETERMINISTIC
        if device.outward is None:
            return False, DETERMINISTIC
        return device.outward.up, device.outward.why

    def up(self, name: str) -> bool:
        """Is the link of a device up? From any thread."""
        with self._lock:
            device = self._devices.get(name)
            return device is None or self._state(device)[0]

    def report(self) -> list[dict[str, Any]]:
        """{"name", "outlet", "kind", "up", "why", "switches", "wires"} of each device that somebody has named."""
        with self._lock:
            rows = []
            for _, device in sorted(self._devices.items()):
                up, why = self._state(device)
                lab = self._labs.get(device.outlet.target) if device.outlet.kind == NETWORK else None
                wires = lab.report() if lab else device.outward.report() if device.outward else []
                rows.append({
                    "name": device.name, "outlet": str(device.outlet), "kind": device.outlet.kind, "up": up,
                    "why": why, "switches": [port.switch.name for port in device.uplinks if port.switch is not None],
                    "wires": wires,
                })  # fmt: skip
            return rows


DETERMINISTIC = "a machine in virtual time is not joined to what is outside its process"
