"""Disks in files and block devices, byte for byte: raw images that may be sparse, ISO images.

Overlays are `emulator.backends.overlay`, other formats `emulator.backends.images`. All of
them are read and written in bytes at any offset; the layer above knows of blocks. An `OSError` of the host
passes through: a device turns it into an error for its guest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emulator._core_images import Image
from emulator.backends.locks import lock
from emulator.errors import ConfigError
from emulator.units import format_size

BLOCK = 512
MAX_BYTES = 1 << 50
_ISO_MARK_AT, _ISO_MARK = 0x8001, b"CD001"


class Backend(Protocol):
    """A disk's bytes.

    Its methods are called by any thread, several at once. It may also have ``fd: int | None`` and ``base: int``: a
    descriptor whose bytes from `base` on are the disk's; ``image: Image``: what the data path in C knows it by
    (`image_of`); ``trouble: str``, what is wrong with it on the host; and ``identity: Identity | None``.
    """

    @property
    def size_bytes(self) -> int:
        """A multiple of 512."""

    @property
    def read_only(self) -> bool:
        """Does `write` raise EROFS?"""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises OSError."""

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`. Raises OSError: EROFS on a read-only disk."""

    def flush(self) -> None:
        """Return when everything written is on stable storage. Raises OSError."""

    def close(self) -> None:
        """Write what is left and let go; twice is fine."""


@dataclass(frozen=True)
class Identity:
    """What a disk is told by, to notice that it has changed. Of a block device only the size says something."""

    path: str = ""
    size_bytes: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Of a file. Raises OSError."""
        facts = os.stat(path)
        device = stat.S_ISBLK(facts.st_mode)
        return cls(os.path.realpath(path), 0 if device else facts.st_size, 0 if device else facts.st_mtime_ns)


def round_up(size: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-size // unit) * unit


def read_all(fd: int, offset: int, length: int) -> bytes:
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


def write_all(fd: int, offset: int, data: bytes) -> None:
    """All of `data`. Raises OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        offset += count
        view = view[count:]


def check_range(size_bytes: int, offset: int, length: int) -> None:
    """Raises OSError for a transfer that is not all on a disk."""
    if offset < 0 or length < 0 or offset + length > size_bytes:
        raise OSError(errno.EIO, "beyond the end of the disk")


def image_of(disk: Backend) -> Image:
    """A disk for C: what it has of it, its file, or else its methods. Raises OSError."""
    image = getattr(disk, "image", None)
    if isinstance(image, Image):
        return image
    fd = getattr(disk, "fd", None)
    return Image.of_client(disk) if fd is None else Image.of_file(fd, int(getattr(disk, "base", 0)))


_BLKGETSIZE64 = 0x80081272


def size_of(fd: int) -> int:
    """Bytes of an open file or block device. Raises OSError."""
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        (size,) = struct.unpack("@Q", fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)))
        return int(size)
    return os.lseek(fd, 0, os.SEEK_END)


class FileDisk:
    """A raw image, or a block device. Raises ConfigError where the file is none, is in use, or cannot be opened.

    While it is open for writing nobody else can open it; readers may share it, unless one wants it `alone`.
    `shared`: no lock at all, for a disk that several machines are given on purpose.
    """

    base = 0

    def __init__(
        self, path: str | Path, *, read_only: bool = False, shared: bool = False, alone: bool = False
    ) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self.identity: Identity | None = None
        self._fd = -1
        self._failed = ""
        try:
            self._fd = _open(self.path, read_only=read_only, alone=alone)
            self._bytes = size_of(self._fd)
            if not shared:
                lock(self._fd, self.path, writes=not read_only, alone=alone)
            self.identity = Identity.of(self.path)
        except OSError as error:
            self.close()
            raise ConfigError(f"{self.path}: {_reason(error)}") from None
        except ConfigError:
            self.close()
            raise
        if not 0 < self._bytes <= MAX_BYTES:
            self.close()
            raise ConfigError(f"{self.path}: a disk cannot have {self._bytes} bytes")
        self.size_bytes = round_up(self._bytes, BLOCK)

    @property
    def fd(self) -> int | None:
        """The descriptor; None for a file that does not end with a whole block, whose tail only `read` knows."""
        return self._fd if self._fd >= 0 and self._bytes == self.size_bytes else None

    @property
    def trouble(self) -> str:
        """What is wrong with the file; "" where all is well."""
        if self._fd < 0:
            return ""
        try:
            facts = os.fstat(self._fd)
            size = size_of(self._fd)
        except OSError as error:
            return f"{self.path}: {error.strerror}"
        if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 0:
            return (f"{self.path}: the file was deleted; its data last while the disk is open: save them with "
                    f"cp /proc/{os.getpid()}/fd/{self._fd}")  # fmt: skip
        if size < self._bytes:
            return f"{self.path}: the file has shrunk from {self._bytes} to {size} bytes; the rest cannot be read"
        return self._failed

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. EIO where the file has become shorter than it was."""
        check_range(self.size_bytes, offset, length)
        wanted = min(length, self._bytes - offset)
        try:
            data = os.pread(self._fd, wanted, offset)
            while len(data) < wanted:
                part = os.pread(self._fd, wanted - len(data), offset + len(data))
                if not part:
                    raise OSError(errno.EIO, "the file has become shorter")
                data += part
        except OSError as error:
            raise self._note(error) from None
        return data.ljust(length, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""
        check_range(self.size_bytes, offset, len(data))
        if self.read_only:
            raise OSError(errno.EROFS, "the disk is read-only")
        try:
            write_all(self._fd, offset, data)
        except OSError as error:
            raise self._note(error) from None
        self._failed = ""
        self._bytes = max(self._bytes, offset + len(data))

    def flush(self) -> None:
        """fdatasync."""
        if not self.read_only:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                raise self._note(error) from None

    def _note(self, error: OSError) -> OSError:
        """Remember an error until a write succeeds."""
        self._failed = f"{self.path}: {error.strerror}"
        return error

    def close(self) -> None:
        """Close the file, and give up the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path, *, read_only: bool, alone: bool) -> int:
    """Open a file, or a block device: with `alone` the kernel keeps others (and mounts) from it. Raises OSError."""
    flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK
    if alone and path.is_block_device():
        flags |= os.O_EXCL
    return os.open(path, flags)


def _reason(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return "the device is in use: mounted, or opened by somebody alone"
    return error.strerror or str(error)


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


def looks_like_iso(backend: Backend) -> bool:
    """Does the disk have the mark of a CD image (ISO 9660, volume descriptor)?"""
    end = _ISO_MARK_AT + len(_ISO_MARK)
    return backend.size_bytes >= end and backend.read(_ISO_MARK_AT, len(_ISO_MARK)) == _ISO_MARK
