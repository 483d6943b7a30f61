"""The table of operations by the name of their sub-command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context

Function = Callable[[Context, Arguments], Any]


@dataclass(frozen=True)
class Operation:
    """`write`: it needs the authorization to write, and has the configuration for itself while it runs.

    `tied`: it is cancelled when the client that asked for it is gone.
    """

    name: str
    function: Function
    write: bool
    tied: bool = False


OPERATIONS: dict[str, Operation] = {}


def operation(name: str, *, write: bool = True, tied: bool = False) -> Callable[[Function], Function]:
    """Decorator: register the function that carries out a sub-command, by its full name (``add-vdisk``)."""

    def register(function: Function) -> Function:
        if name in OPERATIONS:
            raise ValueError(f"{name} is registered twice")
        OPERATIONS[name] = Operation(name, function, write, tied)
        return function

    return register
