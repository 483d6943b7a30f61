"""The shapes of the documents that --json prints, as one table; docs/reference/ldm.schema.json is made from it.

A shape is a type ("text", "number", "integer", "yes", with "?" behind it where null is allowed), a list of one shape,
a dict of keys with their shapes (all of which are there), or `Map` of a shape (any keys). A key that ends in "?" may
be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ldmd.cli.screen import JSON_VERSION

VERSION = JSON_VERSION
Shape = Any


@dataclass(frozen=True)
class Map:
    """An object of any keys."""

    values: Shape


PEER: Shape = {"name": "text", "mac": "text", "mode": "text", "pvid": "integer?", "vids": ["integer"],
               "mtu": "integer?", "maxbw_bps": "integer?", "linkprop": "text", "linked?": "yes"}  # fmt: skip
CLIENT: Shape = {"name": "text"}
VCC: Shape = {"name": "text", "first_port": "integer", "last_port": "integer",
              "clients": [{"name": "text", "port": "integer?", "log": "yes"}]}  # fmt: skip
VSW: Shape = {
    "name": "text", "mac": "text", "net_dev": "text", "id": "integer?", "device": "text", "linkprop": "text",
    "default_vlan": "integer", "pvid": "integer", "vids": ["integer"], "mtu": "integer", "mode": "text",
    "inter_vnet_link": "text", "linked": "yes", "relay_mode": "text", "peers": [PEER],
}  # fmt: skip
VDS: Shape = {
    "name": "text",
    "volumes": [{"name": "text", "options": ["text"], "mpgroup": "text", "backend": "text"}],
    "clients": [{"name": "text", "volume": "text"}],
}
VSAN: Shape = {"name": "text", "device": "text", "clients": [CLIENT]}
VDPCS: Shape = {"name": "text", "clients": [CLIENT]}
VNET: Shape = {
    **PEER, "service": "text", "id": "integer?", "device": "text", "alt_macs": ["text"], "pvlan": "text",
    "protection": ["text"], "allowed_ips": ["text"], "allowed_dhcp_cids": ["text"], "priority": "text",
    "cos": "integer?", "peers": [PEER],
}  # fmt: skip
VDISK: Shape = {
    "name": "text", "volume": "text", "timeout": "integer", "id": "integer?", "device": "text", "server": "text",
    "mpgroup": "text", "paths": [{"port": "integer", "volume": "text", "server": "text", "state": "text"}],
    "io": Map("integer"),  # since the domain is on this machine; empty where it does not run
}  # fmt: skip
POLICY: Shape = {
    "name": "text", "enable": "yes", "priority": "integer", "vcpu_min": "integer", "vcpu_max": "integer?",
    "util_lower": "integer", "util_upper": "integer", "tod_begin": "text", "tod_end": "text",
    "sample_rate": "integer", "elastic_margin": "integer", "attack": "integer?", "decay": "integer",
}  # fmt: skip
CONSOLE: Shape = {"type": "text", "group": "text", "service": "text", "port": "integer?", "log": "yes?"}
ASKED: Shape = {
    "vcpus": "integer?", "cores": "integer?", "cids": ["integer"], "crypto": "integer", "memory_bytes": "integer",
    "mblocks": [{"pa": "integer", "size_bytes": "integer"}],
    "vcons": {"group": "text?", "port": "integer?", "service": "text?", "log": "yes"},
    "vnet": [{"name": "text", "service": "text", "id": "integer?", "pvid": "integer?", "vids": ["integer"],
              "mtu": "integer?", "mode": "text", "linkprop": "text"}],
    "vdisk": [{"name": "text", "volume": "text", "timeout": "integer", "id": "integer?"}],
}  # fmt: skip
SUMMARY: Shape = {
    "name": "text", "state": "text", "flags": ["text"], "flag_letters": "text", "console": "text",
    "vcpus": "integer", "memory_bytes": "integer", "util_percent": "number?", "norm_util_percent": "number?",
    "uptime_seconds": "integer?", "soft_state": "text",
}  # fmt: skip
SECTIONS: Mapping[str, Shape] = {
    "uuid": "text", "mac": "text", "hostid": "text", "control": Map("text"), "masters": ["text"],
    "cores": [{"cid": "integer", "strands": ["integer"], "health": "text"}],
    "vcpu": [{"vid": "integer", "pid": "integer", "cid": "integer", "util_percent": "number?",
              "norm_util_percent": "number?", "strand_percent": "integer", "health": "text"}],
    "crypto": [{"core": "integer", "strands": ["integer"]}],
    "memory": [{"ra": "integer", "pa": "integer", "size_bytes": "integer", "health": "text"}],
    "constraint": Map("text"), "policies": [POLICY], "variables": [{"name": "text", "value": "text"}],
    "io": [{"device": "text", "pseudonym": "text", "options": "text"}],
    "vldc": [VDPCS], "vldcc": [{"name": "text", "service": "text", "description": "text"}],
    "vcc": [VCC], "vsw": [VSW], "vds": [VDS], "vsan": [VSAN], "vdpcs": [VDPCS], "vnet": [VNET], "vdisk": [VDISK],
    "vhba": [{"name": "text", "vsan": "text", "id": "integer?", "device": "text", "timeout": "integer",
              "server": "text"}],
    "vdpcc": [{"name": "text", "service": "text"}],
    "vcons": {"?": CONSOLE},
    "status": [{"operation": "text", "progress_percent": "integer", "role": "text", "peer": "text"}],
    "asked": ASKED,
}  # fmt: skip
"""What a domain has where it was asked for: `-l` all of them, `-o` some."""
DOMAINS: Shape = {"norm": "yes", "domains": [{**SUMMARY, **{f"{key}?": shape for key, shape in SECTIONS.items()}}]}
NEEDS: Shape = [{"domain": "text", "needs": [{"domain": "text", "devices": [{"type": "text", "device": "text"}]}]}]

COMMANDS: Mapping[str, Shape] = {
    "list-domain": DOMAINS,
    "list-bindings": DOMAINS,
    "list-constraints": DOMAINS,
    "list-services": {"services": [{"domain": "text", "vcc": [VCC], "vsw": [VSW], "vds": [VDS], "vsan": [VSAN],
                                    "vdpcs": [VDPCS]}]},
    "list-devices": {
        "cores": [{"cid": "integer", "free_percent": "integer", "strands": ["integer"], "health": "text"}],
        "vcpus": [{"pid": "integer", "free_percent": "integer", "pm": "text", "bound": "text", "health": "text"}],
        "crypto": [{"core": "integer", "strands": ["integer"], "bound": "text", "health": "text"}],
        "memory": [{"pa": "integer", "size_bytes": "integer", "bound": "text", "health": "text"}],
        "io": [{"device": "text", "pseudonym": "text", "bound": "text", "options": "text", "health": "text"}],
    },
    "list-io": {"pf?": "text", "properties?": [{"name": "text", "value": "text"}],
                "io?": [{"name": "text", "device": "text", "type": "text", "bus": "text", "domain": "text",
                        "status": "text", "class": "text", "options": "text",
                        "properties": Map("text")}]},
    "list-hba": {"domain": "text", "ports": [{"path": "text", "bus": "text", "vsan": "text", "devices": ["text"]}]},
    "list-netdev": {"domains": [{"domain": "text", "devices": [
        {"name": "text", "class": "text", "media": "text", "state": "text", "mac": "text", "mtu": "integer",
         "over": "text", "loc": "text", "vlans": "text"}]}]},
    "list-netstat": {"domains": [{"domain": "text", "devices": [
        {"name": "text", "ipackets": "integer?", "rbytes": "integer?", "opackets": "integer?",
         "obytes": "integer?"}]}]},
    "list-rsrc-group": {"groups": [
        {"name": "text", "cores": [{"cid": "integer", "domains": ["text"]}],
         "memory": [{"pa": "integer", "size_bytes": "integer", "bound": "text"}],
         "io": [{"device": "text", "name": "text", "domain": "text"}]}]},
    "list-socket": {"sockets": [
        {"socket": "integer", "group": "text", "free_cores": "integer", "free_vcpus": "integer",
         "free_memory_bytes": "integer",
         "domains": [{"domain": "text", "vcpus": "integer", "cores": "integer", "memory_bytes": "integer"}]}],
        "constraints": ["text"]},
    "list-permits": {"permits": [{"type": "text", "permits": "integer", "in_use": "integer", "rest": "integer"}]},
    "list-cmi": {"cmi": [{"id": "integer", "group": "text", "bound": "text"}]},
    "list-dependencies": {"dependencies": NEEDS, "dependents": NEEDS},
    "list-variable": {"domain": "text", "variables": Map("text")},
    "list-spconfig": {"configs?": [{"name": "text", "current": "yes", "next_poweron": "yes"}],
                      "autosaves?": [{"name": "text", "newer": "yes"}]},
    "list-history": {"history": [{"time": "number", "caller": "text", "line": "text", "status": "integer",
                                  "text": "text"}]},
    "list-logctl": {"log": Map("yes"), "history": "integer"},
}  # fmt: skip
COMMANDS_TEXT: Mapping[str, str] = {
    "list-domain": "`norm` (the firmware measures it) and `domains`: what `ldm list` shows; with `-l` or `-o` sections",
    "list-bindings": "the same with all sections, clients and peers",
    "list-constraints": "the same; `asked` is what the domain asks for",
    "list-services": "services by domain, with those who use them",
    "list-devices": "all resources, free or not; `bound` is the owner, `_sys_` for firmware",
    "list-io": "buses, devices, functions",
    "list-hba": "initiator ports of a domain",
    "list-netdev": "network devices by domain",
    "list-netstat": "counters of network devices; `null` where nothing counts",
    "list-rsrc-group": "resource groups with their cores, memory and buses",
    "list-socket": "sockets with those who have resources of them (Fujitsu)",
    "list-permits": "CPU activations (Fujitsu)",
    "list-cmi": "coherent memory interfaces (M7 and later)",
    "list-dependencies": "`dependencies` and, the other way round, `dependents`",
    "list-variable": "variables of a domain",
    "list-spconfig": "`configs` on the SP, or with `-r` `autosaves`",
    "list-history": "commands with their time in seconds since the epoch",
    "list-logctl": "classes of log lines, and how many commands the history shows",
}
_TYPES = {"text": "string", "number": "number", "integer": "integer", "yes": "boolean"}


def to_schema(shape: Shape) -> dict[str, Any]:
    """The JSON schema of a shape."""
    if isinstance(shape, str):
        name = _TYPES[shape.rstrip("?")]
        return {"type": [name, "null"] if shape.endswith("?") else name}
    if isinstance(shape, list):
        return {"type": "array", "items": to_schema(shape[0])}
    if isinstance(shape, Map):
        return {"type": "object", "additionalProperties": to_schema(shape.values)}
    if set(shape) == {"?"}:
        return {"anyOf": [{"type": "null"}, to_schema(shape["?"])]}
    return {
        "type": "object",
        "properties": {key.rstrip("?"): to_schema(value) for key, value in shape.items()},
        "required": [key for key in shape if not key.endswith("?")],
        "additionalProperties": False,
    }


def schema() -> dict[str, Any]:
    """One schema for all documents, by command under $defs."""
    shapes = {name: {"version": "integer", **shape} for name, shape in COMMANDS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ldm --json",
        "$defs": {name: to_schema(shape) for name, shape in shapes.items()},
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in shapes],
    }
