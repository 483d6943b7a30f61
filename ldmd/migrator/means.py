"""What all attempts of one manager share: the manager, its journals, time, workers, durable notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmd.migration.events import Timer
from ldmd.migrationjournal import SOURCE, TARGET, Journal
from ldmd.migrator.lease import Leases
from ldmd.migrator.link import Identity, Pace
from ldmd.migrator.peers import fingerprint
from ldmd.migrator.settings import Settings
from ldmd.migrator.worker import Start, start_process

if TYPE_CHECKING:
    from ldmd.faults import ManagerFaults
    from ldmd.manager import Manager

SECONDS = {Timer.ANSWER: 60.0, Timer.RECONNECT: 60.0, Timer.DOUBT: 20.0}
"""How long each timer runs."""


class Killed(BaseException):
    """The manager was killed: nothing of it happens any more. Only tests raise it, from a step."""


@dataclass
class Means:
    """`alive`: is the machine's process there, as far as can be said without it? `step`: called at each effect."""

    manager: Manager
    directory: Path
    identity: Identity
    settings: Settings = field(default_factory=Settings)
    pace: Pace = field(default_factory=Pace)
    start_worker: Start = start_process
    step: Callable[[str], None] = lambda name: None
    machine_alive: Callable[[], bool] = lambda: True
    home: Path | None = None
    faults: ManagerFaults | None = None
    retry_seconds: float = 1.0
    dead: bool = False

    def __post_init__(self) -> None:
        self.sources = Journal(self.manager.store, SOURCE)
        self.targets = Journal(self.manager.store, TARGET)

    def check(self) -> None:
        """Raise where this manager was killed."""
        if self.dead:
            raise Killed

    def greatest(self, uuid: str) -> int:
        """The greatest number of an attempt for a domain that is known here, on either side."""
        return max(self.sources.greatest(uuid), self.targets.greatest(uuid))

    # -- leases

    @property
    def lease_directory(self) -> Path | None:
        """Where leases are, if anywhere."""
        if self.settings.lease_directory:
            return Path(self.settings.lease_directory)
        return None if self.home is None else self.home / "leases"

    @property
    def leases(self) -> Leases | None:
        """The leases that this manager can reach."""
        directory = self.lease_directory
        return None if directory is None else Leases(directory, fingerprint(self.identity.der))

    # -- notes: what an attempt must know after a restart besides its journal

    def note(self, side: str, uuid: str) -> dict[str, Any]:
        """The note about a domain on one side, {} where there is none."""
        found = self.manager.store.get(f"migration.{side}.{uuid}")
        return dict(found) if isinstance(found, dict) else {}

    def put_note(self, side: str, uuid: str, note: dict[str, Any], *, urgent: bool = True) -> None:
        """Keep it, durably. Raises RefusedError store.full, store.write."""
        self.check()
        self.manager.store.put(f"migration.{side}.{uuid}", note, urgent=urgent)
