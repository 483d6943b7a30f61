"""The store: what is written comes back, one row for one domain, damage is told, a full disk loses nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import changes
import pytest
from manager_support import FakeMachine, commit, machine_of, make_manager, run

import ldmd.ballast
import ldmd.store
import ldmd.storeschema
from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.model import Pending, State, VirtualFunction
from ldmd.operations.context import HypervisorError
from ldmd.store import GOOD, HISTORY_KEPT, Record, Store
from ldmd.storeschema import SCHEMA


def filled(path: Path, guests: int = 3, **more: Any) -> Manager:
    manager = make_manager(store=Store(path), **more)
    new = changes.roomy(manager.configuration)
    for number in range(1, guests + 1):
        new = new.with_domain(changes.guest(number))
    commit(manager, new)
    return manager


def rows(path: Path, table: str) -> dict[str, str]:
    with sqlite3.connect(path) as db:
        found = dict(db.execute(f"SELECT name, body FROM {table}"))
    db.close()
    return found


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    manager = filled(path)
    first = manager.configuration
    ldg1 = first.find("ldg1")
    assert ldg1 is not None
    commit(manager, first.but(
        virtual_functions=(VirtualFunction(name="/SYS/MB/NET0/IOVNET.PF0.VF0", pf="/SYS/MB/NET0/IOVNET.PF0"),),
        iov_buses=("pci_0",), pf_properties=(("/SYS/MB/NET0/IOVNET.PF0 mtu", "9000"),), freed_macs=(1, 2),
        pending=(Pending(domain=first.primary.but(hostid=7), removed_io_services=True),), spconfig="a",
        next_poweron="b"))
    manager.store.close()
    again = Store(path)
    assert again.load() == manager.configuration
    assert path.stat().st_mode & 0o077 == 0
    again.close()


def test_a_change_of_one_domain_writes_one_row(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    manager = filled(path, 50)
    written: list[str] = []
    manager.store._db.set_trace_callback(written.append)
    ldg7 = manager.configuration.find("ldg7")
    assert ldg7 is not None
    commit(manager, manager.configuration.with_domain(ldg7.but(hostid=7)))
    manager.store._db.set_trace_callback(None)
    changed = [text.split("(")[0] for text in written if text.startswith(("INSERT", "UPDATE"))]
    assert [text for text in changed if "history" not in text] == ["INSERT INTO domain"]


def test_the_order_of_the_domains_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    manager = filled(path, 5)
    order = manager.configuration.domains
    for new in (
        (order[0], *order[:0:-1]),
        (order[0], order[3], order[1]),
        (order[0], order[3], changes.guest(9), order[1], order[2]),
    ):
        commit(manager, manager.configuration.but(domains=new))
        loaded = manager.store.load()
        assert loaded is not None and loaded.domains == new


def test_history_is_limited(tmp_path: Path) -> None:
    manager = filled(tmp_path / "store.sqlite")
    manager.store.add_history([Record(1.0, "x", f"ldm {n}", 0, "OK") for n in range(HISTORY_KEPT + 10)])
    assert len(manager.store.history(10 * HISTORY_KEPT)) == HISTORY_KEPT


def test_reads_from_other_threads_see_whole_changes(tmp_path: Path) -> None:
    """Small values are written in pairs, and read by threads meanwhile: never one without the other."""
    manager = filled(tmp_path / "store.sqlite")
    ended, odd = threading.Event(), []

    def read() -> None:
        while not ended.is_set():
            outcome = run(manager, lambda context: (context.settings.get("history"), context.history(limit=5)),
                          write=False)
            if outcome.error is not None or (outcome.result[0] or 0) % 10:
                odd.append(outcome)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        with manager.store._transaction("test", urgent=False) as db:
            manager.store._put(db, "setting", "manager.history", number * 10 + 1)
            manager.store._put(db, "setting", "manager.history", number * 10)
    ended.set()
    for thread in threads:
        thread.join()
    assert odd == []


# -- damage


@pytest.mark.parametrize(("statement", "words"), [
    ("UPDATE domain SET body='{' WHERE name='ldg1'", "row 'ldg1' of table domain is not JSON"),
    ("UPDATE domain SET body=x'00ff' WHERE name='ldg1'", "row 'ldg1' of table domain is not JSON"),
    ("UPDATE domain SET body=replace(body, 'hostid', 'hostess') WHERE name='ldg2'", "unknown field 'hostess'"),
    ("UPDATE domain SET body=replace(body, '\"ldg2\"', '\"ldg9\"') WHERE name='ldg2'", "its body names 'ldg9'"),
    ("UPDATE domain SET body=json_set(body, '$.state', 'dancing') WHERE name='ldg2'", "dancing"),
    ("DELETE FROM domain WHERE name='primary'", "row of the control domain is missing"),
    ("DELETE FROM setting WHERE name='configuration.server'", "configuration.server is missing"),
    ("UPDATE setting SET body='[1]' WHERE name='configuration.spconfig'", "spconfig: str expected, not list"),
    ("INSERT INTO intent VALUES('commit', '{}')", "the intent of a change"),
])
def test_a_damaged_row_is_told_and_kept(tmp_path: Path, statement: str, words: str) -> None:
    path = tmp_path / "store.sqlite"
    filled(path).store.close()
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    before = rows(path, "domain") | rows(path, "setting")
    with pytest.raises(RefusedError) as caught:
        make_manager(store=Store(path))
    assert caught.value.code == "store.damaged" and words in caught.value.text
    assert str(path) + GOOD in caught.value.remedy
    assert rows(path, "domain") | rows(path, "setting") == before


def test_a_damaged_file_is_told_and_the_good_copy_helps(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    manager = filled(path)
    manager.store.close()
    make_manager(store=Store(path)).store.close()  # makes the copy
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 512):
        data[at : at + 64] = os.urandom(64)
    path.write_bytes(data)
    for suffix in ("-wal", "-shm"):
        Path(str(path) + suffix).unlink(missing_ok=True)
    with pytest.raises(RefusedError) as caught:
        make_manager(store=Store(path))
    assert caught.value.code == "store.damaged"
    path.write_bytes(Path(str(path) + GOOD).read_bytes())
    assert make_manager(store=Store(path)).configuration.find("ldg3") is not None


def test_something_else_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("my shopping list\n" * 100)
    with pytest.raises(RefusedError) as caught:
        Store(path)
    assert caught.value.code == "store.damaged"
    assert path.read_text().startswith("my shopping list")


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    filled(path).store.close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    db.close()
    with pytest.raises(RefusedError) as caught:
        Store(path)
    assert caught.value.code == "store.newer" and str(SCHEMA + 1) in caught.value.text


def test_a_damaged_spconfig_stops_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    manager = filled(path)
    run(manager, lambda context: context.spconfigs.save("mine", context.configuration))
    run(manager, lambda context: context.spconfigs.save("mine", context.configuration, autosave=True))
    manager.store._db.execute("UPDATE spconfig SET body='{}' WHERE kind='saved'")
    outcome = run(manager, lambda context: context.spconfigs.load("mine"))
    assert outcome.error is not None and outcome.error.code == "spconfig.damaged" and outcome.error.remedy
    assert run(manager, lambda context: context.spconfigs.load("mine", autosave=True) == context.configuration).result
    run(manager, lambda context: context.spconfigs.remove("mine"))
    assert run(manager, lambda context: context.spconfigs.names()).result == ()
    assert run(manager, lambda context: context.spconfigs.names(autosave=True)).result == ("mine",)


def test_an_older_schema_becomes_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    filled(path).store.close()
    monkeypatch.setattr(ldmd.storeschema, "STEPS", (*ldmd.storeschema.STEPS, ("CREATE TABLE more(name TEXT)",)))
    for module in (ldmd.store, ldmd.storeschema):
        monkeypatch.setattr(module, "SCHEMA", SCHEMA + 1)
    store = Store(path)
    assert store._db.execute("SELECT count(*) FROM more").fetchone() == (0,)
    assert store._db.execute("PRAGMA user_version").fetchone() == (SCHEMA + 1,)
    loaded = store.load()
    assert loaded is not None and loaded.find("ldg3") is not None


# -- a full disk


class FullDisk:
    """A store whose database refuses to grow, as SQLite tells it of a full disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        pages = self._store._db.execute("PRAGMA page_count").fetchone()[0]
        self._store._db.execute(f"PRAGMA max_page_count={pages}")

    def __exit__(self, *error: object) -> None:
        self._store._db.execute("PRAGMA max_page_count=1000000")


