"""A manager's `migrations` that moves nothing: it tells what it is told to, for tests of the commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ldmd.manager import Manager
from ldmd.messages import RefusedError, message, refuse
from ldmd.migrator.moves import MoveJob, MoveOptions, MoveOutcome, MoveView, Target

PROGRESS = {"round": 1, "pages": 0, "bytes": 0, "total_bytes": 1 << 30, "remaining": 1 << 30, "dirty_rate": 0.0,
            "wire_rate": 0.0, "ratio": 1.0, "predicted_downtime_ms": None, "limited_by": "network"}


@dataclass
class FakeMoves:
    """`steps`: what is seen one after another, each for a second of the manager's time. `refusal`: instead of all."""

    manager: Manager
    steps: list[dict[str, Any]] = field(default_factory=list)
    outcome: MoveOutcome = field(default_factory=lambda: MoveOutcome(done=True))
    refusal: RefusedError | None = None
    asked: list[tuple[str, Target, MoveOptions]] = field(default_factory=list)
    cancelled: list[tuple[str, bool, str]] = field(default_factory=list)
    views: dict[str, MoveView] = field(default_factory=dict)

    def start(self, name: str, target: Target, options: MoveOptions, *, job: MoveJob) -> MoveOutcome:
        self.asked.append((name, target, options))
        if self.refusal is not None:
            raise self.refusal
        for step in self.steps:
            self.show(name, target.host, dry_run=options.dry_run, **step)
            job.progress(self.views[name].percent, "moving")
            if job.wait(lambda: bool(self.cancelled), seconds=1):
                self.views.clear()
                return MoveOutcome(done=False, problems=("cancelled",))
        self.views.clear()
        return self.outcome

    def show(self, name: str, peer: str, *, phase: int = 1, percent: int = 0, side: str = "source",
             role: str | None = None, dry_run: bool = False, **progress: Any) -> None:
        """Have a migration under way."""
        self.views[name] = MoveView(
            domain=name, uuid="", side=side, role=side if role is None else role, phase=phase, percent=percent,
            peer=peer, name_there=name, started=self.manager.clock.now(), mid=1, kind="live", dry_run=dry_run,
            progress=PROGRESS | progress if phase >= 3 else {})

    def cancel(self, name: str, *, force: bool, who: str) -> Sequence[str]:
        if name not in self.views:
            refuse("reconf.no-migration", name=name)
        if self.views[name].side == "target" and not force:
            raise message("migration.target", target=name, problem="")
        self.cancelled.append((name, force, who))
        return ("beta was asked to give the domain back",) if self.views[name].phase == 5 else ()

    def view(self) -> Sequence[MoveView]:
        return tuple(replace(each) for each in self.views.values())


def fake_moves(manager: Manager) -> FakeMoves:
    """A manager with them."""
    moves = FakeMoves(manager)
    manager.migrations = moves
    return moves
