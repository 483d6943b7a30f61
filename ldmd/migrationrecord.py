"""Records of migrations: JSON files in the folder `migrations` beside the store, one for each that ended.

``0007-ldg1.json``: a number that grows, and the domain. docs/reference/migration-record.md has the shape. Who only
reads them (`sun4v report`) needs no manager. They are statistics: one that is lost or damaged stops nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmd.messages import refuse

FOLDER = "migrations"
KEPT = 200
"""So many; the oldest go."""
BYTES_LIMIT = 8 << 20
_NAME = re.compile(r"(\d{4,9})-(.{1,255})\.json")
_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "domain": str, "source": str, "target": str, "kind": str, "result": str, "dry_run": bool,
    "started_at": (int, float), "ended_at": (int, float), "phases": list, "rounds": list, "samples": list,
    "summary": dict, "problems": list,
}  # fmt: skip


class MemoryRecords:
    """For a manager without a folder."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep one."""
        self.records.append(record)


class FolderRecords:
    """In files. `warn`: called with what went wrong; the record is lost then."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one, whole; drop the oldest."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            kept = _files(self._folder)
            number = kept[-1].number + 1 if kept else 1
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", str(record.get("domain", "")))[:64] or "domain"
            path = self._folder / f"{number:04d}-{name}.json"
            fresh = path.with_suffix(".new")
            try:
                fresh.write_text(json.dumps(record), encoding="utf-8")
                fresh.replace(path)
            except OSError:
                fresh.unlink(missing_ok=True)
                raise
            for old in kept[: max(0, len(kept) + 1 - KEPT)]:
                old.path.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError) as error:
            self._warn(f"no record of the migration was written: {error}")


@dataclass(frozen=True, order=True)
class Kept:
    """A file of the folder."""

    number: int
    path: Path

    @property
    def name(self) -> str:
        """``0007-ldg1``."""
        return self.path.stem


def _files(folder: Path) -> list[Kept]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(Kept(int(match[1]), folder / name) for match, name in found)


def kept_in(folder: Path) -> list[Kept]:
    """All records of a manager, oldest first."""
    return _files(folder)


def read(path: Path) -> dict[str, Any]:
    """A record. Raises RefusedError migration.record for what is none."""
    try:
        if path.stat().st_size > BYTES_LIMIT:
            raise ValueError(f"it has more than {BYTES_LIMIT >> 20} MiB")
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        refuse("migration.record", path=path, problem=error)
    if not isinstance(record, dict) or record.get("version") != 1:
        refuse("migration.record", path=path, problem="it has another version, or none")
    for name, kind in _FIELDS.items():
        if not isinstance(record.get(name), kind):
            refuse("migration.record", path=path, problem=f"{name} is missing, or of the wrong type")
    for name in ("phases", "rounds", "samples"):
        if not all(isinstance(row, dict) and isinstance(row.get("at"), int | float) for row in record[name]):
            refuse("migration.record", path=path, problem=f"{name} has a row without a time")
    return record
