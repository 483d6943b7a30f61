"""Archives the kernel unpacks as its first root file system: cpio "newc" (Linux, driver-api/early-userspace).

Written here rather than by cpio(1): device nodes need no root then, and the bytes depend on nothing but the contents.
"""

from __future__ import annotations

import gzip
import io
import stat
from pathlib import Path

from linuxbuild.tools import EPOCH

TRAILER = "TRAILER!!!"


class Archive:
    """Files, folders, links and devices, all of them root's and of one date. Folders come before what is in them."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes, tuple[int, int]]] = {}

    def _add(self, path: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        path = path.strip("/")
        parent = path.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.add_folder(parent)
        self._entries[path] = (mode, data, device)

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        """A folder, and those above it."""
        self._add(path, stat.S_IFDIR | mode)

    def add_file(self, path: str, data: bytes | Path, mode: int = 0o644) -> None:
        """A file of given bytes, or with the contents of a file of the host."""
        self._add(path, stat.S_IFREG | mode, data.read_bytes() if isinstance(data, Path) else data)

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def add_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """A character device."""
        self._add(path, stat.S_IFCHR | mode, device=(major, minor))

    def to_bytes(self) -> bytes:
        """The archive, uncompressed."""
        out = io.BytesIO()
        for inode, (path, (mode, data, device)) in enumerate(self._entries.items(), start=1):
            _write_entry(out, path, inode, mode, data, device)
        _write_entry(out, TRAILER, 0, 0, b"", (0, 0))
        out.write(bytes(-out.tell() % 512))
        return out.getvalue()

    def to_gzip(self) -> bytes:
        """The archive, compressed, without a date or a name."""
        return gzip.compress(self.to_bytes(), compresslevel=9, mtime=0)


def _write_entry(out: io.BytesIO, path: str, inode: int, mode: int, data: bytes, device: tuple[int, int]) -> None:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    mtime = EPOCH if mode else 0
    fields = (inode, mode, 0, 0, links, mtime, len(data), 0, 0, *device, len(name), 0)
    out.write(b"070701" + b"".join(b"%08x" % field for field in fields) + name)
    out.write(bytes(-out.tell() % 4))
    out.write(data)
    out.write(bytes(-out.tell() % 4))
