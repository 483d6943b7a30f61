"""What an operation gets from the manager: the configuration, the machine, the user's screen."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from ldmd.model import Configuration


class Hypervisor(Protocol):
    """The machine, through hvctl. Everything that `Context.commit` does for an operation is not its own to do."""

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request of `emulator/hvctl/protocol.md`; its result. Raises HypervisorError."""


class Context(Protocol):
    """The manager as an operation sees it. While an operation that writes runs, no other one does."""

    @property
    def configuration(self) -> Configuration:
        """What is true now. `commit` changes it; so may `wait`."""

    @property
    def hypervisor(self) -> Hypervisor:
        """The machine."""

    @property
    def rng(self) -> Random:
        """Chance: MAC addresses, uuids."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def commit(self, new: Configuration) -> None:
        """Make it true: written to the store, then carried out on the machine, then acknowledged.

        The machine's guests, devices and services become what `new` says (`ldmd.planner.guestspec`). Raises
        RefusedError where the machine cannot; then nothing was changed.
        """

    def say(self, text: str) -> None:
        """A line for the user's standard output, now ("LDom ldg1 started")."""

    def warn(self, text: str) -> None:
        """A line for the user's standard error, now."""

    def progress(self, percent: int, text: str) -> None:
        """How far it is; for a terminal, and for `ldm monitor`."""

    def emit(self, event: str, **details: Any) -> None:
        """An event for those who watch (`ldm monitor`, the XML interface): "bind-domain", domain=name."""

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Let others go on until the condition holds or the time is over; returns whether it holds.

        It is looked at after every event of the machine. The configuration may be another one afterwards.
        """
