"""start-domain and panic-domain, and what they share with stop-domain (ldm(1M) of 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ldmd.messages import RefusedError, message, refuse
from ldmd.model import Domain, State
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.dynamic import ask, guest_id
from ldmd.operations.registry import operation
from ldmd.operations.targets import check_not_frozen, target
from ldmd.operations.xmldomains import bind_from_xml
from ldmd.planner.macs import domain_macs, format_mac
from ldmd.planner.reconfiguration import find

PANIC_SECONDS = 60.0


def names_of(context: Context, arguments: Arguments, wanted: Callable[[Domain], bool]) -> tuple[str, ...]:
    """The domains of an operation that takes several: those named, or with -a all guests in a suitable state."""
    if arguments.flag("all"):
        return tuple(domain.name for domain in context.configuration.guests if wanted(domain))
    names = arguments.texts("domains") or ((arguments.text("domain"),) if "domain" in arguments else ())
    if not names:
        refuse("domain.none")
    for name in names:
        if names.count(name) > 1:
            refuse("domain.repeated", name=name)
    return names


def for_each(context: Context, names: Iterable[str], act: Callable[[str], None], *, what: str) -> None:
    """Do it for each domain; one that is refused does not keep the others from it. Refused if any was."""
    names = tuple(names)
    failed: list[RefusedError] = []
    for name in names:
        try:
            act(name)
        except RefusedError as refused:
            if len(names) == 1 or refused.code == "job.cancelled":
                raise
            warn(context, refused)
            failed.append(refused)
    if failed:
        refuse("stop.failed", count=len(failed), all=len(names), what=what)


def warn(context: Context, refused: RefusedError) -> None:
    """Show a refusal that does not end the operation."""
    for line in (refused.text, refused.cause, refused.remedy):
        if line:
            context.warn(line)


@operation("start-domain")
def start_domain(context: Context, arguments: Arguments) -> Any:
    """`start-domain -a | domain...`: bound domains are powered on."""
    if "xml" in arguments:
        bind_from_xml(context, arguments.document("xml"), start=True)
        return
    names = names_of(context, arguments, lambda domain: domain.state is State.BOUND)
    for_each(context, names, lambda name: _start(context, name), what="started")


def _start(context: Context, name: str) -> None:
    domain = target(context, name)
    if domain.state is not State.BOUND:
        remedy = f"`ldm bind-domain {name}` first" if domain.state is State.INACTIVE else ""
        refuse("start.not-bound", name=name, state=domain.state, remedy=remedy)
    for mac in sorted(context.macs_elsewhere([each for each, _ in domain_macs(domain)])):
        refuse("network.mac-elsewhere", mac=format_mac(mac))
    domain = target(context, name)
    if domain.state is not State.BOUND:
        refuse("start.not-bound", name=name, state=domain.state, remedy="")
    context.commit(context.configuration.with_domain(domain.but(state=State.ACTIVE, started_at=context.now())))
    context.say(str(message("power.started", name=name)))
    context.emit("start-domain", domain=name)


@operation("panic-domain")
def panic_domain(context: Context, arguments: Arguments) -> Any:
    """`panic-domain domain`: its operating system writes a crash dump and goes on as its own settings say."""
    name = arguments.text("domain")
    check_not_frozen(context, name)
    domain = find(context.configuration, name)
    if domain.control:
        refuse("panic.control")
    if domain.state is not State.ACTIVE:
        refuse("panic.not-active", name=name, state=domain.state)
    status = context.hypervisor.call("guest.status", guest=guest_id(context.configuration, name))
    if "domain-panic" not in status.get("services", ()):
        where = "it is in OpenBoot" if status.get("firmware") else "its operating system has no service domain-panic"
        refuse("panic.no-os", name=name, why=where)
    try:
        answer = ask(context, name, "guest.panic", seconds=PANIC_SECONDS)
    except HypervisorError as error:
        refuse("panic.refused", name=name, reason=error.text)
    if answer.complete and not answer.ok:
        refuse("panic.refused", name=name, reason=answer.reasons)
    context.say(str(message("power.panicked", name=name)))
    context.emit("panic-domain", domain=name)
