"""sun4v: emulated SPARC sun4v servers.

The public API::

    from emulator import Machine, StopReason

    with Machine(memory="256M", deterministic=True) as machine:
        machine.boot("program.elf")
        while (stop := machine.run(budget_insns=10_000_000)).reason is StopReason.CONSOLE:
            print(machine.console.read())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_WHERE = {
    "build_info": "_core",
    "Channel": "channel",
    "ChannelInfo": "channel",
    "Instruction": "disasm",
    "decode": "disasm",
    "disassemble": "disasm",
    "instructions": "disasm",
    "EmulatorError": "errors",
    "ImageError": "errors",
    "errors": "errors",
    "Registers": "guest",
    "Stop": "guest",
    "StopReason": "guest",
    "Strand": "guest",
    "StrandState": "guest",
    "ErrorAttribute": "hypervisor",
    "ErrorKind": "hypervisor",
    "ErrorReport": "hypervisor",
    "SoftState": "hypervisor",
    "Image": "loader",
    "Segment": "loader",
    "parse_image": "loader",
    "read_image": "loader",
    "Machine": "machine",
    "Console": "memory",
    "Memory": "memory",
    "PLATFORMS": "platforms",
    "Platform": "platforms",
    "format_size": "units",
    "parse_size": "units",
    "__version__": "version",
}
"""Module of each name. They are imported when they are asked for: a command that needs only one of the small modules,
such as `ldm`, does not load the core."""


def __getattr__(name: str) -> Any:
    """A public name, or a module of the package."""
    if name not in _WHERE:
        try:
            return import_module(f"emulator.{name}")
        except ModuleNotFoundError:
            raise AttributeError(f"module 'emulator' has no attribute {name!r}") from None
    module = import_module(f"emulator.{_WHERE[name]}")
    value = module if name == _WHERE[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
