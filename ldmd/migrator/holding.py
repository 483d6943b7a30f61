"""Which domains migrations hold: nobody else starts, stops, changes or "repairs" these (`ldmd.manager.Movers`)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from ldmd.messages import refuse
from ldmd.migration import events as ev
from ldmd.migration import plan as moving
from ldmd.migration import records as rec
from ldmd.migrator.asking import texts
from ldmd.migrator.guestops import domain_of, ran
from ldmd.migrator.means import Means
from ldmd.migrator.sourceside import SourceSide
from ldmd.migrator.starting import ENDED_STATES
from ldmd.migrator.targetside import TargetSide
from ldmd.model import Configuration, Domain, State

ALWAYS_ALLOWED = frozenset({"cancel-operation", "cancel-migration", "migrate-domain", "set-logctl", "cancel-reconf"})
"""Operations that write, and that a migration under way does not keep from running (or that refuse themselves)."""
ENDED = frozenset({"stopped", "power-off", "error", "reset", "panic", "watchdog"})
OPEN_RECORDS = (rec.Prepared, rec.Released)


def names_of(arguments: Mapping[str, Any]) -> set[str]:
    """The domains that an operation names; "" stands for all of them."""
    if arguments.get("all"):
        return {""}
    return {each for each in (*(arguments.get("domains") or ()), arguments.get("domain")) if isinstance(each, str)}


class Holding:
    """The attempts of a manager, and what follows for everybody else."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.guard = threading.Lock()
        self._sources: dict[tuple[str, int], SourceSide] = {}
        self.targets: dict[str, TargetSide] = {}
        self.ran: frozenset[str] = frozenset()

    # -- attempts

    def attempts(self) -> tuple[SourceSide | TargetSide, ...]:
        """All of them; those that are over are forgotten."""
        with self.guard:
            over = [key for key, each in self._sources.items() if each.finished]
            done = [self._sources.pop(key) for key in over]
            found: tuple[SourceSide | TargetSide, ...] = (*self._sources.values(), *self.targets.values())
        for each in done:
            threading.Thread(target=each.end, name="migration-end", daemon=True).start()
        return found

    def add_source(self, attempt: SourceSide) -> None:
        """One more."""
        with self.guard:
            self._sources[(attempt.uuid, attempt.plan.mid)] = attempt

    def drop_source(self, attempt: SourceSide) -> None:
        """It is over."""
        with self.guard:
            self._sources.pop((attempt.uuid, attempt.plan.mid), None)

    def supersede(self, uuid: str, host: str) -> None:
        """Older attempts with the same target have nothing left to say: the greater number says it."""
        with self.guard:
            old = [each for key, each in self._sources.items() if key[0] == uuid and each.host == host]
            for each in old:
                del self._sources[(uuid, each.plan.mid)]
        for each in old:
            each.end()

    @staticmethod
    def doubts(attempt: SourceSide | TargetSide) -> bool:
        """It waits for a peer that is away, or for a person: others may work meanwhile."""
        return attempt.state.flag.value == "error"

    # -- ldmd.manager.Movers

    def check_writer(self, command: str, arguments: Mapping[str, Any]) -> None:
        """While a migration is under way nothing else is changed here; one in doubt keeps its own domain."""
        if command in ALWAYS_ALLOWED:
            return
        for each in self.attempts():
            if not each.holds:
                continue
            if isinstance(each, TargetSide) and each.pages_follow:
                if command != "stop-domain" or names_of(arguments) != {each.name}:
                    refuse("migration.pages", command=command, name=each.name, peer=each.peer)
                continue
            if not self.doubts(each):
                refuse("migration.blocked", command=command, name=each.name,
                       where=f" on {each.peer}" if isinstance(each, TargetSide) else "")
            if each.name in texts(arguments):
                refuse("migration.held", name=each.name, why=each.told[-1] if each.told else "")

    def check_change(self, old: Configuration, new: Configuration) -> None:
        """No operation changes a domain that is held, whatever it was asked."""
        for each in self.attempts():
            before, after = domain_of(old, each.uuid), domain_of(new, each.uuid)
            if isinstance(each, TargetSide) and each.pages_follow and before is not None and after is not None:
                after = after.but(state=before.state, started_at=before.started_at)  # it may be stopped
            if each.holds and before != after:
                refuse("migration.held", name=each.name, why=each.told[-1] if each.told else "")

    def takes(self, domain: Domain, event: Mapping[str, Any]) -> bool:
        """A guest that is held: the states it goes through are the migration's; its end is told to it too."""
        held = next((each for each in self.attempts() if each.uuid == domain.uuid and each.holds), None)
        if held is None:
            return False
        why = str(event.get("why", ""))
        if isinstance(held, SourceSide) and why in ENDED:
            what = "was reset" if why in ("reset", "panic", "watchdog") else "stopped"
            held.post(ev.TransferFailed(f"the domain {what} ({why})"))
            return False
        if isinstance(held, TargetSide) and held.pages_follow:
            if event.get("state") in ENDED_STATES:
                held.ended(why)
            return False
        return not isinstance(held, SourceSide) or why != "suspended" or held.expects_stop

    def before_agreement(self, stored: Configuration, *, power_on: bool) -> Configuration:
        """Images that were received are gone with their machine; which domains ran is remembered."""
        self.ran = frozenset(each.uuid for each in stored.domains if ran(each))
        if not power_on:
            return stored
        for uuid in self.means.targets.uuids():
            domain = domain_of(stored, uuid)
            if domain is not None and isinstance(self._last(self.means.targets.records(uuid)), rec.Promised):
                stored = moving.abandoned(stored, domain.name)
        return stored

    def not_started(self, loaded: Configuration) -> Configuration:
        """Domains whose attempt is open, or that went elsewhere, stay down."""
        for domain in loaded.guests:
            if ran(domain) and self._stays_down(domain):
                loaded = loaded.with_domain(domain.but(state=State.BOUND, started_at=None))
        return loaded

    def _stays_down(self, domain: Domain) -> bool:
        last = self._last(self.means.sources.records(domain.uuid))
        if isinstance(last, OPEN_RECORDS):
            return True
        if not isinstance(last, rec.Done):
            return False
        back = any(isinstance(each, rec.Owned) and each.mid > last.mid
                   for each in self.means.targets.records(domain.uuid))
        if not back:
            self.means.manager.log.warning(f"{domain.name} is part of the saved configuration, but has migrated to "
                                           "another machine: it is not started here")
        return not back

    @staticmethod
    def _last(records: tuple[rec.Record, ...]) -> rec.Record | None:
        """What was decided last; that nothing is left to say changes nothing of it."""
        return next((each for each in reversed(records) if not isinstance(each, rec.Closed)), None)

    def powered_on(self) -> None:
        """The machine is another one: what it had in memory is lost."""
        for each in self.attempts():
            each.post(ev.MachineDied())
            if isinstance(each, TargetSide):
                each.act(each.boot_unstarted)

    def machine_lost(self) -> None:
        """The connection to the machine is gone: is its process?"""
        if not self.means.machine_alive():
            self.powered_on()

