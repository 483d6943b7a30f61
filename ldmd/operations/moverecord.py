"""What is recorded of a migration while it goes on: phases, rounds, samples; and what watchers are told of it.

The record is plain data, written when the migration has ended, well or not; docs/reference/migration-record.md has its
shape. `sun4v report` reads it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ldmd.model import Domain, State
from ldmd.operations.context import Context
from ldmd.operations.migrations import Outcome, Progress, Target

VERSION = 1
SAMPLES = 2000
"""Most samples of a record; a longer migration is sampled half as often, again and again."""
_COPY = 3
KINDS = {State.INACTIVE: "inactive", State.BOUND: "bound"}


class Recording:
    """Of one migration, from its source's side."""

    def __init__(self, context: Context, domain: Domain, target: Target, *, dry_run: bool) -> None:
        self._context = context
        self._record: dict[str, Any] = {
            "version": VERSION, "domain": domain.name, "uuid": domain.uuid,
            "kind": KINDS.get(domain.state, "live"), "dry_run": dry_run,
            "source": context.configuration.server.name, "target": target.host,
            "target_domain": target.name or domain.name, "user": context.user,
            "platform": context.configuration.server.platform,
            "memory_bytes": domain.binding.memory_bytes if domain.binding else 0,
            "started_at": context.now(), "phases": [], "rounds": [], "samples": [],
        }  # fmt: skip
        self._last: Progress | None = None
        self._stride, self._steps = 1, 0
        self._tell("migration-begin", target=target.host, kind=self._record["kind"], dry_run=dry_run)

    def _tell(self, event: str, **details: Any) -> None:
        self._context.emit(event, domain=self._record["domain"], **details)

    @staticmethod
    def plain(step: Progress) -> dict[str, Any]:
        """A step as plain data, without what the line of progress says anyway."""
        return {name: value for name, value in asdict(step).items() if name != "percent"}

    def step(self, step: Progress) -> None:
        """Something moved on."""
        now, last = round(self._context.now() - self._record["started_at"], 6), self._last
        row = {"at": now, **asdict(step)}
        if last is None or step.phase != last.phase:
            self._record["phases"].append({"phase": step.phase, "at": now})
            self._tell("migration-phase", phase=step.phase, percent=step.percent)
        if last is not None and step.round != last.round:
            self._round(last, now)
        self._steps += 1
        if self._steps % self._stride == 0:
            self._sample(row)
        self._last = step

    def _round(self, last: Progress, now: float) -> None:
        """A round of copying is over."""
        if last.phase >= _COPY and last.bytes:
            row = {"at": now, **asdict(last)}
            self._record["rounds"].append(row)
            self._tell("migration-round", **{name: row[name] for name in
                                             ("round", "percent", "bytes", "remaining_bytes")})

    def _sample(self, row: dict[str, Any]) -> None:
        samples: list[dict[str, Any]] = self._record["samples"]
        samples.append(row)
        if len(samples) >= SAMPLES:
            del samples[1::2]
            self._stride *= 2

    def end(self, outcome: Outcome) -> None:
        """It ended: the record is kept."""
        now = self._context.now()
        if self._last is not None:
            self._round(self._last, round(now - self._record["started_at"], 6))
        result = "failed" if outcome.problems else "done"
        self._record |= {
            "ended_at": now, "result": result, "summary": dict(outcome.summary),
            "problems": [{"code": each.code, "text": each.text, "cause": each.cause, "remedy": each.remedy}
                         for each in outcome.problems],
        }  # fmt: skip
        self._context.records.add(self._record)
        self._tell("migration-end", target=self._record["target"], result=result, dry_run=self._record["dry_run"],
                   why="; ".join(each.text for each in outcome.problems))
