"""Which pages of a guest are missing, as its machine has it (csrc/util/presence.h): a memfd, mapped by a worker too."""

from __future__ import annotations

import mmap
import os
import struct

HEADER, MAGIC, RING = 4096, 0x50533453, 256
HEAD = struct.Struct("<4IQQ3I4x")  # magic turn closed waiting, pages missing, lock head tail
HERE, MISSING, ASKED = range(3)


class Presence:
    """`fd`, `bell`: what the worker is given. The byte of a page says whether it may be touched."""

    def __init__(self, fd: int, pages: int) -> None:
        """`fd`: a sealed memfd of `HEADER + pages` bytes."""
        self.fd, self.pages = fd, pages
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        os.pwrite(fd, HEAD.pack(MAGIC, 0, 0, 0, pages, 0, 0, 0, 0), 0)
        self._view = mmap.mmap(fd, 0)
        self.asked = 0

    def absent(self) -> set[int]:
        """Pages that are missing."""
        return {page for page, byte in enumerate(self._view[HEADER:]) if byte != HERE}

    def may_touch(self, page: int) -> bool:
        """Is it there? Else it is asked for, and whoever wants it waits."""
        byte = self._view[HEADER + page]
        if byte == MISSING:
            self._view[HEADER + page] = ASKED
            head = HEAD.unpack_from(self._view)[7]
            struct.pack_into("<Q", self._view, HEAD.size + 8 * (head % RING), page)
            struct.pack_into("<I", self._view, HEAD.size - 12, (head + 1) & 0xFFFFFFFF)
            self.asked += 1
            os.eventfd_write(self.bell, 1)
        return byte == HERE

    def close(self) -> None:
        """The guest has all of it, or is gone."""
        self._view.close()
        os.close(self.fd)
        os.close(self.bell)
