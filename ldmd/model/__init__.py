"""What the manager knows: domains with their constraints and bindings, services, the server. Frozen data, no I/O.

`Configuration` is the root; `ldmd.model.plain` turns all of it into plain data and back, checked, for the store, the
configurations on the SP and the wire.
"""

from ldmd.model.binding import Binding, BoundDevice, MemoryBlock
from ldmd.model.configuration import Configuration, Pending, Server, VirtualFunction
from ldmd.model.domain import (
    PRIMARY,
    BootPolicy,
    Cpus,
    Domain,
    FailurePolicy,
    MemoryAmount,
    State,
    System,
)
from ldmd.model.guest import Policy, Vcons, Vdisk, Vdpcc, Vhba, Vnet
from ldmd.model.services import DiskServer, Vcc, Vdpcs, Volume, Vsan, Vsw

__all__ = [
    "PRIMARY",
    "Binding",
    "BootPolicy",
    "BoundDevice",
    "Configuration",
    "Cpus",
    "DiskServer",
    "Domain",
    "FailurePolicy",
    "MemoryAmount",
    "MemoryBlock",
    "Pending",
    "Policy",
    "Server",
    "State",
    "System",
    "Vcc",
    "Vcons",
    "Vdisk",
    "Vdpcc",
    "Vdpcs",
    "Vhba",
    "VirtualFunction",
    "Vnet",
    "Volume",
    "Vsan",
    "Vsw",
]
