"""Classes of virtual devices, as the machine description names them.

Sources: UltraSPARC Virtual Machine Specification 3.0, chapter 8 (virtual devices) and the firmware architecture case
FWARC 2009/521 (VIO nodes).
"""

from __future__ import annotations

from dataclasses import dataclass

VIRTUAL_DEVICES_HANDLE = 0x100
CHANNEL_DEVICES_HANDLE = 0x200


@dataclass(frozen=True)
class DeviceClass:
    """A class of devices: property values of its ``virtual-device`` node, and what its ports are called."""

    name: str
    device_type: str
    compatible: str
    port: str
    required: tuple[str, ...] = ()  # of the device: a driver does not start without them
    port_required: tuple[str, ...] = ()


CHANNEL_DEVICES: dict[str, DeviceClass] = {
    "disk": DeviceClass("disk", "block", "SUNW,sun4v-disk", "vdc-port"),
    "network": DeviceClass(
        "network", "network", "SUNW,sun4v-network", "vnet-port", ("local-mac-address",), ("remote-mac-address",)
    ),
    "vsw": DeviceClass(
        "virtual-network-switch", "vsw", "SUNW,sun4v-network-switch", "vsw-port", ("local-mac-address",),
        ("remote-mac-address",),
    ),
    "vds": DeviceClass("virtual-disk-server", "vds", "SUNW,sun4v-disk-server", "vds-port"),
    "vcc": DeviceClass(
        "virtual-console-concentrator", "vcc", "SUNW,sun4v-console-concentrator", "vcc-port", (), ("vcc-domain-name",)
    ),
    "vldc": DeviceClass("virtual-channel", "serial", "SUNW,sun4v-channel", "vldc-port", (), ("vldc-svc-name",)),
    "vldc-client": DeviceClass(
        "virtual-channel-client", "serial", "SUNW,sun4v-channel", "vldc-port", (), ("vldc-svc-name",)
    ),
    "vlds": DeviceClass("virtual-domain-service", "serial", "SUNW,sun4v-domain-service", "vlds-port"),
}  # fmt: skip

CONSOLE_HANDLE, CONSOLE_INTR, CONSOLE_INO = 1, 1, 0x11
"""The console: its device interrupt 1 is ino 0x11 of virtual-devices."""
RTC_HANDLE, RNG_HANDLE, NCP_HANDLE, N2CP_HANDLE = 5, 6, 7, 8
"""Any numbers do that differ."""

# Chip -> `compatible` of its random-number generator; a chip that is not here has none.
RNG_COMPATIBLE = {
    "t2": "SUNW,n2-rng", "t2+": "SUNW,vf-rng", "t3": "SUNW,kt-rng", "t4": "ORCL,m4-rng", "t5": "ORCL,m4-rng",
    "m5": "ORCL,m4-rng", "m6": "ORCL,m4-rng", "m7": "ORCL,m7-rng", "s7": "ORCL,m7-rng", "m8": "ORCL,m7-rng",
}  # fmt: skip

# Chip -> what `compatible` of its crypto devices begins with; the one of a T1 has a name of its own.
CRYPTO_COMPATIBLE = {"t2": "SUNW,n2", "t2+": "SUNW,vf", "t3": "SUNW,kt"}
NCP_COMPATIBLE = "SUNW,sun4v-ncp"
MAU_INO, CWQ_INO = 0x20, 0x80
"""Devinos of the crypto units of core 0; those of core n are n above. Any do that are free."""

LDC_ENDPOINTS = 4080
"""The most channels that a domain can have on any server (csrc/hyp/interrupt.h)."""
TX_INO, RX_INO = 0, 1
"""Of a channel endpoint: interrupt 2 * channel and the one behind it."""
