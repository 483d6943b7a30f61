"""Who uses a file: open-file-description locks on the bytes that QEMU's tools lock too, so that both heed each other.

For each way of use a holder read-locks the byte 100 + way, and for each way that it suffers from nobody else the byte
200 + way; then it looks whether somebody else holds the counterpart. Two that come at the same moment may both fail.
Source: QEMU 7.2, block/file-posix.c (RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE) and include/block/block-common.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from emulator.errors import ConfigError

USES, REFUSES = 100, 200
READ, WRITE = 0, 1
_FLOCK = struct.Struct("hh4xqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_NO_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def _range(kind: int, at: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0)


def _held(fd: int, at: int) -> bool:
    """Does somebody else have the byte?"""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _range(fcntl.F_WRLCK, at))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def lock(fd: int, path: Path, *, writes: bool, alone: bool) -> None:
    """Lock an open file: against writers, and with `alone` (or `writes`) against all others on the host.

    The lock goes with the last copy of the descriptor. Raises ConfigError where another user of the file forbids it.
    On a file system without locks nobody can tell.
    """
    uses = (READ, WRITE) if writes else (READ,)
    refuses = (READ, WRITE) if writes or alone else (WRITE,)
    try:
        for at in (*(USES + way for way in uses), *(REFUSES + way for way in refuses)):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _range(fcntl.F_RDLCK, at))
        taken = any(_held(fd, REFUSES + way) for way in uses) or any(_held(fd, USES + way) for way in refuses)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        taken = True  # somebody has locked all of the file for writing
    if taken:
        raise ConfigError(f"{path}: the disk is in use by another machine or program")
