"""Virtual devices of guests that run: how they are asked to let go of one, and told that there is another.

Removal needs the guest's consent where its operating system offers dynamic reconfiguration of virtual I/O (domain
service dr-vio); without that service it needs -f. News come with a new machine description (md-update).
"""

from __future__ import annotations

from collections.abc import Collection

from ldmd.messages import refuse
from ldmd.model import Domain, State
from ldmd.operations.context import Context
from ldmd.operations.dynamic import ask, md_update
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
    action = "force" if force else "unconfigure"
    answer = ask(context, domain.name, "guest.dr_vio", seconds=ANSWER_SECONDS, action=action,
                 kind=kind, number=device.number)  # fmt: skip
    if not answer.ok and not force:
        refuse("device.refused", domain=domain.name, what=what, reason=answer.reasons or "it gave no reason")


def announce(context: Context, name: str, *, kind: str = "", device: str = "") -> None:
    """Tell a running guest that its devices changed, and, where one is new, to take it up.

    Without the services it sees them when it boots next.
    """
    domain = context.configuration.find(name)
    guest = _guest(domain) if domain is not None else None
    if domain is None or guest is None:
        return
    services = _services(context, guest)
    if UPDATE in services:
        md_update(context, name)
    bound = domain.binding.device(kind, device) if domain.binding and device else None
    if bound is not None and SERVICE in services:
        answer = ask(context, name, "guest.dr_vio", seconds=ANSWER_SECONDS, action="configure", kind=kind,
                     number=bound.number)  # fmt: skip
        if not answer.ok:
            context.warn(f"Warning: LDom {name} did not take up {kind} {device}: {answer.reasons}")


def commit_change(
    context: Context, domain: str, plan: Plan, *, removes: bool = False, io: bool = False
) -> None:
    """Carry out a plan that changes a domain, at once or as part of its delayed reconfiguration.

    `removes`: it takes virtual I/O away; `io`: it is about physical I/O.
    """
    target(context, domain, io=io)
    context.commit(change(context.configuration, domain, plan, removes_services=removes))


def change_devices(context: Context, domain: str, plan: Plan, *, kind: str = "", device: str = "") -> None:
    """The same for devices of a guest, which is told if it runs. `kind`, `device`: the one that is new."""
    commit_change(context, domain, plan)
    announce(context, domain, kind=kind, device=device)


def remove_device(context: Context, domain: str, kind: str, *, name: str, force: bool, plan: Plan) -> None:
    """Take a device out of a domain. Everything is checked before the guest is asked, and again afterwards."""
    change(context.configuration, domain, plan, removes_services=True)
    release(context, find_domain(context.configuration, domain), kind, name=name, force=force)
    commit_change(context, domain, plan, removes=True)
    announce(context, domain)


def begin_delayed(context: Context, name: str) -> None:
    """Begin a delayed reconfiguration where none is pending, and say so with the product's words."""
    if context.configuration.pending_for(name) is not None:
        return
    context.commit(begin(context.configuration, name))
    begun(context, name)
