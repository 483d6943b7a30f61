"""From a configuration to what the machine shall have: the specs of hvctl's `guest.configure` and `service.configure`.

A spec is plain data (emulator/hvctl/protocol.md); its `generation` is a digest of the rest, so that manager and
machine need only compare a number to know that they agree. The requests that lead from one configuration to another
are `ldmd.planner.requests`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from ldmd.model import Configuration, Domain, State, System, Vdisk, Vnet, Volume
from ldmd.planner.server import platform_of, strands_per_core

Spec = dict[str, Any]

ON = frozenset({State.STARTING, State.ACTIVE, State.STOPPING, State.SUSPENDED})
"""States of a domain whose guest runs."""
GENERATION_BITS = 48


def runs(domain: Domain) -> bool:
    """True where the machine runs (or holds suspended) the domain's guest. The control domain has none."""
    return domain.binding is not None and domain.state in ON and not domain.control


def guest_specs(configuration: Configuration) -> dict[int, Spec]:
    """The spec of each domain that has a binding, by the domain's id."""
    return {domain.binding.id: guest_spec(configuration, domain)
            for domain in configuration.domains if domain.binding is not None}


def guest_spec(configuration: Configuration, domain: Domain) -> Spec:
    """The spec of one domain, which has a binding."""
    binding = domain.binding
    if binding is None:
        raise ValueError(f"{domain.name} has no binding")
    spec: Spec = {
        "id": binding.id,
        "name": domain.name,
        "uuid": domain.uuid,
        "mac": domain.mac,
        "hostid": domain.hostid,
        "cpu_arch": domain.cpu_arch,
        "vcpus": [list(pair) for pair in binding.vcpus],
        "max_vcpus": _max_vcpus(configuration, domain),
        "memory": [[block.ra, block.pa, block.size_bytes] for block in binding.memory],
        "crypto": list(binding.crypto),
        "perf_counters": list(domain.perf_counters),
        "extended_mapin": domain.extended_mapin_space,
        "services_channel": 0,
        "console": {},
        "variables": dict(domain.variables),
        "disks": [_disk(configuration, domain, disk) for disk in domain.vdisks],
        "nets": [_net(configuration, domain, net) for net in domain.vnets],
        "aliases": {},
    }
    return spec | {"generation": digest(spec)}


def digest(value: Any) -> int:
    """A number of GENERATION_BITS bits for plain data; equal data have the same."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[: GENERATION_BITS // 8], "big")


def _max_vcpus(configuration: Configuration, domain: Domain) -> int:
    """How many virtual CPUs the guest may ever have while it runs."""
    most = platform_of(configuration.server).strands
    if domain.cpus.max_cores is not None:
        most = min(most, domain.cpus.max_cores * strands_per_core(configuration.server))
    return max([most, *(vid + 1 for vid, _ in (domain.binding.vcpus if domain.binding else ()))])


def is_serving(owner: Domain) -> bool:
    """A service is there while its domain runs, and the system in it; the control domain's is gone while that reboots.
    """
    if owner.control:
        return owner.state is State.ACTIVE
    return owner.state in ON and owner.system is not System.GONE


def _volumes(configuration: Configuration, disk: Vdisk) -> Iterator[tuple[Domain, Volume]]:
    """The disk's volume, then the others of its multipathing group in the order of the servers."""
    found = configuration.find_vds(disk.service)
    volume = found[1].volume(disk.volume) if found else None
    if found is None or volume is None:
        return
    yield found[0], volume
    if volume.mpgroup:
        for owner, server in configuration.disk_servers():
            for other in server.volumes:
                if other.mpgroup == volume.mpgroup and (server.name, other.name) != (disk.service, disk.volume):
                    yield owner, other


def _disk(configuration: Configuration, domain: Domain, disk: Vdisk) -> Spec:
    device = domain.binding.device("disk", disk.name) if domain.binding else None
    if device is None:
        raise ValueError(f"{domain.name}: disk {disk.name} has no binding")
    volumes = list(_volumes(configuration, disk))
    owner, volume = volumes[0] if volumes else (None, None)
    spec: Spec = {
        "name": disk.name,
        "number": device.number,
        "channels": list(device.channels),
        "backend": volume.backend if volume else "",
        "options": list(volume.options) if volume else [],
        "timeout": disk.timeout,
        "online": owner is not None and is_serving(owner),
        "overlay": None,
        "copy_on_write": False,
    }
    if len(device.channels) > 1:
        spec["paths"] = [
            {"channel": channel, "backend": other.backend, "options": list(other.options), "online": is_serving(server)}
            for channel, (server, other) in zip(device.channels, volumes, strict=False)]
    return spec


def _net(configuration: Configuration, domain: Domain, net: Vnet) -> Spec:
    device = domain.binding.device("network", net.name) if domain.binding else None
    if device is None:
        raise ValueError(f"{domain.name}: network {net.name} has no binding")
    found = configuration.find_vsw(net.service)
    switch = found[1] if found else None
    return {
        "name": net.name,
        "number": device.number,
        "channel": device.channels[0],
        "peers": [list(pair) for pair in zip(device.channels[1:], device.peers, strict=False)],
        "mac": net.mac,
        "alt_macs": list(net.alt_macs),
        "switch": net.service,
        "pvid": net.pvid if net.pvid is not None else switch.default_vlan if switch else 1,
        "vids": list(net.vids),
        "mtu": net.mtu if net.mtu is not None else switch.mtu if switch else 1500,
        "maxbw_bps": net.maxbw_bps,
        "pvlan": _pvlan(net),
        "protection": list(net.protection),
        "allowed_ips": list(net.allowed_ips),
        "allowed_dhcp_cids": list(net.allowed_dhcp_cids),
        "cos": net.cos or 0,
        "linkprop": net.linkprop,
        "online": found is not None and is_serving(found[0]),
        "capture": None,
    }


def _pvlan(net: Vnet) -> list[int] | None:
    """[secondary VLAN, 1 for isolated or 0 for community]."""
    vlan, _, kind = net.pvlan.partition(",")
    return [int(vlan), int(kind == "isolated")] if vlan else None


def service_spec(configuration: Configuration) -> Spec:
    """The arguments of `service.configure`: every switch of the server."""
    return {"switches": [
        {
            "name": switch.name,
            "pvid": switch.pvid,
            "vids": list(switch.vids),
            "mtu": switch.mtu,
            "mac": switch.mac,
            "linkprop": switch.linkprop,
            "mode": switch.mode,
            "default_vlan": switch.default_vlan,
            "net_dev": switch.net_dev,
            "inter_vnet_link": switch.inter_vnet_link,
            "online": is_serving(owner),
        }
        for owner, switch in configuration.switches()]}
