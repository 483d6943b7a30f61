"""Constraints of domains as an LDM_interface document: `ldm list-constraints -x` (guide, "XML Interface")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ldmd.model import PRIMARY, Domain, State, System, Vcons
from ldmd.planner import macs
from ldmd.xmlif.resources import CONSOLE, LISTED, VOLUME, commas
from ldmd.xmlif.tree import Element, to_text

INTERFACE_VERSION, DATA_VERSION = "1.3", "3.0"
NAMESPACES = {
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:noNamespaceSchemaLocation": "./schemas/combined-v3.xsd",
    "xmlns:ovf": "./schemas/envelope",
    "xmlns:rasd": "./schemas/CIM_ResourceAllocationSettingData",
    "xmlns:vssd": "./schemas/CIM_VirtualSystemSettingData",
    "xmlns:gprop": "./schemas/GenericProperty",
    "xmlns:bind": "./schemas/Binding",
}


def interface() -> Element:
    """The empty root of a document."""
    return Element("LDM_interface", {"version": INTERFACE_VERSION, **NAMESPACES})


def export(domains: Iterable[Domain]) -> str:
    """The document of some domains: one Content for each."""
    root = interface()
    envelope = root.add("data", version=DATA_VERSION).add("Envelope")
    envelope.add("References")
    for domain in domains:
        content = envelope.add("Content", xsi_type="ovf:VirtualSystem_Type", id=domain.name)
        write_domain(content, domain)
    return to_text(root)


def item(parent: Element, resource: str, keys: Mapping[str, str], *, units: str = "", address: int | None = None,
         uuid: str = "", section: str = "VirtualHardwareSection_Type") -> None:  # fmt: skip
    """One resource, in a Section of its own."""
    row = parent.add("Section", xsi_type=f"ovf:{section}").add("Item")
    row.add("rasd:OtherResourceType", resource)
    if uuid:
        row.add("uuid", uuid)
    if address is not None:
        row.add("rasd:Address", macs.format_mac(address))
    if units:
        row.add("rasd:AllocationUnits", units)
    for key, value in keys.items():
        row.add("gprop:GenericProperty", value, key=key)


def write_domain(content: Element, domain: Domain) -> None:
    """Everything that the domain asks for."""
    item(content, "ldom_info", info_keys(domain), address=domain.mac, uuid=domain.uuid,
         section="ResourceAllocationSection_Type")  # fmt: skip
    _cpu(content, domain)
    if domain.crypto:
        item(content, "mau", {}, units=str(domain.crypto))
    if domain.memory.size_bytes or domain.memory.mblocks:
        blocks = commas(f"{pa:#x}:{size}" for pa, size in domain.memory.mblocks)
        item(content, "memory", {"mblock": blocks} if blocks else {}, units=str(domain.memory.size_bytes))
    for name in domain.io:
        item(content, "physio_device", {"name": name})
    for name in domain.io_without:
        item(content, "physio_device", {"name": name, "removed": "yes"})
    for server in domain.disk_servers:
        item(content, "vds", {"service_name": server.name})
        for volume in server.volumes:
            texts = VOLUME.texts(volume)
            item(content, "vds_volume", {"vol_name": texts.pop("vol_name"), "service_name": server.name, **texts})
    for resource, where in LISTED.values():
        for each in getattr(domain, where):
            item(content, resource.name, resource.texts(each), address=each.mac if resource.address else None)
    for name, value in domain.variables:
        item(content, "var", {"name": name, "value": value})
    if domain.name != PRIMARY:
        item(content, CONSOLE.name, CONSOLE.texts(domain.vcons))


def info_keys(domain: Domain) -> dict[str, str]:
    """Keys of ldom_info."""
    rows: dict[str, Any] = {
        "hostid": f"{domain.hostid:x}",
        "master": commas(domain.masters),
        "failure-policy": domain.failure_policy.value,
        "extended-mapin-space": "on" if domain.extended_mapin_space else "off",
        "cpu-arch": domain.cpu_arch,
        "rc-add-policy": domain.rc_add_policy,
        "perf-counters": commas(domain.perf_counters),
        "shutdown-group": str(domain.shutdown_group),
        "boot-policy": domain.boot_policy.value,
    }
    return {key: value for key, value in rows.items() if value or key == "perf-counters"}


def _cpu(content: Element, domain: Domain) -> None:
    cpus = domain.cpus
    if not (cpus.vcpus or cpus.whole_core):
        return
    keys = {"wcore": str(cpus.cores if cpus.whole_core else 0)}
    if cpus.max_cores is not None:
        keys["max-cores"] = str(cpus.max_cores)
    if cpus.cids:
        keys["cid"] = commas(cpus.cids)
    item(content, "cpu", keys, units=str(cpus.vcpus))


def constraints_of(domain: Domain) -> Domain:
    """The domain without what a document does not hold: state, binding. What reading its document gives back."""
    vcons = Vcons() if domain.name == PRIMARY else domain.vcons
    return replace(domain, state=State.INACTIVE, binding=None, started_at=None, degraded=False, vcons=vcons,
                   system=System.UNKNOWN, automatic_mac=domain.mac in macs.AUTOMATIC)  # fmt: skip
