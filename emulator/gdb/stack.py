"""Memory with the windows that are still in registers.

GDB takes the registers of a caller from the save area of its frame, in memory. On a SPARC they get there when the
register file runs out of windows; until then they are only in the file. So what is read from such an area comes from
the file, and what is written there goes there as well. Nothing is spilled for it: the guest's memory and windows stay
as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.gdb.debuggee import WINDOW_REGISTERS, Debuggee

BIAS = 2047
MASK64, MASK32 = (1 << 64) - 1, (1 << 32) - 1
STACK_POINTER, FRAME_POINTER = "o6", WINDOW_REGISTERS.index("i6")


@dataclass(frozen=True)
class SaveArea:
    """Where a caller's window is to be found in memory: `width` bytes a register."""

    depth: int
    va: int
    width: int
    values: tuple[int, ...]

    @property
    def image(self) -> bytes:
        """What memory would have."""
        mask = (1 << 8 * self.width) - 1
        return b"".join((value & mask).to_bytes(self.width, "big") for value in self.values)


def save_areas(debuggee: Debuggee, strand: int) -> Iterator[SaveArea]:
    """The callers' windows in the file. An odd stack pointer is a 64-bit frame's, which has a bias (V9 ABI)."""
    windows = debuggee.windows(strand)
    pointer = debuggee.registers(strand)["i6"] if windows else 0
    for depth, values in enumerate(windows):
        wide = bool(pointer & 1)
        va = pointer + BIAS & MASK64 if wide else pointer & MASK32
        yield SaveArea(depth, va, 8 if wide else 4, tuple(values))
        pointer = values[FRAME_POINTER]


class Memory:
    """A guest's memory for a session. Areas are looked for once in a stop; `forget` when anything may have changed."""

    def __init__(self, debuggee: Debuggee) -> None:
        self._debuggee = debuggee
        self._areas: dict[int, tuple[SaveArea, ...]] = {}

    def forget(self) -> None:
        """The guest has run, or was changed."""
        self._areas.clear()

    def _near(self, strand: int, va: int, count: int) -> Iterator[SaveArea]:
        if strand not in self._areas:
            self._areas[strand] = tuple(save_areas(self._debuggee, strand))
        for area in self._areas[strand]:
            if area.va < va + count and va < area.va + 16 * area.width:
                yield area

    def read(self, strand: int, va: int, count: int) -> bytes:
        """As `Debuggee.read`."""
        data = bytearray(self._debuggee.read(strand, va, count))
        for area in self._near(strand, va, len(data)):
            image = area.image
            first, last = max(va, area.va), min(va + len(data), area.va + len(image))
            data[first - va : last - va] = image[first - area.va : last - area.va]
        return bytes(data)

    def write(self, strand: int, va: int, data: bytes) -> None:
        """As `Debuggee.write`."""
        self._debuggee.write(strand, va, data)
        for area in tuple(self._near(strand, va, len(data))):
            image = bytearray(area.image)
            first, last = max(va, area.va), min(va + len(data), area.va + len(image))
            image[first - area.va : last - area.va] = data[first - va : last - va]
            self._debuggee.set_window(strand, area.depth, _registers(bytes(image), area.width))
        self.forget()


def _registers(image: bytes, width: int) -> dict[str, int]:
    return {name: int.from_bytes(image[n * width : (n + 1) * width], "big")
            for n, name in enumerate(WINDOW_REGISTERS)}  # fmt: skip
