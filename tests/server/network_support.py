"""Switches of several machines without the machines: their networks joined through sockets of a home."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.devices.framing import Deframer, enframe
from emulator.devices.segment import Member
from emulator.devices.switch import Port, Switch
from emulator.netdev import parse_plan
from emulator.server.labnet import Home
from emulator.server.links import Networks, UplinkPort

DEADLINE = 60
LOOK = 0.002
BROADCAST = b"\xff" * 6


def mac(number: int) -> bytes:
    return bytes.fromhex(f"020000{number:06x}")


def frame(to: bytes, from_: bytes, *, vlan: int | None = None, text: bytes = b"x") -> bytes:
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    return (to + from_ + tag + b"\x08\x00" + text).ljust(60, b"\0")


def until(happens: Callable[[], Any], what: str = "") -> None:
    """Wait for what other threads do."""
    tick, looks = threading.Event(), 0
    while not happens():
        assert looks < DEADLINE / LOOK, f"it does not happen: {what}"
        tick.wait(LOOK)
        looks += 1


class Site:
    """A machine's networks with one switch, whose uplink is `device`, and one port."""

    def __init__(self, root: Path, name: str, *, device: str = "net0", nets: Mapping[str, str] | None = None,
                 default_vlan: int = 1, started: bool = True) -> None:  # fmt: skip
        (root / name).mkdir(parents=True, exist_ok=True)
        self.name, self.device = name, device
        self.changes = 0
        self.networks = Networks(parse_plan(nets or {}), changed=self._changed)
        self.switch = Switch(name, default_vlan=default_vlan)
        self.uplink = UplinkPort(device, default_vlan=default_vlan)
        self.switch.add(self.uplink)
        self.networks.attach(device, self.uplink)
        self.port = self.add()
        self.home = Home(root, name)
        if started:
            self.networks.open(self.home)

    def _changed(self) -> None:
        self.changes += 1

    def add(self, **options: Any) -> Port:
        options.setdefault("pvid", self.switch.default_vlan)
        port = Port(f"{self.name}/{len(self.switch.ports)}", **options)
        self.switch.add(port)
        return port

    def wires(self, kind: str = "machine") -> list[str]:
        return [wire["name"] for row in self.networks.report() if row["name"] == self.device
                for wire in row["wires"] if wire["kind"] == kind]  # fmt: skip

    def take(self, port: Port | None = None) -> bytes:
        """The next frame; waits for it."""
        port = port or self.port
        until(lambda: port.waiting, f"a frame at {port.name}")
        taken = port.take()
        assert taken is not None
        return taken

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.networks.close()


def joined(*sites: Site) -> None:
    """Wait until each is joined to each."""
    for site in sites:
        others = sorted(other.name for other in sites if other is not site)
        until(lambda site=site, others=others: site.wires() == others, f"{site.name}: {others}, not {site.wires()}")


class Peer:
    """Something else that speaks QEMU's framing, as a QEMU guest does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE)
        self.deframer = Deframer()
        self.frames: list[bytes] = []

    @classmethod
    def at(cls, path: Path) -> Peer:
        sock = socket.socket(socket.AF_UNIX)
        until(lambda: sock.connect_ex(str(path)) == 0, f"somebody listens at {path}")
        return cls(sock)

    def send(self, frame: bytes) -> None:
        self.sock.sendall(enframe(frame))

    def take(self) -> bytes:
        while not self.frames:
            data = self.sock.recv(65536)
            assert data, "closed"
            self.frames += self.deframer.feed(data)
        return self.frames.pop(0)

    def ended(self) -> bool:
        """Read to the end."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.sock.close()


class Tap(Member):
    """A member of a segment that keeps what it is handed."""

    def __init__(self, name: str, *, mesh: bool = False) -> None:
        super().__init__(name, mesh=mesh)
        self.got: list[bytes] = []

    def transmit(self, frame: bytes) -> None:
        self.got.append(frame)
