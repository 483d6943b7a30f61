"""How a change becomes true: the store, then the machine, then the acknowledgement; and how all agree after a crash.

1. One transaction writes the new rows and an intent (the rows they replaced).
2. The machine is asked, request by request (`ldmd.planner.requests`). Where it refuses, what was done is undone and
   the old rows are written back.
3. One transaction deletes the intent: the change is acknowledged.

ldmd may die anywhere. At the start `settle` finds an intent where it died between 1 and 3: where the machine has all of
the change it is kept, else the old rows come back. Then `agree` makes the machine what the store says, without a
request for a guest that already is. A guest that runs and of which the store knows nothing is left alone.
"""

from __future__ import annotations

from typing import Any

from ldmd.log import Log
from ldmd.messages import RefusedError, message
from ldmd.model import Configuration, Domain, State, System
from ldmd.operations.context import Hypervisor, HypervisorError
from ldmd.planner.guestspec import ON, runs
from ldmd.planner.requests import Picture, Request, observed, picture, requests
from ldmd.store import Step, Store

GONE = ("unreachable", "timeout")
"""Codes of a machine that does not answer; what it has done is found out when it is back."""

FOLLOWS = ("guest.configure", "service.configure")
"""Requests that follow from what a guest did by itself; its start or stop has happened already."""


