"""What is recorded of a migration while it goes on: phases, rounds, samples; and what watchers are told of it.

The record is plain data, written when the migration has ended, well or not; docs/reference/migration-record.md has its
shape. `sun4v report` reads it.
"""

from __future__ import annotations

from typing import Any

from ldmd.messages.table import RECORD_LETTERS
from ldmd.migration.phases import Phase
from ldmd.migrator.moves import MoveOutcome, MoveView, Target
from ldmd.model import Domain, State
from ldmd.operations.context import Context

VERSION = 1
SAMPLES = 2000
"""Most samples of a record; a longer migration is sampled half as often, again and again."""
KINDS = {State.INACTIVE: "inactive", State.BOUND: "bound"}
NUMBERS = ("round", "pages", "bytes", "total_bytes", "remaining")
RATES = ("dirty_rate", "wire_rate", "ratio", "predicted_downtime_ms")
"""What the worker's progress tells (emulator/stream/worker.md): bytes, pages, bytes a second, milliseconds."""


class Recording:
    """Of one migration, from its source's side."""

    def __init__(self, context: Context, domain: Domain, target: Target, *, dry_run: bool) -> None:
        self._context, self._started_at = context, context.now()
        self._record: dict[str, Any] = {
            "version": VERSION, "domain": domain.name, "uuid": domain.uuid,
            "kind": KINDS.get(domain.state, "live"), "dry_run": dry_run,
            "source": context.configuration.server.name, "target": target.host,
            "target_domain": target.name or domain.name, "user": context.user,
            "platform": context.configuration.server.platform,
            "memory_bytes": domain.binding.memory_bytes if domain.binding else 0,
            "started_at": self._started_at, "phases": [], "rounds": [], "samples": [],
        }  # fmt: skip
        self._last: dict[str, Any] | None = None
        self._stride, self._steps = 1, 0
        self._tell("migration-begin", target=target.host, kind=self._record["kind"], dry_run=dry_run)

    def _tell(self, event: str, **details: Any) -> None:
        self._context.emit(event, domain=self._record["domain"], **details)

    def _now(self) -> float:
        return round(self._context.now() - self._started_at, 6)

    def step(self, view: MoveView, percent: int) -> dict[str, Any]:
        """Something moved on: the row that is recorded, without its time."""
        known, last = view.progress, self._last
        # nothing is copied of a domain that does not run, nor suspended
        skipped = view.kind != "live" and view.phase in (Phase.COPY, Phase.SUSPEND)
        phase = int(Phase.PREPARE if skipped else view.phase)
        row: dict[str, Any] = {"phase": phase, "percent": percent}
        row |= {name: int(known.get(name) or 0) for name in NUMBERS}
        row |= {name: float(known[name]) if known.get(name) is not None else None for name in RATES}
        row["limited_by"] = str(known.get("limited_by") or "")
        if last is None or row["phase"] != last["phase"]:
            self._record["phases"].append({"at": self._now(), "phase": phase})
        if last is not None and row["round"] != last["round"]:
            self._round(last)
        self._steps += 1
        if self._steps % self._stride == 0:
            self._sample({"at": self._now(), **row})
        self._last = row
        return row

    def _round(self, last: dict[str, Any]) -> None:
        """A round of copying is over."""
        if last["phase"] >= Phase.COPY and last["bytes"]:
            self._record["rounds"].append({"at": self._now(), **last})
            self._tell("migration-round", **{name: last[name] for name in ("round", "percent", "bytes", "remaining")})

    def _sample(self, row: dict[str, Any]) -> None:
        samples: list[dict[str, Any]] = self._record["samples"]
        samples.append(row)
        if len(samples) >= SAMPLES:
            del samples[1::2]
            self._stride *= 2

    def end(self, outcome: MoveOutcome) -> None:
        """It ended: the record is kept."""
        if self._last is not None:
            self._round(self._last)
        result = "done" if outcome.done else "failed"
        self._record |= {
            "ended_at": self._context.now(), "result": result, "summary": dict(outcome.summary),
            "problems": list(outcome.problems), "told": list(outcome.told),
            "findings": [{"rule": each.rule, "code": each.code, "text": each.text, "cause": each.cause,
                          "remedy": each.remedy, "severity": each.severity.value} for each in outcome.findings],
        }  # fmt: skip
        self._context.records.add(self._record)
        self._tell("migration-end", target=self._record["target"], result=result, dry_run=self._record["dry_run"],
                   why="; ".join(outcome.reasons)[:RECORD_LETTERS])
