"""Migrations as operations see them: what is asked of the manager's `migrations`, and what it tells.

`ldmd.operations.migrate` is what a person types; whoever carries migrations out implements `Migrations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ldmd.messages import RefusedError

if TYPE_CHECKING:
    from ldmd.operations.context import Context


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to: a machine of this home, a name of hosts.toml, or an address; as whom; under which name."""

    user: str
    host: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveOptions:
    """How. `password`: None with `certificates`; it is never shown, logged or kept."""

    dry_run: bool = False
    force: bool = False
    certificates: bool = False
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a migration is. Rates are per second; None: not known (yet)."""

    phase: int
    percent: int
    round: int = 0
    bytes: int = 0
    total_bytes: int = 0
    remaining_bytes: int = 0
    dirty_pages_per_second: float | None = None
    wire_bytes_per_second: float | None = None
    ratio: float | None = None
    predicted_downtime_ms: float | None = None
    limited_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Moving:
    """A migration under way. `role`: "source" or "target"; `error`: a person should look (flag e)."""

    domain: str
    role: str
    peer: str
    progress: Progress
    peer_domain: str = ""
    error: bool = False
    started_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended. `problems`: why it failed or would fail, with their remedies; none: it did not. `told`: more.

    `summary`: plain data for the record (`SUMMARY` of `ldmd.migrationrecord`): pages, bytes, downtime and its parts.
    """

    problems: Sequence[RefusedError] = ()
    told: Sequence[str] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


class Migrations(Protocol):
    """What carries migrations out."""

    def start(self, name: str, target: Target, *, options: MoveOptions, job: Context, on_progress: OnProgress
              ) -> Outcome:
        """Move a domain, or see whether that can be done. Waits with `job.wait`; `on_progress` for each step.

        Raises RefusedError where it cannot even begin (no such host, no trust, wrong password).
        """

    def cancel(self, name: str, *, force: bool, who: str) -> Sequence[str]:
        """Give the migration of a domain up; what there is to say. Raises RefusedError where that cannot be."""

    def view(self) -> Mapping[str, Moving]:
        """Migrations under way here, by domain; from any thread."""


class Records(Protocol):
    """What is kept of migrations that ended, for `sun4v report`."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep one. Never raises for a disk: a migration does not fail for its record."""
