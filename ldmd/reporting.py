"""How commands of `sun4v` that go through managers end: errors as lines on standard error, and an exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from emulator.arguments import FAILED, OK, complain, complain_about
from emulator.errors import EmulatorError

__all__ = ["FAILED", "OK", "STATUS", "reporting"]
STATUS = "exit status:\n  0    all is well\n  1    it could not be done\n  2    bad command line"
Action = Callable[[argparse.Namespace], int]


def reporting(action: Action) -> Action:
    """The handler of a command. A refusal, of a manager or a machine, is FAILED; other errors: `complain_about`."""

    def handler(options: argparse.Namespace) -> int:
        from ldmd.messages import RefusedError  # not for every `sun4v`
        from ldmd.operations.context import HypervisorError

        try:
            return action(options)
        except RefusedError as error:
            complain("\n".join(text for text in (str(error), error.cause, error.remedy) if text))
            return FAILED
        except HypervisorError as error:
            complain(str(error))
            return FAILED
        except EmulatorError as error:
            return complain_about(error)

    return handler