def test_sqlite_full_refuses_and_changes_nothing(tmp_path: Path) -> None:
    manager = filled(tmp_path / "store.sqlite")
    before = manager.configuration
    long = changes.guest(8, variables=(("nvramrc", "x" * 100_000),))
    with FullDisk(manager.store):
        with pytest.raises(RefusedError) as caught:
            commit(manager, before.with_domain(long))
        assert caught.value.code == "store.full" and caught.value.remedy
        assert manager.configuration == before == manager.store.load()
        assert machine_of(manager).ops("guest.configure").count("guest.configure") == 2
    commit(manager, before.with_domain(long))
    assert manager.store.load() == manager.configuration != before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)], capture_output=True,
                          check=False)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(where: Path) -> Path:
    """Use all the space there is."""
    path = where / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert os.statvfs(where).f_bavail == 0
    return path


def test_a_disk_that_is_full_loses_no_configuration(small_disk: Path) -> None:
    path = small_disk / "store.sqlite"
    manager = filled(path, 1)
    ldg1 = manager.configuration.find("ldg1")
    assert ldg1 is not None
    started = changes.in_state(changes.bound(manager.configuration, ldg1), State.ACTIVE)
    commit(manager, manager.configuration.with_domain(started))
    before = manager.configuration
    filler = fill(small_disk)
    with pytest.raises(RefusedError) as caught:
        commit(manager, before.with_domain(changes.guest(2)))
    assert caught.value.code == "store.full" and "free some space" in caught.value.remedy
    assert manager.configuration == before == manager.store.load()
    # what the machine does by itself is written into the space that was kept for it
    machine_of(manager).emit_state(1, "power-off")
    assert manager.configuration.find("ldg1") == started.but(state=State.BOUND, started_at=None)
    assert manager.store.load() == manager.configuration
    # ldmd can be restarted there, and goes on when there is space
    manager.store.close()
    again = make_manager(store=Store(path), machine=machine_of(manager))
    assert again.configuration == manager.configuration
    with pytest.raises(RefusedError):
        commit(again, again.configuration.with_domain(changes.guest(2)))
    filler.unlink()
    commit(again, again.configuration.with_domain(changes.guest(2)))
    assert again.store.load() == again.configuration


