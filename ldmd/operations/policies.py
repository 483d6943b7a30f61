"""add-policy, set-policy, remove-policy (ldm(1M) of 3.3), and the power-management policy of the service processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration, Policy
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.registry import operation
from ldmd.operations.targets import target
from ldmd.planner import policies, power
from ldmd.planner.delayed import change
from ldmd.planner.naming import find_domain

POWER_SETTING = "power-policy"


def _fields(arguments: Arguments) -> dict[str, Any]:
    """Fields of the policy for the properties that were given."""
    given = {name: arguments.optional(name) for name in policies.PROPERTIES}
    return dict(policies.read_property(name, text) for name, text in given.items() if text is not None)


def _domains(context: Context, arguments: Arguments) -> list[str]:
    names = list(dict.fromkeys(arguments.texts("domains")))
    if not names:
        refuse("usage.missing", name="domain-name")
    for name in names:
        find_domain(context.configuration, name)
    return names


@operation("add-policy")
def add_policy(context: Context, arguments: Arguments) -> None:
    """name, domains + properties: to all the domains, or to none."""
    policy = Policy(name=arguments.text("name"), **_fields(arguments))

    def plan(now: Configuration, domain: str) -> Configuration:
        return policies.add_policy(now, policy, domain=domain)

    _each(context, _domains(context, arguments), plan)


def _each(context: Context, domains: list[str], plan: Callable[[Configuration, str], Configuration]) -> None:
    """A plan for each domain, in one commit."""
    configuration = context.configuration
    for name in domains:
        target(context, name)
        configuration = change(configuration, name, partial(_flipped, plan, name))
    context.commit(configuration)


def _flipped(plan: Callable[[Configuration, str], Configuration], name: str, now: Configuration) -> Configuration:
    return plan(now, name)


@operation("set-policy")
def set_policy(context: Context, arguments: Arguments) -> None:
    """name, domains + properties."""
    name, changes = arguments.text("name"), _fields(arguments)
    if not changes:
        refuse("property.needed", choices=", ".join(f"{each}=" for each in policies.PROPERTIES))
    _each(context, _domains(context, arguments),
          lambda now, domain: policies.set_policy(now, name, domain=domain, changes=changes))  # fmt: skip


@operation("remove-policy")
def remove_policy(context: Context, arguments: Arguments) -> None:
    """names, domain."""
    domain = arguments.text("domain")
    names = [each.removeprefix("name=") for each in arguments.texts("names")]
    if not names:
        refuse("usage.missing", name="policy-name")

    def plan(now: Configuration, domain: str) -> Configuration:
        for name in names:
            now = policies.remove_policy(now, name, domain=domain)
        return now

    _each(context, [domain], plan)


@operation("set-power-policy")
def set_power_policy(context: Context, arguments: Arguments) -> None:
    """policy: disabled, performance or elastic. The machine's power cord is not touched by it: live migration works."""
    policy = arguments.choice("policy", *power.POWER_POLICIES)
    if policy is None:
        refuse("usage.missing", name="policy")
    context.settings.put(POWER_SETTING, policy)


@operation("get-power-policy", write=False)
def get_power_policy(context: Context, arguments: Arguments) -> Any:
    """{"policy": word, "choices": [word]}."""
    kept = context.settings.get(POWER_SETTING)
    policy = kept if kept in power.POWER_POLICIES else power.POWER_DEFAULT
    return {"policy": policy, "choices": list(power.POWER_POLICIES)}
