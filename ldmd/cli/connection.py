"""Which manager a command is for, and the way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from emulator.places import PlaceError, find_machine, machine_names
from ldmd.messages import RefusedError, message
from ldmd.rpc.client import Client

OnLine = Callable[[str, Any], None]


class Connection(Protocol):
    """A manager that carries out commands."""

    def call(self, command: str, arguments: Mapping[str, Any] | None = None, *, on_line: OnLine | None = None,
             line: str = "") -> Any:
        """The result of a command. Raises RefusedError."""

    def watch(self) -> Iterator[Mapping[str, Any]]:
        """Events as they happen."""

    def close(self) -> None:
        """No more commands."""


Connect = Callable[[str | None], Connection]
"""From a machine's name, or None, to its manager. Raises RefusedError."""


def connect(machine: str | None) -> Connection:
    """The manager of the machine of that name, else of $SUN4V_MACHINE, else of the only one that is on."""
    try:
        place = find_machine(machine)
    except PlaceError as error:
        raise RefusedError(error.code, str(error)) from None
    try:
        return Client(place.rpc)
    except RefusedError as refused:
        if place.on:
            raise
        code = "rpc.machine-off" if place.state.exists() else "rpc.no-machine"
        problem = refused.text.rpartition(": ")[2]
        there = ", ".join(machine_names()) or "none"
        raise message(code, problem=problem, machine=place.name, machines=there) from refused
