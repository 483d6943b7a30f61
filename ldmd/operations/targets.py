"""The domain that an operation changes, with the notices of delayed reconfiguration that go with it."""

from __future__ import annotations

from ldmd.messages import RefusedError, message, refuse
from ldmd.model import Configuration, Domain, State
from ldmd.operations.context import Context
from ldmd.planner import reconfiguration
from ldmd.planner.channels import settle


def target(context: Context, name: str, *, io: bool = False) -> Domain:
    """The domain to change, as it is or as it will be after its reboot; says so where that is pending.

    `io`: the change is one of physical I/O, the only kind that a root domain other than the control domain can have
    pending.
    """
    check_not_frozen(context, name)
    domain = reconfiguration.changeable(context.configuration, name)
    if reconfiguration.is_delayed(context.configuration, name):
        if not domain.control and not io:
            refuse("reconf.io-only", name=name)
        notice(context, name)
    return domain


def check_not_frozen(context: Context, name: str | None = None) -> None:
    """Refuse while a delayed reconfiguration of another domain is pending, after the notice that says which."""
    try:
        if name is not None:
            reconfiguration.find(context.configuration, name)
        reconfiguration.check_not_frozen(context.configuration, name)
    except RefusedError as refused:
        if refused.code in ("reconf.frozen", "reconf.frozen-domains"):
            notice(context, context.configuration.pending[0].domain.name)
        raise


def notice(context: Context, name: str) -> None:
    """The product's notice with every command during a delayed reconfiguration."""
    context.say(str(message("reconf.notice", name=name)))


def begun(context: Context, name: str) -> None:
    """The product's words when one begins."""
    context.say(str(message("reconf.begun", name=name)))


def foreseen(context: Context) -> Configuration:
    """What plans are made on: all that is pending as if it were true."""
    return reconfiguration.foreseen(context.configuration)


def put(context: Context, domain: Domain, *, removed_io_services: bool = False) -> None:
    """Make a changed domain true, or a part of what is pending for it."""
    new = reconfiguration.changed(context.configuration, domain, removed_io_services=removed_io_services)
    context.commit(settle(new))


def runs_os(context: Context, domain: Domain) -> bool:
    """True where a guest's operating system has to agree to a change made now; the control domain's is the manager."""
    return domain.state is State.ACTIVE and not domain.control and \
        not reconfiguration.is_delayed(context.configuration, domain.name)
