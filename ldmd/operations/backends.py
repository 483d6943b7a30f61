"""What a volume's backend is on this host: looked at before it is exported, unless -q."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from ldmd.messages import message, refuse
from ldmd.operations.context import Context

BLOCK_BYTES = 512
QCOW2_MAGIC, QCOW2_SUFFIX = b"QFI\xfb", ".qcow2"
_KINDS = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a character device"))  # fmt: skip


def check_backend(context: Context, backend: str, options: Sequence[str]) -> None:
    """Refuse a backend that no disk can be made of: not there, not a file or block device, not readable, empty.

    Warns where an image of QEMU's would be taken for a raw disk: names say what a file is
    (emulator/backends/images.py).
    """
    try:
        facts = os.stat(backend)
    except (OSError, ValueError) as error:
        refuse("disk.backend-missing", backend=backend, problem=_problem(error))
    for is_kind, kind in _KINDS:
        if is_kind(facts.st_mode):
            refuse("disk.backend-kind", backend=backend, kind=kind)
    size, start = _look_into(backend, read_only="ro" in options)
    if size < BLOCK_BYTES:
        refuse("disk.backend-empty", backend=backend, size=size)
    if start == QCOW2_MAGIC and not backend.lower().endswith(QCOW2_SUFFIX):
        context.warn(message("disk.backend-qcow2", backend=backend).text)


def _look_into(backend: str, *, read_only: bool) -> tuple[int, bytes]:
    """Size and first bytes."""
    access = "reading" if read_only else "reading and writing"
    try:
        handle = os.open(backend, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        refuse("disk.backend-access", backend=backend, access=access, problem=_problem(error))
    try:
        return os.lseek(handle, 0, os.SEEK_END), os.pread(handle, len(QCOW2_MAGIC), 0)
    except OSError as error:
        refuse("disk.backend-access", backend=backend, access=access, problem=_problem(error))
    finally:
        os.close(handle)


def _problem(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
