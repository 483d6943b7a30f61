"""Guest memory and the console of a machine, as clients see them."""

from __future__ import annotations

from emulator import _core
from emulator.errors import AddressError

PAGE_BYTES = 8192


class Memory:
    """Guest memory by real address: one segment from 0 to `size_bytes`.

    Bytes stand in guest order (big-endian), so ``int.from_bytes(memory.read(ra, 8), "big")`` is what `ldx`
    would load; `load`/`store` do exactly that. Addresses outside raise AddressError and nothing is written.
    """

    def __init__(self, core: _core.Core, size_bytes: int) -> None:
        self._core = core
        self.size_bytes = size_bytes

    def __len__(self) -> int:
        return self.size_bytes

    def _check(self, ra: int, length: int) -> None:
        if length < 0 or not 0 <= ra <= self.size_bytes - length:
            raise AddressError(
                f"real addresses {ra:#x}..{ra + length - 1:#x} are outside memory"
                f" (0..{self.size_bytes - 1:#x})"
            )

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
        """Read-only window without a copy: shows later stores too. Keeps the machine from closing."""
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
