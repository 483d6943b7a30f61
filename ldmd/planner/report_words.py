"""How single facts are written in all reports: addresses, numbers of devices, options."""

from __future__ import annotations

from ldmd.model import Configuration, Domain

HEALTHY = "ok"
"""What -S shows of CPUs and memory: here nothing breaks."""


def mac_text(mac: int) -> str:
    """``00:14:4f:fb:54:f2``."""
    return ":".join(f"{mac >> shift & 0xFF:02x}" for shift in range(40, -8, -8))


def hostid_text(hostid: int) -> str:
    """``0x84fb54f2``."""
    return f"0x{hostid:08x}"


def number_of(domain: Domain, kind: str, name: str, asked: int | None) -> int | None:
    """A device's number: what it was given, or what was asked for; None: it will be chosen at bind."""
    device = domain.binding.device(kind, name) if domain.binding else None
    return device.number if device is not None else asked


def device_text(kind: str, number: int | None) -> str:
    """``disk@0``; "" without a number."""
    return "" if number is None else f"{kind}@{number}"


def device_options(configuration: Configuration, name: str) -> str:
    """The OPTIONS column of a bus or device."""
    return "iov" if name in configuration.iov_buses else ""
