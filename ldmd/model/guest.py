"""Virtual devices and policies of a domain, as its administrator asked for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Vdisk:
    """A virtual disk: a volume of a virtual disk server."""

    name: str
    volume: str
    service: str  # name of the vds
    timeout: int = 0  # seconds; 0: the guest waits for ever
    id: int | None = None  # as asked for; None: the lowest free one at bind


@dataclass(frozen=True, kw_only=True)
class Vnet:
    """A virtual network interface. MAC addresses are numbers of 48 bits."""

    name: str
    service: str  # name of the vsw
    mac: int
    automatic_mac: bool = True
    alt_macs: tuple[int, ...] = ()
    automatic_alt_macs: tuple[int, ...] = ()  # those of `alt_macs` that were asked for as "auto"
    pvid: int | None = None  # None: the switch's default VLAN
    vids: tuple[int, ...] = ()
    pvlan: str = ""  # "secondary-vid,isolated" or "secondary-vid,community"
    protection: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    allowed_dhcp_cids: tuple[str, ...] = ()
    priority: str = ""  # "high", "medium", "low"
    cos: int | None = None  # 0 to 7
    mode: str = ""  # or "hybrid"
    mtu: int | None = None  # None: the switch's
    linkprop: str = ""  # or "phys-state"
    maxbw_bps: int | None = None  # None: unlimited
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vhba:
    """A virtual SCSI host bus adapter."""

    name: str
    vsan: str
    timeout: int = 0
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vdpcc:
    """A virtual data plane channel client (until 3.3)."""

    name: str
    service: str


@dataclass(frozen=True, kw_only=True)
class Vcons:
    """A domain's console as asked for; None: the default (group: the domain's name; the others are chosen at bind)."""

    group: str | None = None
    port: int | None = None
    service: str | None = None
    log: bool = True


DEFAULT_VCONS = Vcons()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A resource management policy (`add-policy`). Times of day in seconds, percentages as numbers."""

    name: str
    enable: bool = False
    priority: int = 99
    attack: int | None = None  # None: unlimited
    decay: int = 1
    elastic_margin: int = 5
    sample_rate: int = 10  # seconds
    tod_begin: int = 0
    tod_end: int = 24 * 3600 - 1
    util_lower: int = 60
    util_upper: int = 85
    vcpu_min: int = 2
    vcpu_max: int | None = None  # None: unlimited
