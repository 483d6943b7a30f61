"""Messages about MAC addresses, virtual switches and virtual networks."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("network.mac-syntax", "{mac} is not a MAC address", "", "write six bytes, such as 00:14:4f:fc:00:01"),
    Message("network.mac-group", "{mac} cannot be the MAC address of a device",
            "it is a group address, or zero", "use 00:14:4f:fc:00:00 to 00:14:4f:ff:ff:ff"),
    Message("network.mac-automatic-range", "MAC address {mac} is in the range reserved for automatic allocation",
            "00:14:4f:f8:00:00 to 00:14:4f:fb:ff:ff are chosen by the manager alone",
            "use 00:14:4f:fc:00:00 to 00:14:4f:ff:ff:ff, or leave the address out"),
    Message("network.mac-in-use", "MAC address {mac} is already in use by {owner}", "", "choose another address"),
    Message("network.mac-elsewhere", "MAC address {mac} is already in use on another machine",
            "the manager of another machine on this network answered for it", "choose another address"),
    Message("network.mac-none-left", "No free MAC address is left in the automatic range", "",
            "remove domains or network devices, or give an address with mac-addr="),
)  # fmt: skip
