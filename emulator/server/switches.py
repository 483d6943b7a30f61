"""The virtual switches of a server, by name: guests' networks plug in where there is one of that name."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from emulator.devices.describe import SWITCH_MAC
from emulator.devices.switch import HEADER, MAX_VLAN, TAG_BYTES, Port, Switch
from emulator.errors import ConfigError
from emulator.faults.frames import FrameFaults
from emulator.fields import Fields
from emulator.netdev import check_device
from emulator.server.errors import SpecError
from emulator.server.links import Networks, UplinkPort
from emulator.server.spec import LEAST_MTU, MAC_BITS, MAX_MTU, MAX_NAME
from emulator.server.vnetlinks import Wires

MAX_SWITCHES = 512
CLUSTER = "sc"


@dataclass(frozen=True, kw_only=True)
class SwitchSpec:
    """What a switch shall be. `online`: the domain that serves it runs; `net_dev`: its physical device, or ""."""

    name: str
    mac: int = SWITCH_MAC
    default_vlan: int = 1
    pvid: int = 1
    vids: tuple[int, ...] = ()
    mtu: int = 1500
    linkprop: str = ""
    online: bool = True
    net_dev: str = ""
    mode: str = ""


def parse_switch(fields: Fields) -> SwitchSpec:
    """A switch out of plain data. Raises SpecError."""
    for told in ("inter_vnet_link",):  # what only the manager and the guest care about
        fields.optional_text(told)
    spec = SwitchSpec(
        name=fields.text("name", most=MAX_NAME),
        mac=fields.number("mac", 0, (1 << MAC_BITS) - 1, SWITCH_MAC),
        default_vlan=fields.number("default_vlan", 1, MAX_VLAN, 1),
        pvid=fields.number("pvid", 1, MAX_VLAN, 1),
        vids=fields.numbers("vids", 1, MAX_VLAN, []),
        mtu=fields.number("mtu", LEAST_MTU, MAX_MTU, LEAST_MTU),
        linkprop=fields.optional_text("linkprop") or "",
        online=fields.flag("online", True),
        net_dev=_device(fields),
        mode=fields.optional_text("mode") or "",
    )
    fields.end()
    if not spec.name:
        raise SpecError(f"{fields.where}.name: a name is wanted")
    return spec


def _device(fields: Fields) -> str:
    name = fields.optional_text("net_dev") or ""
    try:
        return check_device(name) if name else ""
    except ConfigError as error:
        raise SpecError(f"{fields.where}.net_dev: {error}") from None


class Switches:
    """The switches, with their uplinks to `networks`. Safe from several threads."""

    def __init__(self, networks: Networks | None = None, *, faults: FrameFaults | None = None) -> None:
        self.networks, self._faults = networks or Networks(), faults
        self.wires = Wires()
        """Links between networks of one switch, which do not go through it."""
        self._lock = threading.Lock()
        self._switches: dict[str, tuple[SwitchSpec, Switch]] = {}
        self._uplinks: dict[str, UplinkPort] = {}

    def configure(self, specs: tuple[SwitchSpec, ...]) -> None:
        """These switches and no others. Ports of one that goes lose their link. Raises SpecError."""
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names) or len(names) > MAX_SWITCHES:
            raise SpecError(f"switches: at most {MAX_SWITCHES}, each of another name")
        with self._lock:
            for name in self._switches.keys() - set(names):
                switch = self._switches.pop(name)[1]
                self._unlink(name)
                for port in switch.ports:
                    switch.remove(port)
            for spec in specs:
                known = self._switches.get(spec.name)
                switch = known[1] if known else Switch(spec.name, clock=self.networks.clock)
                switch.default_vlan, switch.faults = spec.default_vlan, self._faults
                switch.most = spec.mtu + HEADER + TAG_BYTES
                switch.cluster = spec.mode == CLUSTER
                switch.forget_flows()
                self._switches[spec.name] = spec, switch
                self._link(spec, switch)

    def forget_flows(self) -> None:
        """What frames may go past is decided anew."""
        with self._lock:
            for _, switch in self._switches.values():
                switch.forget_flows()

    def _link(self, spec: SwitchSpec, switch: Switch) -> None:
        """Its uplink, as the specification says: none while nobody serves the switch."""
        uplink, wanted = self._uplinks.get(spec.name), spec.net_dev if spec.online else ""
        if uplink is not None and (uplink.name, uplink.pvid) == (wanted, spec.default_vlan):
            return
        self._unlink(spec.name)
        if wanted:
            uplink = self._uplinks[spec.name] = UplinkPort(wanted, default_vlan=spec.default_vlan)
            switch.add(uplink)
            self.networks.attach(wanted, uplink)

    def _unlink(self, name: str) -> None:
        uplink = self._uplinks.pop(name, None)
        if uplink is not None:
            self.networks.detach(uplink.name, uplink)
            unplug(uplink)

    def uplink(self, name: str) -> UplinkPort | None:
        """The uplink of a switch."""
        return self._uplinks.get(name)

    def link_up(self, name: str) -> bool:
        """Is the physical link behind a switch up? A switch without one has nothing that could be down."""
        found = self._switches.get(name)
        return found is None or not found[0].net_dev or self.networks.up(found[0].net_dev)

    def find(self, name: str) -> tuple[SwitchSpec, Switch] | None:
        """A switch by name."""
        return self._switches.get(name)

    def online(self, name: str) -> bool:
        """Is there such a switch, and is it served?"""
        found = self._switches.get(name)
        return found is not None and found[0].online

    def plug(self, name: str, port: Port) -> bool:
        """Put a port into a switch, if it is not there already. False: there is no such switch."""
        with self._lock:
            found = self._switches.get(name)
            if found is None:
                return False
            if port.switch is not found[1]:
                unplug(port)
                found[1].add(port)
            return True

    def report(self) -> list[dict[str, object]]:
        """Switches and ports with their counters, as plain data."""
        with self._lock:
            for _, switch in self._switches.values():
                switch.collect()
            return [
                {
                    "name": spec.name, "mac": spec.mac, "online": spec.online, "default_vlan": spec.default_vlan,
                    "net_dev": spec.net_dev, "linkprop": spec.linkprop, "link_up": self.link_up(spec.name),
                    "ports": [_port_report(port) for port in switch.ports],
                    "oversized": switch.oversized, "vlans": [
                        {"vlan": vlan, "frames": frames, "bytes": size}
                        for vlan, (frames, size) in sorted(dict(switch.vlans).items())],
                }
                for spec, switch in self._switches.values()
            ]  # fmt: skip


def _port_report(port: Port) -> dict[str, object]:
    counters = port.counters
    return {
        "name": port.name, "pvid": port.pvid, "vids": sorted(port.vids), "received": counters.received,
        "sent": counters.sent, "dropped": counters.dropped, "received_bytes": counters.received_bytes,
        "sent_bytes": counters.sent_bytes, "limited": counters.limited, "refused": counters.refused,
        "waiting": port.waiting,
    }  # fmt: skip


def unplug(port: Port) -> None:
    """Take a port out of its switch, where it is in one."""
    if port.switch is not None:
        port.switch.remove(port)
