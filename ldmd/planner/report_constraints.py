"""What a domain asks for, as plain data: the CONSTRAINT section, and `ldm list-constraints`."""

from __future__ import annotations

from typing import Any

from ldmd.model import Configuration, Domain


def constraint(domain: Domain) -> dict[str, str]:
    """The CONSTRAINT section: name and value as printed."""
    rows = {}
    if domain.cpus.whole_core:
        rows["cpu"] = "whole-core"
    if domain.cpus.whole_core or domain.cpus.max_cores is not None:
        rows["max-cores"] = "unlimited" if domain.cpus.max_cores is None else str(domain.cpus.max_cores)
    bound = ("core",) * bool(domain.cpus.cids) + ("memory",) * bool(domain.memory.mblocks)
    rows["physical-bindings"] = ",".join(bound)
    return rows


def asked(_configuration: Configuration, domain: Domain) -> dict[str, Any]:
    """CPUs, memory and console as they were asked for. `cores` is None where whole cores were not."""
    cpus = domain.cpus
    return {
        "vcpus": None if cpus.whole_core else cpus.vcpus,
        "cores": max(cpus.cores, len(cpus.cids)) if cpus.whole_core else None,
        "cids": list(cpus.cids),
        "crypto": domain.crypto,
        "memory_bytes": sum(size for _, size in domain.memory.mblocks) or domain.memory.size_bytes,
        "mblocks": [{"pa": pa, "size_bytes": size} for pa, size in domain.memory.mblocks],
        "vcons": {"group": domain.vcons.group, "port": domain.vcons.port, "service": domain.vcons.service,
                  "log": domain.vcons.log},
        "vnet": [{"name": vnet.name, "service": vnet.service, "id": vnet.id, "pvid": vnet.pvid,
                  "vids": list(vnet.vids), "mtu": vnet.mtu, "mode": vnet.mode, "linkprop": vnet.linkprop}
                 for vnet in domain.vnets],
        "vdisk": [{"name": disk.name, "volume": f"{disk.volume}@{disk.service}", "timeout": disk.timeout,
                   "id": disk.id} for disk in domain.vdisks],
    }  # fmt: skip
