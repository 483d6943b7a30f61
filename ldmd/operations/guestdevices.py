"""Virtual devices of guests that run: how they are asked to let go of one, and told that there is another.

Removal needs the guest's consent where its operating system offers dynamic reconfiguration of virtual I/O (domain
service dr-vio); without that service it needs -f. News come with a new machine description (md-update).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Domain, State
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.targets import begun, target
from ldmd.planner.delayed import Plan, change
from ldmd.planner.naming import find_domain
from ldmd.planner.reconfiguration import begin

ANSWER_SECONDS = 60.0
SERVICE, UPDATE = "dr-vio", "md-update"


def _guest(domain: Domain) -> int | None:
    """The guest of a domain that runs one."""
    runs = domain.state is State.ACTIVE and not domain.control and domain.binding is not None
    return domain.binding.id if runs and domain.binding is not None else None


def _services(context: Context, guest: int) -> Collection[str]:
    status = context.hypervisor.call("guest.status", guest=guest)
    services = status.get("services", ())
    return services if isinstance(services, list | tuple) else ()


def _answer(context: Context, request: Any) -> str | None:
    """"" where the guest did as asked, else its reason; None where it did not answer."""
    number = int(request["request"])
    if not context.wait(lambda: context.replies(number) is not None, seconds=ANSWER_SECONDS):
        return None
    reply = context.replies(number) or {}
    done = reply.get("result") in ("ok", 0)
    return "" if done else str(reply.get("reason") or reply.get("result") or "refused")


def release(context: Context, domain: Domain, kind: str, *, name: str, force: bool) -> None:
    """Have a running guest give up a device. Refuses where it does not, unless it is forced."""
    guest = _guest(domain)
    device = domain.binding.device(kind, name) if domain.binding else None
    if guest is None or device is None:
        return
    what = f"{kind} {name}"
    if SERVICE not in _services(context, guest):
        if not force:
            refuse("device.no-support", domain=domain.name, what=what)
        return
    try:
        request = context.hypervisor.call("guest.dr_vio", guest=guest, action="force" if force else "unconfigure",
                                          kind=kind, number=device.number)  # fmt: skip
        reason = _answer(context, request)
    except HypervisorError as error:
        reason = error.text
    if force or reason == "":
        return
    if reason is None:
        refuse("device.silent", domain=domain.name, what=what)
    refuse("device.refused", domain=domain.name, what=what, reason=reason)


def announce(context: Context, name: str) -> None:
    """Tell a running guest that its devices changed. Without the service it sees them when it boots next."""
    domain = context.configuration.find(name)
    guest = _guest(domain) if domain is not None else None
    if guest is None or UPDATE not in _services(context, guest):
        return
    try:
        reason = _answer(context, context.hypervisor.call("guest.md_update", guest=guest))
    except HypervisorError as error:
        reason = error.text
    if reason != "":
        context.warn(f"LDom {name} did not take up the change: {reason or 'it did not answer'}")


def commit_change(
    context: Context, domain: str, plan: Plan, *, removes: bool = False, io: bool = False
) -> None:
    """Carry out a plan that changes a domain, at once or as part of its delayed reconfiguration.

    `removes`: it takes virtual I/O away; `io`: it is about physical I/O.
    """
    target(context, domain, io=io)
    context.commit(change(context.configuration, domain, plan, removes_services=removes))


def change_devices(context: Context, domain: str, plan: Plan) -> None:
    """The same for devices of a guest, which is told if it runs."""
    commit_change(context, domain, plan)
    announce(context, domain)


def remove_device(context: Context, domain: str, kind: str, *, name: str, force: bool, plan: Plan) -> None:
    """Take a device out of a domain. Everything is checked before the guest is asked, and again afterwards."""
    change(context.configuration, domain, plan, removes_services=True)
    release(context, find_domain(context.configuration, domain), kind, name=name, force=force)
    commit_change(context, domain, plan, removes=True)
    announce(context, domain)


def begin_delayed(context: Context, name: str) -> None:
    """Begin a delayed reconfiguration where none is pending, and say so with the product's words (ldm-cli 2.12)."""
    if context.configuration.pending_for(name) is not None:
        return
    context.commit(begin(context.configuration, name))
    begun(context, name)
