"""Configurations for tests of the planner."""

from __future__ import annotations

from typing import Any

from ldmd.model import PRIMARY, Configuration, Domain, Server


def domain(name: str, number: int, **fields: Any) -> Domain:
    """A domain with a MAC and hostid of its own."""
    mac = 0x0014_4FF8_0000 + number
    fields = {"mac": mac, "hostid": 0x8400_0000 | mac & 0xFF_FFFF, **fields}
    return Domain(name=name, uuid=f"00000000-0000-4000-8000-{number:012x}", **fields)


def server(
    *guests: Domain, platform: str = "t5-2", primary: dict[str, Any] | None = None, **fields: Any
) -> Configuration:
    """A server with a control domain and these guests."""
    control = domain(PRIMARY, 0xFFFF, **{"mac": 0x0021_2857_CD16, "automatic_mac": False, **(primary or {})})
    return Configuration(
        server=Server(name="alpha", platform=platform, memory_bytes=64 << 30), domains=(control, *guests), **fields
    )
