"""The target's side: what the effects of `ldmd.migration.target` do. One for each domain that was ever offered."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from emulator.hvctl.wire import close_all
from ldmd.messages import RefusedError, message, refuse
from ldmd.migration import events as ev
from ldmd.migration import plan as moving
from ldmd.migration import records as rec
from ldmd.migration.facts import GuestFacts, Known, target_facts
from ldmd.migration.phases import Kind, Phase
from ldmd.migration.rule import Options, Report
from ldmd.migration.rules import NO_OPTIONS, preflight
from ldmd.migration.target import PROMISED, At, State, Target
from ldmd.migrator import lease, samehost
from ldmd.migrator.attempt import LEAST_PERCENT, Attempt
from ldmd.migrator.frames import SECRET_BYTES
from ldmd.migrator.guestops import (
    call_fds,
    cold_digest,
    control_cpus,
    domain_of,
    image_digest,
    number_of,
    persist,
    state_bytes,
    status_of,
)
from ldmd.migrator.handing import TargetHand
from ldmd.migrator.means import Means
from ldmd.migrator.peers import fingerprint
from ldmd.migrator.starting import as_bound, has_ended, start_image, waits_text, with_constraints
from ldmd.migrator.suspending import Return
from ldmd.migrator.work import Work
from ldmd.migrator.worker import ENDED, Worker
from ldmd.model import Configuration
from ldmd.model import State as DomainState
from ldmd.model.plain import PlainError, from_plain, to_plain
from ldmd.operations.context import HypervisorError
from ldmd.planner.binding import bind
from ldmd.planner.guestspec import ON

STATE_BYTES = 64 << 20
"""Longest state of a suspended guest."""
SESSIONS_KEPT = 8
RESTARTED = "its ldmd was restarted meanwhile"


class TargetSide(Attempt):
    """`known`: what the I/O layer knows for the rules, made when they are asked. `ran`: the domain ran, as the store
    had it when this manager started."""

    side = "target"
    state: State

    def __init__(self, means: Means, uuid: str, *, known: Callable[[GuestFacts | None], Known], ran: bool = False,
                 taken: Callable[[str, int], None] = lambda name, crypto: None) -> None:
        super().__init__(means, uuid, Target(), State())
        self._known, self._taken, self.ran = known, taken, ran
        self.facts: GuestFacts | None = None
        self.options: Options = NO_OPTIONS
        self.peer, self.pem = "", ""
        self._why = ""  # it was given up here
        self._restarted = False  # by the end of the manager that had it
        self._booted = 0  # the attempt whose domain was lost, and started anew
        self._data: dict[str, Any] | None = None
        self._received: dict[str, Any] | None = None
        self._verifying = self._settling = False
        self._loading = -1  # the job in which the machine loads the state
        self._loaded = False
        self._hand: TargetHand | None = None
        self._abandoned = False  # the worker's last word was no good one
        self._work = Work(self, self._worker_event, self._worker_lost)

    # -- what others see

    @property
    def journal(self) -> Any:
        """The target's journal."""
        return self.means.targets

    @property
    def holds(self) -> bool:
        """The domain is this side's to care for: nobody else starts, stops or changes it."""
        starting = self.entering(At.OWNER) or self.pages_follow
        return self.state.at in PROMISED or self.state.at is At.BROKEN or starting or self._settling

    @property
    def pages_follow(self) -> bool:
        """The domain runs here, and waits for pages of its memory. It may end by itself, or be stopped."""
        return self.state.at is At.OWNER and self.state.missing != 0 and not self.entering(At.OWNER)

    def ended(self, why: str) -> None:
        """The domain has ended while pages were missing, which nobody needs any more. From any thread."""
        def over() -> None:
            if self.state.missing:
                self.log(f"the domain ended ({why}): pages of its memory that are missing are not needed any more")
                self.step(ev.Completed())

        self.act(over)

    @property
    def name(self) -> str:
        """The domain's name here."""
        domain = domain_of(self.means.manager.configuration, self.uuid)
        if domain is not None:
            return domain.name
        return "" if self.facts is None else self.options.name(self.facts)

    # -- the link

    def joined(self, *, peer: str, pem: str) -> None:
        """Who is at the other end of the link that comes next; from the listener's thread."""
        self.act(lambda: self._who(peer, pem))

    def _who(self, peer: str, pem: str) -> None:
        self.peer, self.pem = peer, pem
        self._settle_owner()

    def _settle_owner(self) -> None:
        """A domain that was this machine's and is not there any more may come again."""
        if self.state.at is At.OWNER and domain_of(self.means.manager.configuration, self.uuid) is None:
            self.gave_away(self.state.mid)

    def gave_away(self, mid: int) -> None:
        """The domain went, by attempt `mid` or a person: restarts and later offers must know that."""
        if self.state.at is At.OWNER:
            mid = max(mid, self.state.mid)
            self.journal.write(self.uuid, rec.Denied(mid))
            self.journal.sync()
            self.state = replace(self.state, at=At.NONE, newest=max(self.state.newest, mid))

    def heard(self, frame: dict[str, Any]) -> None:
        """The facts, before an offer; then how far the source is."""
        if frame.get("type") == "progress" and isinstance(percent := frame.get("percent"), int):
            self.percent = max(self.percent, min(LEAST_PERCENT[Phase.HANDOFF] - 1, percent))
        if frame.get("type") != "facts":
            return  # a newer minor version may have more
        if self.state.at in PROMISED:
            return  # said again with the same offer
        try:
            facts: GuestFacts = from_plain(GuestFacts, frame.get("facts"))
            options: Options = from_plain(Options, frame.get("options"))
        except (PlainError, TypeError) as error:
            raise rec.RecordError(f"facts: {error!s:.200}") from None
        if facts.domain.uuid != self.uuid:
            raise rec.RecordError("facts of another domain")
        rec.check_text("new_name", options.new_name)
        self.facts, self.options = facts, options

    def before_send(self, said: rec.Message) -> None:
        """Where the worker listens goes before ACCEPT; what the source cannot know of a NEVER before that."""
        if isinstance(said, rec.Never) and self._restarted and said.mid == self.state.mid:
            self.say({"type": "why", "text": RESTARTED})
        if isinstance(said, rec.Accept) and self._data is not None:
            self.say({"type": "data", **self._data})

    def step(self, event: ev.Event) -> None:
        """After CLOSE the source may forget as well."""
        held, name = self.state.at in PROMISED, self.name
        if isinstance(event, ev.Restarted):
            self.peer = self.peer or str(self.means.note("target", self.uuid).get("peer", ""))
        super().step(event)
        if isinstance(event, ev.Restarted) and event.guest is ev.Guest.RUNNING and self.state.at is At.OWNER:
            self._ran_on()
        if isinstance(event, ev.Restarted) and event.records and isinstance(event.records[-1], rec.Promised):
            self._why, self._restarted = RESTARTED, True
            self._remember(name)
        elif held and self.state.at not in PROMISED and not isinstance(event, ev.Restarted):
            self._remember(name)
        if self.state.unstarted and self.state.unstarted == self.state.mid:
            self.boot_unstarted()
        if isinstance(event, ev.Received) and isinstance(event.message, rec.Close):
            mid = event.message.mid
            if mid not in self.state.owned and self.state.at is not At.BROKEN:
                self.say({"type": "forgotten", "mid": mid}, reply=True)

    def _remember(self, name: str) -> None:
        """A line of the history here as well: that it came, or did not."""
        came = self.state.at is At.OWNER
        if came or self.state.at is At.NONE:
            self.means.manager.remember(self.peer, f"ldm migrate-domain {name} {self._machine}",
                                        text="" if came else self._why or "the source gave it up")
        self._why = ""

    # -- effects

    def carry_out(self, effect: ev.Effect) -> None:
        """See `ldmd.migration.events`."""
        match effect:
            case ev.Preflight(offer):
                self.percent = 0  # of an attempt of before
                self.run_job(lambda number: self._preflight(offer),
                             failed=lambda why: ev.Checked(offer, (f"{self._machine}: {why}",)))
            case ev.CreateDomain():
                self._forget()
                self.run_job(self._create, failed=self._not_created)
            case ev.Verify():
                self._verifying = True
                self._verify()
            case ev.StartGuest():
                self._start_guest()
            case ev.BootGuest():
                self._boot()
            case ev.LoseGuest():
                self._lose()
            case ev.DropImage():
                self._drop()
            case ev.Lease(move, mid):
                self.ask_lease(move, mid)

    # -- checks

    def _preflight(self, offer: rec.Offer) -> ev.Event:
        """All rules, at this moment. The source is told all of them in its own words; then comes the answer."""
        facts = self.facts
        if facts is None or offer.uuid != self.uuid:
            refuse("migration.facts", problem="no facts came before its offer")
        strict = self.options.strict_storage or self.means.settings.strict_storage
        options = replace(self.options, dry_run=offer.dry_run, strict_storage=strict)
        here = self.means.manager.configuration
        report = preflight(facts, target_facts(here, self._known(facts)), options)
        problems = tuple(each.text for each in report.errors) or self._more_problems(offer, facts)
        self.say({"type": "report", "report": to_plain(Report(domain=report.domain, findings=report.findings,
                                                             dry_run=offer.dry_run))})
        if problems:
            dry = "a dry run" if offer.dry_run else "it"
            self.log(rec.line_of(f"{dry} is refused to {self.peer}: {'; '.join(problems)}"))
        elif not offer.dry_run:
            self._keep_session(offer, facts)
        return ev.Checked(offer, problems)

    def _more_problems(self, offer: rec.Offer, facts: GuestFacts) -> tuple[str, ...]:
        """What the rules cannot see: the kind that was offered, the lease, the machine's process."""
        kind = Kind.LIVE if facts.live else Kind.BOUND if facts.bound else Kind.INACTIVE
        if kind is not offer.kind:
            return ("the offer is not that of its facts",)
        if offer.lease and not offer.dry_run:
            leases = self.means.leases
            value = None if leases is None else leases.value(self.uuid)
            if value is None or (value.mid, value.holder) != (offer.mid, lease.SOURCE):
                return (message("migration.lease", name=facts.domain.name).text,)
        return ()

    def _keep_session(self, offer: rec.Offer, facts: GuestFacts) -> None:
        """Durable before PROMISED is: who may speak of this attempt, and what the domain shall have here."""
        note = self.means.note("target", self.uuid)
        mine = fingerprint(ssl.PEM_cert_to_DER_cert(self.pem))
        known = [each for each in note.get("sessions", []) if each != mine]
        self.means.put_note("target", self.uuid, {
            "mid": offer.mid, "peer": self.peer, "pem": self.pem, "crypto": facts.domain.crypto,
            "sessions": [*known, mine][-SESSIONS_KEPT:], "started_at": facts.domain.started_at,
            "name_there": facts.domain.name, "began": False}, urgent=False)

    # -- the receiving domain

    def _forget(self) -> None:
        """What an attempt of before has left: its last word must not be taken for this one's."""
        self._received, self._verifying, self._data, self._restarted = None, False, None, False
        self._loading, self._loaded, self._abandoned = -1, False, False
        self.percent, self.progress, self.rounds = 0, {}, []

    def _create(self, number: int) -> ev.Event | None:
        facts = self.facts
        if facts is None:
            return ev.Created(("its facts are not known any more",))
        manager = self.means.manager
        if facts.live:
            self._work.prepare(number, lambda: self._job)
        with manager.turn():
            if number != self._job:
                return None
            new = moving.plan_move(manager.configuration, facts, self.options, known=self._known(facts))
            receiving = number_of(new, self.uuid) if facts.live else None
            manager.commit(new, moving=True, receiving=receiving)
        if receiving is None:
            return ev.Created()
        self._listen(number, receiving)
        return None  # the worker's `listening` brings Created

    def _listen(self, number: int, guest: int) -> None:
        """The worker, with the guest's memory."""
        result, fds = call_fds(self.means.manager, "memory.descriptors", guest=guest)
        secret = secrets.token_bytes(SECRET_BYTES)
        self._data = {"mid": self.state.mid, "secret": secret, "port": 0,
                      "cpus": control_cpus(self.means.manager.configuration)}
        if self.means.settings.handover == samehost.AUTO:
            self._wait_for_hand(number, guest, secret)
        identity = self.means.identity
        try:
            self._work.begin(
                number, lambda: self._job, "receive", fds, mid=self.state.mid, blocks=result["blocks"],
                certificate=identity.certificate.read_text(encoding="ascii"),
                key=identity.key.read_text(encoding="ascii"), peer_certificate=self.pem, secret=secret,
                host=self.means.settings.listen)
        finally:
            close_all(fds)

    def _wait_for_hand(self, number: int, guest: int, secret: bytes) -> None:
        """A source on this host may hand the memory over; else it is copied."""
        def received(what: dict[str, Any]) -> None:
            self.act(lambda: self._worker_event({"event": "received", **what}), job=number)

        def failed(why: str) -> None:
            self.act(lambda: self._failed(rec.line_of(why)), job=number)

        hand = TargetHand(
            self.means, guest, mid=self.state.mid, secret=secret, current=lambda: number == self._job,
            adopted=self._work.stop, received=received, failed=failed, log=self.log)
        self._hand = hand
        if number != self._job:
            hand.close()
        elif self._data is not None:
            self._data = {**self._data, "local": hand.name}

    def _worker_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "listening" and self._data is not None:
            self._data = {**self._data, "port": event["port"]}
            self.step(ev.Created())
        elif kind == "state_wanted":
            self._give_buffer(event)
        elif kind == "presence_wanted":
            self._give_presence()
        elif kind == "whole":
            self._whole()
        elif kind == "progress":
            self.progress = {key: value for key, value in event.items() if key != "event"}
        elif kind == "state":
            self._load_begins(state_bytes(event.get("sha256")))
        elif kind == "received":
            self._received = event
            self._load_begins(state_bytes(event.get("sha256")))
            self._verify()
        elif kind == "failed":
            self._failed(rec.line_of(str(event.get("why", "the copying failed"))))
        elif kind == ENDED and (self._received is None or self._received.get("missing") or self.state.partial):
            self._failed(rec.line_of(f"the worker of the migration ended: {event.get('why', '')}"))

    def _not_created(self, why: str) -> ev.Event:
        self._tell_why(why)
        return ev.Created((why,))

    def _tell_why(self, why: str) -> None:
        """Before NEVER: here in log and history, and there for the person who waits."""
        self._why = rec.line_of(why)
        self.log(why)
        self.say({"type": "why", "text": rec.line_of(why)})

    def _failed(self, why: str) -> None:
        self._tell_why(why)
        if self.state.at is At.CREATING:
            self.step(ev.Created((why,)))
        else:
            self.step(ev.TransferFailed(why))

    def _give_buffer(self, event: Mapping[str, Any]) -> None:
        size, worker = event.get("bytes"), self._work.worker
        try:
            if type(size) is not int or not 0 < size <= STATE_BYTES:
                raise HypervisorError("args", "the state is too large")
            _, fds = call_fds(self.means.manager, "guest.state_buffer", guest=self._number, bytes=size)
        except HypervisorError as error:
            self._failed(f"no place for the state: {error.text}")
            return
        try:
            if worker is not None:
                worker.request("state", fds[:1])
        finally:
            close_all(fds)

    def _give_presence(self) -> None:
        """Where the machine says which pages it misses, for a worker that will bring them while the domain runs."""
        worker = self._work.worker
        try:
            _, fds = call_fds(self.means.manager, "memory.presence", guest=self._number, what="begin")
        except HypervisorError as error:
            self._failed(f"the machine cannot run the domain with pages missing: {error.text}")
            return
        try:
            if worker is not None:
                worker.request("presence", fds)
        finally:
            close_all(fds)

    def _whole(self) -> None:
        """The last page is here."""
        self._all_here()
        self.step(ev.Completed())

    def _all_here(self) -> None:
        """The machine need not look for missing pages any more. Without effect where it does not."""
        try:
            told = self.means.manager.hypervisor.call("memory.presence", guest=self._number, what="end")
            self._tell_waits(told.get("waits") or {})
        except HypervisorError as error:
            if status_of(self.means.manager, self.uuid).get("state") in ("running", "suspended"):
                self.log(f"memory.presence: {error.text}")  # it goes on asking for what is there

    def _tell_waits(self, waits: Mapping[str, int]) -> None:
        """How long the domain has waited for pages that followed it, where it has."""
        if waits.get("count"):
            self.log(waits_text(waits))
            self.means.manager.publish("migration-page-waits", domain=self.name, uuid=self.uuid, **waits)

    def _lose(self) -> None:
        """Pages of its memory are lost: it ends, is bound, and boots anew."""
        manager = self.means.manager
        self._tell_loss()
        try:
            number = self._number
            manager.hypervisor.call("memory.presence", guest=number, what="give-up")
            manager.hypervisor.call("guest.stop", guest=number)  # also an image that never ran: the guest stays defined
        except HypervisorError as error:
            self.log(f"the guest is not stopped: {error.text}")
        persist(manager, lambda old: as_bound(old, self.uuid))
        self._boot(lost=True)

    def _tell_loss(self) -> None:
        """In log, list and history."""
        text = "pages of the domain's memory were lost before they came: it is booted anew"
        self.tell(text, success=False)
        self.means.manager.remember(self.peer, f"ldm migrate-domain {self.name} {self._machine}", text=text)

    @property
    def _machine(self) -> str:
        return self.means.manager.configuration.server.name

    @property
    def _number(self) -> int:
        number = number_of(self.means.manager.configuration, self.uuid)
        if number is None:
            raise HypervisorError("no-guest", "the domain is not bound")
        return number

    def _verify(self) -> None:
        """When FINAL was said and everything is here; a domain without memory is its facts."""
        if not self._verifying:
            return
        if self.state.kind is not Kind.LIVE:
            self._verifying = False
            self.post(ev.Verified(cold_digest(self.facts)), job=self._job)
        elif self._received is not None and self._loaded:
            self._verifying = False
            self.run_job(self._verified, failed=self._not_loaded)

    def _load_begins(self, digest: bytes) -> None:
        """The state is here: the machine reads all of it, while memory is still being looked at, and FINAL comes."""
        if self._loading == self._job:
            return
        self._loading, self._loaded = self._job, False

        def load(number: int) -> None:
            self.means.manager.hypervisor.call("guest.load_state", guest=self._number, sha256=digest)
            self.act(self._is_loaded, job=number)

        self.run_job(load, failed=self._not_loaded)

    def _is_loaded(self) -> None:
        self._loaded = True
        self._verify()

    def _verified(self, number: int) -> ev.Event:
        """What is here, in one digest; READY can be said if it is what FINAL says."""
        received = self._received or {}
        if self._hand is not None:
            self._hand.compare(str(received.get("digest")))
        found = image_digest(str(received.get("digest")), state_bytes(received.get("sha256")))
        if found != self.state.digest:
            self.log(f"what came has the digest {found}, but the source says {self.state.digest}")
        return ev.Verified(found, partial=bool(received.get("missing")))

    def _not_loaded(self, why: str) -> ev.Event:
        self._tell_why(f"the machine does not take the state: {why}")
        return ev.TransferFailed(rec.line_of(why))

    # -- the decision

    def _start_guest(self) -> None:
        """It runs, or stays as it is until it can: it is ours, and nobody else has it. Raises StartFailedError."""
        back = Return(self.means.manager, self.uuid, self.name)

        def again(why: str) -> bool:
            self.log(f"the domain cannot be started yet: {why}")
            return self.pause()

        if start_image(self.means, self.uuid, before=back.before_resume, wanted=lambda: not self._waits_in_vain(),
                       again=again):
            self._settling = True
            self.act(lambda: self._started(back))  # the source waits to hear that it runs: that goes first

    def _waits_in_vain(self) -> bool:
        """Its start waits for pages, and who brought them is gone: the worker's word comes next, and decides."""
        return self._abandoned and self.state.missing != 0 and self.entering(At.OWNER)

    def _worker_lost(self, event: dict[str, Any], _worker: Worker) -> bool:
        """In the worker's own thread: the other one may be waiting for the machine, and that for a page."""
        self._abandoned = self._abandoned or event["event"] in ("failed", ENDED)
        if self._waits_in_vain():
            try:
                self.means.manager.hypervisor.call("memory.presence", guest=self._number, what="give-up")
            except HypervisorError as error:
                self.log(f"memory.presence: {error.text}")
        return False

    def _started(self, back: Return) -> None:
        """It runs: now it is recorded. A restart that does not find it so finds OWNED, and what the machine says."""
        note, manager = self.means.note("target", self.uuid), self.means.manager
        now = manager.clock.now()
        persist(manager, lambda old: self._active(old, note.get("started_at") or now))
        if has_ended(manager, self.uuid):  # before that was recorded: whoever took the end up did so for nothing
            persist(manager, lambda old: as_bound(old, self.uuid))
        self.means.put_note("target", self.uuid, {**note, "began": True})
        self._settling = False
        if not self.state.missing:  # else the worker still brings pages
            self._end_work(wait=False)  # it has nothing more to write
        back.listen(lambda: self._taken(self.name, int(note.get("crypto") or 0)))  # its services were those it had

    def _ran_on(self) -> None:
        """It was started, and has run while no manager was here: what the last one did not come to is done now."""
        if self.state.mid in self.state.owned:
            self._all_here()  # the last page may have come when nobody was there to say so
        note, manager = self.means.note("target", self.uuid), self.means.manager
        if note.get("began") is not False or note.get("mid") != self.state.mid or self.state.kind is not Kind.LIVE:
            return
        domain = domain_of(manager.configuration, self.uuid)
        if domain is not None and domain.started_at is None:
            self._remember(domain.name)
            if domain.state in ON:
                persist(manager, lambda old: self._active(old, note.get("started_at") or manager.clock.now()))
                self._taken(domain.name, int(note.get("crypto") or 0))
        self.means.put_note("target", self.uuid, {**note, "began": True})

    def _active(self, old: Configuration, started_at: float) -> Configuration:
        domain = domain_of(old, self.uuid)
        return old if domain is None else moving.taken_over(old, domain.name, started_at=started_at)

    def boot_unstarted(self) -> None:
        """An image that was lost before it could run: the domain is ours all the same, and boots."""
        if self.state.at is At.OWNER and self.state.unstarted == self.state.mid != self._booted:
            self._boot()

    def _boot(self, *, lost: bool = False) -> None:
        """Its memory was lost: boot it, where it ran or was to run (`lost`: it did); one that was stopped stays so."""
        note = self.means.note("target", self.uuid)
        if note.get("began") and not self.ran and not lost:
            self._booted = self.state.mid
            return
        manager = self.means.manager
        try:
            with manager.turn():
                now = with_constraints(manager.configuration, self.uuid, self.facts, self.options)
                if (domain := domain_of(now, self.uuid)) is None:
                    return
                if domain.state is DomainState.INACTIVE:
                    manager.commit(now, moving=True)  # it is kept where it cannot be bound
                    now = bind(now, domain.name)
                    domain = domain_of(now, self.uuid)
                if domain is not None and domain.state is DomainState.BOUND:
                    manager.commit(now.with_domain(
                        domain.but(state=DomainState.ACTIVE, started_at=manager.clock.now())), moving=True)
            self.means.put_note("target", self.uuid, {**note, "began": True})
            self._booted = self.state.mid  # once: a domain that is stopped afterwards was stopped by somebody
        except (RefusedError, HypervisorError) as error:
            self.log(f"the domain was not started: {error}")

    def _drop(self) -> None:
        """Nothing of it stays: guest, memory, constraints."""
        self._forget()
        manager = self.means.manager
        with manager.turn():
            domain = domain_of(manager.configuration, self.uuid)
            if domain is None:
                return
            new = moving.abandoned(manager.configuration, domain.name)
            try:
                manager.commit(new, moving=True)
            except RefusedError as error:
                self.log(f"{error.text}; what the machine has of the domain goes with the next agreement")
                manager.note(new)

    # -- what a person sees

    def stop_work(self) -> None:
        """End the worker, and wait for that: its memory may go next."""
        self._end_work(wait=True)

    def _end_work(self, *, wait: bool) -> None:
        hand, self._hand = self._hand, None
        if hand is not None:
            hand.close()
        self._work.stop(kill=self.means.dead, wait=wait)
