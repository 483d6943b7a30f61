"""All migrations of one machine: what `manager.migrations` is (None for a manager without peers).

An operation that moves a domain:

    @operation("migrate-domain")
    def migrate(context, arguments):
        outcome = context.migrations.start(name, Target("root", "beta"), MoveOptions(password=...), job=context)

`start` blocks like any operation that waits; others see the machine meanwhile, and writers are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, cast

from ldmd.messages import RefusedError, refuse
from ldmd.migration import events as ev
from ldmd.migration import plan as moving
from ldmd.migration import records as rec
from ldmd.migration import source as src
from ldmd.migration.facts import GuestFacts, guest_facts
from ldmd.migration.phases import Kind, Phase
from ldmd.migration.rule import Options, Report
from ldmd.migrator import greeting
from ldmd.migrator.asking import ask_system, other_operation
from ldmd.migrator.connector import Visit, unreachable, visit
from ldmd.migrator.door import Door
from ldmd.migrator.greeting import Join
from ldmd.migrator.guestops import domain_of, guest_word, status_of
from ldmd.migrator.holding import Holding
from ldmd.migrator.identities import known_of
from ldmd.migrator.means import Means
from ldmd.migrator.moves import MoveJob, MoveOptions, MoveOutcome, MoveView, Target
from ldmd.migrator.peers import fingerprint
from ldmd.migrator.sourceside import SourceSide
from ldmd.migrator.targetside import TargetSide
from ldmd.model import Domain
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.registry import OPERATIONS
from ldmd.planner.hardware import hardware

FOR_EVER = 1e9
"""Seconds: what is waited for ends by itself."""
CANCEL_SECONDS = 60.0
CRYPTO_SECONDS = 60.0


class Migrations(Holding):
    """See the module. From any thread, but `start` and `cancel`, which are called inside an operation that writes."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._starting = ""  # the domain whose migration begins
        self._system: Mapping[str, Any] = {}  # and what its system said of itself
        self._door = Door(means, self.target_for)

    # -- life

    def restart(self) -> None:
        """Take up what the journals say, after the manager has started."""
        for uuid in self.means.targets.uuids():
            self.target_for(uuid)
        for uuid in self.means.sources.uuids():
            self._restart_source(uuid)
        for status in self.means.manager.hypervisor.call("guest.list"):
            if status.get("state") == "suspended":  # perhaps while nobody listened; the event is a hint
                self.means.manager.handle({"event": "guest.state", "guest": status["guest"], "state": "suspended",
                                           "why": "suspended"})

    def listen(self, address: tuple[str, int] | None = None) -> tuple[str, int]:
        """Let others in. `address`: else that of the settings. Raises OSError."""
        return self._door.open(address or (self.means.settings.listen, self.means.settings.port))

    def close(self) -> None:
        """The manager ends; nothing is decided by that."""
        self._door.close()
        for each in self.attempts():
            each.end()

    def _restart_source(self, uuid: str) -> None:
        records = self.means.sources.records(uuid)
        newest = src.plan_of(uuid, records)
        last: dict[int, rec.Record] = {each.mid: each for each in records}
        for prepared in (each for each in records if isinstance(each, rec.Prepared)):
            is_newest = newest is not None and prepared.mid == newest.mid
            if isinstance(last[prepared.mid], rec.Closed):
                continue
            if not is_newest and not isinstance(last[prepared.mid], rec.Aborted | rec.Done):
                continue
            plan = src.Plan(prepared.mid, uuid, prepared.kind, prepared.lease, prepared.peer)
            attempt = self._source(plan, self.means.note("source", f"{uuid}.{prepared.mid}"))
            self.add_source(attempt)
            attempt.start()
            # what an older attempt left at its target is to be cleared there; the domain here is not its any more
            guest = guest_word(status_of(self.means.manager, uuid)) if is_newest else ev.Guest.RUNNING
            attempt.post(ev.Restarted(records, guest))

    def _source(self, plan: src.Plan, note: Mapping[str, Any], *, facts: GuestFacts | None = None,
                options: Options | None = None) -> SourceSide:
        domain = domain_of(self.means.manager.configuration, plan.uuid)
        name = domain.name if domain is not None else str(note.get("name", ""))
        return SourceSide(self.means, plan, host=str(note.get("host", plan.peer)), name=name,
                          name_there=str(note.get("name_there", name)), pin=str(note.get("pin", "")), facts=facts,
                          options=options or Options(), moved_away=self._moved_away)

    def target_for(self, uuid: str) -> TargetSide:
        """The target's side of a domain; made where there is none yet."""
        with self.guard:
            found = self.targets.get(uuid)
            if found is not None:
                return found
            found = self.targets[uuid] = TargetSide(
                self.means, uuid, known=self._known, ran=uuid in self.ran, taken=self._add_crypto)
        records = self.means.targets.records(uuid)
        found.start()
        if records:
            found.post(ev.Restarted(records, guest_word(status_of(self.means.manager, uuid))))
        return found

    def _known(self, facts: GuestFacts | None) -> Any:
        uuid = "" if facts is None else facts.domain.uuid
        others = tuple(each.name for each in self.attempts()
                       if each.uuid != uuid and each.holds and not self.doubts(each))
        starting = (self._starting,) if self._starting else ()
        return known_of(self.means, facts, enabled=self.means.settings.incoming, migrations=(*others, *starting))

    def _moved_away(self, uuid: str, mid: int) -> None:
        """A domain that came here once went: its target's side is told."""
        target = self.targets.get(uuid)
        if target is not None:
            target.act(lambda: target.gave_away(mid))

    # -- a move

    def start(self, name: str, target: Target, options: MoveOptions, *, job: MoveJob) -> MoveOutcome:
        """Move a domain, live, bound or inactive as it is; returns when it is decided.

        The kind follows from the domain's state. Cancelling the job (`ldm` killed) cancels the migration before its
        point of no return. Raises RefusedError where nothing was begun: domain.not-found, migration.busy,
        migration.connect (no answer), migration.authentication, migration.certificate, store.full, ...
        """
        manager = self.means.manager
        domain = manager.configuration.find(name)
        if domain is None:
            refuse("domain.not-found", name=name)
        self._check_free(domain)
        self._starting = name
        try:
            self._system = ask_system(cast(Context, job), domain)
            return self._start(manager.configuration.find(name) or domain, target, options, job)
        finally:
            self._starting, self._system = "", {}

    def _check_free(self, domain: Domain) -> None:
        machine = self.means.manager.configuration.server.name
        if not self.means.settings.outgoing:
            refuse("migration.disabled", side="source", machine=machine, setting="outgoing")
        busy = self._starting or next((each.name for each in self.attempts()
                                       if each.holds and (each.uuid == domain.uuid or not self.doubts(each))), "")
        if busy:
            refuse("migration.busy", side="source", machine=machine, other=busy)

    def _start(self, domain: Domain, target: Target, options: MoveOptions, job: MoveJob) -> MoveOutcome:
        crypto = domain.crypto if domain.binding is not None and domain.binding.crypto else 0
        live = self._facts(domain).live
        if not (crypto and live) or options.dry_run:
            return self._attempt(domain, target, options, job, crypto=domain.crypto)
        dry = MoveOptions(dry_run=True, force=options.force, certificates=options.certificates,
                          password=options.password)
        checked = self._attempt(domain, target, dry, job, crypto=domain.crypto)
        if not checked.done:
            return checked
        self._set_crypto(job, domain.name, 0)
        outcome = None
        try:
            bare = self.means.manager.configuration.find(domain.name)
            outcome = self._attempt(bare or domain, target, options, job, crypto=domain.crypto)
            return outcome
        finally:
            if outcome is None or (not outcome.done and self.means.manager.configuration.find(domain.name)):
                self.means.manager.wait(None, lambda: self._takes_crypto(domain.uuid), CRYPTO_SECONDS)
                self._set_crypto(job, domain.name, crypto)

    def _takes_crypto(self, uuid: str) -> bool:
        """Has the guest registered (again: it may have suspended itself) what crypto units are given to it by?"""
        manager = self.means.manager
        services = status_of(manager, uuid).get("services", ())
        return all(f"dr-crypto-{kind}" in services for kind in hardware(manager.configuration).platform.crypto)

    @staticmethod
    def _set_crypto(job: Any, name: str, count: int) -> None:
        """With the guest's consent (G51); what it does not take back is told, and no reason to fail."""
        try:
            OPERATIONS["set-crypto"].function(job, Arguments({"count": str(count), "domain": name, "force": True}))
        except (RefusedError, HypervisorError) as error:
            if not count:
                raise
            job.warn(str(error))

    def _add_crypto(self, name: str, wanted: int) -> None:
        """On the target, after the domain runs: as many units as it had, or as there are (G51, G52)."""
        manager = self.means.manager
        now = manager.configuration.find(name)
        if not wanted or now is None or now.binding is None:
            return
        best = moving.with_crypto(manager.configuration, name, wanted).find(name)
        count = len(best.binding.crypto) if best is not None and best.binding is not None else 0
        if not count:
            return

        def over() -> bool:  # the migration itself, and the guest's own return
            return not any(each.holds for each in self.attempts()) and self._takes_crypto(now.uuid)

        def add() -> None:
            with manager.turn():
                manager.wait(None, over, CRYPTO_SECONDS)
            manager.execute("set-crypto", {"count": str(count), "domain": name})

        threading.Thread(target=add, name="migration-crypto", daemon=True).start()

    def _facts(self, domain: Domain, *, crypto: int | None = None) -> GuestFacts:
        manager = self.means.manager
        status = {**status_of(manager, domain.uuid), "os": self._system} if domain.binding is not None else {}
        operation = other_operation(manager.book.running(), domain.name)
        if crypto is not None:
            domain = domain.but(crypto=crypto)
        found = guest_facts(manager.configuration, domain, status=status, known=known_of(self.means, None))
        known = known_of(self.means, found, operation=operation)
        return guest_facts(manager.configuration, domain, status=status, known=known)

    def _attempt(self, domain: Domain, target: Target, options: MoveOptions, job: MoveJob, *,
                 crypto: int) -> MoveOutcome:
        facts = self._facts(domain, crypto=crypto)
        visited = self._visit(domain, target, options, job)
        try:
            attempt = self._make(domain, target, options, facts, visited)
        except BaseException:
            visited.link.close()
            raise
        attempt.start()
        attempt.visited(visited)
        attempt.connector.standing(True)
        attempt.connector.want(True)  # whatever becomes of this link, until `Disconnect`
        attempt.post(ev.Begin())
        self._await(attempt, job)
        outcome = attempt.outcome()
        if attempt.plan.dry_run:
            self.drop_source(attempt)
            attempt.end()
        return outcome

    def _visit(self, domain: Domain, target: Target, options: MoveOptions, job: MoveJob) -> Visit:
        """The first connection, with the right to it; nothing is changed yet on either side."""
        machine = self.means.manager.configuration.server.name
        how = greeting.CERTIFICATE if options.certificates else greeting.PASSWORD
        join = Join(uuid=domain.uuid, how=how, machine=machine, user=target.user, password=options.password or "")
        box: list[Visit | RefusedError] = []

        def body() -> None:
            try:
                box.append(visit(self.means, target.host, join))
            except RefusedError as error:
                box.append(error)
            except Exception as error:
                box.append(unreachable(target.host, error))
            self.means.manager.bell.ring()

        threading.Thread(target=body, name="migration-visit", daemon=True).start()
        job.progress(0, "connecting")
        job.wait(lambda: bool(box), seconds=FOR_EVER)
        found = box[0]
        if isinstance(found, RefusedError):
            raise found
        if found.certificate == self.means.identity.der:  # whatever name it was called by
            found.link.close(at_once=True)
            refuse("migration.itself", name=domain.name, host=machine)
        return found

    def _make(self, domain: Domain, target: Target, options: MoveOptions, facts: GuestFacts,
              visited: Visit) -> SourceSide:
        """The attempt, with a number greater than any that either side knows."""
        uuid, means = domain.uuid, self.means
        mid = max(means.greatest(uuid), visited.welcome.greatest) + 1
        kind = Kind.LIVE if facts.live else Kind.BOUND if facts.bound else Kind.INACTIVE
        shared = bool(means.settings.lease_directory) or (
            visited.peer.same_home and visited.welcome.home != "" and visited.welcome.home == self._door.home_token)
        lease = bool(domain.vdisks) and shared and means.lease_directory is not None and not options.dry_run
        plan = src.Plan(mid, uuid, kind, lease, target.host, dry_run=options.dry_run)
        asked = Options(force=options.force, dry_run=options.dry_run, new_name=target.name or "",
                        strict_storage=means.settings.strict_storage)
        note = {"host": target.host, "name": domain.name, "name_there": target.name or domain.name,
                "pin": fingerprint(visited.certificate)}
        attempt = self._source(plan, note, facts=facts, options=asked)
        if not options.dry_run:
            self._forget(uuid)
            means.put_note("source", attempt.key, note, urgent=False)
        self.supersede(uuid, target.host)
        self.add_source(attempt)
        return attempt

    def _forget(self, uuid: str) -> None:
        """Attempts that are closed on both sides; the newest stays, for its number."""
        last = {each.mid: each for each in self.means.sources.records(uuid)}
        older = sorted(last)[:-1]
        if older and all(isinstance(last[mid], rec.Closed) for mid in older):
            self.means.sources.forget(uuid, max(last))
            for mid in older:
                self.means.put_note("source", f"{uuid}.{mid}", {})

    def _await(self, attempt: SourceSide, job: MoveJob) -> None:
        """Until it is decided; a job that is cancelled cancels the migration, and hears how that ended."""
        said: tuple[int, str, object] = (-1, "", None)

        def look() -> bool:
            nonlocal said
            now = (attempt.percent, phase_of(attempt).word, attempt.progress)
            if now[:2] != said[:2] or now[2] is not said[2]:  # each step of the copying is recorded
                said = now
                job.progress(*now[:2])
            return attempt.decided

        try:
            while not job.wait(look, seconds=FOR_EVER):
                pass
        except RefusedError as error:
            if error.code != "job.cancelled":
                raise
            attempt.post(ev.Cancel(who="the end of the command that began it"))
            self.means.manager.wait(None, lambda: attempt.decided, FOR_EVER)

    # -- cancelling

    def cancel(self, name: str, *, force: bool, who: str) -> tuple[str, ...]:
        """`ldm cancel-operation [-f] migration NAME`: what is to be told. `who`: user and time, for the journal.

        Returns when the state machine has taken it up: lines to print. Raises RefusedError migration.none where no
        migration of that domain is under way here, migration.not-here on the target without `force`,
        migration.in-doubt where only -f would help.
        """
        found = next((each for each in self.attempts() if each.name == name and each.holds), None)
        if found is None:
            refuse("migration.none", name=name)
        before = found.tellings
        found.post(ev.Cancel(force, f"{who}, {self._stamp()}"))
        self.means.manager.wait(None, lambda: found.idle and found.tellings > before, CANCEL_SECONDS)
        if found.tellings == before:
            text = "the migration has not taken it up yet"
            refuse("migration.in-doubt", text=text, name=name, peer=self._peer(found))
        lines = tuple(found.told[before - found.tellings:])
        if isinstance(found, TargetSide) and found.holds:
            refuse("migration.not-here", text=lines[-1])
        if isinstance(found, SourceSide) and found.state.at is src.At.SERVING:
            refuse("migration.runs-there", text=lines[-1], name=name, peer=found.host)
        if isinstance(found, SourceSide) and found.state.at is src.At.RELEASED and not found.state.linked:
            refuse("migration.in-doubt", text=lines[-1], name=name, peer=found.host)
        return tuple(line for line in lines if not line.startswith("cancelled"))

    @staticmethod
    def _peer(attempt: SourceSide | TargetSide) -> str:
        return attempt.host if isinstance(attempt, SourceSide) else attempt.peer

    def _stamp(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.means.manager.clock.now()))

    # -- what can be seen

    def view(self) -> tuple[MoveView, ...]:
        """Those that are under way or in doubt here, on either side; by domain name."""
        return tuple(sorted((_view(each) for each in self.attempts() if each.holds or _copies(each)),
                            key=lambda row: row.domain))

    def role(self, name: str) -> str:
        """The role for `report_flags.flag_words` of a domain: "source", "target", "error" or ""."""
        return next((each.role for each in self.view() if each.domain == name), "")


