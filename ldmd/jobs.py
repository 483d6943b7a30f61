"""A job: one operation under way, which is what the operation gets as its context; and the book of all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from ldmd.messages import RefusedError, message
from ldmd.model import Configuration
from ldmd.operations.context import Hypervisor, Settings, SpConfigs
from ldmd.operations.migrations import Migrations, Records

if TYPE_CHECKING:
    from ldmd.manager import Manager

KEPT = 64
"""So many finished jobs are remembered."""
LINES_KEPT = 1000

OnLine = Callable[[str, Any], None]
"""Called with "say" or "warn" and the text, or "progress" and {"percent", "text", ...}, as they come."""
SECRET = ("password",)
"""Arguments that nobody is shown."""


@dataclass(frozen=True)
class Caller:
    """Who asks. `role`: "read" or "write"."""

    user: str = "local"
    role: str = "write"
    pid: int | None = None


LOCAL = Caller()


@dataclass(frozen=True)
class Outcome:
    """How an operation ended. `status`: the exit status for a command; `lines`: (kind, text) as they came."""

    status: int
    result: Any = None
    lines: tuple[tuple[str, str], ...] = ()
    error: RefusedError | None = None
    job: int = 0

    def value(self) -> Any:
        """Its result. Raises the RefusedError that ended it, with what it said on standard error as notes."""
        if self.error is None:
            return self.result
        for kind, text in self.lines:
            if kind == "warn":
                self.error.add_note(text)
        raise self.error

    @property
    def out(self) -> str:
        """What it said on standard output."""
        return "".join(f"{text}\n" for kind, text in self.lines if kind == "say")


@dataclass
class Job:
    """One operation. Implements `ldmd.operations.context.Context`."""

    manager: Manager
    id: int
    command: str
    arguments: Mapping[str, Any]
    caller: Caller
    started_at: float
    pinned: Configuration | None = None  # of an operation that reads
    on_line: OnLine | None = None
    percent: int = 0
    text: str = ""
    status: int | None = None  # None while it runs
    cancelled: bool = False
    lines: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    @property
    def configuration(self) -> Configuration:
        """What is true now; for an operation that reads, what was true when it began."""
        return self.manager.configuration if self.pinned is None else self.pinned

    @property
    def hypervisor(self) -> Hypervisor:
        """The machine."""
        return self.manager.hypervisor

    @property
    def spconfigs(self) -> SpConfigs:
        """Saved configurations."""
        return self.manager.spconfigs

    @property
    def settings(self) -> Settings:
        """What the manager keeps besides."""
        return self.manager.settings

    @property
    def rng(self) -> Random:
        """Chance."""
        return self.manager.rng

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.manager.clock.now()

    def commit(self, new: Configuration) -> None:
        """Make it true (`ldmd.committer`)."""
        if self.pinned is not None:
            raise RuntimeError(f"{self.command} is registered as an operation that only reads")
        self.manager.commit(new)

    def _line(self, kind: str, text: str) -> None:
        self.lines.append((kind, text))
        if self.on_line is not None:
            self.on_line(kind, text)

    def say(self, text: str) -> None:
        """A line for standard output."""
        self._line("say", text)

    def warn(self, text: str) -> None:
        """A line for standard error."""
        self._line("warn", text)

    def progress(self, percent: int, text: str, **details: Any) -> None:
        """How far it is."""
        self.percent, self.text = max(0, min(100, percent)), text
        row = {"percent": self.percent, "text": text, **details}
        if self.on_line is not None:
            self.on_line("progress", row)
        self.manager.publish("progress", job=self.id, command=self.command, **row)

    def emit(self, event: str, **details: Any) -> None:
        """An event for those who watch."""
        self.manager.publish(event, **details)

    @property
    def migrations(self) -> Migrations | None:
        """What moves domains; None where the manager has no peers."""
        return self.manager.migrations

    @property
    def records(self) -> Records:
        """What is kept of migrations."""
        return self.manager.records

    @property
    def user(self) -> str:
        """Who asks."""
        return self.caller.user

    def macs_elsewhere(self, macs: Collection[int]) -> frozenset[int]:
        """Those of some MAC addresses that other machines have."""
        neighbours = self.manager.neighbours
        return neighbours.taken(macs) if neighbours is not None else frozenset()

    def ports_taken(self) -> Collection[int]:
        """TCP ports of this host that somebody listens at."""
        return self.manager.listening()

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Let others go on until the condition holds or the time is over."""
        return self.manager.wait(self, condition, seconds)

    def check_cancelled(self) -> None:
        """Raise where somebody cancelled this job."""
        if self.cancelled:
            raise message("job.cancelled")

    def replies(self, request: int) -> Mapping[str, Any] | None:
        """The answer of a guest's domain services, once it has come."""
        return self.manager.replies.get(request)

    def jobs(self) -> tuple[Mapping[str, Any], ...]:
        """Operations that run now."""
        return self.manager.book.running()

    def cancel(self, job: int) -> bool:
        """Ask a running operation to stop."""
        return self.manager.cancel(job)

    def history(self, *, limit: int) -> tuple[Mapping[str, Any], ...]:
        """The last commands, oldest first."""
        return self.manager.history(limit)

    def view(self) -> dict[str, Any]:
        """Plain data for those who look."""
        arguments = {name: value for name, value in self.arguments.items() if name not in SECRET}
        return {"job": self.id, "command": self.command, "arguments": arguments, "caller": self.caller.user,
                "started_at": self.started_at, "percent": self.percent, "text": self.text, "status": self.status}


class JobBook:
    """All jobs: those that run, and the last ones that ended. From any thread."""

    def __init__(self) -> None:
        self.on_end: Callable[[Job, str], None] = lambda job, code: None
        """Told of each job that has ended, with the code of its error ("": none)."""
        self._lock = threading.Lock()
        self._last = 0
        self._running: dict[int, Job] = {}
        self._ended: deque[Job] = deque(maxlen=KEPT)

    def number(self) -> int:
        """The next job's number."""
        with self._lock:
            self._last += 1
            return self._last

    def begin(self, job: Job) -> None:
        """It runs."""
        with self._lock:
            self._running[job.id] = job

    def end(self, job: Job, code: str) -> None:
        """It ended; `code`: of its error, "" where there was none."""
        with self._lock:
            job.status = 1 if code else 0
            self._running.pop(job.id, None)
            self._ended.append(job)
        self.on_end(job, code)

    def running(self) -> tuple[dict[str, Any], ...]:
        """Those that run, oldest first."""
        with self._lock:
            return tuple(job.view() for job in self._running.values())

    def all(self) -> tuple[dict[str, Any], ...]:
        """The last ones that ended, then those that run."""
        with self._lock:
            return tuple(job.view() for job in (*self._ended, *self._running.values()))

    def find(self, number: int) -> Job | None:
        """One that runs."""
        with self._lock:
            return self._running.get(number)
