"""Requests to a virtual disk: operations, statuses, how a client writes one (layout: `emulator.devices.vdisk`)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from emulator.devices import vio
from emulator.devices.vio import Cookie

MAX_COOKIES = 256
"""Cookies of a request: one a page of the largest transfer, and some."""
REQUEST = struct.Struct(">QBBHIQQII")
EIO, ENXIO, EINVAL, EROFS, ENOTSUP = 5, 6, 22, 30, 48


class Operation(enum.IntEnum):
    """What a request asks for; operation n is bit n of the attributes."""

    READ = 0x01
    WRITE = 0x02
    FLUSH = 0x03
    GET_WCE = 0x04
    SET_WCE = 0x05
    GET_VTOC = 0x06
    SET_VTOC = 0x07
    GET_GEOMETRY = 0x08
    SET_GEOMETRY = 0x09
    SCSI = 0x0A
    GET_DEVID = 0x0B
    GET_EFI = 0x0C
    SET_EFI = 0x0D
    RESET = 0x0E
    GET_ACCESS = 0x0F
    SET_ACCESS = 0x10
    GET_CAPACITY = 0x11


CHANGING = {Operation.WRITE, Operation.SET_VTOC, Operation.SET_GEOMETRY, Operation.SET_EFI, Operation.SET_WCE}
UNSUPPORTED = {Operation.SCSI, Operation.SET_ACCESS}


class RequestError(Exception):
    """A request fails with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request, as a client wrote it."""

    ident: int
    operation: int
    slice: int
    block: int
    size: int
    cookies: tuple[Cookie, ...]

    @classmethod
    def of(cls, data: bytes) -> Request:
        """Out of bytes that begin with it. Raises RequestError."""
        ident, operation, part, _, _, block, size, count, _ = REQUEST.unpack_from(data)
        if count > MAX_COOKIES or len(data) < REQUEST.size + 16 * count:
            raise RequestError(EINVAL)
        cookies = vio.read_cookies(data[REQUEST.size : REQUEST.size + 16 * count])
        return cls(ident, operation, part, block, size, cookies)
