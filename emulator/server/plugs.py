"""The devices of one guest's machine: made from its specification, and changed while it runs.

Everything here happens in the guest's turn (emulator.server.guest), while its strands rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase

from emulator.backends.file import Backend
from emulator.devices.capture import Capture
from emulator.devices.datapath import DiskCounters
from emulator.devices.describe import FRAME_EXTRA, SWITCH_MAC
from emulator.devices.device import ChannelDevice
from emulator.devices.ds import DomainServices
from emulator.devices.rarp import announcement
from emulator.devices.switch import MAX_HOPS, Port, mac_bytes
from emulator.devices.vdisk import DiskOptions, VirtualDisk
from emulator.devices.vnet import VnetPort
from emulator.errors import ConfigError
from emulator.faults.disk import FaultyDisk
from emulator.faults.injector import Injector
from emulator.machine import Machine
from emulator.server.disks import Disks
from emulator.server.errors import BackendError
from emulator.server.paths import PathDisk, PathGroup, Way
from emulator.server.spec import Disk, DiskPath, GuestSpec, Net
from emulator.server.switches import Switches, unplug
from emulator.server.vnetlinks import NetLinks

LOG = logging.getLogger("sun4v.machine")
SERVICES = "domain-services"
COS_SHIFT = 13
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

    @property
    def trouble(self) -> str:
        """Why it cannot be opened, or what is wrong with it since."""
        return self.error or str(getattr(self.backend, "trouble", ""))


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
    faults: Injector = field(default_factory=Injector)


class Plugs:
    """The devices of a machine."""

    def __init__(self, machine: Machine, around: Surroundings, *, guest: str) -> None:
        self._machine, self._around, self._guest = machine, around, guest
        self._disks: dict[tuple[str, int], _DiskPlug] = {}
        self._away = False  # its guest is elsewhere as yet, or has left: nothing is opened or plugged in
        self._nets: dict[str, _NetPlug] = {}
        self._groups: dict[str, PathGroup] = {}  # of disks with several paths
        self._wanted: tuple[Disk, ...] = ()
        self.links = NetLinks(machine, around.switches.wires, self._listens)

    @property
    def errors(self) -> dict[str, str]:
        """Disks whose files cannot be opened or have something wrong, and what."""
        return {plug.disk: trouble for plug in self._disks.values() if (trouble := plug.trouble)}

    @property
    def paths(self) -> dict[str, list[dict[str, object]]]:
        """{channel, state} of each path, by disk, of disks that have several."""
        return {name: group.states() for name, group in self._groups.items()}

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """What each disk has done on all its paths, since it is here."""
        found: dict[str, DiskCounters] = {}
        for plug in self._disks.values():
            found[plug.disk] = found.get(plug.disk, DiskCounters()) + plug.device.counters
        return {name: asdict(each) for name, each in found.items()}

    @property
    def services(self) -> DomainServices:
        """The manager's end of the domain services."""
        device = self._machine.devices[SERVICES]
        assert isinstance(device, DomainServices)
        return device

    def _listens(self) -> bool:
        """Does the guest read its machine description anew when it is told to, and may it be told?"""
        return SERVICES in {device.name for device in self._machine.devices} and self.services.reads_descriptions

    def close(self) -> None:
        """Unplug everything. The machine's devices are of no use after that."""
        self.links.cut()
        for net in self._nets.values():
            self._close_net(net)
        for disk in self._disks.values():
            disk.device.quiet()
        for disk in self._disks.values():
            disk.backend.close()
        self._disks, self._nets, self._groups = {}, {}, {}

    def apply(self, spec: GuestSpec) -> list[str]:
        """Devices as the specification says; returns what was changed. A file that cannot be opened is no error."""
        paths = {(disk.name, path.channel): (disk, path) for disk in spec.disks for path in disk.paths}
        nets = {net.name: net for net in spec.nets}
        # what goes goes first: its channel may be given to another
        changed = [*self._remove_disks(paths), *self._remove_nets(nets)]
        self.links.give_way([*(channel for _, channel in paths), *(net.channel for net in spec.nets)])
        changed += self.links.want(spec.nets)
        changed += self._apply_disks(paths)
        self._wanted = spec.disks
        self._settle_groups(self._wanted)
        return [*changed, *self._apply_nets(nets)]

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
        self.withdraw()

    def loaded(self) -> None:
        """The devices have the state of another server's: what is up is what the guest has seen so."""
        devices: list[ChannelDevice] = [plug.device for plug in self._disks.values()]
        devices += [plug.device for plug in self._nets.values()]
        for device in devices:
            device.online = device.channel.up
        self.links.loaded()

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
            plug.backend, plug.error = backend, error
            group = self._groups.get(key[0])
            plug.device.backend = backend if group is None else PathDisk(group, plug.path.channel)
            if group is None:
                plug.device.set_online(plug.path.online and not error)
        self._settle_groups(self._wanted)
        for net in self._nets.values():
            if unplugged:
                self._record_as_told(net)
            self._place(net)
        if unplugged:
            self.announce()

    def _open_path(self, plug: _DiskPlug) -> tuple[Backend, str]:
        if not plug.path.online:
            return NoDisk(), ""
        try:
            return self._faulty(plug.disk, self._around.disks.open(plug.path)), ""
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
            self._drain_group(key[0])
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
        # the key of the device in a saved state: the same wherever the guest is made again, whichever path is selected
        name = f"disk {disk.name}:{path.channel}"
        backend, error = self._open(name, path)
        device = VirtualDisk(name, path.channel, backend, options=_options(disk.name, path))
        device.online = path.online and not error
        if len(disk.paths) > 1:
            group = self._group(disk)
            device.backend = PathDisk(group, path.channel)
        try:
            self._machine.attach(device)
        except BaseException:
            backend.close()
            raise
        return _DiskPlug(disk.name, path, device, backend, error)

    def _change_disk(self, plug: _DiskPlug, path: DiskPath) -> None:
        """Another file, or the service has gone or come. While it is gone the file is closed."""
        grouped = isinstance(plug.device.backend, PathDisk)  # then the group says whether its channel is up
        if not grouped:
            plug.device.set_online(False)
        self._drain_group(plug.disk)
        plug.backend.close()
        plug.backend, plug.error = self._open(plug.device.name, path)
        plug.path = path
        plug.device.options = _options(plug.disk, path)
        if not grouped:
            plug.device.backend = plug.backend
            plug.device.set_online(path.online and not plug.error)

    def _drain_group(self, disk: str) -> None:
        """No request is on its way on any path of a disk: one may be closed."""
        for (name, _), plug in self._disks.items():
            if name == disk and disk in self._groups:
                plug.device.drain()

    def _settle_groups(self, disks: Iterable[Disk]) -> None:
        """Which channels of disks with several paths are up, and where they lead."""
        several = {disk.name: disk for disk in disks if len(disk.paths) > 1}
        for name in [name for name in self._groups if name not in several]:
            del self._groups[name]
        for (name, _), plug in self._disks.items():
            if name not in several and isinstance(plug.device.backend, PathDisk):  # it has one path now
                plug.device.set_online(False)
                plug.device.backend = plug.backend
                plug.device.set_online(plug.path.online and not plug.error)
        for name, disk in several.items():
            plugs = [self._disks[name, path.channel] for path in disk.paths]
            group = self._group(disk)
            group.settle([Way(plug.path.channel, plug.backend, plug.path.online and not plug.error) for plug in plugs])
            for plug in plugs:
                if not isinstance(plug.device.backend, PathDisk):  # it had one path before
                    plug.device.set_online(False)
                    plug.device.backend = PathDisk(group, plug.path.channel)
        self.settle_paths()

    def _group(self, disk: Disk) -> PathGroup:
        """The paths of a disk that has several."""
        def opened() -> int:
            mine = (plug for (name, _), plug in self._disks.items() if name == disk.name)
            return sum(plug.device.channel.info.rx_entries > 0 for plug in mine)

        return self._groups.setdefault(disk.name, PathGroup(disk.name, opened))

    def settle_paths(self) -> None:
        """Channels of disks with several paths go up and down, as their guests turn out to choose among them or not."""
        for (name, channel), plug in self._disks.items():
            if name in self._groups:
                plug.device.set_online(self._groups[name].is_up(channel))

    def _open(self, name: str, path: DiskPath) -> tuple[Backend, str]:
        if not path.online or self._away:
            return NoDisk(), ""
        try:
            return self._faulty(name.removeprefix("disk ").rpartition(":")[0], self._around.disks.open(path)), ""
        except BackendError as error:
            LOG.warning("%s: disk %s is not there: %s", self._guest, name, error)
            return NoDisk(), str(error)

    def _faulty(self, disk: str, backend: Backend) -> Backend:
        return FaultyDisk(backend, self._around.faults, domain=self._guest, disk=disk,
                          real_time=not self._machine.deterministic)

    def serve_disks(self, pattern: str, online: bool) -> None:
        """The services behind disks of such names go, or come back where they should be there."""
        for plug in self._disks.values():
            if fnmatchcase(plug.disk, pattern):
                plug.device.set_online(online and plug.path.online and not plug.error and not self._away)

    def reconsider(self) -> None:
        """Faults of the disks have come or gone: who serves plain requests is decided anew."""
        for plug in self._disks.values():
            plug.device.reconsider()

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
                self._change_net(known, net)
                yield f"net {name} changed"
            self._place(self._nets[name])

    def _add_net(self, net: Net) -> _NetPlug:
        port = Port(f"{self._guest}/{net.name}", pvid=net.pvid, vids=net.vids, wake=self._around.wake)
        port.clock = self._around.clock
        _shape(port, net)
        switch = self._around.switches.find(net.switch)
        address = switch[0].mac if switch else SWITCH_MAC
        device = VnetPort(f"net {net.name}", net.channel, port, address=address, mtu=net.mtu + FRAME_EXTRA)
        device.online = net.online and self._around.switches.online(net.switch)
        plug = _NetPlug(net, device, port)
        if not self._away:
            self._record_as_told(plug)
        self._machine.attach(device)
        return plug

    def _change_net(self, plug: _NetPlug, net: Net) -> None:
        """What can change on the same device."""
        before, plug.net = plug.net, net
        vlans = plug.port.pvid, plug.port.vids
        plug.port.set_vlans(net.pvid, net.vids)
        _shape(plug.port, net)
        if plug.port.switch is not None and vlans != (plug.port.pvid, plug.port.vids):
            plug.port.switch.settle()
        if before.capture != net.capture and not self._away:
            self._record_as_told(plug)

    def _record_as_told(self, plug: _NetPlug) -> None:
        try:
            self._record(plug, plug.net.capture)
        except OSError as error:
            LOG.warning("%s: net %s is not recorded: %s", self._guest, plug.net.name, error)

    def record(self, name: str, path: str | None) -> None:
        """Record what goes through a network into a file from now on; None: no more. Raises OSError, ConfigError."""
        plug = self._nets.get(name)
        if plug is None:
            known = ", ".join(self._nets) or "none"
            raise ConfigError(f"{self._guest} has no network {name} (there are: {known})")
        self._record(plug, path)

    def _record(self, plug: _NetPlug, path: str | None) -> None:
        capture = None if path is None else Capture(path)
        plug.port.record(capture)
        plug.capture, old = capture, plug.capture
        if old is not None:
            old.close()

    def announce(self) -> None:
        """The guest is here from now on: its addresses are learned here, and by all who are joined to its switches."""
        for plug in self._nets.values():
            self._place(plug)
            net, switch = plug.net, plug.port.switch
            if switch is None:
                continue
            for mac in (net.mac, *net.alt_macs):
                switch.forward(plug.port, announcement(mac_bytes(mac)), MAX_HOPS)
                for vlan in net.vids:
                    switch.forward(plug.port, announcement(mac_bytes(mac), vlan=vlan), MAX_HOPS)

    def withdraw(self) -> None:
        """The guest is about to be elsewhere: its addresses may be behind other ports from now on."""
        for plug in self._nets.values():
            unplug(plug.port)

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
        plug.device.set_link(net.linkprop != "phys-state" or self._around.switches.link_up(net.switch))
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


def _shape(port: Port, net: Net) -> None:
    """Limits and rules of a port."""
    port.limit(net.maxbw_bps)
    port.guard = net.guard()
    port.priority_bits = net.cos << COS_SHIFT
    port.secondary = None if net.pvlan is None else (net.pvlan[0], bool(net.pvlan[1]))
    port.changed()


def _differs(now: Net, wanted: Net | None) -> bool:
    """Is it another device? Whether it is served, and where it is plugged in, can change on the same one."""
    if wanted is None:
        return True
    places = {
        "online": True, "switch": "", "alt_macs": (), "maxbw_bps": None, "pvid": 1, "vids": (), "capture": None,
        "pvlan": None, "protection": (), "allowed_ips": (), "allowed_dhcp_cids": (), "cos": 0, "linkprop": "",
        "peers": (),
    }  # fmt: skip
    return _same(now, places) != _same(wanted, places)


def _same(net: Net, places: dict[str, object]) -> dict[str, object]:
    return {**net.__dict__, **places}
