"""The journal of migrations in the store: what `ldmd.migration`'s effects `Write` and `Sync` do.

Each record is a row; a row is never changed. Whatever is read passes `ldmd.migration.records`; a row that does not is
named, and nothing is guessed. docs/internals/handover.md has the rules.
"""

from __future__ import annotations

import json

from ldmd.messages import message
from ldmd.migration.records import Numbered, Record, RecordError, plain, record_of
from ldmd.store import GOOD, Store

SOURCE, TARGET = "source", "target"


class Journal:
    """The records of one side ("source", "target")."""

    def __init__(self, store: Store, side: str) -> None:
        self._store, self._side = store, side

    def write(self, uuid: str, record: Record) -> None:
        """Effect `Write`: append. Only an attempt's first needs the reserve to be whole; the others may use it.

        Raises RefusedError store.full, store.write: the driver brings JournalFailed.
        """
        first = not any(each.mid == record.mid for each in self.records(uuid))
        self._store.add_migration(self._side, uuid, record.mid, json.dumps(plain(record)), urgent=not first)

    def sync(self) -> None:
        """Effect `Sync`: also for what an earlier process wrote. Raises RefusedError store.write."""
        self._store.sync()

    def uuids(self) -> tuple[str, ...]:
        """The domains that have records."""
        return self._store.migration_uuids(self._side)

    def records(self, uuid: str) -> tuple[Record, ...]:
        """In order. Raises RefusedError store.damaged."""
        return tuple(self._read(uuid, body) for body in self._store.migration_rows(self._side, uuid))

    def _read(self, uuid: str, body: str) -> Record:
        try:
            return record_of(json.loads(body))
        except (RecordError, ValueError) as error:
            raise message("store.damaged", path=self._store.path, good=self._store.path + GOOD,
                          problem=f"table migration, {self._side} of {uuid}: {error}") from None

    def greatest(self, uuid: str) -> int:
        """The greatest mid known here, 0 where there is none: the next attempt's is greater."""
        found: tuple[Numbered, ...] = self.records(uuid)
        return max((each.mid for each in found), default=0)

    def forget(self, uuid: str, mid: int) -> None:
        """Remove the rows of attempts before `mid`, which must all be closed."""
        self._store.forget_migrations(self._side, uuid, mid)
