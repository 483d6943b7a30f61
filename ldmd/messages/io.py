"""Messages about physical I/O: buses, endpoints, physical and virtual functions, power."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("io.not-found", "I/O device {name} does not exist", "", "`ldm list-io` shows the devices"),
    Message("io.is-pf", "{name} is a physical function and cannot be given to a domain", "",
            "use its device {endpoint}, or a virtual function of it (create-vf)"),
    Message("io.owned", "I/O device {name} is already in use by LDom {owner}", "",
            "`ldm remove-io {name} {owner}` first"),
    Message("io.not-owned", "I/O device {name} is not assigned to LDom {domain}", "", "`ldm list-io` shows the owners"),
    Message("io.no-root", "I/O device {name} cannot be used: no domain owns its bus {bus}", "",
            "add the bus to a domain first: `ldm add-io {bus} primary`"),
    Message("io.stop-first", "I/O device {name} cannot be added to or removed from LDom {domain} while it is active",
            "it is no root domain, which could have a delayed reconfiguration", "stop the domain first"),
    Message("io.has-functions", "I/O device {name} has virtual functions: {functions}", "",
            "`ldm destroy-vf` them first"),
    Message("io.lent", "Bus {bus} cannot be removed: other domains have devices behind it: {devices}", "",
            "`ldm remove-io` those first"),
    Message("io.not-bus", "{name} is not a PCIe bus", "", "`ldm list-io` shows the rows of type BUS"),
    Message("io.no-iov", "I/O virtualization is not supported on this platform", "a {platform} has no SR-IOV devices"),
    Message("io.iov-choice", "iov= is for buses; {name} is none", "", "`ldm list-io` shows the rows of type BUS"),
    Message("io.not-pf", "{name} is not a physical function", "", "`ldm list-io` shows the rows of type PF"),
    Message("io.pf-lent", "Physical function {name} is in use by {owner}, not by the root domain {root}", "",
            "`ldm remove-io` its device first"),
    Message("io.iov-off", "Virtual functions of {pf} cannot be changed while {root} runs",
            "the bus {bus} has iov=off",
            "`ldm start-reconf {root}` first, or `ldm set-io iov=on {bus}` and reboot {root}"),
    Message("io.no-function-left", "Physical function {pf} has {left} more virtual functions to give, of {most}", "",
            "ask for fewer"),
    Message("io.too-few", "Physical function {pf} has only {count} virtual functions"),
    Message("io.not-last", "Virtual function {name} is not the last one of its physical function",
            "virtual functions are ended in the reverse order of their making", "destroy {last} first"),
    Message("io.function-owned", "Virtual function {name} is in use by LDom {owner}", "",
            "`ldm remove-io {name} {owner}` first"),
    Message("io.fixed", "Property {property} of {name} cannot be changed"),
    Message("io.property", "{property} is not a property of {name}", "", "use one of: {choices}"),
    Message("io.percent", "{value} is not a percentage"),
    Message("io.wwn", "{value!r} is not a world-wide name", "", "write eight bytes, such as 10:00:00:14:4f:f8:00:01"),
    Message("io.count", "{value!r} is not a number of virtual functions", "", "use a number from 1, or max"),
)  # fmt: skip
