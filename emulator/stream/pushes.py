"""Pages that follow a guest and that nobody has asked for, where the link is capped: few at a time.

What is asked for waits behind what is being sent. Without a cap that is a chunk of 256 KiB at the link's own rate; a
cap of 1 MB/s makes a quarter of a second of it. So a push is what the cap lets through in PUSH_SECONDS.
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator._core_stream import Buffer, Image, Taken
from emulator.stream.chunks import MISSING_RANGES

PUSH_SECONDS = 0.02
PAGE_BYTES = 8192


def pages_of_a_push(bytes_per_second: int | None, most: int) -> int:
    """How many pages a push has at a cap: 1 to `most`."""
    if bytes_per_second is None:
        return most
    return max(1, min(most, int(bytes_per_second * PUSH_SECONDS) // PAGE_BYTES))


class Pushes:
    """What is pending of a guest that stands still, each page once, also where others take some of them."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._numbers = self._walk()

    def _walk(self) -> Iterator[int]:
        for ranges in self._image.pending_ranges(MISSING_RANGES):
            for first, end in zip(ranges[::2], ranges[1::2], strict=True):
                yield from range(first, end)

    def take(self, buffer: Buffer, most: int) -> Taken | None:
        """At most so many; None: nothing is left."""
        for number in self._numbers:
            taken = self._image.take_at(buffer, number, most)
            if taken.pages or taken.zeros:
                return taken
        return None
