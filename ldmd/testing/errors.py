"""What a test hears where something did not come as it was expected. Each of them makes a test fail."""

from __future__ import annotations

from emulator.errors import EmulatorError


class ExpectError(EmulatorError):
    """What was awaited did not come within its virtual time."""

    code = "testing.expect"


class BudgetError(EmulatorError):
    """The guests have completed more instructions than the test allows."""

    code = "testing.budget"


class SetupError(EmulatorError):
    """A test asks for what cannot be made."""

    code = "testing.setup"


class CommandError(EmulatorError):
    """A command of `ldm` failed. `status`, `out` and `err` are what a shell would have seen."""

    code = "testing.command"

    def __init__(self, line: str, *, status: int, out: str, err: str) -> None:
        super().__init__(f"ldm {line}: status {status}\n{err or out}".rstrip())
        self.status, self.out, self.err = status, out, err


class RefusedMoveError(EmulatorError):
    """A migration was refused or failed. `problems`: the lines that a person reads."""

    code = "testing.migration"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
