"""The server's resources and who has them, as plain data: `ldm list-devices`.

{"cores": [{"cid", "free_percent", "strands"}], "vcpus": [{"pid", "free_percent", "pm", "bound"}],
"crypto": [{"core", "strands", "bound"}], "memory": [{"pa", "size_bytes", "bound"}],
"io": [{"device", "pseudonym", "bound", "options"}]}, all with "health". `bound` is a domain's name, "_sys_" for what
firmware keeps, or "".
"""

from __future__ import annotations

from typing import Any

from ldmd.model import Configuration
from ldmd.planner.hardware import crypto_owners, hardware, memory_map, strand_owners
from ldmd.planner.report_words import HEALTHY, device_options


def devices_report(configuration: Configuration) -> dict[str, Any]:
    """All resources, free or not."""
    kinds = {"cores": _cores, "vcpus": _vcpus, "crypto": _crypto, "memory": _memory, "io": _io}
    return {name: [{**row, "health": HEALTHY} for row in make(configuration)] for name, make in kinds.items()}


def _cores(configuration: Configuration) -> list[dict[str, Any]]:
    server, taken = hardware(configuration), strand_owners(configuration)
    rows = []
    for core in server.cores:
        strands = list(server.strands_of(core))
        free = sum(1 for strand in strands if strand not in taken)
        rows.append({"cid": core, "free_percent": 100 * free // len(strands), "strands": strands})
    return rows


def _vcpus(configuration: Configuration) -> list[dict[str, Any]]:
    taken = strand_owners(configuration)
    return [
        {"pid": strand, "free_percent": 0 if strand in taken else 100, "pm": "no" if strand in taken else "---",
         "bound": taken.get(strand, "")}
        for strand in hardware(configuration).strands
    ]  # fmt: skip


def _crypto(configuration: Configuration) -> list[dict[str, Any]]:
    server, taken = hardware(configuration), crypto_owners(configuration)
    cores = server.cores if server.has_crypto_units else ()
    return [{"core": core, "strands": list(server.strands_of(core)), "bound": taken.get(core, "")} for core in cores]


def _memory(configuration: Configuration) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for block in memory_map(configuration).blocks:
        owner, last = block.owner or "", rows[-1] if rows else None
        joins = last is not None and last["bound"] == owner == "" and last["pa"] + last["size_bytes"] == block.pa
        if joins and last is not None:
            last["size_bytes"] += block.size_bytes
        else:
            rows.append({"pa": block.pa, "size_bytes": block.size_bytes, "bound": owner})
    return rows


def _io(configuration: Configuration) -> list[dict[str, Any]]:
    owners = {name: domain.name for domain in configuration.domains for name in domain.io}
    return [
        {"device": root.device, "pseudonym": root.name, "bound": owners.get(root.name, ""),
         "options": device_options(configuration, root.name)}
        for root in hardware(configuration).platform.roots
    ]  # fmt: skip
