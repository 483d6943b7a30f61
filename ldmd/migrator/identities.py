"""What the rules want to know beside the configuration: what is in the backends of disks, and whether they have a GPT.

The identity of a backend is a digest of its size and its first 64 KiB, where labels and boot blocks are: two paths to
one storage have the same. It only makes a warning (rule G42), and is "" where nobody can look.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from ldmd.migration.facts import GuestFacts, Known
from ldmd.migrator.means import Means
from ldmd.model import Configuration

LOOKED_AT = 64 << 10
SECTOR = 512
GPT = b"EFI PART"
QCOW = b"QFI\xfb"


def look(path: str) -> tuple[str, bool]:
    """(identity, has a GPT) of a backend."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return "", False
    try:
        head = os.pread(fd, LOOKED_AT, 0)
        size = os.lseek(fd, 0, os.SEEK_END)
    except OSError:
        return "", False
    finally:
        os.close(fd)
    if head.startswith(QCOW):
        return "", False  # what it holds is not at its beginning
    return hashlib.sha256(size.to_bytes(8, "big") + head).hexdigest(), head[SECTOR: SECTOR + len(GPT)] == GPT


def _backends(configuration: Configuration, names: Iterable[tuple[str, str]]) -> list[str]:
    wanted = set(names)
    return [volume.backend for _, server in configuration.disk_servers() for volume in server.volumes
            if (server.name, volume.name) in wanted]


def known_of(means: Means, facts: GuestFacts | None, *, migrations: tuple[str, ...] = (),
             enabled: bool = True, operation: str = "") -> Known:
    """For the facts of either side. `facts`: of the domain, whose volumes are looked at."""
    looked = {}
    if facts is not None:
        names = [(each.service, each.volume) for each in facts.domain.vdisks]
        looked = {path: look(path) for path in _backends(means.manager.configuration, names)}
    return Known(identities={path: found[0] for path, found in looked.items()},
                 gpt=tuple(path for path, found in looked.items() if found[1]), migrations=migrations,
                 enabled=enabled, operation=operation, manager_version=means.settings.release,
                 ports_taken=means.manager.listening())
