"""The journal of migrations in the store: order, restart, full disk, damage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from migration_world import UUID

from ldmd.messages import RefusedError
from ldmd.migration import records as rec
from ldmd.migration.phases import Kind
from ldmd.migrationjournal import SOURCE, TARGET, Journal
from ldmd.store import Store

OTHER = UUID.replace("1", "2")
ATTEMPT = (rec.Prepared(1, Kind.LIVE, True, "system2"), rec.Released(1), rec.Done(1))


def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    source, target = Journal(store, SOURCE), Journal(store, TARGET)
    for record in ATTEMPT:
        source.write(UUID, record)
        target.write(OTHER, rec.Owned(7))
        source.sync()
    store.close()
    again = Store(path)
    source, target = Journal(again, SOURCE), Journal(again, TARGET)
    source.sync()
    assert source.records(UUID) == ATTEMPT and source.records(OTHER) == ()
    assert source.uuids() == (UUID,) and target.uuids() == (OTHER,)
    assert (source.greatest(UUID), target.greatest(OTHER), target.greatest(UUID)) == (1, 7, 0)
    source.write(UUID, rec.Prepared(2, Kind.LIVE, True, "system3"))
    source.forget(UUID, 2)
    assert [each.mid for each in source.records(UUID)] == [2]
    assert target.records(OTHER) == (rec.Owned(7),) * 3
    again.close()


def test_what_an_earlier_process_left_is_synced_and_what_a_commit_has_synced_is_not_again(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    Journal(store, SOURCE).write(UUID, ATTEMPT[0])
    again = Store(path)  # beside one that never closed it, as after a kill
    said: list[str] = []
    again._db.set_trace_callback(said.append)
    journal = Journal(again, SOURCE)
    journal.sync()
    assert [each for each in said if "checkpoint" in each]
    assert again._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: each commit syncs the log
    journal.write(UUID, ATTEMPT[1])
    said.clear()
    journal.sync()
    assert said == []
    again.close()
    store.close()


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    Journal(store, SOURCE).write(UUID, rec.Released(1))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE migration SET body=?", ('{"type": "released", "mid": 0}',))
    with pytest.raises(RefusedError) as caught:
        Journal(store, SOURCE).records(UUID)
    assert caught.value.code == "store.damaged" and UUID in caught.value.text
    store.close()


def test_on_a_full_disk_an_attempt_does_not_begin_but_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store.sqlite")
    journal = Journal(store, SOURCE)
    journal.write(UUID, ATTEMPT[0])
    ballast = store._ballast
    assert ballast is not None
    monkeypatch.setattr(ballast, "fill", lambda: False)
    with pytest.raises(RefusedError) as caught:
        journal.write(OTHER, ATTEMPT[0])
    assert caught.value.code == "store.full"
    journal.write(UUID, rec.Aborted(1, "cancelled"))
    assert [type(each) for each in journal.records(UUID)] == [rec.Prepared, rec.Aborted]
    store.close()


def test_a_store_of_the_first_schema_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE migration")
        db.execute("PRAGMA user_version=1")
    store.close()
    again = Store(path)
    assert Journal(again, SOURCE).records(UUID) == ()
    again.close()
