"""How commands of `sun4v` that go through managers end: errors as lines on standard error, and an exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from emulator.arguments import EXIT_USAGE, complain
from emulator.errors import EmulatorError

OK, FAILED = 0, 1
STATUS = "exit status:\n  0    all is well\n  1    it could not be done\n  2    bad command line"
Action = Callable[[argparse.Namespace], int]


def reporting(action: Action, *, failures: bool = False) -> Action:
    """The handler of a command.

    A refusal, of a manager or a machine, is FAILED; an error that tells several `problems`, of a file, is EXIT_USAGE.
    Any other error of the emulator is what its `exit_status` says, else EXIT_USAGE; with `failures` FAILED.
    """

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
            problems = getattr(error, "problems", None)
            for problem in problems or (str(error),):
                complain(problem)
            status: int = getattr(error, "exit_status", FAILED if failures else EXIT_USAGE)
            return EXIT_USAGE if problems else status

    return handler
