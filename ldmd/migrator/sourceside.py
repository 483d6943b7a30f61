"""The source's side: what the effects of `ldmd.migration.source` do to the domain, the worker, the lease."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.hvctl.wire import close_all
from ldmd.messages import RefusedError
from ldmd.migration import events as ev
from ldmd.migration import plan as moving
from ldmd.migration import records as rec
from ldmd.migration.facts import GuestFacts
from ldmd.migration.phases import Kind
from ldmd.migration.rule import Finding, Options, Report
from ldmd.migration.rules import NO_OPTIONS
from ldmd.migration.source import OPEN, OVER, SETTLED, At, Plan, Source, State
from ldmd.migrator import samehost
from ldmd.migrator.attempt import ROUNDS_KEPT, Attempt
from ldmd.migrator.connector import Connector, Visit
from ldmd.migrator.frames import data_of, findings_of
from ldmd.migrator.greeting import Join
from ldmd.migrator.guestops import (
    GONE,
    call_fds,
    cold_digest,
    control_cpus,
    domain_of,
    image_digest,
    number_of,
    parallel,
    persist,
    state_bytes,
    status_of,
)
from ldmd.migrator.handing import UNFIT, SourceHand
from ldmd.migrator.means import Means
from ldmd.migrator.moves import MoveOutcome, round_of
from ldmd.migrator.starting import as_bound
from ldmd.migrator.suspending import stands_by_itself
from ldmd.migrator.work import Work
from ldmd.migrator.worker import ENDED, Worker
from ldmd.model import Configuration
from ldmd.model import State as DomainState
from ldmd.model.plain import to_plain
from ldmd.operations.context import HypervisorError
from ldmd.planner.guestspec import ON

FACTS_SAID_IN = frozenset({At.NEW, At.LEASING, At.CONNECTING, At.OFFERED})
LEAST_PAGES = 16
"""Pages a second that a machine can be limited to."""
AUDIT_SECONDS = 600.0
BARRIER_TRIES = 10
"""How often a machine is asked for a barrier that answers `busy`, which takes it seconds each time."""
UNSETTLED = "ldmd ended before it was decided; when it is started again the migration is given up, or ends"
SUMMARY = ("pages", "bytes", "raw_bytes", "state_bytes", "rounds", "strict", "handover", "missing", "asked",
           "digest", "parts")
"""What of the worker's last word stands in the record."""


