"""A network device that is plugged in outside the lab: passt, a stream socket of QEMU's framing, a TAP device.

The connection is made, and made again when it is lost, for as long as the device is plugged in there. Until then, and
in between, the device's link is down.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from emulator.devices.segment import Segment
from emulator.netdev import PASST, STREAM, Outlet
from emulator.server.labnet import wire_report
from emulator.server.netloop import Loop
from emulator.server.wires import StreamWire, TapWire, Wire

LOG = logging.getLogger("sun4v.machine")
AGAIN_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Pauses between attempts; the last one is repeated."""
DIAL_SECONDS = 10.0


class Outward:
    """One device and what it is plugged into. Methods are for the loop's thread, but `up`, `why`, `report`."""

    def __init__(self, segment: Segment, outlet: Outlet, loop: Loop, *, changed: Callable[[], None]) -> None:
        self.segment, self.outlet, self._loop, self._changed = segment, outlet, loop, changed
        self.why = "not connected yet"
        self._wire: Wire | None = None
        self._attempts = 0
        self._closed = False

    @property
    def up(self) -> bool:
        """Is there a connection?"""
        return self._wire is not None

    def open(self) -> None:
        """Connect; where that fails, again later."""
        if self._closed:
            return
        if self.outlet.kind == STREAM:
            # names are looked up, and far hosts take their time
            threading.Thread(target=self._dial, name="network-dial", daemon=True).start()
            return
        try:
            self._have(self._passt() if self.outlet.kind == PASST else TapWire(self.outlet.target))
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        """Unplug."""
        self._closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            self.segment.remove(wire)
            self._loop.drop(wire)

    def report(self) -> list[dict[str, Any]]:
        """The connection, where there is one. From any thread."""
        wire = self._wire
        return [wire_report(wire, self.outlet.kind)] if wire is not None else []

    def _passt(self) -> Wire:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            sock.connect(self.outlet.target)
        except OSError:
            sock.close()
            raise
        return StreamWire(str(self.outlet), sock, stalled=self._loop.stalled)

    def _dial(self) -> None:
        """In a thread of its own."""
        try:
            sock = socket.create_connection(self.outlet.host_port, timeout=DIAL_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            self._loop.later(lambda error=error: self._failed(error))  # type: ignore[misc]
        else:
            self._loop.later(lambda: self._have(StreamWire(str(self.outlet), sock, stalled=self._loop.stalled)))

    def _have(self, wire: Wire) -> None:
        if self._closed:
            wire.close()
            return
        self._wire, self._attempts, self.why = wire, 0, ""
        self.segment.add(wire)
        self._loop.watch(wire, self._ended)
        LOG.info("network device at %s: connected", self.outlet)
        self._changed()

    def _failed(self, error: OSError) -> None:
        why = error.strerror or str(error)
        if why != self.why:
            LOG.warning("network device at %s: %s", self.outlet, why)
        self._again(why)

    def _again(self, why: str) -> None:
        self.why = why
        self._loop.after(AGAIN_SECONDS[min(self._attempts, len(AGAIN_SECONDS) - 1)], self.open)
        self._attempts += 1

    def _ended(self, wire: Wire, why: str) -> None:
        self.segment.remove(wire)
        self._wire = None
        LOG.warning("network device at %s: the connection is lost: %s", self.outlet, why)
        self._again(why)
        self._changed()
