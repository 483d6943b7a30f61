"""Disks in files: raw images that may be sparse, ISO images, and overlays that keep the writes to themselves.

All of them are read and written in bytes at any offset; the layer above knows of blocks. An `OSError` of the host
passes through: a device turns it into an error for its guest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import tempfile
from pathlib import Path
from typing import Protocol

from emulator.errors import ConfigError
from emulator.units import format_size

BLOCK = 512
MAX_BYTES = 1 << 50
_ISO_MARK_AT, _ISO_MARK = 0x8001, b"CD001"


class Backend(Protocol):
    """A disk's bytes."""

    size_bytes: int
    """A multiple of 512."""
    read_only: bool
    # A backend may also have `fd` and `base` (default 0): a file or block device with the disk's bytes from there on,
    # one for one. The C core then reads and writes it, with a descriptor of its own. None: by the methods only.

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises OSError."""

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`. Raises OSError: EROFS on a read-only disk."""

    def flush(self) -> None:
        """Return when everything written is on stable storage. Raises OSError."""

    def close(self) -> None:
        """Write what is left and let go; twice is fine."""


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _lock(fd: int, path: Path, *, exclusive: bool) -> None:
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise ConfigError(f"{path}: the disk is in use by another machine") from None
        # A file system without locks: nobody can tell.


