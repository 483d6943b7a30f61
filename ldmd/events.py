"""What the manager does about an event of the machine: states of domains, variables, failures and their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ldmd.committer import GONE
from ldmd.model import Configuration, Domain, FailurePolicy, State, System
from ldmd.operations.context import HypervisorError
from ldmd.planner.channels import settle
from ldmd.planner.guestspec import ON
from ldmd.planner.reconfiguration import complete, is_delayed
from ldmd.planner.requests import find

if TYPE_CHECKING:
    from ldmd.manager import Manager

FAILURES = frozenset({"panic", "watchdog", "error"})
"""Why a guest changed its state, where that is a failure of the domain; a stop and a reboot are none."""
PANIC = "panicking"
"""In the soft state of Linux and Solaris."""
ITSELF = 1
"""Code of `suspended` where the guest called MACH_SUSPEND (emulator/hvctl/protocol.md)."""
VARIABLE_LIMIT = 8192
"""Longest value of a variable, in characters, that a guest may have kept."""
VARIABLES_LIMIT = 256


def rebooted(configuration: Configuration, name: str) -> Configuration:
    """What was pending for a root domain is true once it has gone down or been reset."""
    return settle(complete(configuration, name)) if is_delayed(configuration, name) else configuration


def without_system(domain: Domain) -> Domain:
    """The domain has begun anew: services of a system that ran in it come back when it runs again."""
    return domain.but(system=System.GONE) if domain.system is System.RUNS else domain


class Reactions:
    """Called under the manager's lock, one event at a time. Whatever an event says of a guest is checked."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def handle(self, event: Mapping[str, Any]) -> None:
        """One event. An unknown one is passed over: a newer machine may have more."""
        name = event.get("event")
        if name == "guest.reply":
            request = event.get("request")
            if isinstance(request, int):
                self._manager.keep_reply(request, dict(event))
            return
        guest = event.get("guest")
        domain = find(self._manager.configuration, guest) if isinstance(guest, int) else None
        if domain is None or domain.control:
            return
        if name == "guest.state":
            movers = self._manager.movers
            if movers is None or not movers.takes(domain, event):
                self._state(domain, event)
        elif name == "guest.variable":
            self._variable(domain, event)
        elif name in ("guest.soft_state", "guest.services"):
            if name == "guest.soft_state":
                self._system(domain, normal=event.get("normal") is True, text=str(event.get("text", "")))
            self._manager.publish(str(name).replace("guest.", "domain-").replace("_", "-"), domain=domain.name,
                                  **{key: event[key] for key in ("normal", "text", "services") if key in event})

    # -- states

    def _state(self, domain: Domain, event: Mapping[str, Any]) -> None:
        """The event is a hint: what the machine says of the guest now is what counts, since events may be late."""
        status = self._status(domain)
        if status is None:
            return
        running = status.get("state") in ("running", "suspended")
        why = str(event.get("why", ""))
        manager = self._manager
        if not running and domain.state in ON:
            manager.log.notice(f"{domain.name} stopped ({why})")
            manager.note(rebooted(manager.configuration.with_domain(domain.but(state=State.BOUND, started_at=None)),
                                  domain.name))
            manager.publish("stop-domain", domain=domain.name, why=why)
        elif running and why in ("reset", "panic", "watchdog"):
            manager.log.notice(f"{domain.name}: {why}")
            manager.note(rebooted(
                manager.configuration.with_domain(without_system(domain).but(started_at=manager.clock.now())),
                domain.name))
            manager.publish("domain-reset" if why == "reset" else "panic-domain", domain=domain.name, why=why)
        elif running and domain.state not in ON:
            manager.log.notice(f"{domain.name} runs, though nobody started it here")
            manager.note(manager.configuration.with_domain(
                domain.but(state=State.ACTIVE, started_at=manager.clock.now())))
        elif status.get("state") == "suspended" and why == "suspended":
            self.let_go_on(domain, status)
        if why in FAILURES:
            self._failed(domain)

    def let_go_on(self, domain: Domain, status: Mapping[str, Any]) -> None:
        """A system that suspended itself, while no migration wants that (any more): nobody else would resume it."""
        if status.get("code") != ITSELF or domain.binding is None:
            return
        self._manager.log.notice(f"{domain.name} suspended itself, and no migration waits for that: it is resumed")
        try:
            self._manager.hypervisor.call("guest.resume", guest=domain.binding.id)
        except HypervisorError as error:
            self._manager.log.warning(f"{domain.name} cannot be resumed ({error.code}): {error.text}")

    def _status(self, domain: Domain) -> Mapping[str, Any] | None:
        if domain.binding is None:
            return None
        try:
            status = self._manager.hypervisor.call("guest.status", guest=domain.binding.id)
        except HypervisorError as error:
            if error.code in GONE:
                return None  # found out when it is there again
            return {"state": "defined"}
        return status if isinstance(status, Mapping) else None

    def _system(self, domain: Domain, *, normal: bool, text: str) -> None:
        """What a service domain's system says of itself (soft state). A panicking one serves no more."""
        if not domain.serves or domain.state not in ON:
            return
        new = domain.but(system=System.RUNS) if normal else without_system(domain) if PANIC in text.lower() else domain
        if new is not domain:
            self._manager.note(self._manager.configuration.with_domain(new))

    # -- failures

    def _failed(self, master: Domain) -> None:
        """The master's failure policy, for each slave that runs."""
        policy = master.failure_policy
        slaves = [each for each in self._manager.configuration.guests
                  if master.name in each.masters and each.state in ON and each.binding is not None]
        if policy is FailurePolicy.IGNORE:
            return
        for slave in slaves:
            self._manager.log.notice(f"{master.name} failed: {policy} {slave.name}")
            try:
                self._apply(policy, slave)
            except HypervisorError as error:
                self._manager.log.warning(f"{slave.name}: {policy} failed ({error.code}): {error.text}")

    def _apply(self, policy: FailurePolicy, slave: Domain) -> None:
        call, binding = self._manager.hypervisor.call, slave.binding
        if binding is None:
            return
        if policy is FailurePolicy.PANIC:
            try:
                call("guest.panic", guest=binding.id)
            except HypervisorError as error:
                if error.code != "no-service":
                    raise
                # nobody there who could panic: a reset is the closest
                call("guest.reset", guest=binding.id)
        elif policy is FailurePolicy.RESET:
            call("guest.reset", guest=binding.id)
        elif policy is FailurePolicy.STOP:
            call("guest.stop", guest=binding.id)

    # -- variables

    def _variable(self, domain: Domain, event: Mapping[str, Any]) -> None:
        name, value = event.get("name"), event.get("value")
        if not isinstance(name, str) or not name or not (value is None or isinstance(value, str)):
            return
        variables = dict(domain.variables)
        if value is None:
            variables.pop(name, None)
        elif len(value) > VARIABLE_LIMIT or (name not in variables and len(variables) >= VARIABLES_LIMIT):
            self._manager.log.warning(f"{domain.name}: variable {name[:64]!r} was not kept: too large or too many")
            return
        else:
            variables[name] = value
        new = domain.but(variables=tuple(sorted(variables.items())))
        self._manager.note(self._manager.configuration.with_domain(new))
        self._manager.publish("set-variable", domain=domain.name, name=name)
