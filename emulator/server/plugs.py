"""The devices of one guest's machine: made from its specification, and changed while it runs.

Everything here happens in the guest's turn (emulator.server.guest), while its strands rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from emulator.backends.file import Backend
from emulator.devices.capture import Capture
from emulator.devices.describe import FRAME_EXTRA, SWITCH_MAC
from emulator.devices.device import ChannelDevice
from emulator.devices.ds import DomainServices
from emulator.devices.switch import Port, mac_bytes
from emulator.devices.vdisk import DiskOptions, VirtualDisk
from emulator.devices.vnet import VnetPort
from emulator.machine import Machine
from emulator.server.disks import Disks
from emulator.server.errors import BackendError
from emulator.server.spec import Disk, DiskPath, GuestSpec, Net
from emulator.server.switches import Switches, unplug

LOG = logging.getLogger("sun4v.machine")
SERVICES = "domain-services"
_Paths = dict[tuple[str, int], tuple[Disk, DiskPath]]


class NoDisk:
    """Behind a disk whose file cannot be opened: its service is gone, and nothing comes here."""

    size_bytes = 512
    read_only = True

    def read(self, offset: int, length: int) -> bytes:
        """Nothing can be read."""
        raise OSError("no backend")

    def write(self, offset: int, data: bytes) -> None:
        """Nothing can be written."""
        raise OSError("no backend")

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


@dataclass
class _DiskPlug:
    """One path of a disk. `error`: why its file cannot be opened; "" where it is open, or not wanted now."""

    disk: str
    path: DiskPath
    device: VirtualDisk
    backend: Backend
    error: str = ""


@dataclass
class _NetPlug:
    """A network."""

    net: Net
    device: VnetPort
    port: Port
    capture: Capture | None = None


@dataclass(frozen=True)
class Surroundings:
    """Where devices find what they need. `wake`: something waits for the guest; `clock`: for captures."""

    disks: Disks
    switches: Switches
    wake: Callable[[], None]
    clock: Callable[[], int] | None = field(default=None)


class Plugs:
    """The devices of a machine."""

    def __init__(self, machine: Machine, around: Surroundings, *, guest: str) -> None:
        self._machine, self._around, self._guest = machine, around, guest
        self._disks: dict[tuple[str, int], _DiskPlug] = {}
        self._away = False  # its guest is elsewhere as yet, or has left: nothing is opened or plugged in
        self._nets: dict[str, _NetPlug] = {}

    @property
    def errors(self) -> dict[str, str]:
        """Disks whose files cannot be opened, and why."""
        return {plug.disk: plug.error for plug in self._disks.values() if plug.error}

    @property
    def services(self) -> DomainServices:
        """The manager's end of the domain services."""
        device = self._machine.devices[SERVICES]
        assert isinstance(device, DomainServices)
        return device

    def close(self) -> None:
        """Unplug everything. The machine's devices are of no use after that."""
        for net in self._nets.values():
            self._close_net(net)
        for disk in self._disks.values():
            disk.backend.close()
        self._disks, self._nets = {}, {}

    def apply(self, spec: GuestSpec) -> list[str]:
        """Devices as the specification says; returns what was changed. A file that cannot be opened is no error."""
        paths = {(disk.name, path.channel): (disk, path) for disk in spec.disks for path in disk.paths}
        nets = {net.name: net for net in spec.nets}
        # what goes goes first: its channel may be given to another
        changed = [*self._remove_disks(paths), *self._remove_nets(nets)]
        return [*changed, *self._apply_disks(paths), *self._apply_nets(nets)]

    def refresh(self) -> None:
        """The switches have changed."""
        for plug in self._nets.values():
            self._place(plug)

    # -- a guest that moves

    def prepare(self, spec: GuestSpec) -> None:
        """Devices for a guest that is to come from another server: no file is opened, no network plugged in."""
        self._away = True
        self.apply(spec)

    @property
    def released(self) -> bool:
        """Are the files behind the disks closed?"""
        return self._away

    def release(self) -> None:
        """Close what is behind the disks; the guest stands still and sees nothing of it."""
        self._machine.drain()
        for plug in self._disks.values():
            opened, plug.backend = plug.backend, NoDisk()
            plug.device.backend = plug.backend
            opened.close()
        self._away = True

    def loaded(self) -> None:
        """The devices have the state of another server's: what is up is what the guest has seen so."""
        devices: list[ChannelDevice] = [plug.device for plug in self._disks.values()]
        devices += [plug.device for plug in self._nets.values()]
        for device in devices:
            device.online = device.channel.up

    def arrive(self, *, unplugged: bool) -> None:
        """Open the disks, and with `unplugged` plug in the networks: the guest runs here from now on.

        Raises BackendError where a disk has a path that could be opened by nobody: then none is open.
        """
        opened = {key: self._open_path(plug) for key, plug in self._disks.items()}
        there = {key[0] for key, (_, error) in opened.items() if not error}
        missing = [error for key, (_, error) in opened.items() if error and key[0] not in there]
        if missing:
            for backend, _ in opened.values():
                backend.close()
            raise BackendError("; ".join(missing))
        self._away = False
        for key, (backend, error) in opened.items():
            plug = self._disks[key]
            plug.backend = plug.device.backend = backend
            plug.error = error
            plug.device.set_online(plug.path.online and not error)
        for net in self._nets.values():
            if unplugged:
                self._record(net)
            self._place(net)
        if unplugged:
            announce: Callable[[], None] | None = getattr(self, "announce", None)
            if announce is not None:
                announce()

    def _open_path(self, plug: _DiskPlug) -> tuple[Backend, str]:
        if not plug.path.online:
            return NoDisk(), ""
        try:
            return self._around.disks.open(plug.path), ""
        except BackendError as error:
            return NoDisk(), str(error)

    def frames(self) -> dict[str, tuple[bytes, ...]]:
        """Frames that the guest has not taken yet, by network."""
        return {name: plug.port.pending for name, plug in self._nets.items() if plug.port.pending}

    def restore_frames(self, frames: Mapping[str, Iterable[bytes]]) -> None:
        """Take over what `frames` gave."""
        for name, plug in self._nets.items():
            plug.port.restore(frames.get(name, ()))

    # -- disks

    def _remove_disks(self, wanted: _Paths) -> Iterator[str]:
        for key in [key for key in self._disks if key not in wanted]:
            plug = self._disks.pop(key)
            self._machine.detach(plug.device.name)
            plug.backend.close()
            yield f"disk {key[0]} removed"

    def _apply_disks(self, wanted: _Paths) -> Iterator[str]:
        for key, (disk, path) in wanted.items():
            known = self._disks.get(key)
            if known is None:
                self._disks[key] = self._add_disk(disk, path)
                yield f"disk {disk.name} added"
            elif known.path != path or known.error:
                known.device.holds = _waits(disk, known.path, path)
                self._change_disk(known, path)
                yield f"disk {disk.name} changed"

    def _add_disk(self, disk: Disk, path: DiskPath) -> _DiskPlug:
        # the first path has the disk's own name; the name is the key of the device in a saved state
        name = f"disk {disk.name}" if path is disk.paths[0] else f"disk {disk.name}:{path.channel}"
        backend, error = self._open(name, path)
        device = VirtualDisk(name, path.channel, backend, options=_options(disk.name, path))
        device.online = path.online and not error
        try:
            self._machine.attach(device)
        except BaseException:
            backend.close()
            raise
        return _DiskPlug(disk.name, path, device, backend, error)

    def _change_disk(self, plug: _DiskPlug, path: DiskPath) -> None:
        """Another file, or the service has gone or come. While it is gone the file is closed."""
        plug.device.set_online(False)
        plug.backend.close()
        plug.backend, plug.error = self._open(plug.device.name, path)
        plug.path = path
        plug.device.backend = plug.backend
        plug.device.options = _options(plug.disk, path)
        plug.device.set_online(path.online and not plug.error)

    def _open(self, name: str, path: DiskPath) -> tuple[Backend, str]:
        if not path.online or self._away:
            return NoDisk(), ""
        try:
            return self._around.disks.open(path), ""
        except BackendError as error:
            LOG.warning("%s: disk %s is not there: %s", self._guest, name, error)
            return NoDisk(), str(error)

    # -- networks

    def _remove_nets(self, wanted: dict[str, Net]) -> Iterator[str]:
        for name in [name for name, plug in self._nets.items() if _differs(plug.net, wanted.get(name))]:
            plug = self._nets.pop(name)
            self._machine.detach(plug.device.name)
            self._close_net(plug)
            yield f"net {name} removed"

    def _apply_nets(self, wanted: dict[str, Net]) -> Iterator[str]:
        for name, net in wanted.items():
            known = self._nets.get(name)
            if known is None:
                self._nets[name] = self._add_net(net)
                yield f"net {name} added"
            elif known.net != net:
                known.net = net
                yield f"net {name} changed"
            self._place(self._nets[name])

    def _add_net(self, net: Net) -> _NetPlug:
        port = Port(f"{self._guest}/{net.name}", pvid=net.pvid, vids=net.vids, wake=self._around.wake)
        port.clock = self._around.clock
        switch = self._around.switches.find(net.switch)
        address = switch[0].mac if switch else SWITCH_MAC
        device = VnetPort(f"net {net.name}", net.channel, port, address=address, mtu=net.mtu + FRAME_EXTRA)
        device.online = net.online and self._around.switches.online(net.switch)
        plug = _NetPlug(net, device, port)
        if not self._away:
            self._record(plug)
        self._machine.attach(device)
        return plug

    def _record(self, plug: _NetPlug) -> None:
        """The frames of a network to a file, where that is wanted."""
        if plug.net.capture is None:
            return
        try:
            plug.capture = Capture(plug.net.capture)
        except OSError as error:
            LOG.warning("%s: net %s is not recorded: %s", self._guest, plug.net.name, error)
        else:
            plug.port.record(plug.capture)

    def _place(self, plug: _NetPlug) -> None:
        """Into its switch, or out of it: a link that is down where there is none, or nobody serves it."""
        if self._away:
            return
        net = plug.net
        online = net.online and self._around.switches.online(net.switch)
        if not online or not self._around.switches.plug(net.switch, plug.port):
            unplug(plug.port)
            online = False
        plug.device.set_online(online)
        if online and plug.port.switch is not None:
            plug.port.switch.assign(plug.port, [mac_bytes(mac) for mac in (net.mac, *net.alt_macs)])

    def _close_net(self, plug: _NetPlug) -> None:
        unplug(plug.port)
        plug.port.wake = None
        if plug.capture is not None:
            plug.capture.close()


def _options(name: str, path: DiskPath) -> DiskOptions:
    return DiskOptions(slice="slice" in path.options, device_id=name.encode())


def _waits(disk: Disk, now: DiskPath, then: DiskPath) -> bool:
    """May the client's session outlast its service? It must see it go where it has a timeout, or another path."""
    same = replace(now, online=True) == replace(then, online=True)
    return same and disk.timeout == 0 and len(disk.paths) == 1


def _differs(now: Net, wanted: Net | None) -> bool:
    """Is it another device? Whether it is served, and where it is plugged in, can change on the same one."""
    if wanted is None:
        return True
    places = {"online": True, "switch": "", "alt_macs": (), "maxbw_bps": None}
    return _same(now, places) != _same(wanted, places)


def _same(net: Net, places: dict[str, object]) -> dict[str, object]:
    return {**net.__dict__, **places}
