"""Disks and networks in a machine description: their nodes, and the aliases OpenBoot knows them by."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.devices.switch import MAX_FRAME
from emulator.devices.vnet import DEFAULT_MTU
from emulator.errors import ConfigError
from emulator.mdesc import Port, VirtualDevice

CHANNEL_DEVICES = "/virtual-devices@100/channel-devices@200"
SWITCH_MAC = 0x0014_4FFB_0001
"""The address of a switch's end where nobody has given it one."""
MAC_BITS = 48
FRAME_EXTRA = 18
"""Bytes of header and VLAN tag that a frame has besides the MTU."""


def disk_node(number: int, channels: Sequence[int], *, timeout_seconds: int = 0) -> VirtualDevice:
    """A disk: a port for each way to it."""
    ports = (Port(n, (channel,), (("vdc-timeout", timeout_seconds),)) for n, channel in enumerate(channels))
    return VirtualDevice("disk", number, (), tuple(ports))


def net_node(
    number: int,
    channel: int,
    *,
    mac: int,
    default_vlan: int,
    pvid: int | None = None,
    vids: Sequence[int] = (),
    frame_bytes: int = DEFAULT_MTU,
    switch_mac: int = SWITCH_MAC,
    link_states: bool = False,
    peers: Sequence[tuple[int, int]] = (),
) -> VirtualDevice:
    """A network interface with a port to its switch, and one to each peer: (channel, MAC address).

    Raises ConfigError for a frame size that cannot be.
    """
    if not DEFAULT_MTU <= frame_bytes <= MAX_FRAME:
        raise ConfigError(f"the largest frame has {DEFAULT_MTU} to {MAX_FRAME} bytes, not {frame_bytes}")
    ports = [Port(0, (channel,), (("remote-mac-address", switch_mac), ("switch-port", 0)))]
    # A guest tells ports by their numbers alone: another peer, or another channel to it, is another port.
    ports += [Port(to << MAC_BITS | address, (to,), (("remote-mac-address", address),)) for to, address in peers]
    properties = (
        ("local-mac-address", mac), ("mtu", frame_bytes - FRAME_EXTRA), ("default-vlan-id", default_vlan),
        ("port-vlan-id", default_vlan if pvid is None else pvid),
    )  # fmt: skip
    vlans = (("vlan-id", b"".join(vid.to_bytes(8, "big") for vid in vids)),) if vids else ()
    link = (("linkprop", 1),) if link_states else ()
    return VirtualDevice("network", number, (*properties, *vlans, *link), tuple(ports))


def aliases(disks: Sequence[tuple[str, int]], nets: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Paths by the names of disks and networks (name, number); ``disk`` and ``net`` are the first of each."""
    found = {name: f"{CHANNEL_DEVICES}/disk@{number:x}" for name, number in disks}
    found |= {name: f"{CHANNEL_DEVICES}/network@{number:x}" for name, number in nets}
    for name, kind, devices in (("disk", "disk", disks), ("net", "network", nets)):
        if devices:
            found.setdefault(name, f"{CHANNEL_DEVICES}/{kind}@{min(number for _, number in devices):x}")
    return found