def phase_of(attempt: SourceSide | TargetSide) -> Phase:
    """The product's phase as a person sees it: one that is given up stays where it was, and nothing is prepared before
    the rules are met, or in a dry run."""
    if not isinstance(attempt, SourceSide) or attempt.success:
        return attempt.state.phase
    over = attempt.state.at in src.OVER
    met = attempt.checked and not Report(domain=attempt.name, findings=attempt.findings).errors
    if attempt.plan.dry_run or (not met and (over or attempt.state.at is src.At.OFFERED)):
        return Phase.CHECK
    return attempt.reached if over else attempt.state.phase


def _copies(attempt: SourceSide | TargetSide) -> bool:
    return isinstance(attempt, SourceSide) and not attempt.settled


def _view(attempt: SourceSide | TargetSide) -> MoveView:
    source = isinstance(attempt, SourceSide)
    if isinstance(attempt, SourceSide):
        mid, kind, peer, there, dry = (attempt.plan.mid, attempt.plan.kind, attempt.target_machine, attempt.name_there,
                                       attempt.plan.dry_run)
    else:
        facts = attempt.facts
        mid, kind, peer, there, dry = (attempt.state.mid, attempt.state.kind, attempt.peer,
                                       "" if facts is None else facts.domain.name, False)
    return MoveView(
        domain=attempt.name, uuid=attempt.uuid, side="source" if source else "target", role=attempt.state.flag.value,
        phase=int(phase_of(attempt)), percent=attempt.percent, peer=peer, name_there=there, started=attempt.started,
        mid=mid, kind=kind.value, dry_run=dry, rounds=tuple(attempt.rounds), told=tuple(attempt.told),
        progress=dict(attempt.progress))

