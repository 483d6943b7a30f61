"""stop-domain (ldm(1M) of 3.3): orderly through domain services, or by force; and the reboot of the control domain.

    default     the operating system is asked to shut down; after the time is over the domain is stopped by force
    -t seconds  that time                  -h  shut down, never by force            -r  reboot, never by force
    -q          a short time only          -f  at once                              -n  do not wait for the end
    -m text     shown to the users of the domain

The domain is then bound. A domain without an operating system that can be asked is stopped at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ldmd.messages import RefusedError, message, refuse
from ldmd.model import Configuration, State
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.dynamic import guest_id, read_reply
from ldmd.operations.power import for_each, names_of
from ldmd.operations.registry import operation
from ldmd.operations.targets import check_not_frozen
from ldmd.planner import reconfiguration
from ldmd.planner.channels import settle
from ldmd.planner.reconfiguration import find

GRACE_SECONDS = 180
"""How long an orderly shutdown may take (inferred)."""
QUICK_SECONDS = 15
TIMEOUT_LIMIT = 7 * 24 * 3600
RUNNING = (State.ACTIVE, State.STOPPING, State.SUSPENDED)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a domain is stopped."""

    force: bool = False
    quick: bool = False
    halt: bool = False
    reboot: bool = False
    wait: bool = True
    seconds: int = GRACE_SECONDS
    text: str = ""

    @property
    def may_force(self) -> bool:
        """True where force follows when the time is over."""
        return not (self.halt or self.reboot)


def way_of(arguments: Arguments) -> Way:
    """The options, checked against each other."""
    force, quick = arguments.flag("force"), arguments.flag("quick")
    halt, reboot = arguments.flag("halt"), arguments.flag("reboot")
    timeout = arguments.optional_number("timeout", most=TIMEOUT_LIMIT)
    text = arguments.optional("message") or ""
    given = [word for word, there in (("-f", force), ("-q", quick), ("-h", halt), ("-r", reboot)) if there]
    if len(given) > 1 and given not in (["-f", "-r"], ["-q", "-r"]):
        refuse("stop.options", options=" ".join(given))
    for option, there in (("-t", timeout is not None), ("-m", bool(text))):
        if there and (force or quick):
            refuse("stop.needs", option=option)
    seconds = timeout if timeout is not None else QUICK_SECONDS if quick else GRACE_SECONDS
    return Way(force=force, quick=quick, halt=halt, reboot=reboot, wait=not arguments.flag("no_wait"),
               seconds=seconds, text=text)


@operation("stop-domain")
def stop_domain(context: Context, arguments: Arguments) -> Any:
    """`stop-domain [[-f | -q] | [[-h | -r | -t sec] [-m msg]]] [-n] (-a | domain...)`."""
    way = way_of(arguments)
    names = names_of(context, arguments, lambda domain: domain.state in RUNNING)
    asked: dict[str, Asked] = {}

    def ask(name: str) -> None:
        found = _begin(context, name, way)
        if found is not None:
            asked[name] = found

    failed: RefusedError | None = None
    try:
        for_each(context, names, ask, what="stopped")
    except RefusedError as refused:
        failed = refused
    if asked and way.wait:
        try:
            for_each(context, asked, lambda name: _end(context, name, way, asked[name]), what="stopped")
        except RefusedError as refused:
            failed = failed or refused
        for name in asked:  # those that nobody waits for any more, because this job was cancelled
            found = context.configuration.find(name)
            if found is not None and found.state is State.STOPPING:
                _set_state(context, name, State.ACTIVE)
    if failed is not None:
        raise failed


@dataclass(frozen=True)
class Asked:
    """A shutdown that a guest was asked for: number of the request, and when the guest had been started."""

    request: int
    deadline: float
    started_at: float | None


def _begin(context: Context, name: str, way: Way) -> Asked | None:
    """Ask a domain to shut down, or stop it; None where nothing is left to wait for."""
    domain = find(context.configuration, name)
    if domain.control:
        _reboot_control(context, way)
        return None
    check_not_frozen(context, name)
    if domain.state is State.SUSPENDED or (
            domain.state is State.STOPPING and not way.force and _is_waited_for(context, name)):
        refuse("domain.busy", name=name, state=domain.state)
    if domain.state not in RUNNING:
        refuse("stop.not-active", name=name, state=domain.state)
    if way.force:
        _force(context, name, way)
        return None
    status = context.hypervisor.call("guest.status", guest=guest_id(context.configuration, name))
    try:
        request = context.hypervisor.call(
            "guest.shutdown", guest=guest_id(context.configuration, name), delay_ms=0, reboot=way.reboot)["request"]
    except HypervisorError as error:
        if error.code != "no-service":
            raise
        if not way.may_force:
            refuse("stop.no-service", name=name, why=error.text)
        if not status.get("firmware"):
            context.warn(str(message("stop.without-os", name=name)))
        _force(context, name, way)
        return None
    if way.text:
        context.emit("domain-message", domain=name, text=way.text[:512])
    if not way.reboot:
        _set_state(context, name, State.STOPPING)
    if not way.wait:
        context.say(str(message("power.shutting-down", name=name)))
    return Asked(request, context.now() + way.seconds, domain.started_at)


