"""`sun4v power-policy`: the power management policy, which is the service processor's and not `ldm`'s."""

from __future__ import annotations

import argparse

from emulator.arguments import Parser
from emulator.places import find_machine
from ldmd.planner import power
from ldmd.reporting import OK, STATUS, reporting

POLICIES = power.POWER_POLICIES
"""Words of `sun4v power-policy`."""


def add_power_policy(commands: argparse._SubParsersAction[Parser]) -> dict[str, Parser]:
    """The parser of `sun4v power-policy`, by its name."""
    parser: Parser = commands.add_parser(
        "power-policy", help="show or set the power management policy of a machine",
        description="Show or set the power management policy of a machine's service processor.",
        epilog=STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="a machine that is on")
    parser.add_argument("policy", metavar="POLICY", nargs="?", help=f"{', '.join(POLICIES[:-1])} or {POLICIES[-1]}")
    parser.set_defaults(handler=reporting(_power_policy))
    return {"power-policy": parser}


def _power_policy(options: argparse.Namespace) -> int:
    from ldmd.rpc.client import Client  # not for every `sun4v`

    with Client(find_machine(options.name).rpc) as client:
        if options.policy is None:
            print(client.call("get-power-policy")["policy"])
        else:
            client.call("set-power-policy", {"policy": options.policy})
    return OK
