"""Guest memory and the console of a machine, as clients see them."""

from __future__ import annotations

from emulator import _core
from emulator.errors import AddressError

PAGE_BYTES = 8192


class Memory:
    """Guest memory by real address: the blocks that the machine has, with holes between them.

    Bytes stand in guest order (big-endian), so ``int.from_bytes(memory.read(ra, 8), "big")`` is what `ldx`
    would load; `load`/`store` do exactly that. Addresses outside raise AddressError and nothing is written.
    """

    def __init__(self, core: _core.Core) -> None:
        self._core = core

    @property
    def size_bytes(self) -> int:
        """All of it, without holes."""
        return sum(size for _, size in self._core.memory_ranges())

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Where it is: real address and bytes, ascending; blocks that adjoin are one range."""
        return tuple(self._core.memory_ranges())

    @property
    def end(self) -> int:
        """First real address behind the last block."""
        return max((ra + size for ra, size in self._core.memory_ranges()), default=0)

    def __len__(self) -> int:
        return self.size_bytes

    def backed(self, ra: int, length: int) -> bool:
        """True where all of the range is memory."""
        if length <= 0:
            return length == 0 and (self._core.memory_run(ra) > 0 or self._core.memory_run(ra - 1) == 1)
        return self._core.memory_run(ra) >= length

    def _check(self, ra: int, length: int) -> None:
        if not self.backed(ra, length):
            there = ", ".join(f"{base:#x}..{base + size - 1:#x}" for base, size in self.ranges[:4]) or "none"
            raise AddressError(f"real addresses {ra:#x}..{ra + length - 1:#x} are outside memory ({there})")

    def read(self, ra: int, length: int) -> bytes:
        """Copy of `length` bytes at `ra`."""
        self._check(ra, length)
        return self._core.mem_read(ra, length) if length else b""

    def write(self, ra: int, data: bytes | bytearray | memoryview) -> None:
        """Write bytes; like a store it marks the pages dirty and drops code decoded from them."""
        length = memoryview(data).nbytes
        self._check(ra, length)
        if length:
            self._core.mem_write(ra, data)

    def view(self, ra: int, length: int) -> memoryview:
        """Read-only window without a copy, in one block: shows later stores too. Keeps the machine from closing."""
        self._check(ra, length)
        return self._core.mem_view(ra, length) if length else memoryview(b"")

    def load(self, ra: int, width: int = 8) -> int:
        """The unsigned big-endian number of `width` bytes at `ra`."""
        return int.from_bytes(self.read(ra, width), "big")

    def store(self, ra: int, value: int, width: int = 8) -> None:
        """Store a number as `width` big-endian bytes; a negative one as two's complement."""
        self.write(ra, (value & ((1 << 8 * width) - 1)).to_bytes(width, "big"))


class Console:
    """The guest's console: what it wrote through CONS_PUTCHAR/CONS_WRITE, and the queue of its input."""

    def __init__(self, core: _core.Core) -> None:
        self._core = core

    def read(self) -> bytes:
        """Take all output that waits (maybe none)."""
        return self._core.console_read()

    def feed(self, data: bytes) -> int:
        """Append to the input; returns how many bytes the queue took."""
        return self._core.console_feed(data) if data else 0

    def break_(self) -> None:
        """Send BREAK."""
        self._core.console_break()

    def hangup(self) -> None:
        """End of input: CONS_GETCHAR gives HUP once the queue is empty."""
        self._core.console_hangup()
