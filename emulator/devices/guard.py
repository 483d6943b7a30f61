"""Link protection of a virtual network: which frames of a guest its switch lets through.

====================  =====================================================================================
mac-nospoof           the source address is one of the network's own
restricted            nothing but IPv4, IPv6 and ARP
ip-nospoof            sender addresses of IPv4, ARP and IPv6 are among the allowed ones
dhcp-nospoof          a DHCP client's hardware address is the network's own, its identifier one of the allowed
====================  =====================================================================================

Sources: Logical Domains administration guide, set-vnet protection; dladm(8), link protection; RFC 826, 791, 8200, 2131,
2132 (option 61).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_IPV4, _ARP, _IPV6, _VLAN = b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00"
_UDP, _DHCP_SERVER, _DHCP_CLIENT = 17, 67, 68
_MAGIC = bytes.fromhex("63825363")
_CLIENT_ID, _PAD, _END = 61, 0, 255
_LINK_LOCAL = bytes.fromhex("fe80")
NONE_V4, NONE_V6 = bytes(4), bytes(16)


@dataclass(frozen=True)
class Guard:
    """`macs`: six bytes each. `addresses`: packed, of four or sixteen bytes. `identifiers`: of DHCP clients."""

    macs: frozenset[bytes]
    protection: frozenset[str]
    addresses: frozenset[bytes] = frozenset()
    identifiers: frozenset[bytes] = frozenset()

    @classmethod
    def of(
        cls, macs: Iterable[bytes], protection: Iterable[str], *, ips: Iterable[str] = (), cids: Iterable[str] = ()
    ) -> Guard | None:
        """Out of the properties as a person writes them; None: nothing is protected. Raises ValueError."""
        kinds = frozenset(protection)
        if not kinds:
            return None
        own = frozenset(macs)
        packed = frozenset(ipaddress.ip_address(ip).packed for ip in ips)
        return cls(own, kinds, packed, frozenset(map(_identifier, cids)))

    def allows(self, frame: bytes) -> bool:
        """May this frame of the guest pass?"""
        if "mac-nospoof" in self.protection and frame[6:12] not in self.macs:
            return False
        at = 16 if frame[12:14] == _VLAN else 12
        kind, body = frame[at : at + 2], frame[at + 2 :]
        if "restricted" in self.protection and kind not in (_IPV4, _ARP, _IPV6):
            return False
        if "ip-nospoof" in self.protection and not self._address_allowed(kind, body):
            return False
        return "dhcp-nospoof" not in self.protection or kind != _IPV4 or self._dhcp_allowed(body)

    def _address_allowed(self, kind: bytes, body: bytes) -> bool:
        if kind == _IPV4:
            return body[12:16] in self.addresses or body[12:16] == NONE_V4  # a client that has none yet
        if kind == _ARP:
            return body[14:18] in self.addresses or body[14:18] == NONE_V4
        if kind == _IPV6:
            sender = body[8:24]
            return sender in self.addresses or sender == NONE_V6 or sender[:2] == _LINK_LOCAL
        return True

    def _dhcp_allowed(self, body: bytes) -> bool:
        words = (body[0] & 0xF) * 4 if body else 0
        udp = body[words:]
        if len(body) < 20 or body[9] != _UDP or len(udp) < 8:
            return True
        if (int.from_bytes(udp[0:2], "big"), int.from_bytes(udp[2:4], "big")) != (_DHCP_CLIENT, _DHCP_SERVER):
            return True
        dhcp = udp[8:]
        if dhcp[28:34] not in self.macs:
            return False
        said = _client_identifier(dhcp)
        return said is None or said in self.identifiers or said in {b"\x01" + mac for mac in self.macs}


def _identifier(text: str) -> bytes:
    """A MAC address with the type of Ethernet before it, or the letters of a name with type 0."""
    parts = text.split(":")
    try:
        if len(parts) == 6:
            return b"\x01" + bytes(int(part, 16) for part in parts)
    except ValueError:
        pass
    return b"\x00" + text.encode()


def _client_identifier(dhcp: bytes) -> bytes | None:
    if dhcp[236:240] != _MAGIC:
        return None
    at = 240
    while at + 1 < len(dhcp) and dhcp[at] != _END:
        if dhcp[at] == _PAD:
            at += 1
            continue
        size = dhcp[at + 1]
        if dhcp[at] == _CLIENT_ID:
            return dhcp[at + 2 : at + 2 + size]
        at += 2 + size
    return None