def _read_all(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes; what lies behind the end of the file reads as zeros."""
    parts: list[bytes] = []
    while length:
        part = os.pread(fd, length, offset)
        if not part:
            parts.append(bytes(length))
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _write_all(fd: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        offset += count
        view = view[count:]


def _check_range(size_bytes: int, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset + length > size_bytes:
        raise OSError(errno.EIO, "beyond the end of the disk")


class FileDisk:
    """A raw image. Raises ConfigError where the file is none, is in use, or cannot be opened.

    While it is open for writing nobody else can open it; readers may share it. `shared`: no lock at all, for a disk
    that several machines are given on purpose.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False, shared: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._fd = -1
        try:
            self._fd = os.open(self.path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
            size = os.lseek(self._fd, 0, os.SEEK_END)  # of a block device too
            if not shared:
                _lock(self._fd, self.path, exclusive=not read_only)
        except OSError as error:
            self.close()
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        except ConfigError:
            self.close()
            raise
        if not 0 < size <= MAX_BYTES:
            self.close()
            raise ConfigError(f"{self.path}: a disk cannot have {size} bytes")
        self.size_bytes = _round_up(size, BLOCK)

    @property
    def fd(self) -> int | None:
        """The file, as long as it is open."""
        return self._fd if self._fd >= 0 else None

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        _check_range(self.size_bytes, offset, length)
        return _read_all(self._fd, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        _check_range(self.size_bytes, offset, len(data))
        if self.read_only:
            raise OSError(errno.EROFS, "the disk is read-only")
        _write_all(self._fd, offset, data)

    def flush(self) -> None:
        """fdatasync."""
        if not self.read_only:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file, and give up the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create_disk(path: str | Path, size_bytes: int) -> None:
    """A new raw image that takes no room yet. Raises ConfigError where the file exists, or cannot be made."""
    if not 0 < size_bytes <= MAX_BYTES or size_bytes % BLOCK:
        raise ConfigError(f"a disk has a multiple of {BLOCK} bytes, at most {format_size(MAX_BYTES)}")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        os.ftruncate(fd, size_bytes)
    except OSError as error:
        os.unlink(path)
        raise ConfigError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)


CLUSTER = 32 << 10
_HEADER = struct.Struct(">8sQI")
_MAGIC = b"s4vcow1\0"
_MAP_AT = 4096


class Overlay:
    """Writes kept apart from the disk below, which is never written (unless `commit` is asked for).

    ::

        0      "s4vcow1", size of the disk (8), size of a cluster (4)
        4096   one bit a cluster, lowest bit first: 1, it is here
        ...    the clusters at their places, in a sparse file (from the next multiple of 4096 on)

    Without a `path` the writes live in a nameless file and go when it is closed. A host that loses power between
    two flushes may leave an overlay that is damaged; the disk below is not touched by that.

    Raises ConfigError where the file is not an overlay of a disk of that size.
    """

    read_only = False

    def __init__(self, base: Backend, path: str | Path | None = None) -> None:
        self.base = base
        self.size_bytes = base.size_bytes
        clusters = _round_up(self.size_bytes, CLUSTER) // CLUSTER
        map_bytes = (clusters + 7) // 8
        self._data_at = _MAP_AT + _round_up(map_bytes, 4096)
        self._map = bytearray(map_bytes)
        self._fd = -1
        self._fd = self._open(path)

    def _open(self, path: str | Path | None) -> int:
        if path is None:
            with tempfile.TemporaryFile(prefix="sun4v-overlay-") as file:
                return os.dup(file.fileno())
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        try:
            _lock(fd, Path(path), exclusive=True)
            self._open_map(fd, Path(path))
        except OSError as error:
            os.close(fd)
            raise ConfigError(f"{path}: {error.strerror}") from None
        except ConfigError:
            os.close(fd)
            raise
        return fd

    def _open_map(self, fd: int, path: Path) -> None:
        header = _HEADER.pack(_MAGIC, self.size_bytes, CLUSTER)
        if os.fstat(fd).st_size == 0:
            _write_all(fd, 0, header)
            os.ftruncate(fd, self._data_at + _round_up(self.size_bytes, CLUSTER))
        elif os.pread(fd, len(header), 0) != header:
            raise ConfigError(f"{path}: not an overlay of a disk of {format_size(self.size_bytes)}")
        self._map = bytearray(_read_all(fd, _MAP_AT, len(self._map)))

    def _here(self, cluster: int) -> bool:
        return bool(self._map[cluster // 8] >> cluster % 8 & 1)

    def read(self, offset: int, length: int) -> bytes:
        """From the overlay what is there, the rest from below."""
        _check_range(self.size_bytes, offset, length)
        parts = []
        end = offset + length
        while offset < end:
            here = self._here(offset // CLUSTER)
            stop = offset
            while stop < end and self._here(stop // CLUSTER) == here:
                stop = min(end, (stop // CLUSTER + 1) * CLUSTER)
            count = stop - offset
            parts.append(_read_all(self._fd, self._data_at + offset, count) if here else self.base.read(offset, count))
            offset = stop
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Into the overlay; of a cluster that is not there yet the rest is copied from below first."""
        _check_range(self.size_bytes, offset, len(data))
        if not data:
            return
        first, last = offset // CLUSTER, (offset + len(data) - 1) // CLUSTER
        for cluster in range(first, last + 1):
            start = cluster * CLUSTER
            size = min(CLUSTER, self.size_bytes - start)
            whole = offset <= start and start + size <= offset + len(data)
            if not whole and not self._here(cluster):
                _write_all(self._fd, self._data_at + start, self.base.read(start, size))
        _write_all(self._fd, self._data_at + offset, data)
        self._mark(first, last)

    def _mark(self, first: int, last: int) -> None:
        """Note that clusters are here, after their data are in the file."""
        for cluster in range(first, last + 1):
            self._map[cluster // 8] |= 1 << cluster % 8
        low, high = first // 8, last // 8 + 1
        _write_all(self._fd, _MAP_AT + low, bytes(self._map[low:high]))

    def flush(self) -> None:
        """fdatasync of the overlay."""
        os.fdatasync(self._fd)

    def commit(self) -> int:
        """Write everything that is here to the disk below; returns the bytes. Raises OSError."""
        done = 0
        for cluster in range(len(self._map) * 8):
            start = cluster * CLUSTER
            if start < self.size_bytes and self._here(cluster):
                size = min(CLUSTER, self.size_bytes - start)
                self.base.write(start, _read_all(self._fd, self._data_at + start, size))
                done += size
        self.base.flush()
        return done

    def close(self) -> None:
        """Close both files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.base.close()


def looks_like_iso(backend: Backend) -> bool:
    """Does the disk have the mark of a CD image (ISO 9660, volume descriptor)?"""
    end = _ISO_MARK_AT + len(_ISO_MARK)
    return backend.size_bytes >= end and backend.read(_ISO_MARK_AT, len(_ISO_MARK)) == _ISO_MARK
