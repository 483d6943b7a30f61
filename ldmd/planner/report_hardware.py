"""What reports need to know of the server."""

from __future__ import annotations

from ldmd.model import Configuration
from ldmd.planner.hardware import hardware

_SP_CHIPS = {"t1", "t2", "t2+", "t3"}
"""Servers whose control domain's console `ldm list` calls SP; on later ones it is UART (examples of the guides)."""
_NORM_FIRMWARE = (8, 2, 0)


def console_name(configuration: Configuration) -> str:
    """The CONS column of the control domain."""
    return "SP" if hardware(configuration).chip.name in _SP_CHIPS else "UART"


def has_norm(configuration: Configuration) -> bool:
    """True where the firmware measures normalized utilization (8.2.0 and later, XCP)."""
    words = hardware(configuration).platform.firmware.split()
    if words[0] == "XCP" or words[0] == "?":
        return True
    numbers = tuple(int(part) for part in words[0].split(".") if part.isdecimal())
    return numbers >= _NORM_FIRMWARE
