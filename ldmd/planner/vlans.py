"""Properties of switches and networks as a person writes them: VLANs, MTU, bandwidth, private VLANs, protection.

Each reader takes the text behind the ``=`` and gives the model's value, or refuses. Ranges: ldm(1M) of 3.3.
"""

from __future__ import annotations

import ipaddress
import re

from emulator.errors import EmulatorError
from emulator.netdev import check_device
from ldmd.messages import RefusedError, refuse
from ldmd.planner import macs

VLANS = range(1, 4095)
MTUS = range(1500, 16001)
PROTECTIONS = ("mac-nospoof", "restricted", "ip-nospoof", "dhcp-nospoof")
MAXBW_LIMIT = 10**12 * 10
_UNITS = {"": 10**6, "K": 10**3, "M": 10**6, "G": 10**9}
_BANDWIDTH = re.compile(r"([0-9]{1,15})([KkMmGg]?)")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def parse_vlan(text: str) -> int:
    """A VLAN number."""
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) not in VLANS:
        refuse("network.vlan", vlan=text, least=VLANS[0], most=VLANS[-1])
    return int(text)


def parse_vlans(text: str) -> tuple[int, ...]:
    """``5,6``; "" for none. Each once, in the order given."""
    numbers = [parse_vlan(each) for each in text.split(",")] if text else []
    for number in numbers:
        if numbers.count(number) > 1:
            refuse("network.vlan-twice", vlan=number)
    return tuple(numbers)


def change_vlans(now: tuple[int, ...], text: str) -> tuple[int, ...]:
    """The list after ``vid=``: a new one, or with a sign what is added to the present one or taken from it.

    A sign holds for the numbers behind it up to the next sign: ``+5,6`` adds both, ``+5,-6`` adds one and takes one.
    """
    if not text or text[0] not in "+-":
        return parse_vlans(text)
    after, sign = list(now), ""
    for item in text.split(","):
        sign = item[0] if item[:1] in ("+", "-") else sign
        vlan = parse_vlan(item.removeprefix(sign))
        if (sign == "+") == (vlan in after):
            refuse("network.vlan-there" if sign == "+" else "network.vlan-not-there", vlan=vlan)
        if sign == "+":
            after.append(vlan)
        else:
            after.remove(vlan)
    return tuple(after)


def parse_device(text: str) -> str:
    """The name of a physical network device, an aggregation or a VNIC."""
    try:
        return check_device(text)
    except EmulatorError:
        refuse("network.device-name", device=text)


def parse_mtu(text: str) -> int:
    """Bytes."""
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) not in MTUS:
        refuse("network.mtu", mtu=text, least=MTUS[0], most=MTUS[-1])
    return int(text)


def parse_maxbw(text: str) -> int:
    """Bits per second; the unit is K, M or G, and M where none is written."""
    found = _BANDWIDTH.fullmatch(text)
    value = int(found[1]) * _UNITS[found[2].upper()] if found else 0
    if not 0 < value <= MAXBW_LIMIT:
        refuse("network.maxbw", maxbw=text)
    return value


def format_maxbw(bps: int) -> str:
    """The shortest text that `parse_maxbw` reads as this number; it prints what lists show."""
    for unit in ("G", "M", "K"):
        if bps % _UNITS[unit] == 0:
            return f"{bps // _UNITS[unit]}{unit}"
    return f"{max(1, bps // 1000)}K"


def parse_pvlan(text: str) -> str:
    """``secondary-vid,isolated`` or ``secondary-vid,community``."""
    vlan, comma, kind = text.partition(",")
    if not comma or kind not in ("isolated", "community"):
        refuse("network.pvlan", pvlan=text)
    return f"{parse_vlan(vlan)},{kind}"


def parse_protection(text: str) -> tuple[str, ...]:
    """Comma list of protections, in the order in which lists show them."""
    given = text.split(",") if text else []
    for each in given:
        if each not in PROTECTIONS or given.count(each) > 1:
            refuse("network.protection", protection=each, choices=", ".join(PROTECTIONS))
    return tuple(each for each in PROTECTIONS if each in given)


def parse_ips(text: str) -> tuple[str, ...]:
    """Comma list of addresses, IPv4 or IPv6, in their canonical form."""
    found = []
    for each in text.split(",") if text else []:
        try:
            found.append(str(ipaddress.ip_address(each)))
        except ValueError:
            refuse("network.ip", ip=each)
    return tuple(dict.fromkeys(found))


def parse_cids(text: str) -> tuple[str, ...]:
    """Comma list of DHCP client identifiers: MAC addresses or host names."""
    found = []
    for each in text.split(",") if text else []:
        try:
            found.append(macs.format_mac(macs.parse_mac(each)))
        except RefusedError:
            if _HOST.fullmatch(each) is None:
                refuse("network.cid", cid=each)
            found.append(each)
    return tuple(dict.fromkeys(found))
