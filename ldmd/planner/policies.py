"""Resource management policies: checks, and the pure function that says how many virtual CPUs a domain shall have.

Facts: Administration Guide, "Using Dynamic Resource Management"; ldm(1M) of 3.3. What the guide leaves open and we
concluded is marked in `policy_step`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, Policy
from ldmd.planner.naming import check_name, steady_domain

DAY_SECONDS = 24 * 3600
COUNTS_LIMIT = 4096
DEFAULTS = Policy(name="")

# property -> (field, least, most); None as most: "unlimited" may be written, and means None
NUMBERS: Mapping[str, tuple[str, int, int]] = {
    "priority": ("priority", 1, 9999),
    "attack": ("attack", 1, COUNTS_LIMIT),
    "decay": ("decay", 1, COUNTS_LIMIT),
    "elastic-margin": ("elastic_margin", 0, 100),
    "sample-rate": ("sample_rate", 1, 86_400),
    "util-lower": ("util_lower", 0, 100),
    "util-upper": ("util_upper", 1, 100),
    "vcpu-min": ("vcpu_min", 1, COUNTS_LIMIT),
    "vcpu-max": ("vcpu_max", 1, COUNTS_LIMIT),
}
UNLIMITED = ("attack", "vcpu-max")
PROPERTIES = ("enable", *NUMBERS, "tod-begin", "tod-end")


# -- what a person writes


def read_property(name: str, text: str) -> tuple[str, Any]:
    """(field, value) of a property; "" is its default."""
    if name == "enable":
        if text not in ("yes", "no", ""):
            refuse("usage.choice", name=name, value=text, choices="yes, no")
        return "enable", text == "yes"
    if name in ("tod-begin", "tod-end"):
        field = name.replace("-", "_")
        return field, parse_time(text) if text else getattr(DEFAULTS, field)
    field, least, most = NUMBERS[name]
    if not text:
        return field, getattr(DEFAULTS, field)
    if name in UNLIMITED and text == "unlimited":
        return field, None
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or not least <= int(text) <= most:
        refuse("property.number", name=name, value=text, least=least, most=most)
    return field, int(text)


def parse_time(text: str) -> int:
    """Seconds since midnight of ``hh:mm`` or ``hh:mm:ss``."""
    parts = text.split(":")
    good = len(parts) in (2, 3) and all(part.isascii() and part.isdigit() and len(part) <= 2 for part in parts)
    numbers = [int(part) for part in parts] if good else [24]
    if numbers[0] > 23 or any(number > 59 for number in numbers[1:]):
        refuse("policy.time", time=text)
    return sum(number * unit for number, unit in zip(numbers, (3600, 60, 1), strict=False))


def format_time(seconds: int) -> str:
    """``hh:mm:ss``."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


# -- changes


def add_policy(configuration: Configuration, policy: Policy, *, domain: str) -> Configuration:
    """A new policy of a domain."""
    guest = steady_domain(configuration, domain)
    check_name("policy", policy.name)
    if any(each.name == policy.name for each in guest.policies):
        refuse("policy.exists", name=policy.name, domain=domain)
    _check(guest, policy)
    return configuration.with_domain(guest.but(policies=(*guest.policies, policy)))


def _check(guest: Domain, policy: Policy) -> None:
    if guest.cpus.whole_core:
        refuse("policy.whole-core", name=policy.name, domain=guest.name)
    if policy.util_lower >= policy.util_upper:
        refuse("policy.order", name=policy.name, low="util-lower", lower=policy.util_lower, high="util-upper",
               upper=policy.util_upper)  # fmt: skip
    if policy.vcpu_max is not None and policy.vcpu_min > policy.vcpu_max:
        refuse("policy.order", name=policy.name, low="vcpu-min", lower=policy.vcpu_min, high="vcpu-max",
               upper=policy.vcpu_max)  # fmt: skip
    if policy.tod_begin >= policy.tod_end:
        refuse("policy.order", name=policy.name, low="tod-begin", lower=format_time(policy.tod_begin), high="tod-end",
               upper=format_time(policy.tod_end))  # fmt: skip
    for other in guest.policies:
        together = other.tod_begin <= policy.tod_end and policy.tod_begin <= other.tod_end
        both = other.enable and policy.enable and other.name != policy.name
        if both and together and other.priority == policy.priority:
            refuse("policy.overlap", name=policy.name, other=other.name, priority=policy.priority, domain=guest.name)


def find_policy(guest: Domain, name: str) -> Policy:
    """A policy of a domain, or a refusal."""
    found = next((each for each in guest.policies if each.name == name), None)
    if found is None:
        refuse("policy.not-found", name=name, domain=guest.name)
    return found


def set_policy(configuration: Configuration, name: str, *, domain: str, changes: Mapping[str, Any]) -> Configuration:
    """Change fields of a policy."""
    guest = steady_domain(configuration, domain)
    after = replace(find_policy(guest, name), **changes)
    _check(guest, after)
    return configuration.with_domain(
        guest.but(policies=tuple(after if each.name == name else each for each in guest.policies)))  # fmt: skip


def remove_policy(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """Remove a policy."""
    guest = steady_domain(configuration, domain)
    find_policy(guest, name)
    return configuration.with_domain(
        guest.but(policies=tuple(each for each in guest.policies if each.name != name)))  # fmt: skip


# -- what they do


@dataclass(frozen=True)
class Decision:
    """What a policy wants: so many virtual CPUs."""

    policy: str
    vcpus: int


def in_force(policies: Sequence[Policy], time_of_day: int) -> Policy | None:
    """The policy that counts now: enabled, within its hours, of the lowest priority number."""
    now = [each for each in policies if each.enable and each.tod_begin <= time_of_day <= each.tod_end]
    return min(now, key=lambda each: each.priority, default=None)


def policy_step(
    policies: Sequence[Policy], samples: Sequence[float], *, vcpus: int, time_of_day: int
) -> Decision | None:
    """How many virtual CPUs the domain shall have at the end of a sample period; None: as many as it has.

    `samples`: utilization in percent of all its virtual CPUs together, taken during the period; `vcpus`: how many it
    has; `time_of_day`: seconds since midnight. Above util-upper there are added as many as bring the same load to
    util-upper, but at most `attack`; below util-lower so many are taken that the load stays elastic-margin below
    util-upper, but at most `decay` (concluded: the margin keeps a removal from being undone at once). Fewer than
    vcpu-min are brought up to it and more than vcpu-max down to it, by the same steps.
    """
    policy = in_force(policies, time_of_day)
    if policy is None or vcpus <= 0:
        return None
    wanted = vcpus
    if samples:
        util = min(100.0, max(0.0, fmean(samples)))
        if util > policy.util_upper:
            wanted = max(vcpus + 1, math.ceil(vcpus * util / policy.util_upper))
        elif util < policy.util_lower:
            ceiling = max(1.0, policy.util_upper - policy.elastic_margin)
            wanted = min(vcpus, max(1, math.ceil(vcpus * util / ceiling)))
    wanted = max(wanted, policy.vcpu_min)
    if policy.vcpu_max is not None:
        wanted = min(wanted, policy.vcpu_max)
    most = vcpus + policy.attack if policy.attack is not None else wanted
    wanted = max(min(wanted, most), vcpus - policy.decay)
    return Decision(policy.name, wanted) if wanted != vcpus else None
