"""What stops a Forth program: throws, and waiting for a key."""

from __future__ import annotations

from emulator.errors import EmulatorError

ABORT = -1
ABORT_TEXT = -2
STACK_OVERFLOW = -3
STACK_UNDERFLOW = -4
RETURN_OVERFLOW = -5
RETURN_UNDERFLOW = -6
DICTIONARY_FULL = -8
UNDEFINED = -13
COMPILE_ONLY = -14
UNSTRUCTURED = -22
INTERRUPT = -28
TRAP = -256
"""Code of a processor trap, which OpenBoot does not hand to ``catch``."""

DIVISION_BY_ZERO = "Division by Zero"
DATA_MISS = "Fast Data Access MMU Miss"
MISALIGNED = "Memory Address not Aligned"


class ThrowError(EmulatorError):
    """A throw: `number` is what ``catch`` gets, the message what a person sees if nobody catches it."""

    code = "forth"

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number
        self.message = message


class NeedKeyError(EmulatorError):
    """The word wants a key and there is none: try the step again when one was typed."""

    code = "forth.key"


def underflow() -> ThrowError:
    """Too few cells on the data stack."""
    return ThrowError(STACK_UNDERFLOW, "Stack Underflow")


def abort(message: str) -> ThrowError:
    """What ``abort"`` throws."""
    return ThrowError(ABORT_TEXT, message)


def undefined(name: str) -> ThrowError:
    """No such word."""
    return ThrowError(UNDEFINED, f"{name} ?")


def trap(name: str) -> ThrowError:
    """A trap of the processor while it worked for the prompt."""
    return ThrowError(TRAP, f"ERROR: Last Trap: {name}\n")


def uncaught_text(throw: ThrowError) -> str:
    """What is printed for a throw that nobody caught; "" for ``abort``."""
    if throw.number == ABORT:
        return ""
    return (throw.message or f"Error {throw.number}") + "\n"
