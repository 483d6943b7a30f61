"""What is behind the disks of a server's guests: files, each opened once, however many guests share it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from emulator._core_images import Image
from emulator.backends.file import Backend, Identity
from emulator.backends.images import Access, open_image
from emulator.backends.overlay import Overlay
from emulator.errors import ConfigError
from emulator.server.errors import BackendError
from emulator.server.spec import DiskPath


@dataclass
class _Opened:
    """A file that is open, and who uses it."""

    disk: Backend
    uses: int
    exclusive: bool


class SharedDisk:
    """One use of a file. Another guest may use it too: reads and writes are single calls on the host."""

    def __init__(self, disks: Disks, key: tuple[str, bool], disk: Backend) -> None:
        self._disks, self._key, self._disk = disks, key, disk
        self._open = True
        self.size_bytes = disk.size_bytes
        self.read_only = disk.read_only

    @property
    def fd(self) -> int | None:
        """The file's descriptor, where its bytes are the disk's."""
        return getattr(self._disk, "fd", None) if self._open else None

    @property
    def base(self) -> int:
        """Where in the file the disk begins."""
        return int(getattr(self._disk, "base", 0))

    @property
    def image(self) -> Image | None:
        """What C knows it by, where it is no plain file."""
        return getattr(self._disk, "image", None) if self._open else None

    @property
    def trouble(self) -> str:
        """What is wrong with the file; "" where all is well."""
        return str(getattr(self._disk, "trouble", ""))

    @property
    def identity(self) -> Identity | None:
        """What the disk is told by."""
        return getattr(self._disk, "identity", None)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        return self._disk.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        self._disk.write(offset, data)

    def flush(self) -> None:
        """fdatasync."""
        self._disk.flush()

    def close(self) -> None:
        """This use ends, and with the last one the file is closed."""
        if self._open:
            self._open = False
            self._disks.release(self._key)


class Disks:
    """The files of a server. Safe from several threads.

    A file that a guest may write is locked against all others on the host, one that is only read against their writing.
    With the option ``excl`` only one guest can have it, of whatever server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, bool], _Opened] = {}

    def open(self, path: DiskPath) -> Backend:
        """What a disk's path asks for. Raises BackendError."""
        if not path.backend:
            raise BackendError("the disk has no backend")
        keeps = path.read_only or path.copy_on_write or path.overlay is not None
        base = self._share(path.backend, read_only=keeps, exclusive="excl" in path.options)
        if path.read_only or not keeps:
            return base
        try:
            return Overlay(base, path.overlay)
        except ConfigError as error:
            base.close()
            raise BackendError(str(error)) from None

    def _share(self, name: str, *, read_only: bool, exclusive: bool) -> SharedDisk:
        key = os.path.realpath(name), read_only
        with self._lock:
            others = [self._open[each] for each in ((key[0], False), (key[0], True)) if each in self._open]
            if others and (exclusive or any(other.exclusive for other in others)):
                raise BackendError(f"{name}: another guest has the disk, and one of them wants it alone (excl)")
            found = self._open.get(key)
            if found is None:
                try:
                    disk = open_image(name, Access(read_only=read_only, shared=bool(others), alone=exclusive))
                except ConfigError as error:
                    raise BackendError(str(error)) from None
                found = self._open[key] = _Opened(disk, 0, exclusive)
            found.uses += 1
            return SharedDisk(self, key, found.disk)

    def release(self, key: tuple[str, bool]) -> None:
        """A use has ended."""
        with self._lock:
            found = self._open[key]
            found.uses -= 1
            if found.uses == 0:
                del self._open[key]
                found.disk.close()
