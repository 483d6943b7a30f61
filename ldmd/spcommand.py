"""`sun4v power-policy`: the power management policy, which is the service processor's and not `ldm`'s."""

from __future__ import annotations

import argparse

from emulator.arguments import FAILED, OK, Parser, complain, complain_about
from emulator.errors import EmulatorError
from emulator.places import find_machine


def add_power_policy(commands: argparse._SubParsersAction[Parser]) -> dict[str, Parser]:
    """The parser of `sun4v power-policy`, by its name."""
    parser: Parser = commands.add_parser(
        "power-policy", help="show or set the power management policy of a machine",
        description="Show or set the power management policy of a machine's service processor.",
        epilog="exit status:\n  0    all is well\n  1    it could not be done\n  2    bad command line",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="a machine that is on")
    parser.add_argument("policy", metavar="POLICY", nargs="?", help="disabled, performance or elastic")
    parser.set_defaults(handler=_power_policy)
    return {"power-policy": parser}


def _power_policy(options: argparse.Namespace) -> int:
    from ldmd.messages import RefusedError  # not for every `sun4v`
    from ldmd.rpc.client import Client

    try:
        with Client(find_machine(options.name).rpc) as client:
            if options.policy is None:
                print(client.call("get-power-policy")["policy"])
            else:
                client.call("set-power-policy", {"policy": options.policy})
    except EmulatorError as error:
        return complain_about(error)
    except RefusedError as error:
        complain("\n".join(text for text in (str(error), error.cause, error.remedy) if text))
        return FAILED
    return OK
