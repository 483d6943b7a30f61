"""The cache folder: names made of what goes in, one build at a time, results that are whole or not there.

::

    sun4v/linux-KEY/          vmlinux  image  initramfs.cpio.gz  manifest.json  config: what users see
    sun4v/linux-parts/        kernel-KEY/  busybox-KEY/: parts that outlive a change of the others
                              sources/: downloads;  work-KEY/: a build under way, from which a cut one goes on
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEY_DIGITS = 12


def default_cache() -> Path:
    """The project's folder among this user's caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sun4v"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_key(words: Sequence[str], files: Sequence[Path]) -> str:
    """A short name of inputs: words, and names and contents of files."""
    digest = hashlib.sha256()
    for part in [*words, *(f"{path.name}:{file_digest(path)}" for path in files)]:
        digest.update(f"{len(part)}:{part}\n".encode())
    return digest.hexdigest()[:KEY_DIGITS]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the cache for one build: a second one waits, and finds the result of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def publish(partial: Path, final: Path) -> None:
    """Give a finished folder its name; one that is there already stays."""
    for path in sorted(partial.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if final.exists():
        shutil.rmtree(partial)
    else:
        os.rename(partial, final)
