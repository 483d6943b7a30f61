"""Machine descriptions: how hypervisor and manager tell a guest what it has.

`build` makes one from a server and a domain's resources, `encode` and `decode` turn it into the bytes of the
MACH_DESC hypercall and back, `diff` compares two, `as_text` and `as_json` print one.
"""

from emulator.mdesc.builder import build, most_channels
from emulator.mdesc.decode import decode
from emulator.mdesc.diff import Change, diff
from emulator.mdesc.edit import with_properties
from emulator.mdesc.encode import encode
from emulator.mdesc.model import (
    Arc,
    MachineDescription,
    MdescError,
    Node,
    Property,
    Value,
    split_strings,
    string_list,
)
from emulator.mdesc.printer import as_json, as_text
from emulator.mdesc.resources import (
    CryptoUnit,
    LatencyGroup,
    MemorySegment,
    Port,
    Resources,
    Vcpu,
    VirtualDevice,
    Watchdog,
    core_units,
    described_units,
    plain_resources,
)

__all__ = [
    "Arc",
    "Change",
    "CryptoUnit",
    "LatencyGroup",
    "MachineDescription",
    "MdescError",
    "MemorySegment",
    "Node",
    "Port",
    "Property",
    "Resources",
    "Value",
    "Vcpu",
    "VirtualDevice",
    "Watchdog",
    "as_json",
    "as_text",
    "build",
    "core_units",
    "decode",
    "described_units",
    "diff",
    "encode",
    "most_channels",
    "plain_resources",
    "split_strings",
    "string_list",
    "with_properties",
]