@pytest.mark.parametrize("op", ["guest.configure", "guest.start"])
def test_a_disk_that_fills_up_during_a_change_can_still_end_it(small_disk: Path, op: str) -> None:
    """While the machine is asked, somebody else takes the last byte: both ends of the change find their space."""
    manager = filled(small_disk / "store.sqlite", 1)
    ldg1 = manager.configuration.find("ldg1")
    assert ldg1 is not None
    first = manager.configuration
    new = first.with_domain(changes.in_state(changes.bound(first, ldg1), State.ACTIVE))

    def full(arguments: Any) -> HypervisorError | None:
        fill(small_disk)
        return HypervisorError("config", "no") if op == "guest.start" else None

    machine_of(manager).refuse = {op: full}
    if op == "guest.start":
        with pytest.raises(RefusedError) as caught:
            commit(manager, new)
        assert caught.value.code == "machine.refused"
        assert manager.configuration == first
    else:
        commit(manager, new)
        assert manager.configuration == new
    assert manager.store.load() == manager.configuration
    assert manager.store.intent(manager.configuration) is None


def test_without_the_ballast_the_same_is_not_sure(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the ballast is what helps above: without it the way back fails, which is told, until a restart."""
    manager = filled(small_disk / "store.sqlite", 1)
    monkeypatch.setattr(ldmd.ballast.Ballast, "spend_if_full", lambda self: None)
    manager.store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    first, machine = manager.configuration, machine_of(manager)
    ldg1 = first.find("ldg1")
    assert ldg1 is not None

    def full(arguments: Any) -> HypervisorError:
        fill(small_disk)
        return HypervisorError("config", "no")

    machine.refuse = {"guest.configure": full}
    with pytest.raises(RefusedError) as caught:
        commit(manager, first.with_domain(changes.bound(first, ldg1)))
    assert caught.value.code == "store.unsure"
    machine.refuse = {}
    (small_disk / "filler").unlink()
    with pytest.raises(RefusedError) as caught:
        commit(manager, first.with_domain(changes.guest(5)))
    assert caught.value.code == "store.unsure" and "restart ldmd" in caught.value.remedy
    manager.store.close()
    again = make_manager(store=Store(small_disk / "store.sqlite"), machine=machine)
    assert again.configuration == first
    commit(again, first.with_domain(changes.guest(5)))


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        Store(tmp_path / "missing" / "store.sqlite")
    assert caught.value.code == "store.write" and "missing" in caught.value.cause


def test_a_machine_that_never_answered_is_unreachable() -> None:
    manager = make_manager()
    machine_of(manager).refuse = {"guest.list": HypervisorError("unreachable", "connection refused")}
    outcome = run(manager, lambda context: context.hypervisor.call("guest.list"), write=False)
    assert outcome.error is not None and outcome.error.code == "machine.unreachable"
    assert "alpha" in outcome.error.text and "sun4v power-on alpha" in outcome.error.remedy
    assert isinstance(machine_of(manager), FakeMachine)
