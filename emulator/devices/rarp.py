"""The frame by which a network learns where an address is now: a reverse ARP request for itself, to everybody.

It has no IP address in it, so that nothing but switches takes any notice; hosts go on using the MAC address they know
(ARP for IPv4, neighbour discovery for IPv6), which is why no more is needed after a move.

Sources: RFC 903; the use for this purpose: QEMU, net/announce.c, and other hypervisors.
"""

from __future__ import annotations

import struct

from emulator.devices.port import LEAST_FRAME, VLAN_TYPE

_TYPE, _ETHERNET, _IPV4, _REQUEST_REVERSE = 0x8035, 1, 0x0800, 3


def announcement(mac: bytes, *, vlan: int = 0) -> bytes:
    """For an address of six bytes; `vlan` 0: without a tag."""
    tag = VLAN_TYPE + vlan.to_bytes(2, "big") if vlan else b""
    body = struct.pack(">HHHBBH", _TYPE, _ETHERNET, _IPV4, 6, 4, _REQUEST_REVERSE) + mac + bytes(4) + mac + bytes(4)
    return (b"\xff" * 6 + mac + tag + body).ljust(LEAST_FRAME, b"\0")
