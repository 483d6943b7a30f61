"""add-domain, set-domain, remove-domain (ldm(1M) of 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from ldmd.messages import refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.macs import check_given, claim_macs
from ldmd.operations.registry import operation
from ldmd.operations.targets import begun, check_not_frozen, target
from ldmd.operations.xmldomains import add_from_xml, properties_from_xml
from ldmd.planner import domains
from ldmd.planner.channels import settle
from ldmd.planner.macs import parse_mac
from ldmd.planner.properties import PROPERTIES

NOT_PROPERTIES = frozenset({"domain", "domains", "all", "xml"})


def properties_of(arguments: Arguments) -> dict[str, str]:
    """The properties among the arguments, in the order in which they are applied; unknown ones last."""
    given = [name for name in arguments.names if name not in NOT_PROPERTIES]
    given.sort(key=lambda name: list(PROPERTIES).index(name) if name in PROPERTIES else len(PROPERTIES))
    return {name: arguments.optional(name) or "" for name in given}


def _ask_others(context: Context, values: Mapping[str, str], now: int | None = None) -> None:
    """A MAC address given by hand must be nobody else's on the network either; `now`: what the domain has."""
    if "mac-addr" in values:
        check_given(context, context.configuration, parse_mac(values["mac-addr"]), now=now)


@operation("add-domain")
def add_domain(context: Context, arguments: Arguments) -> Any:
    """`add-domain name...`, or one name with properties."""
    check_not_frozen(context)
    if "xml" in arguments:
        add_from_xml(context, arguments.document("xml"))
        return
    names, values = arguments.texts("domains"), properties_of(arguments)
    domains.add(context.configuration, names, values, rng=Random(0))  # what is wrong is said before others are asked
    _ask_others(context, values)
    claimed = () if "mac-addr" in values else claim_macs(context, len(names))
    context.commit(domains.add(context.configuration, names, values, rng=context.rng, claimed=claimed))
    for name in names:
        context.emit("add-domain", domain=name)


@operation("set-domain")
def set_domain(context: Context, arguments: Arguments) -> Any:
    """`set-domain property=value... name`."""
    if "xml" in arguments:
        name, values = properties_from_xml(context, arguments.document("xml"))
    else:
        name, values = arguments.text("domain"), properties_of(arguments)
    domain = target(context, name)
    if not values and "xml" in arguments:
        return  # it is as the document says
    if not values:
        refuse("usage.missing", name="a property")
    domains.change(context.configuration, name, values)
    _ask_others(context, values, domain.mac)
    new, begins = domains.change(context.configuration, name, values)
    context.commit(new)
    if begins:
        begun(context, name)
    context.emit("set-domain", domain=name)


@operation("remove-domain")
def remove_domain(context: Context, arguments: Arguments) -> Any:
    """`remove-domain name...`, or all inactive ones with -a."""
    check_not_frozen(context)
    everything = arguments.flag("all")
    names = domains.removable(context.configuration) if everything else arguments.texts("domains")
    if everything and not names:
        return
    context.commit(settle(domains.remove(context.configuration, names)))
    for name in names:
        context.emit("remove-domain", domain=name)
