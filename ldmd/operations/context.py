"""What an operation gets from the manager: the configuration, the machine, the user's screen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Any, Protocol

from ldmd.model import Configuration
from ldmd.operations.migrations import Migrations, Records


class HypervisorError(Exception):
    """The machine refused a request, or is not there. `code` is the machine's, or "unreachable" or "timeout"."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Hypervisor(Protocol):
    """The machine, through hvctl. Everything that `Context.commit` does for an operation is not its own to do."""

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request of `emulator/hvctl/protocol.md`; its result. Raises HypervisorError."""


class SpConfigs(Protocol):
    """The configurations saved on the service processor. "factory-default" is always there and never saved."""

    def names(self, *, autosave: bool = False) -> tuple[str, ...]:
        """In the order they were saved, without "factory-default"."""

    def load(self, name: str, *, autosave: bool = False) -> Configuration | None:
        """One of them; "factory-default" too. None where there is none of that name. Raises RefusedError if damaged."""

    def save(self, name: str, configuration: Configuration, *, autosave: bool = False) -> None:
        """Add or replace one, durably."""

    def remove(self, name: str, *, autosave: bool = False) -> None:
        """Remove one; nothing happens where it is not there."""


class Settings(Protocol):
    """Small values of the manager that are no part of the configuration: log levels, limits. Plain data by name."""

    def get(self, name: str) -> Any:
        """A value, or None."""

    def put(self, name: str, value: Any) -> None:
        """Keep a value, durably."""


class Context(Protocol):
    """The manager as an operation sees it. While an operation that writes runs, no other one does."""

    @property
    def configuration(self) -> Configuration:
        """What is true now. `commit` changes it; so may `wait`. An operation that reads keeps the one it began with."""

    @property
    def hypervisor(self) -> Hypervisor:
        """The machine."""

    @property
    def spconfigs(self) -> SpConfigs:
        """Saved configurations."""

    @property
    def settings(self) -> Settings:
        """What the manager keeps besides."""

    @property
    def rng(self) -> Random:
        """Chance: MAC addresses, uuids."""

    @property
    def migrations(self) -> Migrations | None:
        """What moves domains; None where the manager has no peers."""

    @property
    def records(self) -> Records:
        """What is kept of migrations."""

    @property
    def user(self) -> str:
        """Who asks."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def commit(self, new: Configuration) -> None:
        """Make it true: written to the store, then carried out on the machine, then acknowledged.

        The machine becomes what `new` says (`ldmd.planner.guestspec`): a domain with a binding is a guest with that
        binding's strands, memory and devices; one without is none. A guest that `new` has in a state that runs
        (starting, active, stopping, suspended) and that did not run before is started; one that ran and shall not is
        stopped at once. An orderly shutdown, a panic and dynamic reconfiguration of what the guest's OS holds are
        asked of the guest first, by the operation, through `hypervisor`. Raises RefusedError where the machine cannot;
        then nothing was changed.
        """

    def say(self, text: str) -> None:
        """A line for the user's standard output, now ("LDom ldg1 started")."""

    def warn(self, text: str) -> None:
        """A line for the user's standard error, now."""

    def progress(self, percent: int, text: str, **details: Any) -> None:
        """How far it is; for a terminal, and for `ldm monitor`. `details`: plain data for programs."""

    def emit(self, event: str, **details: Any) -> None:
        """An event for those who watch (`ldm monitor`, the XML interface): "bind-domain", domain=name."""

    def macs_elsewhere(self, macs: Collection[int]) -> frozenset[int]:
        """Those of some MAC addresses that other machines answer for (`ldmd.macprobe`); takes up to a second."""

    def ports_taken(self) -> Collection[int]:
        """TCP ports of this host that somebody listens at (`ldmd.hostports`): also those of this server's consoles."""

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Let others go on until the condition holds or the time is over; returns whether it holds.

        It is looked at after every event of the machine. The configuration may be another one afterwards. Raises
        RefusedError "job.cancelled" where somebody cancelled this job: clean up, and let it pass.
        """

    def replies(self, request: int) -> Mapping[str, Any] | None:
        """The machine's "guest.reply" to a request of domain services (shutdown, panic, DR), once it has come."""

    def jobs(self) -> tuple[Mapping[str, Any], ...]:
        """Operations that run now: {"job", "command", "arguments", "caller", "percent", "text"}."""

    def cancel(self, job: int) -> bool:
        """Ask a running operation to stop at its next `wait`; False where no such one runs."""

    def history(self, *, limit: int) -> tuple[Mapping[str, Any], ...]:
        """The last commands, oldest first: {"time", "caller", "line", "status", "text"}."""