class Committer:
    """Store and machine, kept in agreement. Used under the manager's lock."""

    def __init__(self, hypervisor: Hypervisor, store: Store, log: Log, *, step: Step = lambda name: None) -> None:
        self._hypervisor, self._store, self._log, self._step = hypervisor, store, log, step
        self._seen: tuple[Configuration, Picture] | None = None

    def commit(self, old: Configuration, new: Configuration, *, receiving: int | None = None) -> None:
        """Make `new` true. Raises RefusedError; then `old` is true, but for guests whose stop cannot be undone.

        `receiving`: a new guest that comes from another server is made empty, for its memory to be written.
        """
        before = self._seen[1] if self._seen is not None and self._seen[0] is old else picture(old, self._seen)
        after = picture(new, (old, before))
        todo = requests(before, after)
        self._seen = (new, after)  # a mere memory of what was worked out: true whether or not the change succeeds
        self._store.write(old, new, intent=bool(todo))
        if not todo:
            return
        done: list[Request] = []
        try:
            for request in todo:
                made = request.op == "guest.configure" and request.arguments["spec"]["id"] == receiving
                self._ask(Request("guest.receive", request.arguments) if made else request)
                done.append(request)
        except Exception as error:
            self._undo(done)
            self._back(new, old)
            if isinstance(error, HypervisorError):
                if error.code in GONE:
                    name = old.server.name
                    raise message("machine.unreachable", machine=name, problem=error.text) from error
                raise message("machine.refused", op=request.op, why=error.code, problem=error.text) from error
            raise
        try:
            self._store.settle()
        except RefusedError as error:
            # rows and machine both have the change; the next write ends the intent, or the next start keeps the change
            self._log.warning(f"after a change: {error.text}")

    def _ask(self, request: Request) -> None:
        self._step(f"{request.op}.begin")
        self._hypervisor.call(request.op, **request.arguments)
        self._step(f"{request.op}.done")

    def _back(self, new: Configuration, old: Configuration) -> None:
        """The old rows again."""
        try:
            self._store.write(new, old, urgent=True)
        except RefusedError as error:
            self._log.warning(f"the way back from a change: {error.text}")
            raise message("store.unsure", path=self._store.path) from error

    def _undo(self, done: list[Request]) -> None:
        for request in reversed(done):
            for op, arguments in request.back or ():
                try:
                    self._hypervisor.call(op, **arguments)
                except HypervisorError as error:
                    self._log.warning(f"{op} to take back {request.op}: {error.text}")

    # -- after what happened by itself

    def follow(self, old: Configuration, new: Configuration) -> None:
        """Tell guests what follows for them: the service domain of a disk has stopped, or runs again. Never refused.

        What the machine does not take now, `agree` finds.
        """
        for request in requests(picture(old, self._seen), picture(new, self._seen)):
            if request.op not in FOLLOWS:
                continue
            try:
                self._ask(request)
            except HypervisorError as error:
                self._log.warning(f"{request.op}: the machine refused ({error.code}): {error.text}")

    # -- after a crash

    def settle(self, now: Configuration) -> Configuration:
        """Decide about the change that was under way when ldmd died; returns the configuration that holds."""
        before = self._store.intent(now)
        if before is None:
            return now
        if self._machine_has(before, now):
            self._store.settle()
            self._log.notice("a change that ldmd died in was complete on the machine; it is kept")
            return now
        self._store.write(now, before, urgent=True)
        self._log.notice("a change that ldmd died in was not complete on the machine; it was taken back")
        return before

    def _machine_has(self, before: Configuration, after: Configuration) -> bool:
        """True where nothing that the change needs of guests is left to do."""
        try:
            there = observed(self._hypervisor.call("guest.list"))
        except HypervisorError:
            return False
        was, shall = picture(before).guests, picture(after).guests
        for number in was.keys() | shall.keys():
            old, new, real = was.get(number), shall.get(number), there.guests.get(number)
            if old == new:
                continue
            if new is None:
                if real is not None:
                    return False
            elif real is None or real.running != new.running or real.generation != new.generation:
                return False
        return True

    def agree(self, configuration: Configuration, *, power_on: bool) -> Configuration:
        """Make the machine what the store says; returns what is true then.

        A guest that stopped while nobody looked is a bound domain, one that runs an active one. After a power-on every
        bound domain is started; one that cannot be is bound, with a line in the log.
        """
        statuses = self._hypervisor.call("guest.list")
        there = observed(statuses)
        if not power_on:
            configuration = self._observe(configuration, there, statuses)
        wanted = picture(configuration)
        self._name_strangers(there, wanted, statuses)
        ours = Picture({number: guest for number, guest in there.guests.items()
                        if number in wanted.guests or not guest.running}, None)
        for request in requests(ours, wanted):
            try:
                self._ask(request)
            except HypervisorError as error:
                self._log.warning(f"{request.op}: the machine refused ({error.code}): {error.text}")
                configuration = self._refused(configuration, request)
        return configuration

    def _observe(
        self, configuration: Configuration, there: Picture, statuses: list[dict[str, Any]]
    ) -> Configuration:
        """States as the machine has them; transient ones have nobody left who would end them."""
        if configuration.primary.state is not State.ACTIVE:  # this manager died in the middle of its reboot
            configuration = configuration.with_domain(configuration.primary.but(state=State.ACTIVE))
        for domain in configuration.guests:
            real = there.guests.get(domain.binding.id) if domain.binding is not None else None
            running = real is not None and real.running
            state = domain.state
            if domain.binding is None:
                state = State.INACTIVE
            elif running:
                state = State.SUSPENDED if state is State.SUSPENDED else State.ACTIVE
            else:
                state = State.BOUND
            started = domain.started_at if state in ON else None
            configuration = configuration.with_domain(
                domain.but(state=state, started_at=started, system=system_now(domain, statuses)))
        return configuration

    def _name_strangers(self, there: Picture, wanted: Picture, statuses: list[dict[str, Any]]) -> None:
        for number, guest in there.guests.items():
            if number not in wanted.guests and guest.running:
                name = next((each.get("name") for each in statuses if each.get("guest") == number), "?")
                self._log.warning(f"guest {number} ({name}) runs on the machine, but the store has no such domain; "
                                  "it is left alone")

    def _refused(self, configuration: Configuration, request: Request) -> Configuration:
        """The domain of a request that the machine refused does not run."""
        number = request.arguments.get("guest", request.arguments.get("spec", {}).get("id"))
        for domain in configuration.guests:
            if domain.binding is not None and domain.binding.id == number and runs(domain):
                return configuration.with_domain(domain.but(state=State.BOUND, started_at=None))
        return configuration


def system_now(domain: Domain, statuses: list[dict[str, Any]]) -> System:
    """Of a service domain: whether the system in it runs, after a time when nobody looked."""
    number = domain.binding.id if domain.binding is not None and domain.serves else None
    soft = next((each.get("soft_state") for each in statuses if each.get("guest") == number), None)
    if not isinstance(soft, dict):
        return domain.system
    if soft.get("normal") is True:
        return System.RUNS
    return System.GONE if domain.system is System.RUNS else domain.system
