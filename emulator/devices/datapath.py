"""The part of a virtual disk that is C: READ, WRITE and FLUSH of a ring, between a file and guest memory (csrc/vio).

A `DataPath` belongs to one channel. In real time several requests are on their way at once, and their completions wake
the machine: bytes of a file and of overlays are moved by C, those of other backends by their methods, called from C's
threads. docs/internals/vio.md.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, fields

from emulator._core_images import Image
from emulator.backends.file import BLOCK, Backend, image_of
from emulator.channel import Channel
from emulator.devices.vio import Ring


class Stop(enum.IntEnum):
    """Why not all descriptors were taken: S4V_DISK_* of csrc/sun4v.h."""

    ALL = 0
    NOT_READY = 1
    CLIENT = 2
    """The next one is for `VirtualDisk` itself."""
    FULL = 3


@dataclass(frozen=True)
class Terms:
    """What the C side has to know of a session besides ring and backend."""

    most_blocks: int
    stable: bool
    """A write is on stable storage before it is acknowledged."""
    slice: bool
    slices: tuple[tuple[int, int], ...] | None = None
    """First block and size of each slice by its number; None: not known."""


@dataclass
class DiskCounters:
    """What a disk has done. Bytes are those of requests that went well."""

    reads: int = 0
    writes: int = 0
    flushes: int = 0
    errors: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    in_flight: int = 0
    """Requests begun, and not yet answered."""
    deepest: int = 0
    """Most that ever were in flight."""

    def __add__(self, other: DiskCounters) -> DiskCounters:
        return DiskCounters(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def _facts(backend: Backend, ring: Ring, terms: Terms) -> tuple[object, ...]:
    return (backend, getattr(backend, "fd", None), getattr(backend, "image", None), backend.size_bytes,
            backend.read_only, ring, terms)  # fmt: skip


def _cuts(terms: Terms) -> dict[str, object]:
    if terms.slices is None:
        return {}
    return {"sliced": 1, "slice_start": [start for start, _ in terms.slices],
            "slice_blocks": [blocks for _, blocks in terms.slices]}  # fmt: skip


class DataPath:
    """`status`: what a guest reads for an error number of the host."""

    def __init__(self, channel: Channel, status: Callable[[OSError], int]) -> None:
        self._channel = channel
        self._status = bytes(status(OSError(number, "")) for number in range(256))
        self._known: tuple[object, ...] | None = None
        self._image: Image | None = None  # C calls through it
        self.lent = False
        """Has C the session's link?"""

    @property
    def is_open(self) -> bool:
        """Has it a ring and a file?"""
        return self._known is not None

    def open(self, backend: Backend, ring: Ring, terms: Terms) -> bool:
        """Be ready for requests of a ring. False: the host cannot. Nothing may be in flight where one is new."""
        known = _facts(backend, ring, terms)
        if known == self._known:
            return True
        fd = getattr(backend, "fd", None)
        try:
            image = image_of(backend) if fd is None else None
        except OSError:
            self.close()
            return False
        self._channel.disk_open(
            {
                "fd": -1 if fd is None else fd, "base": 0 if fd is None else getattr(backend, "base", 0),
                "most_blocks": terms.most_blocks,
                "blocks": backend.size_bytes // BLOCK, "read_only": backend.read_only, "stable": terms.stable,
                "slice": terms.slice, "status": self._status, **({} if image is None else {"image": image.raw}),
                **_cuts(terms),
            },
            entries=ring.entries, entry_bytes=ring.entry_bytes,
            cookies=[(cookie.address, cookie.size) for cookie in ring.cookies],
        )  # fmt: skip
        self._known, self._image = known, image
        return True

    def is_new(self, backend: Backend, ring: Ring, terms: Terms) -> bool:
        """Would `open` change something that is in use?"""
        return self._known is not None and self._known != _facts(backend, ring, terms)

    def renew(self) -> None:
        """The next `open` gives C everything anew. Nothing is in flight."""
        self._known = None

    def close(self) -> None:
        """No ring: what no thread has begun is dropped, the rest is waited for, and the guest does not hear of it."""
        if self._known is not None or self._image is not None:
            self._known = None
            self.lent = False
            self._channel.disk_close()
            self._image = None

    def take(self, start: int, count: int, sequence: int) -> tuple[int, Stop]:
        """Begin with descriptors from `start` on; how many were taken. Raises AddressError: the ring is not there."""
        taken, stop = self._channel.disk_take(start, count, sequence)
        return taken, Stop(stop)

    def finish(self) -> list[tuple[int, int]]:
        """Give the guest what is done; (sequence, descriptor) of what is to be acknowledged, in order of completion.

        Raises AddressError: the ring is not there.
        """
        return self._channel.disk_finish() if self._channel.disk_in_flight() else []

    def wait(self) -> None:
        """Until the host has done everything that was taken."""
        self._channel.disk_wait()

    def lend(self, ident: int, session: int, counts: tuple[int, int]) -> bool:
        """Let C serve the session's plain packets while the guest runs. False: a deterministic machine."""
        self.lent = self._channel.disk_lend(ident, session, *counts)
        return self.lent

    def take_back(self) -> tuple[int, int, bool]:
        """The end of that; the link's counts now. False: an answer could not be given, for the ring was gone."""
        self.lent = False
        return self._channel.disk_take_back()

    @property
    def serves(self) -> bool:
        """Is it lent, and all is well?"""
        return self.lent and self._channel.disk_lent()

    @property
    def counters(self) -> DiskCounters:
        """Since the channel was added."""
        return DiskCounters(**self._channel.disk_count())
