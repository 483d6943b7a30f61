"""sun4v: emulated SPARC sun4v servers.

The public API::

    from emulator import Machine, StopReason

    with Machine(memory="256M", deterministic=True) as machine:
        machine.boot("program.elf")
        while (stop := machine.run(budget_insns=10_000_000)).reason is StopReason.CONSOLE:
            print(machine.console.read())
"""

from __future__ import annotations

from emulator import errors
from emulator._core import build_info
from emulator.channel import Channel, ChannelInfo
from emulator.disasm import Instruction, decode, disassemble, instructions
from emulator.errors import EmulatorError, ImageError
from emulator.guest import Registers, Stop, StopReason, Strand, StrandState
from emulator.hypervisor import ErrorAttribute, ErrorKind, ErrorReport, SoftState
from emulator.loader import Image, Segment, parse_image, read_image
from emulator.machine import Machine
from emulator.memory import Console, Memory
from emulator.platforms import PLATFORMS, Platform
from emulator.units import format_size, parse_size
from emulator.version import __version__

__all__ = [
    "PLATFORMS",
    "Channel",
    "ChannelInfo",
    "Console",
    "EmulatorError",
    "ErrorAttribute",
    "ErrorKind",
    "ErrorReport",
    "Image",
    "ImageError",
    "Instruction",
    "Machine",
    "Memory",
    "Platform",
    "Registers",
    "Segment",
    "SoftState",
    "Stop",
    "StopReason",
    "Strand",
    "StrandState",
    "__version__",
    "build_info",
    "decode",
    "disassemble",
    "errors",
    "format_size",
    "instructions",
    "parse_image",
    "parse_size",
    "read_image",
]