def _is_waited_for(context: Context, name: str) -> bool:
    """True where another stop-domain waits for the end of this domain."""
    jobs = [job["arguments"] for job in context.jobs() if job["command"] == "stop-domain"]
    return sum(1 for each in jobs if each.get("all") or name in (*each.get("domains", ()), each.get("domain"))) > 1


def _set_state(context: Context, name: str, state: State) -> None:
    domain = context.configuration.find(name)
    if domain is None or domain.binding is None or domain.state is state:
        return
    started_at = None if state is State.BOUND else domain.started_at
    new = context.configuration.with_domain(domain.but(state=state, started_at=started_at))
    context.commit(settle(reconfiguration.complete(new, name)) if state is State.BOUND else new)


def _force(context: Context, name: str, way: Way) -> None:
    """Stop a domain at once; with -r it is started again."""
    _set_state(context, name, State.BOUND)
    if way.reboot:
        domain = find(context.configuration, name)
        context.commit(context.configuration.with_domain(domain.but(state=State.ACTIVE, started_at=context.now())))
    context.say(str(message("power.rebooted" if way.reboot else "power.stopped", name=name)))
    context.emit("domain-reset" if way.reboot else "stop-domain", domain=name)


def _end(context: Context, name: str, way: Way, asked: Asked) -> None:
    """Wait until a domain that was asked to shut down has done so, and see that it has."""
    def over() -> bool:
        return _ended(context, name, way, asked) or _refusal(context, asked) is not None

    context.wait(over, seconds=max(0.0, asked.deadline - context.now()))
    if _ended(context, name, way, asked):
        if not way.reboot:
            _set_state(context, name, State.BOUND)
        elif context.configuration.find(name) is not None:
            _see_that_it_runs(context, name)
        context.say(str(message("power.rebooted" if way.reboot else "power.stopped", name=name)))
        context.emit("domain-reset" if way.reboot else "stop-domain", domain=name)
        return
    reason = _refusal(context, asked)
    if way.may_force:
        if reason is None:
            context.warn(str(message("stop.forced", name=name, seconds=way.seconds)))
        else:
            context.warn(str(message("stop.refused", name=name, reason=reason)) + (f": {reason}" if reason else ""))
        _force(context, name, way)
        return
    if not way.reboot:
        _set_state(context, name, State.ACTIVE)
    if reason is not None:
        refuse("stop.refused", name=name, reason=reason)
    refuse("stop.timed-out", name=name, seconds=way.seconds)


def _see_that_it_runs(context: Context, name: str) -> None:
    """A domain that went down where it should have been reset is started."""
    domain = find(context.configuration, name)
    if domain.state is State.BOUND:
        context.commit(context.configuration.with_domain(domain.but(state=State.ACTIVE, started_at=context.now())))


def _ended(context: Context, name: str, way: Way, asked: Asked) -> bool:
    """True where the domain is down; with -r, where it has been started anew."""
    domain = context.configuration.find(name)
    if domain is None or domain.binding is None or domain.state not in RUNNING:
        return True
    if way.reboot:  # the manager notes the time of every reset
        return domain.started_at != asked.started_at
    status = context.hypervisor.call("guest.status", guest=domain.binding.id)
    return status.get("state") not in ("running", "suspended")


def _refusal(context: Context, asked: Asked) -> str | None:
    """The guest's reason where it refused; None while it has not."""
    reply = context.replies(asked.request)
    if reply is None:
        return None
    answer = read_reply(reply)
    return None if answer.ok or not answer.complete else answer.reason


# -- the control domain

def _reboot_control(context: Context, way: Way) -> None:
    """`stop-domain -r primary`: its services go and come back, and what was pending for it is true."""
    name = context.configuration.primary.name
    if not way.reboot:
        refuse("stop.control")
    context.commit(_primary(context.configuration, State.STOPPING))
    new = settle(_primary(reconfiguration.complete(context.configuration, name), State.ACTIVE))
    context.commit(new.with_domain(new.primary.but(started_at=context.now())))
    context.say(str(message("power.rebooted", name=name)))
    context.emit("domain-reset", domain=name)


def _primary(configuration: Configuration, state: State) -> Configuration:
    return configuration.with_domain(configuration.primary.but(state=state))
