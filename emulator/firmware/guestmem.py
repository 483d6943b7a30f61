"""A client's memory as a client interface call sees it: virtual addresses of context 0, on the calling strand.

A guest that owns its traps keeps translations where the emulator does not know them. So an access may find none: it
raises GuestFault, nothing has happened, the guest takes the miss as for a load or store of its own, and the call is
made again. A service therefore reads all it needs and checks all it will write before it does anything that lasts.
"""

from __future__ import annotations

from emulator._core import Core
from emulator.firmware.layout import PAGE_BYTES

MAX_STRING = 4096
_MASK64 = (1 << 64) - 1


class GuestFault(Exception):  # noqa: N818 - a trap the guest is to take, no error
    """No translation for a virtual address."""

    def __init__(self, va: int, *, store: bool) -> None:
        super().__init__(f"{va:#x}")
        self.va, self.store = va, store


class GuestMemory:
    """Memory by virtual address, of one strand. Addresses wrap at 64 bits."""

    def __init__(self, core: Core, strand: int) -> None:
        self._core = core
        self._strand = strand

    def _pieces(self, va: int, length: int, *, store: bool) -> list[tuple[int, int]]:
        """Real addresses and lengths of a range, page by page. Raises GuestFault for the first that is not there."""
        found = []
        while length > 0:
            va &= _MASK64
            size = min(length, PAGE_BYTES - va % PAGE_BYTES)
            ra = self._core.translate(self._strand, va, store=store)
            if ra is None:
                raise GuestFault(va, store=store)
            found.append((ra, size))
            va += size
            length -= size
        return found

    def read(self, va: int, length: int) -> bytes:
        """Copy of `length` bytes."""
        return b"".join(self._core.mem_read(ra, size) for ra, size in self._pieces(va, length, store=False))

    def check_store(self, va: int, length: int) -> None:
        """Raises GuestFault unless `write` would work."""
        self._pieces(va, length, store=True)

    def write(self, va: int, data: bytes) -> None:
        """Write bytes: all of them or none."""
        at = 0
        for ra, size in self._pieces(va, len(data), store=True):
            self._core.mem_write(ra, data[at : at + size])
            at += size

    def text(self, va: int, most: int = MAX_STRING) -> str:
        """A NUL-terminated string of at most `most` bytes; a longer one is cut."""
        out = bytearray()
        while len(out) < most:
            size = min(64, most - len(out), PAGE_BYTES - va % PAGE_BYTES)
            chunk = self.read(va, size)
            head, nul, _ = chunk.partition(b"\0")
            out += head
            if nul:
                break
            va += size
        return out.decode("latin-1")

    def cells(self, va: int, count: int) -> list[int]:
        """64-bit big-endian numbers."""
        data = self.read(va, 8 * count)
        return [int.from_bytes(data[at : at + 8], "big") for at in range(0, len(data), 8)]
