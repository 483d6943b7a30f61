"""Messages of bind-domain and unbind-domain: services, device numbers, channels, consoles."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("device.number-taken", "id={number} of {name} in {domain} is taken by {other}",
            "numbers of {kind} devices are unique in a domain", "choose another id, or leave it out"),
    Message("channels.domain", "LDom {domain} would need {count} LDC endpoints",
            "this platform has at most {limit} for each domain",
            "remove devices, or set inter-vnet-link=off for switches with many networks"),
    Message("channels.total", "The server would need {count} LDC endpoints", "this platform has {limit} in all",
            "remove devices, or set inter-vnet-link=off for switches with many networks"),
    Message("bind.not-inactive", "LDom {name} is already {state}", "only an inactive domain is bound", ""),
    Message("unbind.not-bound", "LDom {name} is {state}", "only a bound domain is unbound", "{help}"),
    Message("bind.no-vcpus", "LDom {name} has no virtual CPUs", "",
            "give it some with `ldm set-vcpu` or `ldm set-core`, then bind it"),
    Message("bind.no-memory", "LDom {name} has no memory", "", "give it some with `ldm set-memory`, then bind it"),
    Message("bind.too-many", "LDom {name} cannot be bound: {limit} domains are bound",
            "this platform has at most {limit} domains", "unbind another one first"),
    Message("bind.no-vds", "LDom {name} cannot be bound: virtual disk {disk} needs the disk server {service}",
            "no domain has a virtual disk server of that name", "`ldm add-vds {service} primary`, or remove the disk"),
    Message("bind.no-volume", "LDom {name} cannot be bound: virtual disk {disk} needs the volume {volume}@{service}",
            "the disk server {service} has no volume of that name",
            "`ldm add-vdsdev BACKEND {volume}@{service}`, or remove the disk"),
    Message("bind.no-vsw", "LDom {name} cannot be bound: virtual network {net} needs the switch {service}",
            "no domain has a virtual switch of that name", "`ldm add-vsw {service} primary`, or remove the network"),
    Message("bind.no-vsan", "LDom {name} cannot be bound: {adapter} needs the virtual SAN {service}",
            "no domain has a virtual SAN of that name", "`ldm add-vsan IPORT {service} primary`, or remove the vhba"),
    Message("bind.no-vdpcs", "LDom {name} cannot be bound: {client} needs the data plane service {service}",
            "no domain has one of that name", "`ldm add-vdpcs {service} primary`, or remove {client}"),
    Message("bind.io-taken", "LDom {name} cannot be bound: {device} belongs to {owner}", "",
            "`ldm remove-io {device} {owner}` first, or take it from {name}"),
    Message("bind.services-used", "LDom {name} cannot be unbound: it has services that others use",
            "bound or active clients: {clients}", "unbind those domains first"),
    Message("console.no-service", "LDom {name} cannot be bound: there is no virtual console concentrator",
            "every guest needs a console port of one", "`ldm add-vcc port-range=5000-5100 primary-vcc0 primary`"),
    Message("console.unknown-service", "LDom {name} cannot be bound: its console needs {service}",
            "no domain has a virtual console concentrator of that name",
            "`ldm add-vcc port-range=5000-5100 {service} primary`, or `ldm set-vconsole service= {name}`"),
    Message("console.no-port", "LDom {name} cannot be bound: no console port is free", "port ranges: {ranges}",
            "widen one with `ldm set-vcc`, or put the domain into another's group with `ldm set-vconsole`"),
    Message("console.port-range", "LDom {name} cannot be bound: console port {port} is not in the range of {service}",
            "port ranges: {ranges}", "`ldm set-vconsole port= {name}` lets the manager choose"),
    Message("console.port-taken", "LDom {name} cannot be bound: console port {port} is that of group {group}",
            "a port belongs to one group", "`ldm set-vconsole port= {name}`, or use that group"),
    Message("console.port-elsewhere", "Warning: port {port} of this host is in use by another program: the console of "
            "LDom {name} is not there before that has ended (`sun4v console` needs no port; `ldm set-vconsole port=N "
            "{name}` chooses another while {name} is unbound)"),
    Message("console.group-port", "LDom {name} cannot be bound: the consoles of group {group} are on port {taken}, "
            "not {port}", "a group has one port", "`ldm set-vconsole port= {name}`, or use another group"),
)  # fmt: skip
