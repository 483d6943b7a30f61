"""Where the firmware keeps its own things: at the end of memory, mapped in its part of the address space.

::

    VA 0xF0200000   entry of the client interface      one page
    VA 0xF0202000   stacks: one of 64 KiB, and one of 16 KiB for every strand behind it

Everything is one piece of memory, so that one translation covers it: the guest keeps serving these addresses from the
``translations`` property after it has taken over the traps (Linux 6.1, arch/sparc/kernel/ktlb.S).
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Layout:
    """Firmware memory of a machine of `memory_bytes` at real address 0 and so many strands."""

    memory_bytes: int
    strands: int

    def __post_init__(self) -> None:
        if self.ra < LARGE_PAGE_BYTES:
            raise ConfigError("firmware needs more memory: 8M is the least that holds it and a program")

    @property
    def size_bytes(self) -> int:
        """Of the whole piece, a multiple of 64 KiB."""
        wanted = PAGE_BYTES + BOOT_STACK_BYTES + self.strands * STACK_BYTES
        return -(-wanted // 0x10000) * 0x10000

    @property
    def ra(self) -> int:
        """Real address of the piece: the end of what a guest may use."""
        return self.memory_bytes - self.size_bytes

    def stack_pointer(self, strand: int | None) -> int:
        """Biased %sp of a strand that the guest starts; None: of the one that boots."""
        top = CIF_VA + PAGE_BYTES + BOOT_STACK_BYTES
        if strand is not None:
            top += (strand + 1) * STACK_BYTES
        return top - STACK_HEADROOM - STACK_BIAS
