"""The requests of hvctl that lead the machine from one configuration to another, in an order that is safe.

What is given back comes before what is taken: guests stop and go, guests that shrink, then guests that grow or are
new, then those that start. Each request knows the requests that take it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ldmd.model import Configuration, Domain
from ldmd.planner.guestspec import Spec, digest, guest_spec, is_serving, runs, service_spec

CONTROL = 0
"""Number of the control domain."""


@dataclass(frozen=True)
class Request:
    """One request. `back`: what undoes it, in order. None: nothing does (a guest that was stopped is gone)."""

    op: str
    arguments: dict[str, Any]
    back: tuple[tuple[str, dict[str, Any]], ...] | None = field(default=(), compare=False)


@dataclass(frozen=True)
class Guest:
    """What the machine has, or shall have, of one guest."""

    spec: Spec | None  # None: it has one, but not known which
    running: bool
    generation: int


@dataclass(frozen=True)
class Picture:
    """All of a machine that the manager decides about."""

    guests: dict[int, Guest]
    services: Spec | None  # None: not known


def picture(configuration: Configuration, known: tuple[Configuration, Picture] | None = None) -> Picture:
    """The machine as a configuration has it.

    `known`: the picture of an earlier one; specs of domains that are the same there are taken from it, so that a change
    of one domain among a hundred costs one spec.
    """
    old = known[0] if known is not None else None
    same = {}
    if known is not None and old is not None and _offered(old) == _offered(configuration):
        same = {domain.binding.id: domain for domain in old.domains if domain.binding is not None}
    guests = {}
    for domain in configuration.domains:
        if domain.binding is None:
            continue
        number = domain.binding.id
        if known is not None and same.get(number) is domain:
            guests[number] = known[1].guests[number]
        else:
            spec = guest_spec(configuration, domain)
            guests[number] = Guest(spec, runs(domain), spec["generation"])
    return Picture(guests, service_spec(configuration))


def _offered(configuration: Configuration) -> object:
    """What a domain's spec depends on besides the domain: the server, and services, and who has them and serves."""
    return configuration.server, [
        (domain.name, is_serving(domain), domain.disk_servers, domain.switches)
        for domain in configuration.domains if domain.disk_servers or domain.switches]


def observed(statuses: list[dict[str, Any]]) -> Picture:
    """The machine as it says it is (`guest.list`). The control domain is never started nor stopped by us."""
    return Picture(
        {int(each["guest"]): Guest(
            None, each["guest"] != CONTROL and each["state"] in ("running", "suspended"),
            int(each.get("generation") or 0)) for each in statuses},
        None)


def requests(now: Picture, wanted: Picture) -> tuple[Request, ...]:
    """From one picture to the other."""
    both = [number for number in wanted.guests if number in now.guests]
    # a number that is taken over by another domain is a new guest
    replaced = {number for number in both if not _same_domain(now.guests[number], wanted.guests[number])}
    gone = [number for number in now.guests if number not in wanted.guests or number in replaced]
    out: list[Request] = []
    for number in now.guests:
        if now.guests[number].running and (number in gone or not wanted.guests[number].running):
            out.append(Request("guest.stop", {"guest": number}, None))
    out += [_destroy(number, now.guests[number]) for number in gone if number != CONTROL]
    services = _services(now.services, wanted.services)
    out += services[:1]
    changed = [number for number in wanted.guests
               if number not in now.guests or number in replaced
               or now.guests[number].generation != wanted.guests[number].generation]
    changed.sort(key=lambda number: (not _shrinks(now.guests.get(number), wanted.guests[number]), number))
    for number in changed:
        out += _configure(number, None if number in replaced else now.guests.get(number), wanted.guests[number])
    out += services[1:]
    for number, guest in wanted.guests.items():
        if guest.running and (number in gone or number not in now.guests or not now.guests[number].running):
            out.append(Request("guest.start", {"guest": number}, (("guest.stop", {"guest": number}),)))
    return tuple(out)


def _same_domain(now: Guest, wanted: Guest) -> bool:
    return now.spec is None or wanted.spec is None or now.spec["uuid"] == wanted.spec["uuid"]


def _destroy(number: int, guest: Guest) -> Request:
    back = None if guest.spec is None else (("guest.configure", {"spec": guest.spec}),)
    return Request("guest.destroy", {"guest": number}, back)


def _services(now: Spec | None, wanted: Spec | None) -> list[Request]:
    """[before the guests change, after]: first nothing is taken away, then it is."""
    if wanted is None or (now is not None and digest(now) == digest(wanted)):
        return []
    if now is None:
        return [Request("service.configure", wanted)]
    names = {switch["name"] for switch in wanted["switches"]}
    left = [switch for switch in now["switches"] if switch["name"] not in names]
    first = {"switches": wanted["switches"] + left}
    back = (("service.configure", now),)
    out = [Request("service.configure", first, back)]
    return [*out, Request("service.configure", wanted, (("service.configure", first),))] if left else out


def _strands_and_memory(spec: Spec) -> set[tuple[int, ...]]:
    return {(pid,) for _, pid in spec["vcpus"]} | {(pa, size) for _, pa, size in spec["memory"]}


def _shrinks(now: Guest | None, wanted: Guest) -> bool:
    """True where the guest gives something back."""
    if now is None or now.spec is None or wanted.spec is None:
        return False
    return bool(_strands_and_memory(now.spec) - _strands_and_memory(wanted.spec))


def _configure(number: int, now: Guest | None, wanted: Guest) -> list[Request]:
    """One guest, made or changed; variables of one that runs go into its firmware's store as well."""
    back: tuple[tuple[str, dict[str, Any]], ...] | None
    if now is None:
        back = () if number == CONTROL else (("guest.destroy", {"guest": number}),)
    else:
        back = None if now.spec is None else (("guest.configure", {"spec": now.spec}),)
    out = [Request("guest.configure", {"spec": wanted.spec}, back)]
    if now is not None and now.running and now.spec is not None and wanted.spec is not None:
        old, new = now.spec["variables"], wanted.spec["variables"]
        if old != new:
            out.append(Request("guest.set_variables", _variables(number, old, new),
                               (("guest.set_variables", _variables(number, new, old)),)))
    return out


def _variables(number: int, old: dict[str, str], new: dict[str, str]) -> dict[str, Any]:
    return {"guest": number, "set": {name: value for name, value in new.items() if old.get(name) != value},
            "remove": [name for name in old if name not in new]}


def find(configuration: Configuration, guest: int) -> Domain | None:
    """The domain of a guest of the machine."""
    return next((each for each in configuration.domains if each.binding is not None and each.binding.id == guest), None)