class SourceSide(Attempt):
    """One attempt to move a domain away. `facts`: None after a restart, when nothing is offered any more."""

    side = "source"
    state: State

    def __init__(self, means: Means, plan: Plan, *, host: str, name: str, name_there: str, pin: str = "",
                 facts: GuestFacts | None = None, options: Options = NO_OPTIONS,
                 moved_away: Callable[[str, int], None] = lambda uuid, mid: None) -> None:
        guest = ev.Guest.RUNNING if plan.kind is Kind.LIVE else ev.Guest.NONE
        super().__init__(means, plan.uuid, Source(), State(plan, guest=guest))
        self.host, self._called, self.name_there, self.pin = host, name, name_there, pin
        self.facts, self.options, self._moved_away = facts, options, moved_away
        self.findings: tuple[Finding, ...] = ()
        self.success = self.checked = False  # checked: the target has told what its rules found
        self.target_machine = host
        self._address, self._certificate = "", b""
        self._data: dict[str, Any] | None = None
        self._final: dict[str, Any] | None = None
        self._sent_final = False
        self._begun = -1  # the job that started the worker
        self._state_digest = b""
        self._limited = False
        self._stood = [0.0, 0.0]  # when the domain was suspended here; when it was known that it runs there
        self._audit: dict[str, Any] = {}
        self._audited = threading.Event()
        self._channels = 0  # connections of the worker
        self._why_there = ""  # why the target gave it up
        self._refusal: RefusedError | None = None  # of the domain's own system
        self._guest_lock = threading.Lock()  # suspending and resuming exclude each other
        self._hand: SourceHand | None = None  # where nothing is copied
        self._work = Work(self, self._worker_event, self._answer_at_once)
        join = Join(uuid=plan.uuid, how="", machine=means.manager.configuration.server.name, mid=plan.mid)
        self.connector = Connector(means, host, join, pin=lambda: self.pin, arrived=self.visited,
                                   refused=self._not_let_in)

    # -- what others see

    @property
    def journal(self) -> Any:
        """The source's journal."""
        return self.means.sources

    @property
    def plan(self) -> Plan:
        """What is to be done."""
        return self.state.plan

    @property
    def key(self) -> str:
        """Of its note."""
        return f"{self.uuid}.{self.plan.mid}"

    @property
    def holds(self) -> bool:
        """The domain is this attempt's to care for: nobody else starts, stops or changes it."""
        return not self.settled or self.entering(At.DONE)

    @property
    def expects_stop(self) -> bool:
        """The domain may stand still for this attempt. One that suspends itself earlier was asked by another one."""
        return self.state.at not in FACTS_SAID_IN and self.state.at is not At.COPYING

    @property
    def settled(self) -> bool:
        """It holds the domain no more."""
        return self.state.at in SETTLED and self.state.at is not At.NEW

    @property
    def decided(self) -> bool:
        """The person who waits can be told."""
        lost = self.state.at is At.RELEASED and self.state.doubt
        return self._over or (self.idle and (self.settled or lost or self.state.at is At.BROKEN))

    @property
    def finished(self) -> bool:
        """Nothing is left to say to the target."""
        return self.state.at is At.CLOSED and self.idle

    def outcome(self) -> MoveOutcome:
        """How it ended, once it is decided."""
        plan, at = self.plan, self.state.at
        accepted = plan.dry_run and at is At.CLOSED and not self.told
        done = self.success or accepted  # not DONE: what the target has may not be what was sent
        report = Report(domain=self.name, findings=self.findings, dry_run=plan.dry_run)
        why = report.lines()[:-1] if report.errors else tuple(self.told[-1:] or (UNSETTLED,))
        if self._refusal is not None and why == (self._refusal.text,):
            why = (*why, *(f"  {each}" for each in (self._refusal.cause, self._refusal.remedy) if each))
        elif self._why_there and not report.errors and not done:
            why = (*why, f"  {self._why_there}")
        lines = report.lines() if not report.errors else ()
        told = (*lines, *(self.told if done else ()))
        return MoveOutcome(done=done, findings=self.findings, problems=() if done else why, told=told,
                           reasons=() if done else report.texts or tuple(map(str.strip, why)), summary=self._summary())

    def _summary(self) -> dict[str, Any]:
        """For the record. All populated pages were compared with what the target has, by their digest (`strict`: read
        again from memory)."""
        final, (begun, ended) = self._final or {}, self._stood
        summary: dict[str, Any] = {name: final[name] for name in SUMMARY if name in final}
        if self._channels:
            summary["channels"] = self._channels
        if final:
            summary["verified_pages"] = int(self.progress.get("total_bytes") or 0) // 8192
        if begun and ended:
            summary["downtime_ms"] = round((ended - begun) * 1000, 3)
        return summary

    # -- the link

    def step(self, event: ev.Event) -> None:
        """The pause ends when it is known that the target runs the domain, not when that stands in the journal."""
        said = event.message if isinstance(event, ev.Received) and self.state.at is At.RELEASED else None
        runs = isinstance(said, rec.Paging) or (isinstance(said, rec.Running) and said.started)
        if runs and said is not None and said.mid == self.plan.mid:
            self._stood[1] = self.means.manager.clock.monotonic()
        super().step(event)

    def visited(self, visit: Visit) -> None:
        """A connection was let in; from the connector's thread."""
        self._address, self._certificate = visit.peer.address, visit.certificate
        self.target_machine = visit.welcome.machine or self.host
        self.arrive(visit.link)

    def _not_let_in(self, error: RefusedError) -> None:
        """What waiting does not help against ends an attempt that is not released."""
        if error.code in ("migration.authentication", "migration.certificate", "migration.certificate-unknown"):
            self.act(lambda: self._hopeless(error))

    def _hopeless(self, error: RefusedError) -> None:
        if self.state.at in OPEN:
            self.step(ev.TransferFailed(error.text))
        elif self.state.at is At.ABORTED and error.code == "migration.authentication":
            # the target has no note of this attempt, which it makes before it promises: there is nothing to take back
            self.step(ev.Received(rec.Never(self.plan.mid)))

    def greet(self) -> None:
        """The facts go before the offer."""
        if self.state.at in FACTS_SAID_IN and self.facts is not None:
            self.say({"type": "facts", "mid": self.plan.mid, "facts": to_plain(self.facts),
                      "options": to_plain(self.options)})

    def stepped(self) -> None:
        """The connector knows whether it is needed."""
        self.connector.standing(bool(self._main))

    def heard(self, frame: dict[str, Any]) -> None:
        """Frames of the target that are no messages."""
        kind = frame.get("type")
        if kind == "report":
            self.findings, self.checked = findings_of(frame), True
            self._foresee()
        elif kind == "why" and self.state.at not in OVER:  # else because it was given up here
            text = frame.get("text")
            self._why_there = rec.line_of(text) if isinstance(text, str) else ""
        elif kind == "data":
            self._data = data_of(frame)
        elif kind == "forgotten" and self.state.at is At.DONE and frame.get("mid") == self.plan.mid:
            self.journal.write(self.uuid, rec.Closed(self.plan.mid))
            self.state = replace(self.state, at=At.CLOSED)
            self.connector.want(False)
            self.drop_links()

    # -- effects

    def carry_out(self, effect: ev.Effect) -> None:
        """See `ldmd.migration.events`."""
        match effect:
            case ev.Connect():
                self.connector.want(True)
            case ev.Disconnect():
                self.connector.want(False)
                self.drop_links()
            case ev.StartTransfer():
                if self._begun != self._job:  # else the worker itself goes on where it stood
                    self._begun = self._job
                    self.run_job(self._start_transfer, failed=ev.TransferFailed)
            case ev.SuspendGuest():
                self.run_job(self._suspend, failed=ev.Suspended)
            case ev.SendFinal():
                self._send_final()
            case ev.CloseDisks():
                if self.plan.kind is Kind.LIVE:
                    self._insist("guest.release_disks")
            case ev.ResumeGuest() | ev.BootGuest() | ev.LoseGuest():
                self._revive(effect)
            case ev.DestroyGuest():
                self._destroy()
            case ev.Lease(move, mid):
                self.ask_lease(move, mid)

    @property
    def _number(self) -> int:
        """The guest's number. Raises HypervisorError where the domain has none any more."""
        number = number_of(self.means.manager.configuration, self.uuid)
        if number is None:
            raise HypervisorError("no-guest", "the domain is not bound any more")
        return number

    # -- copying

    def _start_transfer(self, number: int) -> ev.Event | None:
        data = self._data
        if data is None:
            raise HypervisorError("state", "the target has not said where its worker listens")
        if data["local"] and self.means.settings.handover == samehost.AUTO and self._hands_over(number, data):
            return ev.Converged()
        self._start_copying(number, data)
        return None

    def _foresee(self) -> None:
        """The rules are met: while the target makes room, the process is started that will copy."""
        copies = self.plan.kind is Kind.LIVE and not self.plan.dry_run and self.means.settings.handover == samehost.OFF
        if copies and self.state.at is At.OFFERED and not Report(domain=self.name, findings=self.findings).errors:
            self.run_job(lambda number: self._work.prepare(number, lambda: self._job), failed=ev.TransferFailed)

    def _hands_over(self, number: int, data: dict[str, Any]) -> bool:
        """On one host nothing is copied; where that cannot be, it is."""
        hand = SourceHand(self.means, self._number, mid=self.plan.mid, data=data)
        try:
            hand.offer()
        except UNFIT as error:
            self.log(f"the memory is copied, and not handed over: {getattr(error, 'text', '') or error}")
            return False
        if number != self._job:
            hand.close()
        else:
            self._hand = hand
            self.progress = hand.progress()
        return True

    def _start_copying(self, number: int, data: dict[str, Any]) -> None:
        settings = self.means.settings
        self._channels = parallel(settings.channels, control_cpus(self.means.manager.configuration), data["cpus"])
        result, fds = call_fds(self.means.manager, "memory.descriptors", guest=self._number)
        try:
            self._work.begin(
                number, lambda: self._job, "begin", fds, mid=self.plan.mid, blocks=result["blocks"],
                host=self._address, port=data["port"], secret=data["secret"],
                certificate=self.means.identity.certificate.read_text(encoding="ascii"),
                key=self.means.identity.key.read_text(encoding="ascii"),
                peer_certificate=ssl.DER_cert_to_PEM_cert(self._certificate), channels=self._channels,
                options={**settings.copying(), **self._faults()})
        finally:
            close_all(fds)

    def _faults(self) -> dict[str, Any]:
        """What is armed for the worker."""
        return self.means.faults.of_worker() if self.means.faults is not None else {}

    def _answer_at_once(self, event: dict[str, Any], worker: Worker) -> bool:
        """What the worker waits for: in its own thread, also while this attempt writes its journal."""
        call = self.means.manager.hypervisor.call
        try:
            if event["event"] == "barrier":
                self._barrier()
                worker.request("barrier", n=event["n"])
                return True
            if event["event"] == "limit":
                wanted = event["pages_per_second"]
                self._limited = wanted is not None
                pages = None if wanted is None else max(LEAST_PAGES, wanted)
                call("memory.limit", guest=self._number, pages_per_second=pages)
                return True
            if event["event"] in ("audited", "failed", ENDED):
                self._audit = event
                self._audited.set()
        except (HypervisorError, KeyError) as error:
            event.clear()
            event.update({"event": "failed", "why": f"the machine: {error}"})
        return False

    def _barrier(self) -> None:
        """Asked again where a strand takes its time. Raises HypervisorError."""
        for left in reversed(range(BARRIER_TRIES)):
            try:
                self.means.manager.hypervisor.call("memory.barrier", guest=self._number)
                return
            except HypervisorError as error:
                if error.code != "busy" or not left or not self.pause():
                    raise

    def _worker_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self._progressed(event)
        elif kind == "converged":
            self.step(ev.Converged(partial=event.get("partial") is True))
        elif kind == "whole":
            self._final = {**(self._final or {}), **{name: event.get(name, 0) for name in ("pages", "bytes", "asked")}}
        elif kind == "final":
            self._final = event
            self._final_sent()
        elif kind == "failed":
            self.step(ev.TransferFailed(rec.line_of(str(event.get("why", "the copying failed")))))
        elif kind == ENDED and self._final is None:
            self.step(ev.TransferFailed(rec.line_of(f"the worker of the migration ended: {event.get('why', '')}")))

    def _progressed(self, event: dict[str, Any]) -> None:
        before, shown = self.progress, self.percent
        self.progress = {key: value for key, value in event.items() if key != "event"}
        share = float(event.get("percent") or 0.0)
        self.percent = max(self.percent, min(90, 5 + int(share * 0.85)))
        if self.percent != shown:
            self.say({"type": "progress", "percent": self.percent})
        number = int(event.get("round") or 0)
        if before and number != int(before.get("round") or 0):
            self.rounds.append(round_of(before))
            del self.rounds[:-ROUNDS_KEPT]
        self.means.manager.bell.ring()

    # -- the pause

    def _suspend(self, number: int) -> ev.Event | None:
        manager = self.means.manager
        try:
            stands = stands_by_itself(manager, self.uuid, name=self.name, seconds=self.means.settings.suspend_seconds,
                                      wanted=lambda: number == self._job)
        except RefusedError as refusal:
            self._refusal = refusal
            raise
        with self._guest_lock:
            if number != self._job:
                return None  # given up meanwhile: the domain goes on
            self._stood[0] = manager.clock.monotonic()
            if not stands:
                manager.hypervisor.call("guest.suspend", guest=self._number)
        self._work.tell("stands")  # the last pages go while the machine saves its state
        self.post(ev.Suspended(), job=number)
        persist(manager, lambda now: moving.suspended(now, self._name(now)) if self.state.at is not At.ABORTED else now)
        return None

    def _name(self, configuration: Configuration) -> str:
        domain = domain_of(configuration, self.uuid)
        return self.name if domain is None else domain.name

    def _send_final(self) -> None:
        """Once; where the link was lost meanwhile the worker goes on by itself, and its answer is the same."""
        if self.plan.kind is not Kind.LIVE:
            self.post(ev.FinalSent(cold_digest(self.facts)), job=self._job)
        elif self._final is not None:
            self._final_sent()
        elif not self._sent_final:
            self._sent_final = True
            self.run_job(self._hand_over_state, failed=ev.TransferFailed)

    def _hand_over_state(self, number: int) -> None:
        result, fds = call_fds(self.means.manager, "guest.save_state", guest=self._number)
        try:
            self._state_digest = state_bytes(result["sha256"])
            worker, hand = self._work.worker, self._hand
            if hand is not None:
                final = hand.send(fds[0], size=result["bytes"], sha256=self._state_digest)
                self.act(lambda: self._worker_event(final), job=number)
            elif worker is not None:
                worker.request("final", fds[:1], bytes=result["bytes"], sha256=self._state_digest)
        finally:
            close_all(fds)

    def _final_sent(self) -> None:
        final = self._final
        if final is not None and self._sent_final:
            self.post(ev.FinalSent(image_digest(str(final["digest"]), self._state_digest)), job=self._job)

    # -- what becomes of the domain here

    def _insist(self, op: str) -> None:
        """A request that must be carried out before anything else happens; without a machine it is."""
        while True:
            self.means.check()
            try:
                self.means.manager.hypervisor.call(op, guest=self._number)
                return
            except HypervisorError as error:
                if error.code == "no-guest" or (error.code in GONE and not self.means.machine_alive()) or self._off():
                    return
                self.log(f"{op}: {error.text}; it is asked again")
            if not self.pause():
                return

    def _off(self) -> bool:
        """The guest is not on at all: it has no disks open."""
        try:
            return status_of(self.means.manager, self.uuid).get("state") not in ("running", "suspended")
        except HypervisorError:
            return False

    def _revive(self, effect: ev.Effect) -> None:
        """It is this machine's again, in one way or another."""
        if isinstance(effect, ev.ResumeGuest):
            self._resume()
            return
        if isinstance(effect, ev.LoseGuest):
            self._taken()
        self._boot()

    def _resume(self) -> None:
        try:
            with self._guest_lock:
                if status_of(self.means.manager, self.uuid).get("state") == "suspended":
                    self.means.manager.hypervisor.call("guest.resume", guest=self._number)
        except HypervisorError as error:
            if error.code in GONE and not self.means.machine_alive():
                return  # the next power-on decides
            self.log(f"the domain cannot be resumed yet: {error.text}")
            threading.Thread(target=self._resume_later, name="migration-resume", daemon=True).start()
            return
        self._runs_again()

    def _runs_again(self) -> None:
        def change(now: Configuration) -> Configuration:
            domain = domain_of(now, self.uuid)
            return moving.resumed(now, domain.name) if domain and domain.state is DomainState.SUSPENDED else now

        persist(self.means.manager, change)

    def _resume_later(self) -> None:
        """A disk that cannot be opened now may be there later; the domain stands still until then."""
        if self.pause() and not self.means.dead and self.state.at in OVER:
            self._resume()

    def _boot(self) -> None:
        """As after any power-on: it starts, where the machine is there; else its power-on policy does it."""
        manager = self.means.manager
        try:
            with manager.turn():
                domain = domain_of(manager.configuration, self.uuid)
                if domain is not None and domain.state is DomainState.BOUND:
                    manager.commit(manager.configuration.with_domain(
                        domain.but(state=DomainState.ACTIVE, started_at=manager.clock.now())), moving=True)
        except (RefusedError, HypervisorError) as error:
            self.log(f"the domain was not started: {error}")

    def _destroy(self) -> None:
        """The target has it: here it goes, memory and constraints, once."""
        note = self.means.note("source", self.key)
        if note.get("destroyed"):
            return
        came_back = any(isinstance(each, rec.Owned) and each.mid > self.plan.mid
                        for each in self.means.targets.records(self.uuid))
        self._look_back()
        self.stop_work()
        if not came_back:
            self._remove()
            self._moved_away(self.uuid, self.plan.mid)
        self.means.put_note("source", self.key, {**note, "destroyed": True})

    def _look_back(self) -> None:
        """Where not all memory was hashed again in the pause: now, while it is still here. It runs there meanwhile."""
        worker, final = self._work.worker, self._final
        if worker is None or final is None or final.get("strict") or not worker.request("audit"):
            return
        self._audited.wait(AUDIT_SECONDS)
        lost = self._audit.get("mismatches")
        if lost:
            self.tell(f"{lost} pages were written without a mark and did not go along: {self._audit.get('examples')}; "
                      "this is a defect", success=False)
        elif lost is None:
            self.log("the memory was not audited")

    def _remove(self) -> None:
        manager = self.means.manager
        self._taken()
        while True:
            self.means.check()
            with manager.turn():
                domain = domain_of(manager.configuration, self.uuid)
                if domain is None:
                    return
                new = moving.handed_over(manager.configuration, domain.name)
                try:
                    manager.commit(new, moving=True)
                    return
                except RefusedError as error:
                    self.log(f"the domain is not removed yet: {error.text}")
                    if not self.means.machine_alive():
                        manager.note(new)  # the machine is gone, and what it had of the domain
                        return
            if not self.pause():
                return

    def _taken(self) -> None:
        """The guest goes, as one that runs elsewhere now; then only its empty shell is left."""
        manager = self.means.manager

        def off(now: Configuration) -> Configuration:
            domain = domain_of(now, self.uuid)
            return as_bound(now, self.uuid) if domain is not None and domain.state in ON else now

        try:
            if status_of(manager, self.uuid).get("state") == "suspended":
                manager.hypervisor.call("guest.stop", guest=self._number, taken=True)
                persist(manager, off)
        except HypervisorError as error:
            self.log(f"the guest is not stopped yet: {error.text}")

    # -- what a person sees

    @property
    def name(self) -> str:
        """The domain's name here."""
        return self._called

    def tell(self, text: str, *, success: bool) -> None:
        """How it ended. Where nobody waits for that any more the history has it."""
        self.success = self.success or success
        if success:
            self.percent = 100
        if self.taken_up and self.state.at in SETTLED and (text or success):
            self.means.manager.remember("ldmd", f"ldm migrate-domain {self.name} {self.host}", text=text)
        self.taken_up = self.taken_up or (self.state.at is At.RELEASED and self.state.doubt)
        super().tell(text, success=success)

    def stop_work(self) -> None:
        """End the worker, and the limit that it had the machine set."""
        hand, self._hand = self._hand, None
        if hand is not None:
            hand.close()
        needed = self._over and self.state.at is At.SERVING  # pages that the domain needs there are only here
        self._work.stop(kill=self.means.dead, leave=needed, wait=self._over)
        if self._limited and not self.means.dead:
            self._limited = False
            try:
                self.means.manager.hypervisor.call("memory.limit", guest=self._number, pages_per_second=None)
            except HypervisorError as error:
                self.log(f"the limit of its writes stays: {error.text}")

    def end(self) -> None:
        """The manager ends."""
        self.connector.end()
        super().end()
