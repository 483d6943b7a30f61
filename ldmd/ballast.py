"""A file that holds space for the end of a change, so that a full disk cannot leave one half done.

A change begins only while the ballast is whole. When the disk is full at its end, the ballast is given up and the end
is written into its space.
"""

from __future__ import annotations

import os
from pathlib import Path

BALLAST_BYTES = 1 << 20
ROOM_BYTES = 256 << 10
"""With less free space than this the disk counts as full."""


class Ballast:
    """One file of BALLAST_BYTES, allocated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _room(self) -> int:
        stat = os.statvfs(self.path.parent)
        return stat.f_bavail * stat.f_frsize

    def _whole(self) -> bool:
        try:
            stat = self.path.stat()
        except OSError:
            return False
        return stat.st_size >= BALLAST_BYTES and stat.st_blocks * 512 >= BALLAST_BYTES

    def fill(self) -> bool:
        """Make it whole again; False where the disk has no room for it and the change that asks."""
        if self._room() < ROOM_BYTES + (0 if self._whole() else BALLAST_BYTES):
            return False
        if not self._whole():
            try:
                handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(handle, 0, BALLAST_BYTES)
                finally:
                    os.close(handle)
            except OSError:
                return False
        return True

    def spend_if_full(self) -> None:
        """Give up the space where there is no other left."""
        if self._room() < ROOM_BYTES:
            self.path.unlink(missing_ok=True)
