"""What is acknowledged is on the disk: the store syncs its log at each commit, a small file is synced before its name.

A process that is killed does not show it, since the host keeps what was written; only a host that dies would.
"""

from __future__ import annotations

from pathlib import Path

from sync_seen import said_to_the_disk

COMMITS = """
import sys
from pathlib import Path
import changes
from manager_support import commit, make_manager
from ldmd.store import Store
manager = make_manager(store=Store(Path(sys.argv[1])))
commit(manager, changes.roomy(manager.configuration))
for number in (1, 2, 3):
    print("change")
    commit(manager, manager.configuration.with_domain(changes.guest(number)))
    print("acknowledged")
"""
LEASE = """
import sys
from pathlib import Path
from ldmd.migrator.lease import Leases
from ldmd.migration.events import LeaseMove
for move in (LeaseMove.HOLD, LeaseMove.TAKE):
    print(Leases(Path(sys.argv[1]), "s").move("u", 1, move).name)
"""
PASSWORD = """
import sys
from pathlib import Path
from ldmd.migrator import passwords
passwords.set_password(Path(sys.argv[1]), "admin", "secret of some length")
print("set")
"""


def test_a_change_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    said = said_to_the_disk(tmp_path, COMMITS, tmp_path / "store.sqlite")
    changes = "\n".join(said).split("change\n")[1:]
    assert len(changes) == 3
    for change in changes:
        before, _, _ = change.partition("acknowledged")
        assert "sync store.sqlite-wal\n" in before, said


def test_a_lease_is_on_the_disk_before_it_is_held(tmp_path: Path) -> None:
    said = said_to_the_disk(tmp_path, LEASE, tmp_path / "leases")
    assert said == ["sync .u.lease.new", "rename .u.lease.new", "sync leases", "TAKEN"] * 2


def test_a_password_is_on_the_disk_before_it_is_set(tmp_path: Path) -> None:
    said = said_to_the_disk(tmp_path, PASSWORD, tmp_path / "passwords")
    assert said[:2] == ["sync passwords.new", "rename passwords.new"] and said[-1] == "set"
