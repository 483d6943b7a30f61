"""Tables of the store, and how a store of an older schema becomes one of this."""

from __future__ import annotations

import sqlite3

# one step for each schema version: STEPS[n] makes n + 1 of n. A step that was released never changes.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE setting(name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE domain(name TEXT PRIMARY KEY, position INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE pending(name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE intent(name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE spconfig(number INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, "
        "body TEXT NOT NULL, UNIQUE(name, kind))",
        "CREATE TABLE history(number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, caller TEXT NOT NULL, "
        "line TEXT NOT NULL, status INTEGER, text TEXT NOT NULL)",
    ),
    (
        # journal of migrations: rows are only added, and removed when a whole attempt is forgotten
        "CREATE TABLE migration(number INTEGER PRIMARY KEY AUTOINCREMENT, side TEXT NOT NULL, uuid TEXT NOT NULL, "
        "mid INTEGER NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX migration_domain ON migration(side, uuid, mid)",
    ),
)

SCHEMA = len(STEPS)
"""The schema version this program writes."""


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Carry out the steps from a version to SCHEMA, inside the caller's transaction."""
    for statements in STEPS[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA user_version={SCHEMA}")
