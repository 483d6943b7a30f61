"""How a domain that was received comes to run: its machine is asked until it does; one that lost the image boots it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ldmd.migration.facts import GuestFacts
from ldmd.migration.plan import plan_move
from ldmd.migration.rule import Options
from ldmd.migrator.attempt import StartFailedError
from ldmd.migrator.guestops import GONE, IMAGES, domain_of, number_of, status_of
from ldmd.migrator.means import Means
from ldmd.model import Configuration
from ldmd.model import State as DomainState
from ldmd.operations.context import HypervisorError

if TYPE_CHECKING:
    from ldmd.manager import Manager

STANDS = (*IMAGES, "suspended")
ENDED_STATES = ("halted", "defined")
"""Of a guest that ran."""


def start_image(means: Means, uuid: str, *, before: Callable[[], None], wanted: Callable[[], bool],
                again: Callable[[str], bool]) -> bool:
    """Let it run. False: that is not wanted any more (`wanted`).

    `before`: called before each try. `again`: is told why it does not run yet, and lets time pass; False: the manager
    ends. Raises StartFailedError where the machine has no image of it.
    """
    manager = means.manager
    while wanted():
        means.check()
        try:
            before()
            number = number_of(manager.configuration, uuid)
            if number is None:
                raise HypervisorError("no-guest", "the domain is not bound")
            manager.hypervisor.call("guest.resume", guest=number)
            break
        except HypervisorError as error:
            state = _state(means, uuid)
            if not means.machine_alive() or error.code == "no-guest" or (
                    error.code not in GONE and state not in (None, "running", *STANDS)):
                raise StartFailedError from None
            if state == "running":  # a page came late, and nobody had the patience to hear the answer
                break
            if not again(error.text):
                raise StartFailedError from None
    return wanted()


def with_constraints(now: Configuration, uuid: str, facts: GuestFacts | None, options: Options) -> Configuration:
    """With the domain, inactive, where a power-on took it for one that was only promised, and forgot it.

    Without `facts` nothing can be made of nothing. Raises RefusedError.
    """
    if facts is None or domain_of(now, uuid) is not None:
        return now
    bare = facts.domain.but(state=DomainState.INACTIVE, binding=None, started_at=None)
    return plan_move(now, replace(facts, domain=bare), options)


def as_bound(old: Configuration, uuid: str) -> Configuration:
    """The domain does not run."""
    domain = domain_of(old, uuid)
    return old if domain is None else old.with_domain(domain.but(state=DomainState.BOUND, started_at=None))


def has_ended(manager: Manager, uuid: str) -> bool:
    """Is its guest down, by itself or because somebody stopped it? False where the machine does not say."""
    try:
        return status_of(manager, uuid).get("state") in ENDED_STATES
    except HypervisorError:
        return False


def waits_text(waits: Mapping[str, int]) -> str:
    """How long the domain has waited for pages that followed it (`memory.presence`, what="end"), for people."""
    half, most, longest = (waits[name] / 1000 for name in ("half_ns", "most_ns", "longest_ns"))
    return (f"it waited for pages {waits['count']} times: half of them up to {half:.0f} us, "
            f"99 % up to {most:.0f} us, the longest {longest:.0f} us")


def _state(means: Means, uuid: str) -> str | None:
    """What the machine says, "" where it has no such guest; None where it says nothing."""
    try:
        return str(status_of(means.manager, uuid).get("state", ""))
    except HypervisorError:
        return None
