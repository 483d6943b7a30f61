"""What `handover_simulator` is made of: a journal of bytes, a manager with its machine, the pages that follow."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ldmd.migration import events as ev
from ldmd.migration import records as rec


class DiskFullError(Exception):
    """No space: the record was not, or not wholly, written."""


@dataclass
class Disk:
    """A journal file: lines of JSON with a checksum. `synced`: how many bytes a power failure cannot take."""

    rng: Random
    bytes: bytes = b""
    synced: int = 0
    full: bool = False

    def write(self, record: rec.Record) -> None:
        body = json.dumps(rec.plain(record)).encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        if self.full:
            self.bytes += line[: self.rng.randrange(len(line))]
            raise DiskFullError
        self.bytes += line

    def sync(self) -> None:
        self.synced = len(self.bytes)

    def power_fails(self) -> None:
        """What was not synced is there in part, or not at all."""
        self.bytes = self.bytes[: self.rng.randint(self.synced, len(self.bytes))]

    def read(self) -> tuple[rec.Record, ...]:
        """Whole records; a torn last one is cut off, as the journal does when it is opened."""
        records: list[rec.Record] = []
        good = 0
        for line in self.bytes.splitlines(keepends=True):
            head, _, body = line.partition(b" ")
            if not line.endswith(b"\n") or b"%08x" % zlib.crc32(body[:-1]) != head:
                break
            records.append(rec.record_of(json.loads(body)))
            good += len(line)
        self.bytes = self.bytes[:good]
        return tuple(records)


@dataclass
class Node:
    """A manager with its disk, and its machine's `guest` (words: `migration_world.Side`)."""

    name: str
    machine: Any
    disk: Disk
    guest: str
    state: Any = None
    up: bool = True
    busy: bool = False
    inbox: list[ev.Event] = field(default_factory=list)
    life: int = 0  # what was begun in an earlier life does not happen
    job: int = 0
    timer: int = 0
    linked: bool = False
    died: bool = False  # the machine with the domain's memory, ever


@dataclass
class Pages:
    """Those that follow a domain: the workers that bring them are there (`flow`), their link is down until a time.

    `cause`: what ended that flow. `lost`: attempts of which the domain was given up for it.
    """

    number: int = 0
    flow: bool = False
    down_until: float = 0.0
    cause: str = ""
    lost: set[int] = field(default_factory=set)
