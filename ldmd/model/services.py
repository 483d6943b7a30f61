"""Services that a domain offers to others: disks, networks, consoles, storage (vds, vsw, vcc, vsan)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What a virtual disk server exports: `add-vdsdev`. Full name ``name@server``."""

    name: str
    backend: str  # a path on the host
    options: tuple[str, ...] = ()  # of "ro", "slice", "excl"
    mpgroup: str = ""


@dataclass(frozen=True, kw_only=True)
class DiskServer:
    """A virtual disk server (vds)."""

    name: str
    volumes: tuple[Volume, ...] = ()

    def volume(self, name: str) -> Volume | None:
        """A volume by name."""
        return next((volume for volume in self.volumes if volume.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Vsw:
    """A virtual switch. MAC addresses are numbers of 48 bits."""

    name: str
    mac: int
    automatic_mac: bool = True
    net_dev: str = ""
    default_vlan: int = 1
    pvid: int = 1
    vids: tuple[int, ...] = ()
    mtu: int = 1500
    linkprop: str = ""  # or "phys-state"
    mode: str = ""  # or "sc"
    inter_vnet_link: str = "auto"  # "auto", "on", "off"
    relay_mode: str = "local"  # or "remote"
    id: int | None = None  # as asked for; None: the lowest free one


@dataclass(frozen=True, kw_only=True)
class Vcc:
    """A virtual console concentrator: TCP ports from `first_port` to `last_port`, both included."""

    name: str
    first_port: int
    last_port: int


@dataclass(frozen=True, kw_only=True)
class Vsan:
    """A virtual storage area network behind an initiator port."""

    name: str
    iport: str


@dataclass(frozen=True, kw_only=True)
class Vdpcs:
    """A virtual data plane channel service (until 3.3)."""

    name: str
