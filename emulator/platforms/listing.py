"""Servers for people and for scripts: the table and the sheet that `sun4v platforms` prints, and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from emulator.chips import find_chip
from emulator.platforms.catalogue import chip_facts
from emulator.platforms.model import Cache, Platform
from emulator.units import format_size

JSON_VERSION = 1
MHZ = 1_000_000


def table_text(platforms: Iterable[Platform]) -> str:
    """One line for each server, under a heading."""
    rows = [("NAME", "SERVER", "CHIP", "SOCKETS", "STRANDS", "MEMORY")]
    rows += [(p.name, p.title, p.chip, str(p.sockets), str(p.strands), format_size(p.memory_bytes)) for p in platforms]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append(" ".join(left + right))
    return "\n".join(lines)


def cache_text(caches: Sequence[Cache]) -> str:
    """Caches in words: ``L1I 16K, L1D 16K, L2 128K, L3 8M per chip``."""
    letters = {"instruction": "I", "data": "D", "unified": ""}
    shared = {0: " per chip", 1: ""}
    return ", ".join(f"L{c.level}{letters[c.kind]} {format_size(c.size_bytes)}"
                     f"{shared.get(c.cores, f' per {c.cores} cores')}" for c in caches)


def crypto_text(platform: Platform) -> str:
    """Crypto units in words."""
    if not platform.crypto:
        return "instructions"
    kinds = " + ".join(kind.upper() for kind in platform.crypto)
    return f"{platform.crypto_units} units ({kinds}, one per core)"


def channel_text(platform: Platform) -> str:
    """LDC endpoints in words."""
    limits = platform.channels
    text = f"{limits.per_domain} per domain"
    if limits.per_domain_new is not None:
        text += f" ({limits.per_domain_new} with manager 3.5 and Solaris 11.3 SRU 8 or later)"
    return text if limits.total is None else f"{text}, {limits.total} in all"


def sheet_text(platform: Platform) -> str:
    """Everything about one server, a fact a line; behind it how well it is known, where that is noted."""
    chip = find_chip(platform.chip)
    known = {**chip_facts()[platform.chip].marks, **platform.marks}
    facts = [
        ("uname -i", platform.uname, "uname"),
        ("sockets", f"{platform.sockets} x {chip.title}", "sockets"),
        ("cores", f"{platform.cores}, {platform.cores_per_chip} per chip",
         "cores_per_chip" if "cores_per_chip" in known else "cores"),
        ("strands", f"{platform.strands}, {chip.strands_per_core} per core", "strands"),
        ("clock", f"{platform.clock_hz // MHZ} MHz", "clock_mhz" if "clock_mhz" in known else "clock"),
        ("page sizes", " ".join(map(format_size, platform.page_sizes)), "page_sizes"),
        ("caches", cache_text(platform.caches), "caches"),
        ("crypto", crypto_text(platform), "crypto"),
        ("domains", f"at most {platform.max_domains}", "max_domains"),
        ("physical domains", f"at most {platform.physical_domains}", "physical_domains"),
        ("LDC endpoints", channel_text(platform), "channels"),
        ("firmware", platform.firmware, "firmware"),
        ("memory", f"at most {format_size(platform.memory_bytes)}; firmware keeps "
                   f"{format_size(sum(platform.reserved))} of each node", "memory"),
    ]
    lines = [f"{platform.name}: {platform.title}"]
    for name, value, key in facts:
        mark = known.get(key)
        lines.append(f"  {name:17} {value}" + (f"  [{mark}]" if mark else ""))
    lines += _bank_lines(platform) + _root_lines(platform)
    return "\n".join(lines)


def _bank_lines(platform: Platform) -> list[str]:
    mark = chip_facts()[platform.chip].marks["memory"] if "memory" in platform.marks else None
    lines = [f"  {'NODE':>6} {'PA':18} SIZE" + (f"  [{mark}]" if mark else "")]
    holes = dict(platform.holes())
    for bank in sorted(platform.banks):
        lines.append(f"  {bank.node:>6} {bank.pa:#018x} {format_size(bank.size_bytes)}")
        if bank.end in holes:
            lines.append(f"  {'-':>6} {bank.end:#018x} {format_size(holes[bank.end])} hole")
    return lines


def _root_lines(platform: Platform) -> list[str]:
    mark = platform.marks.get("io")
    lines = [f"  {'ROOT':8} {'DEVICE':10} SLOTS AND DEVICES" + (f"  [{mark}]" if mark else "")]
    for root in platform.roots:
        names = " ".join(endpoint.name for endpoint in root.endpoints)
        lines.append(f"  {root.name:8} {root.device:10} {names}".rstrip())
    return lines


def as_json(platform: Platform) -> dict[str, Any]:
    """A server as JSON values: sizes in bytes, rates in Hz, addresses as numbers."""
    facts = asdict(platform)
    del facts["origin"]
    facts["marks"] = {**chip_facts()[platform.chip].marks, **platform.marks}
    for name in ("memory_bytes", "cores", "strands", "stick_hz", "page_sizes", "crypto_units"):
        facts[name] = getattr(platform, name)
    facts["holes"] = [{"pa": pa, "size_bytes": size} for pa, size in platform.holes()]
    return facts


def list_json(platforms: Iterable[Platform]) -> dict[str, Any]:
    """Servers as one JSON document with a version of its format."""
    return {"version": JSON_VERSION, "platforms": [as_json(platform) for platform in platforms]}
