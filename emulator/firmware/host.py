"""What the prompt needs of the machine around it, and what it asks the machine to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from emulator.firmware.devtree import DeviceTree
from emulator.firmware.variables import Variables

COPYRIGHT = "Copyright (c) 1998, 2013, Oracle and/or its affiliates. All rights reserved."
VERSION = "4.33.6"
CREATED = "2012/03/14 08:42"


@dataclass(frozen=True)
class Facts:
    """What the banner and its relatives show. `cpu` is the strand at the prompt, `clock_hz` its frequency.

    `has_run`: a program was started since the reset, so a boot needs a reset first. `can_go`: its state is kept, so
    that ``go`` can continue it.
    """

    banner_name: str
    memory_bytes: int
    mac: bytes
    hostid: int
    version: str = VERSION
    created: str = CREATED
    copyright: str = COPYRIGHT
    serial: int | None = None
    cpus: int = 1
    cpu: int = 0
    clock_hz: int = 0
    has_run: bool = False
    can_go: bool = False

    @property
    def serial_number(self) -> int:
        """The serial number: as given, or as the host id holds it."""
        return self.hostid & 0x7FFF_FFFF if self.serial is None else self.serial


class PromptHost(Protocol):
    """The machine, as the prompt sees it. No method blocks."""

    @property
    def tree(self) -> DeviceTree:
        """The device tree as it is now."""

    @property
    def variables(self) -> Variables:
        """The configuration variables."""

    def facts(self) -> Facts:
        """What the banner shows, as it is now."""

    def write(self, data: bytes) -> None:
        """Send bytes to the console."""

    def milliseconds(self) -> int:
        """Time since the machine started, in its own time."""

    def openable(self, path: str) -> bool:
        """Can the device of a full path be booted from: does it exist, and is something behind it?"""

    def registers(self, cpu: int) -> Mapping[str, int] | None:
        """A strand's registers as its program left them, by their names without percent sign: ``g0`` .. ``i7``, ``pc``,
        ``npc``, ``tba``, ``ccr``, ``pstate``, ``tl``, ``tt1``, ``tpc1``, ``tnpc1``, ``tstate1``. None: no program ran.
        """

    def set_register(self, cpu: int, name: str, value: int) -> bool:
        """Change one of them; False: it cannot be."""

    def peek(self, address: int, size: int, *, real: bool = False) -> bytes | None:
        """Bytes at a virtual (or real) address; None: not mapped, or no memory there."""

    def poke(self, address: int, data: bytes, *, real: bool = False) -> bool:
        """Write bytes; False: not mapped, or no memory there."""

    def translate(self, address: int) -> int | None:
        """Real address of a virtual one, or None."""


@dataclass(frozen=True)
class Boot:
    """Boot from `device` (a full path with its arguments, or a name that leads nowhere) with file and arguments."""

    device: str
    arguments: str


@dataclass(frozen=True)
class Go:
    """Continue the program."""


@dataclass(frozen=True)
class Reset:
    """Reset the machine; then run `command`, or start as after power-on where it is ""."""

    command: str = ""


@dataclass(frozen=True)
class PowerOff:
    """Stop the machine."""


Action = Boot | Go | Reset | PowerOff
"""How a turn of the prompt ends."""
