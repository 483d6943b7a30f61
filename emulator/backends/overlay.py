"""Overlays: writes kept apart from the disk below, which is never written unless that is asked for.

::

    0        header, 512 bytes: magic, bytes of the disk, of a cluster, flags, identity of the disk below, checksum
    512      path of the disk below: length (2), checksum (4), bytes
    4096     session: whose recent map can be trusted, checksum
    8192     stable map: one bit a cluster, lowest bit first: 1, it is here
    ...      recent map, from the next multiple of 4096 on
    ...      the clusters at their places, in a sparse file, from the next multiple of 4096 on

The file is opened, made, checked and committed here; its bytes are moved by C (csrc/vio/overlay.c). A write puts its
data in place, then sets bits of the recent map: so an acknowledged write outlives this process, however it ends. A
flush brings data and recent map to stable storage, and only then sets the same bits of the stable map. After a crash of
the host the order of earlier writes is unknown; then the stable map alone counts, and what was never flushed is as if
it had not been written. The session tells the two cases apart by the identity of the boot.

docs/internals/disks.md.
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from emulator._core_images import Image
from emulator.backends.file import (
    BLOCK,
    MAX_BYTES,
    Backend,
    Identity,
    check_range,
    image_of,
    read_all,
    round_up,
    write_all,
)
from emulator.backends.locks import lock
from emulator.errors import ConfigError
from emulator.units import format_size

CLUSTER = 32 << 10
MAGIC = b"s4vcow2\0"
MAX_PATH = 3500
_PATH_AT, _SESSION_AT, _MAP_AT = 512, 4096, 8192
_HEADER = struct.Struct(">8sQIIQQ")
_COMMITTING = 1
_SESSION_BYTES = 48
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_identity() -> bytes:
    """36 bytes that differ after each boot of the host; zeros where the host does not tell."""
    try:
        return _BOOT_ID.read_bytes().strip()[:36].ljust(36, b"\0")
    except OSError:
        return bytes(36)


def _sealed(data: bytes, size: int) -> bytes:
    """Data filled up to a size, with a checksum at the end."""
    data = data.ljust(size - 4, b"\0")
    return data + zlib.crc32(data).to_bytes(4, "big")


def _unsealed(data: bytes) -> bytes | None:
    return data[:-4] if len(data) > 4 and zlib.crc32(data[:-4]).to_bytes(4, "big") == data[-4:] else None


@dataclass(frozen=True)
class Header:
    """What an overlay says of itself. `below`: the disk below, as it was when the overlay was made or rebased."""

    size_bytes: int
    below: Identity
    committing: bool = False

    def pack(self) -> bytes:
        """The first 4096 bytes."""
        flags = _COMMITTING if self.committing else 0
        head = _HEADER.pack(MAGIC, self.size_bytes, CLUSTER, flags, self.below.size_bytes, self.below.mtime_ns)
        name = os.fsencode(self.below.path)
        if len(name) > MAX_PATH:
            raise ConfigError(f"{self.below.path}: the path of the disk below an overlay has at most {MAX_PATH} bytes")
        body = struct.pack(">HI", len(name), zlib.crc32(name)) + name
        return _sealed(head, _PATH_AT) + body.ljust(_SESSION_AT - _PATH_AT, b"\0")


def read_header(fd: int, path: Path) -> Header:
    """The header of an open file. Raises ConfigError where it is no overlay, or a damaged one; OSError."""
    data = os.pread(fd, _SESSION_AT, 0)
    head = _unsealed(data[:_PATH_AT])
    if data[: len(MAGIC)] != MAGIC:
        raise ConfigError(f"{path}: not an overlay")
    if head is None or len(data) < _SESSION_AT:
        raise ConfigError(f"{path}: the header of the overlay is damaged")
    _, size, cluster, flags, below_bytes, mtime_ns = _HEADER.unpack_from(head)
    if cluster != CLUSTER or not 0 < size <= MAX_BYTES or size % BLOCK:
        raise ConfigError(f"{path}: an overlay of another kind: clusters of {cluster} bytes, a disk of {size}")
    length, checksum = struct.unpack_from(">HI", data, _PATH_AT)
    name = data[_PATH_AT + 6 : _PATH_AT + 6 + length]
    if length > MAX_PATH or zlib.crc32(name) != checksum:
        name = b""  # lost while it was written; `rebase` gives another one
    return Header(size, Identity(os.fsdecode(name), below_bytes, mtime_ns), bool(flags & _COMMITTING))


class Overlay:
    """Reads from `base` what was not written, and keeps what is. Safe from several threads.

    Without a `path` the writes live in a nameless file and go when it is closed. A file that is empty or not there is
    made. Raises ConfigError where the file is not an overlay of that disk, or the disk below has changed since.
    """

    def __init__(
        self, base: Backend, path: str | Path | None = None, *, read_only: bool = False, changed: bool = False
    ) -> None:
        """`changed`: the disk below may be another one than it was (for a rebase)."""
        self.base = base
        self.path = Path(path) if path is not None else None
        self.read_only = read_only
        self.size_bytes = base.size_bytes
        clusters = round_up(self.size_bytes, CLUSTER) // CLUSTER
        self._map_bytes = (clusters + 7) // 8
        self._recent_at = _MAP_AT + round_up(self._map_bytes, 4096)
        self._data_at = self._recent_at + round_up(self._map_bytes, 4096)
        self._unstable = False  # bits of the recent map are missing in the stable one
        self.header = Header(self.size_bytes, getattr(base, "identity", None) or Identity())
        self._fd = -1
        bits = bytes(self._map_bytes)
        self._fd, bits = self._open(changed, bits)
        self._image = self._made(bits)

    def _made(self, bits: bytes) -> Image:
        layout = {
            "size": self.size_bytes, "data_at": self._data_at, "stable_at": _MAP_AT, "recent_at": self._recent_at,
            "kept": int(self.path is not None and not self.read_only), "unstable": int(self._unstable),
        }  # fmt: skip
        return Image.of_overlay(self._fd, layout, bits, below=image_of(self.base))

    # -- opening

    def _open(self, changed: bool, bits: bytes) -> tuple[int, bytes]:
        """The file, and the map in it."""
        if self.path is None:
            with tempfile.TemporaryFile(prefix="sun4v-overlay-") as file:
                os.ftruncate(file.fileno(), self._data_at + round_up(self.size_bytes, CLUSTER))
                return os.dup(file.fileno()), bits
        flags = os.O_RDONLY if self.read_only else os.O_RDWR | os.O_CREAT
        try:
            fd = os.open(self.path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        try:
            lock(fd, self.path, writes=not self.read_only, alone=False)
            bits = self._load(fd, self.path, changed)
        except OSError as error:
            os.close(fd)
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        except ConfigError:
            os.close(fd)
            raise
        return fd, bits

    def _load(self, fd: int, path: Path, changed: bool) -> bytes:
        if os.fstat(fd).st_size == 0 and not self.read_only:
            self._create(fd, path)
        found = read_header(fd, path)
        if found.size_bytes != self.size_bytes:
            raise ConfigError(f"{path}: not an overlay of a disk of {format_size(self.size_bytes)}, but of one of "
                              f"{format_size(found.size_bytes)}")  # fmt: skip
        if not changed:
            _check_below(path, found, self.header.below)
        self.header = found
        bits = read_all(fd, _MAP_AT, self._map_bytes)
        session = _unsealed(os.pread(fd, _SESSION_BYTES, _SESSION_AT))
        if session is not None and session[:36] == boot_identity() and any(session[:36]):
            recent = read_all(fd, self._recent_at, self._map_bytes)
            self._unstable = recent != bits
            bits = recent
        elif not self.read_only:
            write_all(fd, self._recent_at, bits)
        if not self.read_only:
            os.fdatasync(fd)  # what the recent map says is there before it is trusted
            write_all(fd, _SESSION_AT, _sealed(boot_identity(), _SESSION_BYTES))
        return bits

    def _create(self, fd: int, path: Path) -> None:
        os.ftruncate(fd, self._data_at + round_up(self.size_bytes, CLUSTER))
        os.fsync(fd)
        write_all(fd, 0, self.header.pack())  # last: half an overlay is none
        os.fsync(fd)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    # -- what is here

    @property
    def image(self) -> Image:
        """For the data path in C."""
        return self._image

    def _bits(self) -> bytes:
        return self._image.overlay_map(self._map_bytes)

    @property
    def kept_bytes(self) -> int:
        """How much of the disk is here."""
        return int.from_bytes(self._bits(), "big").bit_count() * CLUSTER

    @property
    def identity(self) -> Identity | None:
        """As a disk below another overlay."""
        return Identity.of(self.path) if self.path is not None else None

    @property
    def trouble(self) -> str:
        """What is wrong here or below; "" where all is well."""
        failed = self._image.failed if self._fd >= 0 else 0
        own = f"{self.path or 'overlay'}: {os.strerror(failed)}" if failed else ""
        return own or str(getattr(self.base, "trouble", ""))

    def read(self, offset: int, length: int) -> bytes:
        """From the overlay what is there, the rest from below."""
        check_range(self.size_bytes, offset, length)
        self._check_open()
        return self._image.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Into the overlay; of a cluster that is not there yet the rest is copied from below first."""
        check_range(self.size_bytes, offset, len(data))
        if self.read_only:
            raise OSError(errno.EROFS, "the disk is read-only")
        self._check_open()
        if data:
            self._image.write(offset, data)

    def flush(self) -> None:
        """Return when data and maps are on stable storage."""
        self._check_open()
        if not self.read_only:
            self._image.flush()

    def _check_open(self) -> None:
        if self._fd < 0:
            raise OSError(errno.EBADF, "the overlay is closed")

    # -- for administrators

    def commit(self) -> int:
        """Write everything that is here to the disk below, and be empty; returns the bytes. Raises OSError.

        Where it is interrupted the overlay can be opened for nothing but another commit, which ends it.
        """
        self.flush()
        self._write_header(replace(self.header, committing=True))
        done, bits = 0, self._bits()
        for cluster in range(round_up(self.size_bytes, CLUSTER) // CLUSTER):
            if bits[cluster // 8] >> cluster % 8 & 1:
                start = cluster * CLUSTER
                size = min(CLUSTER, self.size_bytes - start)
                self.base.write(start, read_all(self._fd, self._data_at + start, size))
                done += size
        self.base.flush()
        self._empty()
        below = self.header.below
        self._write_header(Header(self.size_bytes, Identity.of(Path(below.path)) if below.path else below))
        return done

    def _empty(self) -> None:
        """Everything here is below: first the maps say so, then the room is given back."""
        empty = bytes(self._map_bytes)
        write_all(self._fd, _MAP_AT, empty)
        write_all(self._fd, self._recent_at, empty)
        self._unstable = False
        os.fsync(self._fd)
        end = self._data_at + round_up(self.size_bytes, CLUSTER)
        os.ftruncate(self._fd, self._data_at)
        os.ftruncate(self._fd, end)
        self._image.close()
        self._image = self._made(empty)

    def rebase(self, below: Identity) -> None:
        """Take another disk, or the changed one, as the disk below. The caller knows that what is here fits it."""
        self._write_header(replace(self.header, below=below))

    def _write_header(self, header: Header) -> None:
        write_all(self._fd, 0, header.pack())
        os.fsync(self._fd)
        self.header = header

    def close(self) -> None:
        """Bring everything to stable storage where it can be, and close both files."""
        if self._fd >= 0:
            with suppress(OSError):
                if self.path is not None:
                    self.flush()
            fd, self._fd = self._fd, -1
            self._image.close()
            os.close(fd)
        self.base.close()


def _check_below(path: Path, header: Header, now: Identity) -> None:
    if header.committing:
        raise ConfigError(f"{path}: a commit of this overlay did not end; `sun4v disk commit {path}` ends it")
    was = header.below
    if not was.path or not now.path or (was.size_bytes, was.mtime_ns) == (now.size_bytes, now.mtime_ns):
        return
    raise ConfigError(
        f"{path}: the disk below, {now.path}, is not what it was when the overlay was made: it was written, or is "
        f"another file. Put the old contents back; or, where only its time has changed, "
        f"`sun4v disk rebase --unchanged {path}`"
    )


def create_overlay(path: str | Path, base: Backend) -> None:
    """A new overlay of an open disk, which is closed. Raises ConfigError where the file exists, or cannot be made."""
    if os.path.lexists(path):
        base.close()
        raise ConfigError(f"{path}: File exists")
    try:
        Overlay(base, path).close()
    except ConfigError:
        base.close()
        raise
