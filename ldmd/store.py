"""What the manager knows, on disk: one SQLite file in WAL mode, each change one durable transaction.

The Configuration is kept row by row (a domain is a row), so that a change of one domain writes one row. Everything
that is read passes `ldmd.model.plain`; a row that does not have its shape is reported with its name and what to do,
and nothing is ever dropped for it. `ldmd.storeschema` has the tables, docs/internals/manager.md the rules.

A change that the machine takes part in is written with an *intent*: the rows it replaced. `ldmd.committer` deletes it
when the machine has carried out the change; where one is found at the start, ldmd died in between.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmd.ballast import Ballast
from ldmd.messages import RefusedError, message, refuse
from ldmd.model import Configuration, Domain, Pending, Server
from ldmd.model.plain import PlainError, from_plain, to_plain
from ldmd.storeschema import SCHEMA, migrate

MEMORY = ":memory:"
GOOD = ".good"
"""Suffix of the copy that is made at each start."""

# fields of Configuration besides server, domains and pending, each a row of `setting` under "configuration."
REST = ("virtual_functions", "iov_buses", "pf_properties", "freed_macs", "spconfig", "next_poweron")
HISTORY_KEPT = 1000

Step = Callable[[str], None]


@dataclass(frozen=True)
class Record:
    """A line of the history: one command. `status`: its exit status, None while it runs."""

    time: float
    caller: str
    line: str
    status: int | None
    text: str


def _encode(value: Any) -> str:
    return json.dumps(to_plain(value), separators=(",", ":"), sort_keys=True)


class Store:
    """The file. Who writes the configuration holds the manager's lock; the rest may come from any thread."""

    def __init__(self, path: Path | str = MEMORY, *, step: Step = lambda name: None) -> None:
        """Open or create. Raises RefusedError store.damaged, store.newer, store.write."""
        self.path = str(path)
        self._step = step
        self._positions: dict[str, int] = {}
        self._closed = False
        self._synced = False  # since it was opened a commit has put the log on the disk, and all that was in it
        self._guard = threading.RLock()  # operations that only read come from any thread
        self._ballast = Ballast(Path(path).with_suffix(".reserve")) if self.path != MEMORY else None
        try:
            if self.path != MEMORY:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
            self._open()
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._error(error) from error

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        problems = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise self._damaged("; ".join(problems))
        known = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if known > SCHEMA:
            refuse("store.newer", path=self.path, schema=known, known=SCHEMA)
        if known < SCHEMA:
            with self._transaction("schema", urgent=False):
                migrate(self._db, known)
        if self._ballast is not None:
            self._ballast.fill()

    # -- errors

    def _damaged(self, problem: str) -> RefusedError:
        return message("store.damaged", path=self.path, problem=problem, good=self.path + GOOD)

    def _error(self, error: sqlite3.DatabaseError | OSError) -> RefusedError:
        full = "full" in str(error).lower() or getattr(error, "errno", None) in (28, 122)  # ENOSPC, EDQUOT
        if full:
            return message("store.full", path=self.path, problem=error)
        if isinstance(error, sqlite3.OperationalError | OSError):
            return message("store.write", path=self.path, problem=error)
        return self._damaged(str(error))

    @contextmanager
    def _transaction(self, name: str, *, urgent: bool) -> Iterator[sqlite3.Connection]:
        """One durable transaction: all of it or nothing. `urgent`: may use the space kept for the end of a change."""
        self._step(f"{name}.begin")
        with self._guard:
            if self._closed:
                raise message("store.write", path=self.path, problem="it is closed")
            if self._ballast is not None:
                if urgent:
                    self._ballast.spend_if_full()
                elif not self._ballast.fill():
                    refuse("store.full", path=self.path, problem="no space left on device")
            try:
                before = self._db.total_changes
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._step(f"{name}.written")
                self._db.execute("COMMIT")
                self._synced = self._synced or self._db.total_changes > before  # one that changes nothing syncs nothing
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._positions = {}
                if isinstance(error, sqlite3.DatabaseError):
                    raise self._error(error) from error
                raise
        self._step(f"{name}.durable")

    # -- the configuration

    def load(self) -> Configuration | None:
        """What was written last; None in a fresh store. Raises RefusedError store.damaged."""
        rows = {name: self._parsed("setting", name, body) for name, body in self._all("setting")}
        if "configuration.server" not in rows:
            if self._count("domain"):
                raise self._damaged("there are domains, but the row configuration.server is missing")
            return None
        server = self._model(Server, rows["configuration.server"], "setting configuration.server")
        domains = tuple(self._model(Domain, self._parsed("domain", name, body), f"domain {name}", name)
                        for name, body in self._all("domain", order="position"))
        pending = tuple(self._model(Pending, self._parsed("pending", name, body), f"pending {name}")
                        for name, body in self._all("pending"))
        whole = {"server": to_plain(server), "domains": [], "pending": []}
        whole |= {field: rows[f"configuration.{field}"] for field in REST if f"configuration.{field}" in rows}
        bare: Configuration = self._model(Configuration, whole, "setting configuration")
        if not domains or not domains[0].control:
            raise self._damaged("the row of the control domain is missing from table domain")
        return bare.but(domains=domains, pending=pending)

    def _all(self, table: str, *, order: str = "name") -> list[tuple[str, str]]:
        return self._select(f"SELECT name, body FROM {table} ORDER BY {order}")

    def _select(self, statement: str, *values: object) -> list[Any]:
        """All rows; from any thread."""
        try:
            with self._guard:
                return list(self._db.execute(statement, values))
        except sqlite3.DatabaseError as error:
            raise self._error(error) from error

    def _count(self, table: str) -> int:
        return int(self._select(f"SELECT count(*) FROM {table}")[0][0])

    def _parsed(self, table: str, name: str, body: object) -> Any:
        try:
            if not isinstance(body, str):
                raise ValueError("not text")
            return json.loads(body)
        except ValueError as error:
            raise self._damaged(f"row {name!r} of table {table} is not JSON ({error})") from None

    def _model(self, kind: type[Any], data: Any, where: str, name: str | None = None) -> Any:
        try:
            value = from_plain(kind, data)
        except (PlainError, TypeError) as error:
            raise self._damaged(f"{where}: {error}") from None
        if name is not None and value.name != name:
            raise self._damaged(f"{where}: its body names {value.name!r}")
        return value

    def write(self, old: Configuration | None, new: Configuration, *, intent: bool = False, urgent: bool = False
              ) -> None:
        """One transaction that makes `new` what `load` gives. `old`: what it gives now. With an intent, or without.

        Ends an intent that is there. `urgent`: what cannot be refused, since it is so already (the machine's doing, or
        the way back). Raises RefusedError store.full, store.write; then nothing was changed.
        """
        with self._transaction("intent" if intent else "write", urgent=urgent) as db:
            db.execute("DELETE FROM intent")
            if intent:
                self._write_intent(db, old, new)
            self._write_domains(db, old, new)
            self._write_pending(db, old, new)
            for field in ("server", *REST):
                value = getattr(new, field)
                if old is None or getattr(old, field) != value:
                    self._put(db, "setting", f"configuration.{field}", value)

    def _put(self, db: sqlite3.Connection, table: str, name: str, value: Any) -> None:
        db.execute(f"INSERT INTO {table}(name, body) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET body=excluded.body",
                   (name, _encode(value)))

    def _write_domains(self, db: sqlite3.Connection, old: Configuration | None, new: Configuration) -> None:
        before = {domain.name: domain for domain in old.domains} if old is not None else {}
        if not self._positions:
            self._positions = {str(name): int(at) for name, at in db.execute("SELECT name, position FROM domain")}
        names = {domain.name for domain in new.domains}
        for gone in [name for name in self._positions if name not in names]:
            db.execute("DELETE FROM domain WHERE name=?", (gone,))
            del self._positions[gone]
        last = -1
        for domain in new.domains:
            position = self._positions.get(domain.name)
            if position is None or position <= last:
                position = last + 1 if position is not None else max([last, *self._positions.values()]) + 1
                moved = True
            else:
                moved = False
            if moved or before.get(domain.name) != domain:
                db.execute("INSERT INTO domain(name, position, body) VALUES(?, ?, ?) ON CONFLICT(name) "
                           "DO UPDATE SET position=excluded.position, body=excluded.body",
                           (domain.name, position, _encode(domain)))
                self._positions[domain.name] = position
            last = position

    def _write_pending(self, db: sqlite3.Connection, old: Configuration | None, new: Configuration) -> None:
        if old is not None and old.pending == new.pending:
            return
        db.execute("DELETE FROM pending")
        for each in new.pending:
            self._put(db, "pending", each.domain.name, each)

    # -- intents

    def _write_intent(self, db: sqlite3.Connection, old: Configuration | None, new: Configuration) -> None:
        """What is needed to take the change back: domains that differ as they were, new ones by name, and the rest."""
        if old is None:
            raise ValueError("a first configuration has nothing to go back to")
        after = {domain.name: domain for domain in new.domains}
        changed = [domain for domain in old.domains if after.get(domain.name) != domain]
        body = {
            "order": [domain.name for domain in old.domains],
            "domains": [to_plain(domain) for domain in changed],
            "pending": to_plain(old.pending),
            "rest": {field: to_plain(getattr(old, field)) for field in REST},
        }
        db.execute("INSERT INTO intent(name, body) VALUES('commit', ?)", (json.dumps(body),))

    def intent(self, now: Configuration) -> Configuration | None:
        """The configuration before the change that was under way when ldmd died; `now`: what `load` gives."""
        rows = self._all("intent")
        if not rows:
            return None
        body = self._parsed("intent", *rows[0])
        try:
            domains = {domain.name: domain for domain in now.domains}
            domains |= {each["name"]: from_plain(Domain, each) for each in body["domains"]}
            whole = {"server": to_plain(now.server), "domains": [], "pending": body["pending"], **body["rest"]}
            before = from_plain(Configuration, whole)
            return before.but(domains=tuple(domains[name] for name in body["order"]))
        except (PlainError, TypeError, KeyError) as error:
            raise self._damaged(f"the intent of a change: {error!r}") from None

    def settle(self) -> None:
        """The change was carried out on the machine: its intent goes."""
        with self._transaction("acknowledge", urgent=True) as db:
            db.execute("DELETE FROM intent")

    # -- small values, saved configurations, history

    def get(self, name: str) -> Any:
        """A small value, or None."""
        row = next(iter(self._select("SELECT body FROM setting WHERE name=?", f"manager.{name}")), None)
        return None if row is None else self._parsed("setting", name, row[0])

    def put(self, name: str, value: Any, *, urgent: bool = False) -> None:
        """Keep a small value."""
        with self._transaction("setting", urgent=urgent) as db:
            self._put(db, "setting", f"manager.{name}", value)

    def spconfig_names(self, kind: str) -> tuple[str, ...]:
        """Saved configurations of a kind ("saved", "autosave"), in the order they were saved first."""
        rows = self._select("SELECT name FROM spconfig WHERE kind=? ORDER BY number", kind)
        return tuple(str(row[0]) for row in rows)

    def load_spconfig(self, name: str, kind: str) -> Configuration | None:
        """One of them. Raises RefusedError spconfig.damaged."""
        row = next(iter(self._select("SELECT body FROM spconfig WHERE name=? AND kind=?", name, kind)), None)
        if row is None:
            return None
        try:
            return from_plain(Configuration, json.loads(row[0]))
        except (PlainError, TypeError, ValueError) as error:
            raise message("spconfig.damaged", name=name, problem=error) from None

    def save_spconfig(self, name: str, kind: str, configuration: Configuration) -> None:
        """Add or replace one."""
        with self._transaction("spconfig", urgent=False) as db:
            db.execute("INSERT INTO spconfig(name, kind, body) VALUES(?, ?, ?) "
                       "ON CONFLICT(name, kind) DO UPDATE SET body=excluded.body", (name, kind, _encode(configuration)))

    def remove_spconfig(self, name: str, kind: str) -> None:
        """Remove one."""
        with self._transaction("spconfig", urgent=True) as db:
            db.execute("DELETE FROM spconfig WHERE name=? AND kind=?", (name, kind))

    def add_history(self, records: list[Record]) -> None:
        """Append; the oldest beyond HISTORY_KEPT go."""
        with self._transaction("history", urgent=False) as db:
            db.executemany("INSERT INTO history(time, caller, line, status, text) VALUES(?, ?, ?, ?, ?)",
                           [(each.time, each.caller, each.line, each.status, each.text) for each in records])
            db.execute("DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?", (HISTORY_KEPT,))

    def history(self, limit: int) -> list[Record]:
        """The last lines, oldest first."""
        rows = self._select("SELECT time, caller, line, status, text FROM history ORDER BY number DESC LIMIT ?", limit)
        return [Record(*row) for row in rows][::-1]

    # -- the journal of migrations

    def add_migration(self, side: str, uuid: str, mid: int, body: str, *, urgent: bool) -> None:
        """Append a record (`ldmd.migrationjournal`)."""
        with self._transaction("migration", urgent=urgent) as db:
            db.execute("INSERT INTO migration(side, uuid, mid, body) VALUES(?, ?, ?, ?)", (side, uuid, mid, body))

    def migration_rows(self, side: str, uuid: str) -> tuple[str, ...]:
        """The bodies of a domain's records, in order."""
        rows = self._select("SELECT body FROM migration WHERE side=? AND uuid=? ORDER BY number", side, uuid)
        return tuple(str(row[0]) for row in rows)

    def migration_uuids(self, side: str) -> tuple[str, ...]:
        """The domains that have records."""
        return tuple(str(row[0]) for row in self._select("SELECT DISTINCT uuid FROM migration WHERE side=?", side))

    def forget_migrations(self, side: str, uuid: str, mid: int) -> None:
        """Remove a domain's records of attempts before `mid`."""
        with self._transaction("migration", urgent=True) as db:
            db.execute("DELETE FROM migration WHERE side=? AND uuid=? AND mid<?", (side, uuid, mid))

    def sync(self) -> None:
        """Return when all that can be read is on the disk, also what a process wrote that was killed then.

        After a commit of our own it is: `synchronous=FULL` syncs the log, one file, at each, and so what came before.
        """
        if self._synced:
            return
        for row in self._select("PRAGMA wal_checkpoint(FULL)"):
            if row[0]:
                raise message("store.write", path=self.path, problem="another process holds the store")

    # -- the file

    def keep_good(self) -> None:
        """Copy the store beside itself, whole and durable: it was read without a complaint."""
        if self.path == MEMORY:
            return
        if self._ballast is not None and not self._ballast.fill():
            refuse("store.full", path=self.path, problem="no space left on device")
        fresh = Path(self.path + GOOD + ".new")
        fresh.unlink(missing_ok=True)
        try:
            os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with sqlite3.connect(fresh) as copy:
                self._db.backup(copy)
            copy.close()
            fresh.replace(self.path + GOOD)
        except (sqlite3.DatabaseError, OSError) as error:
            fresh.unlink(missing_ok=True)
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file, once nobody is in the middle of something."""
        with self._guard:
            self._closed = True
            self._db.close()
