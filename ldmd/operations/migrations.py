"""Migrations as operations see them: the manager's `migrations`, and where records of them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ldmd.migrator.moves import MoveJob, MoveOptions, MoveOutcome, MoveView, Target


class Migrations(Protocol):
    """What carries migrations out (`ldmd.migrator.migrations.Migrations`)."""

    def start(self, name: str, target: Target, options: MoveOptions, *, job: MoveJob) -> MoveOutcome:
        """Move a domain, or see whether that can be done; waits with `job.wait`.

        Raises RefusedError where it cannot even begin (no such host, no trust, wrong password).
        """

    def cancel(self, name: str, *, force: bool, who: str) -> Sequence[str]:
        """Give the migration of a domain up: what there is to say. Raises RefusedError where that cannot be."""

    def view(self) -> Sequence[MoveView]:
        """Migrations under way or in doubt here, on either side; from any thread."""


class Records(Protocol):
    """What is kept of migrations that ended, for `sun4v report`."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep one. Never raises for a disk: a migration does not fail for its record."""
