"""What a move is asked with, how it ends, and what can be seen of it meanwhile: the words of `manager.migrations`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ldmd.migration.rule import Finding


@dataclass(frozen=True)
class Target:
    """`[user@]host[:name]` of the command. `user` "": the caller. `name` None: as here."""

    user: str
    host: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveOptions:
    """Of the command. `certificates`: -c; else `password` is needed, but for a dry run too."""

    dry_run: bool = False
    force: bool = False
    certificates: bool = False
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class MoveOutcome:
    """How a move ended. `done`: the target runs (or has) the domain; of a dry run: it would.

    `findings`: all rules that are unmet, warnings too, as the target's preflight found them. `problems`: lines to print
    where it failed, without the last one ("Domain Migration of LDom ... failed"), which the command adds. `told`: what
    else a person should read (the domain booted anew there, ...). `reasons`: the same as problems, each in one line
    without causes and remedies, for log and history. `summary`: for the record of the migration
    (docs/reference/migration-record.md): the worker's last word, and how long the domain stood still.
    """

    done: bool
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Round:
    """A round of copying, as the worker told it."""

    round: int
    pages: int
    bytes: int
    seconds: float = 0.0
    remaining: int = 0
    dirty_rate: float = 0.0
    wire_rate: float = 0.0
    limited_by: str = ""


def round_of(event: dict[str, Any]) -> Round:
    """The round that an event `progress` of a worker ends."""
    def number(name: str) -> float:
        value = event.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    return Round(round=int(number("round")), pages=int(number("pages")), bytes=int(number("bytes")),
                 remaining=int(number("remaining")), dirty_rate=number("dirty_rate"), wire_rate=number("wire_rate"),
                 limited_by=str(event.get("limited_by", "")))


@dataclass(frozen=True, kw_only=True)
class MoveView:
    """One domain's migration as `ldm list`, `list -o status` and `--json` show it.

    `role`: "source", "target" or "error" (`report_flags.ROLES`), "" where no flag is shown any more. `side`: "source"
    or "target". `phase`: 1 to 5. `percent` grows only. `peer`: the other machine. `name_there`: the domain's name on
    it. `started`: seconds since the epoch.
    """

    domain: str
    uuid: str
    side: str
    role: str
    phase: int
    percent: int
    peer: str
    name_there: str
    started: float
    mid: int
    kind: str  # live, bound, inactive
    dry_run: bool = False
    rounds: tuple[Round, ...] = ()
    told: tuple[str, ...] = ()  # what the state machine told last
    progress: dict[str, Any] = field(default_factory=dict)  # the worker's last progress event


class MoveJob(Protocol):
    """What `start` needs of the operation's context (`ldmd.jobs.Job` has it all)."""

    def say(self, text: str) -> None:
        """A line for standard output."""

    def warn(self, text: str) -> None:
        """A line for standard error: a warning of the checks."""

    def progress(self, percent: int, text: str) -> None:
        """How far it is."""

    def wait(self, condition: Any, *, seconds: float) -> bool:
        """Let others go on until the condition holds or the time is over. Raises RefusedError job.cancelled."""
