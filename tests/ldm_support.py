"""`ldm` against a manager in memory: the client's own code, without a process or a socket between."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ldmd.cli.main import run
from ldmd.cli.screen import Screen
from ldmd.manager import Manager


class InMemory:
    """A connection to a manager in this process."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.closed = 0

    def call(self, command: str, arguments: Mapping[str, Any] | None = None, *, on_line: Any = None,
             line: str = "") -> Any:
        outcome = self.manager.execute(command, dict(arguments or {}), line=line, on_line=on_line)
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def watch(self) -> Iterator[Mapping[str, Any]]:
        events: list[Mapping[str, Any]] = []
        self.manager.watch(events.append)
        yield from events

    def close(self) -> None:
        self.closed += 1


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def ldm(manager: Manager, line: str) -> Done:
    """Type a line (without the word `ldm`)."""
    out, err = io.StringIO(), io.StringIO()
    status = run(shlex.split(line), screen=Screen(out, err), reach=lambda _machine: InMemory(manager))
    return Done(status, out.getvalue(), err.getvalue())


def ldm_ok(manager: Manager, line: str) -> str:
    """Standard output of a line that must succeed and complain of nothing."""
    done = ldm(manager, line)
    assert (done.status, done.err) == (0, ""), f"ldm {line}: {done}"
    return done.out
