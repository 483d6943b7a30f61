"""Messages about services and devices of all kinds, consoles, storage, and delayed reconfigurations."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("name.syntax", "{name!r} is not a name for a {what}", "",
            "use up to {limit} letters, digits and - _ . : + # %, not beginning with -"),
    Message("service.not-found", "{kind} {name} does not exist", "", "`ldm list-services` shows the services"),
    Message("service.exists", "{kind} {name} already exists", "names of services are unique on a server",
            "choose another name"),
    Message("service.attached", "{kind} {name} is in use by {users}: a client is attached", "",
            "remove the clients first, or use -f"),
    Message("service.attached-fast", "{kind} {name} is in use by {users}: a client is attached", "",
            "remove the clients first"),
    Message("device.not-found", "{kind} {name} does not exist in LDom {domain}", "",
            "`ldm list-bindings {domain}` shows its devices"),
    Message("device.exists", "{kind} {name} already exists in LDom {domain}", "", "choose another name"),
    Message("device.id-in-use", "id {number} is already in use by another {kind} device of LDom {domain}", "",
            "choose another number, or leave id= out"),
    Message("device.active", "The {what} cannot be changed while LDom {domain} is active", "",
            "stop the domain first"),
    Message("device.no-support", "LDom {domain} does not support removing {what} while it runs",
            "its operating system has not registered dynamic reconfiguration of virtual I/O",
            "stop the domain first, or use -f"),
    Message("device.refused", "LDom {domain} did not give up {what}", "{reason}",
            "end its use in the guest and try again, or use -f"),
    Message("property.needed", "no property was given", "", "give at least one of: {choices}"),
    Message("property.number", "{value} is not a value of {name}", "", "use a number from {least} to {most}"),
    # consoles
    Message("console.range", "{range} is not a port range", "", "write first-last, such as port-range=5000-5100"),
    Message("console.one", "LDom {domain} already has a virtual console concentrator, {other}", "",
            "use set-vcc to change its ports"),
    Message("console.overlap", "Port range {range} overlaps {ports} of {other}", "", "choose other ports"),
    Message("console.port-used", "Port {port} is in use by the console of LDom {domain}", "",
            "keep it in the range, or unbind that domain first"),
    Message("console.bound-to", "Virtual console concentrator {name} is in use by {users}: a console is bound to it",
            "",
            "unbind those domains first; -f does not help"),
    Message("console.control", "LDom {domain} has no virtual console", "its console is the service processor's"),
    Message("console.bound", "LDom {domain} must be unbound before its console can be changed", "",
            "stop and unbind it first; only log= can be changed at any time"),
    Message("console.port", "{port} is not a port", "", "use a number from 1 to 65535"),
    Message("console.port-outside", "Port {port} is outside the port range of {services}", "",
            "`ldm list-services` shows the ranges"),
    # lists
    Message("links.group", "Resource group {name} does not exist", "", "`ldm list-rsrc-group` shows the groups"),
    Message("links.platform", "{command} is not supported on this platform", "only Fujitsu servers have it"),
    # storage
    Message("storage.no-port", "Initiator port {port} does not exist in LDom {domain}", "",
            "`ldm list-hba {domain}` shows the ports; -q skips the check"),
    Message("storage.port-used", "Initiator port {port} is already in use by virtual SAN {vsan}", "",
            "choose another port"),
)  # fmt: skip
