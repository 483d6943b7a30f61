"""Registers as GDB numbers them for sparc:v9, and the target description that says so.

The first 86 are the features ``org.gnu.gdb.sparc.cpu``, ``.fpu`` and ``.cp0``, in the order that GDB's sparc64 target
has by itself. From those it makes %d0-%d62, %q0-%q60, %ccr, %asi, %pstate and %cwp (the last four out of `state`). What
a kernel's debugger needs besides is a feature of our own, whose names must not be any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

MASK64 = (1 << 64) - 1
Values = Mapping[str, int]
"""Registers of a strand by the names of `emulator.guest.Registers`."""


@dataclass(frozen=True)
class Register:
    """One register of the protocol. `name` is GDB's, `source` the core's where they differ; `bits` 32 or 64."""

    name: str
    bits: int = 64
    kind: str = "int64"
    """Type in the target description."""
    feature: str = "cpu"
    source: str = ""
    writable: bool = True

    @property
    def size_bytes(self) -> int:
        """Bytes in the protocol."""
        return self.bits // 8

    def hex(self, values: Values) -> str:
        """Its value as the protocol has it, in the order of the target's bytes."""
        read = COMPOSED.get(self.name)
        value = read(values) if read else values[self.source or self.name]
        return f"{value & ((1 << self.bits) - 1):0{self.bits // 4}x}"

    def changes(self, value: int, values: Values) -> dict[str, int]:
        """What is to be set in the core so that it has this value; nothing where it has it already."""
        wanted = _take_state(value) if self.name == "state" else {self.source or self.name: value}
        return {name: number for name, number in wanted.items() if values.get(name) != number}


def _state(values: Values) -> int:
    """As TSTATE has them (UltraSPARC Architecture 2007, 5.7.2), without GL."""
    return values["ccr"] << 32 | values["asi"] << 24 | values["pstate"] << 8 | values["cwp"]


def _take_state(value: int) -> dict[str, int]:
    return {"ccr": value >> 32 & 0xFF, "asi": value >> 24 & 0xFF, "pstate": value >> 8 & 0xFFFF, "cwp": value & 0x1F}


COMPOSED: dict[str, Callable[[Values], int]] = {"state": _state}

_INTEGER = tuple(f"{bank}{number}" for bank in "goli" for number in range(8))
_POINTERS = {"o6": "sp", "i6": "fp"}
"""GDB's names of two of them."""


def _standard() -> list[Register]:
    cpu = [Register(_POINTERS.get(name, name), kind="data_ptr" if name in _POINTERS else "int64", source=name)
           for name in _INTEGER]  # fmt: skip
    fpu = [Register(f"f{n}", 32, "ieee_single", "fpu") for n in range(32)]
    fpu += [Register(f"f{n}", 64, "ieee_double", "fpu", source=f"d{n}") for n in range(32, 64, 2)]
    cp0 = [Register(name, kind="code_ptr" if name in ("pc", "npc") else "int64", feature="cp0")
           for name in ("pc", "npc", "state", "fsr", "fprs", "y")]  # fmt: skip
    return cpu + fpu + cp0


PRIVILEGED = (
    "gsr", "tl", "gl", "pil", "tba", "tt1", "tpc1", "tnpc1", "tstate1", "tt2", "tpc2", "tnpc2", "tstate2", "wstate",
    "cansave", "canrestore", "cleanwin", "otherwin", "softint", "tick", "stick", "tick_cmpr", "stick_cmpr", "context0",
    "context1",
)  # fmt: skip
"""Of the feature of our own: the core's names."""
READ_ONLY = ("tick", "stick")
STANDARD = tuple(_standard())
"""What a `g` packet has."""
REGISTERS = STANDARD + tuple(Register(name, feature="privileged", writable=name not in READ_ONLY)
                             for name in PRIVILEGED)  # fmt: skip
NUMBERS = {register.name: number for number, register in enumerate(REGISTERS)}
EXPEDITED = tuple(NUMBERS[name] for name in ("sp", "fp", "pc", "npc"))
"""What a stop reply brings with it."""
_FEATURES = {"cpu": "org.gnu.gdb.sparc.cpu", "fpu": "org.gnu.gdb.sparc.fpu", "cp0": "org.gnu.gdb.sparc.cp0",
             "privileged": "org.sun4v.privileged"}  # fmt: skip


def target_description() -> str:
    """target.xml: GDB checks that the features it knows have their registers, and takes the others as they come."""
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">', '<target version="1.0">',
             "  <architecture>sparc:v9</architecture>"]  # fmt: skip
    for short, name in _FEATURES.items():
        lines.append(f'  <feature name="{name}">')
        for number, each in enumerate(REGISTERS):
            if each.feature == short:
                group = ' group="system"' if short == "privileged" else ""
                lines.append(f'    <reg name="{each.name}" bitsize="{each.bits}" type="{each.kind}"'
                             f' regnum="{number}"{group}/>')  # fmt: skip
        lines.append("  </feature>")
    return "\n".join([*lines, "</target>", ""])
