"""Images of disks in C (`s4v_image_*` in csrc/sun4v.h): what is behind a disk whose bytes are not those of one file."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any, Protocol

from emulator._core_cffi import ffi, lib

LOG = logging.getLogger("sun4v.machine")


class _Disk(Protocol):
    """What `Image.of_client` calls, from threads of the core, several at once."""

    def read(self, offset: int, length: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def flush(self) -> None: ...


class Image:
    """An image. It lasts as long as this object, and as long as a disk or an overlay has it.

    Whoever gives it to a disk keeps this object until the disk has let go: the disk of a client is called through it.
    """

    def __init__(self, raw: Any, *parts: object) -> None:
        if raw == ffi.NULL:
            raise OSError(errno.ENOMEM, "the host has no memory or no file descriptor for the disk")
        self.raw = ffi.gc(raw, lib.s4v_image_drop)
        self._parts = parts  # what has to stay as long

    @classmethod
    def of_file(cls, fd: int, base: int) -> Image:
        """The bytes of a file from `base` on; the descriptor is copied. Raises OSError."""
        return cls(lib.s4v_image_file(fd, base))

    @classmethod
    def of_client(cls, disk: _Disk) -> Image:
        """A disk whose methods are Python's. Raises OSError."""
        handle = ffi.new_handle(disk)
        return cls(lib.s4v_image_client(lib.s4v_client_disk, handle), handle, disk)

    @classmethod
    def of_overlay(cls, fd: int, layout: dict[str, int], bits: bytes, *, below: Image) -> Image:
        """An overlay, `s4v_overlay_layout` by its members, with the map it has now. Raises OSError."""
        raw = lib.s4v_image_overlay(fd, ffi.new("s4v_overlay_layout *", layout), bits, len(bits), below.raw)
        return cls(raw, below)

    def close(self) -> None:
        """Let go; what has it goes on having it. Nothing else may be called then."""
        ffi.release(self.raw)
        self._parts = ()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises OSError."""
        data = bytearray(length)
        _check(lib.s4v_image_read(self.raw, offset, ffi.from_buffer(data), length))
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`. Raises OSError."""
        _check(lib.s4v_image_write(self.raw, offset, ffi.from_buffer(data), len(data)))

    def flush(self) -> None:
        """Return when everything written is on stable storage. Raises OSError."""
        _check(lib.s4v_image_flush(self.raw))

    def overlay_map(self, size: int) -> bytes:
        """Which clusters of an overlay are there: a bit each."""
        bits = bytearray(size)
        if lib.s4v_overlay_map(self.raw, ffi.from_buffer(bits), size):
            raise ValueError(f"not an overlay with a map of {size} bytes")
        return bytes(bits)

    @property
    def failed(self) -> int:
        """Error number of an overlay's last write or flush; 0: it went well."""
        return int(lib.s4v_overlay_failed(self.raw))


def _check(status: int) -> None:
    if status:
        raise OSError(status, os.strerror(status))


@ffi.def_extern(onerror=lambda *_: errno.EIO)  # type: ignore[untyped-decorator]
def s4v_client_disk(handle: Any, kind: int, offset: int, data: Any, size: int) -> int:
    """What threads of the core call for `Image.of_client`; 0, or an error number."""
    disk: _Disk = ffi.from_handle(handle)
    try:
        if kind == lib.S4V_IMAGE_READ:
            found = disk.read(offset, size)
            if len(found) != size:
                return errno.EIO
            ffi.memmove(data, found, size)
        elif kind == lib.S4V_IMAGE_WRITE:
            disk.write(offset, bytes(ffi.buffer(data, size)))
        else:
            disk.flush()
    except OSError as error:
        return error.errno or errno.EIO
    except Exception:
        LOG.exception("a disk's backend fails")
        return errno.EIO
    return 0
