"""The storage lease of a domain's disks: {domain, mid, holder} in a file that both managers can reach.

A change is a compare-and-set: the file is locked (an open file description lock, so that two managers exclude each
other whatever process they are), read, judged, and written anew beside it, synced, renamed. It is used where a domain
has virtual disks and both managers have one directory for leases: that of their S4V_HOME, or `lease-directory` of
[migration] in both settings (a directory on the shared storage). Otherwise there is none, and a target that cannot be
reached after the point of no return needs a person (docs/internals/handover.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ldmd.migration.events import LeaseMove, LeaseWord
from ldmd.migration.records import MID_MAX

SOURCE, TARGET, BACK = "source", "target", "back"
_FLOCK = struct.Struct("hhqqi4x")
FILE_BYTES = 4096


@dataclass(frozen=True)
class Value:
    """`holder`: SOURCE, TARGET or BACK (the source again). `server`: who that is. Without a file: (0, SOURCE)."""

    mid: int = 0
    holder: str = SOURCE
    server: str = ""


def after(move: LeaseMove, now: Value, mid: int, server: str) -> Value | None:
    """What a compare-and-set makes of a value; None where it is lost (events.LeaseMove has the table).

    A domain that came here by an earlier attempt is this server's, though the value says TARGET.
    """
    mine = now.mid == mid
    ours = now.server == server
    match move:
        case LeaseMove.HOLD:
            free = now.mid < mid and (now.holder != TARGET or ours)
            return Value(mid, SOURCE, server) if free or (mine and ours and now.holder == SOURCE) else None
        case LeaseMove.TAKE:
            return Value(mid, TARGET, server) if mine and (now.holder == SOURCE or (now.holder == TARGET and ours)) \
                else None
        case LeaseMove.RECLAIM:
            return Value(mid, BACK, server) if mine and now.holder in (SOURCE, BACK) else None
        case LeaseMove.REGAIN:
            return Value(mid, BACK, server) if mine else None


class Leases:
    """The files of one directory. `server`: this server's name among them, a fingerprint."""

    def __init__(self, directory: Path, server: str) -> None:
        self._directory, self.server = directory, server

    def move(self, uuid: str, mid: int, move: LeaseMove) -> LeaseWord:
        """One compare-and-set. Never raises: a storage that is away is UNREACHABLE."""
        try:
            with self._locked(uuid):
                fresh = after(move, self._read(uuid), mid, self.server)
                if fresh is None:
                    return LeaseWord.LOST
                self._write(uuid, fresh)
                return LeaseWord.TAKEN
        except (OSError, ValueError):
            return LeaseWord.UNREACHABLE

    def value(self, uuid: str) -> Value | None:
        """What is there now; None where it cannot be read."""
        try:
            with self._locked(uuid):
                return self._read(uuid)
        except (OSError, ValueError):
            return None

    @contextmanager
    def _locked(self, uuid: str) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(self._directory / f"{uuid}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            yield
        finally:
            os.close(fd)

    def _path(self, uuid: str) -> Path:
        return self._directory / f"{uuid}.lease"

    def _read(self, uuid: str) -> Value:
        try:
            with self._path(uuid).open("rb") as file:
                data = json.loads(file.read(FILE_BYTES))
        except FileNotFoundError:
            return Value()
        if not isinstance(data, dict) or data.get("domain") != uuid:
            raise ValueError("another domain's")
        mid, holder, server = data.get("mid"), data.get("holder"), data.get("server")
        if type(mid) is not int or not isinstance(holder, str) or not isinstance(server, str):
            raise ValueError("no lease")
        if not 0 <= mid <= MID_MAX or holder not in (SOURCE, TARGET, BACK):
            raise ValueError("no lease")
        return Value(mid, holder, server)

    def _write(self, uuid: str, value: Value) -> None:
        path = self._path(uuid)
        fresh = path.with_name(f".{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump({"domain": uuid, "mid": value.mid, "holder": value.holder, "server": value.server}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
