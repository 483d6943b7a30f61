"""Where the firmware keeps its own things in memory, mapped in its part of the address space, and where programs go.

::

    memory at real address 0    | program ...                            firmware | more blocks
    else                        | firmware | . | program ...                      | more blocks
                                            low: what a program takes for real address 0

A domain's real addresses need not begin at 0 (`emulator.placement`), and memory that is taken away as it runs is taken
from its end: there the firmware is at the beginning.

::

    VA 0xF0200000   entry of the client interface      one page
    VA 0xF0202000   stacks: one of 64 KiB, and one of 16 KiB for every strand behind it

Everything is one piece of memory, so that one translation covers it: the guest keeps serving these addresses from the
``translations`` property after it has taken over the traps (Linux 6.1, arch/sparc/kernel/ktlb.S).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.errors import ConfigError

PAGE_BYTES = 8192
CIF_VA = 0xF020_0000
BOOT_STACK_BYTES = 64 << 10
STACK_BYTES = 16 << 10
STACK_BIAS = 2047
STACK_HEADROOM = 1024
"""Above the stack pointer: the callee's save area, and arguments that Linux builds there."""
FIRMWARE_TRAP = 0xF0
"""Software trap number of the entry (csrc/hyp/hyp.h)."""
ENTRY_CODE = bytes.fromhex("91d020f081c3e00801000000")
"""``ta 0xf0; retl; nop``"""
LARGE_PAGE_BYTES = 4 << 20
"""Images start on its multiples: Linux maps itself with pages of this size."""
ENOUGH_BYTES = 64 << 20
"""A block of this size holds firmware and a kernel."""


Blocks = Sequence[tuple[int, int]]
"""Memory as (real address, bytes)."""


@dataclass(frozen=True)
class Layout:
    """Firmware memory of a domain with these blocks of memory, and stacks for strands 0 to `strands` - 1."""

    blocks: Blocks
    strands: int

    def __post_init__(self) -> None:
        if self.room < self.size_bytes + LARGE_PAGE_BYTES:
            raise ConfigError("firmware needs more memory: 8M in one block is the least that holds it and a program")

    @property
    def block(self) -> tuple[int, int]:
        """The block that firmware and programs are in: the first of those that have room enough, else the largest."""
        for ra, size in sorted(self.blocks):
            if size >= ENOUGH_BYTES:
                return ra, size
        return max(self.blocks, key=lambda block: (block[1], -block[0]), default=(0, 0))

    @property
    def room(self) -> int:
        """Bytes for firmware and program."""
        ra, size = self.block
        return size if ra == 0 else ra + size - (self.low - self.size_bytes)

    @property
    def size_bytes(self) -> int:
        """Of the whole piece, a multiple of 64 KiB."""
        wanted = PAGE_BYTES + BOOT_STACK_BYTES + self.strands * STACK_BYTES
        return -(-wanted // 0x10000) * 0x10000

    @property
    def ra(self) -> int:
        """Real address of the piece."""
        base, size = self.block
        return base or size - self.size_bytes

    @property
    def end(self) -> int:
        """End of the piece."""
        return self.ra + self.size_bytes

    @property
    def low(self) -> int:
        """Real address that stands for 0 where programs say where they want to be; a multiple of 4 MiB."""
        return -(-self.end // LARGE_PAGE_BYTES) * LARGE_PAGE_BYTES if self.block[0] else 0

    @property
    def limit(self) -> int:
        """Where memory for a program ends."""
        base, size = self.block
        return base + size if base else self.ra

    @property
    def lowest_free(self) -> int:
        """Lowest real address that is not the firmware's: Linux counts the address of its RAM disk from there."""
        return min((ra for ra, _ in self.without_firmware()), default=0)

    def without_firmware(self, blocks: Blocks | None = None) -> list[tuple[int, int]]:
        """Blocks (default: all of the domain) without the firmware's piece, ascending."""
        return without(self.blocks if blocks is None else blocks, self.ra, self.size_bytes)

    def stack_pointer(self, strand: int | None) -> int:
        """Biased %sp of a strand that the guest starts; None: of the one that boots."""
        top = CIF_VA + PAGE_BYTES + BOOT_STACK_BYTES
        if strand is not None:
            top += (strand + 1) * STACK_BYTES
        return top - STACK_HEADROOM - STACK_BIAS


def without(blocks: Blocks, start: int, size: int) -> list[tuple[int, int]]:
    """Blocks, ascending, with a range cut out."""
    pieces = []
    for base, length in sorted(blocks):
        end = base + length
        for low, high in ((base, min(end, start)), (max(base, start + size), end)):
            if low < high:
                pieces.append((low, high - low))
    return pieces
