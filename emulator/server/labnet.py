"""A network of the lab: the machines of one home that have a network device plugged in there, each joined to each.

There is no broker. A machine listens on ``run/MACHINE/net.NETWORK`` and connects to those it finds there; of two
connections between two machines the one stays that the machine of the lesser name has made. Who connects and says
nothing is no machine: a QEMU guest (``-netdev stream,addr.type=unix,addr.path=...``). It is joined to the machine,
which passes its frames on to the others.

A machine says who it is by a frame that no bridge passes on::

    01:80:c2:00:00:0e  02:00:00:00:00:00  88b5  {"sun4v": 1, "machine": "alpha", "network": "net0"}

Sources: IEEE 802.1Q, 8.6.3: addresses that bridges do not forward; IEEE 802: 88b5 is for local experiments.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.devices.segment import Segment
from emulator.devices.switch import HEADER, LEAST_FRAME
from emulator.places import NAME_LETTERS, check_name, check_socket_path
from emulator.server.netloop import Loop
from emulator.server.wires import StreamWire, Wire

LOG = logging.getLogger("sun4v.machine")
PREFIX = "net."
LOOK_SECONDS = 1.0
"""Between two looks for other machines."""
GREET_SECONDS = 0.25
"""Who has not said by then that it is a machine is none."""
ANSWER_SECONDS = 10.0
MAX_OTHERS = 64
MAX_MACHINES = 256
BACKLOG = 64
MAX_HELLO = 1024
VERSION = 1
_HEAD = bytes.fromhex("0180c200000e02000000000088b5")
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True)
class Home:
    """Where the sockets of machines are: `root`/MACHINE/net.NETWORK; `machine`: this one."""

    root: Path
    machine: str

    def socket(self, network: str) -> Path:
        """This machine's socket for a network. Raises PlaceError where its path is too long."""
        return check_socket_path(self.root / self.machine / f"{PREFIX}{network}")

    def others(self, network: str) -> dict[str, Path]:
        """The sockets of other machines for it."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self.root) as entries:
            for entry in entries:
                path = self.root / entry.name / f"{PREFIX}{network}"
                if entry.name != self.machine and len(entry.name) <= NAME_LETTERS and path.is_socket():
                    found[entry.name] = path
        return found


def hello(machine: str, network: str) -> bytes:
    """The frame that says who a machine is."""
    said = json.dumps({"sun4v": VERSION, "machine": machine, "network": network}).encode()
    return (_HEAD + said).ljust(LEAST_FRAME, b"\0")


def parse_hello(frame: bytes) -> tuple[str, str] | None:
    """Machine and network; None: it is another frame, or nonsense."""
    if frame[:HEADER] != _HEAD or len(frame) > MAX_HELLO:
        return None
    try:
        said = json.loads(frame[HEADER:].rstrip(b"\0"))
        machine, network = said["machine"], said["network"]
        if said["sun4v"] == VERSION and isinstance(network, str):
            return check_name(machine), network
    except Exception:  # whatever nonsense may raise
        return None
    return None


@dataclass
class _Peer:
    wire: StreamWire
    initiator: str


class LabNetwork:
    """This machine's end of a network. Methods are for the loop's thread. `changed`: who is joined has changed."""

    def __init__(self, segment: Segment, home: Home, loop: Loop, *, changed: Callable[[], None]) -> None:
        self.segment, self._home, self._loop, self._changed = segment, home, loop, changed
        self._listener: socket.socket | None = None
        self._path = home.socket(segment.name)
        self._machines: dict[str, _Peer] = {}
        self._dialled: dict[str, StreamWire] = {}
        self._others: dict[StreamWire, bool] = {}  # connections to us: known to be no machine
        self._count = 0

    def open(self) -> None:
        """Listen, and look for others from now on. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # of a machine of this name that has ended: only one can be on
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.setblocking(False)
        self._listener.bind(os.fspath(self._path))
        os.chmod(self._path, 0o600)
        self._listener.listen(BACKLOG)
        self._loop.listen(self._listener, self._accept)
        self._look()

    def close(self) -> None:
        """Leave the network."""
        if self._listener is not None:
            self._loop.unlisten(self._listener)
            self._listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._listener = None
        for wire in [*(peer.wire for peer in self._machines.values()), *self._dialled.values(), *self._others]:
            self._drop(wire)
        self._machines, self._dialled, self._others = {}, {}, {}

    def report(self) -> list[dict[str, Any]]:
        """Who is joined. From any thread."""
        rows = [wire_report(peer.wire, "machine") for _, peer in sorted(dict(self._machines).items())]
        return rows + [wire_report(wire, "guest") for wire, known in dict(self._others).items() if known]

    # -- connections from here

    def _look(self) -> None:
        if self._listener is None:
            return
        for name, path in self._home.others(self.segment.name).items():
            if name not in self._machines and name not in self._dialled and len(self._machines) < MAX_MACHINES:
                self._dial(name, path)
        self._loop.after(LOOK_SECONDS, self._look)

    def _dial(self, name: str, path: Path) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            sock.connect(os.fspath(path))
        except OSError:  # nobody there any more, or too busy: at the next look
            sock.close()
            return
        wire = StreamWire(name, sock, stalled=self._loop.stalled)
        self._dialled[name] = wire
        wire.received = lambda frame: self._answered(name, wire, frame)
        self._loop.watch(wire, self._ended)
        wire.transmit(hello(self._home.machine, self.segment.name))
        self._loop.after(ANSWER_SECONDS, lambda: self._give_up(name, wire))

    def _give_up(self, name: str, wire: StreamWire) -> None:
        if self._dialled.get(name) is wire:
            del self._dialled[name]
            self._drop(wire)

    def _answered(self, name: str, wire: StreamWire, frame: bytes) -> None:
        if self._dialled.get(name) is not wire:
            return
        del self._dialled[name]
        if parse_hello(frame) == (name, self.segment.name):
            self._join(wire, name, self._home.machine)
        else:
            LOG.warning("network %s: what answers for machine %s is something else", self.segment.name, name)
            self._drop(wire)

    # -- connections to here

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self._listener.accept()
            _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if uid not in (0, os.geteuid()) or len(self._others) >= MAX_OTHERS:
                sock.close()
                return
            self._count += 1
            wire = StreamWire(f"guest{self._count}", sock, stalled=self._loop.stalled)
            self._others[wire] = False
            wire.received = lambda frame: self._first(wire, frame)
            self._loop.watch(wire, self._ended)
            self._loop.after(GREET_SECONDS, lambda: self._adopt(wire))

    def _first(self, wire: StreamWire, frame: bytes) -> None:
        """The first frame of who has connected."""
        if wire not in self._others:
            return
        said = parse_hello(frame)
        if said is None:
            wire.received = wire.receive
            self._adopt(wire)
            wire.receive(frame)
            return
        name, network = said
        del self._others[wire]
        if network != self.segment.name or name == self._home.machine or len(self._machines) >= MAX_MACHINES:
            self._drop(wire)
            return
        wire.transmit(hello(self._home.machine, network))
        self._join(wire, name, name)

    def _adopt(self, wire: StreamWire) -> None:
        """It is no machine."""
        if self._others.get(wire) is False:
            self._others[wire] = True
            self.segment.add(wire)
            LOG.info("network %s: %s has joined", self.segment.name, wire.name)
            self._changed()

    # -- both

    def _join(self, wire: StreamWire, name: str, initiator: str) -> None:
        known, lesser = self._machines.get(name), min(name, self._home.machine)
        if known is not None and known.initiator == lesser != initiator:
            self._drop(wire)
            return
        self._machines[name] = _Peer(wire, initiator)
        wire.name, wire.mesh, wire.received = name, True, wire.receive
        self.segment.remove(wire)
        self.segment.add(wire)
        if known is not None:
            self._drop(known.wire)
        LOG.info("network %s: joined to machine %s", self.segment.name, name)
        self._changed()

    def _drop(self, wire: StreamWire) -> None:
        self.segment.remove(wire)
        self._loop.drop(wire)

    def _ended(self, wire: Wire, why: str) -> None:
        self.segment.remove(wire)
        assert isinstance(wire, StreamWire)
        self._others.pop(wire, None)
        for named in [name for name, each in self._dialled.items() if each is wire]:
            del self._dialled[named]
        for named in [name for name, peer in self._machines.items() if peer.wire is wire]:
            del self._machines[named]
        LOG.info("network %s: %s has left: %s", self.segment.name, wire.name, why)
        self._changed()


def wire_report(wire: Wire, kind: str) -> dict[str, Any]:
    """A wire as plain data."""
    counters = wire.counters
    return {
        "name": wire.name, "kind": kind, "in_frames": counters.in_frames, "in_bytes": counters.in_bytes,
        "out_frames": counters.out_frames, "out_bytes": counters.out_bytes, "dropped": counters.dropped,
        "queued_bytes": wire.queued_bytes,
    }  # fmt: skip
