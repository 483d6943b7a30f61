"""Which kind of image a file is, and opening it. The name says it: ``.qcow2``, ``.overlay``; everything else is raw.

Contents are never asked: a guest may write whatever it likes to a raw disk, the header of another format included,
which would lead to any file of the host as a disk below.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emulator.backends import qcow2
from emulator.backends.file import Backend, FileDisk, create_disk
from emulator.backends.overlay import Header, Overlay, read_header
from emulator.errors import ConfigError

RAW, QCOW2, OVERLAY = "raw", "qcow2", "overlay"
OVERLAY_SUFFIX = ".overlay"
MOST_LAYERS = 16


def image_kind(path: str | Path) -> str:
    """RAW, QCOW2 or OVERLAY."""
    suffix = Path(path).suffix.lower()
    return {qcow2.SUFFIX: QCOW2, OVERLAY_SUFFIX: OVERLAY}.get(suffix, RAW)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a file is opened: see FileDisk."""

    read_only: bool = False
    shared: bool = False
    alone: bool = False


def open_image(path: str | Path, access: Access, *, layers: int = MOST_LAYERS) -> Backend:
    """A disk of any kind. Those below an overlay are only read. Raises ConfigError."""
    kind = image_kind(path)
    if kind == QCOW2:
        return qcow2.Qcow2Disk(path, read_only=access.read_only)
    if kind == RAW:
        return FileDisk(path, read_only=access.read_only, shared=access.shared, alone=access.alone)
    return open_overlay(path, read_only=access.read_only, layers=layers)


def create_image(path: str | Path, size_bytes: int) -> None:
    """A new, empty image of the kind that its name says. Raises ConfigError where it exists, or cannot be made."""
    kind = image_kind(path)
    if kind == OVERLAY:
        raise ConfigError(f"{path}: an overlay is made of a disk: `sun4v disk overlay BASE {path}`")
    if kind == QCOW2:
        qcow2.create_qcow2(path, size_bytes)
    else:
        create_disk(path, size_bytes)


def overlay_header(path: str | Path) -> Header:
    """What an overlay says of itself. Raises ConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        return read_header(fd, Path(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)


def open_overlay(
    path: str | Path, *, read_only: bool = False, below_read_only: bool = True, changed: bool = False,
    below: str | Path | None = None, layers: int = MOST_LAYERS,
) -> Overlay:  # fmt: skip
    """An overlay with the disk below that it names, or `below`. Raises ConfigError."""
    if layers <= 0:
        raise ConfigError(f"{path}: more than {MOST_LAYERS} overlays, one upon the other")
    name = below or overlay_header(path).below.path
    if not name:
        raise ConfigError(f"{path}: the overlay does not know the disk below: `sun4v disk rebase {path} BASE` tells it")
    try:
        base = open_image(name, Access(read_only=below_read_only), layers=layers - 1)
    except ConfigError as error:
        raise ConfigError(f"{path}: the disk below cannot be used: {error}") from None
    try:
        return Overlay(base, path, read_only=read_only, changed=changed)
    except ConfigError:
        base.close()
        raise
