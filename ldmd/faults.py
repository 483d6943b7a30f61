"""Faults in the manager's own process: what is armed at the machine is asked of it, what fires is told to it.

The machine keeps the plan and numbers all firings; a manager that was killed by a rule and started again does not fire
it once more.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.faults.injector import Firing, Injector
from emulator.faults.points import Place
from emulator.faults.rules import FaultsError, Rule, parse_plan
from ldmd.operations.context import HypervisorError

if TYPE_CHECKING:
    from ldmd.migrator.attempt import Attempt
    from ldmd.migrator.worker import Worker

Call = Callable[..., Any]


def end_at_once() -> None:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)


class ManagerFaults:
    """`call` asks the machine. From any thread; nothing of it raises."""

    def __init__(self, call: Call, *, kill: Callable[[], None] = end_at_once) -> None:
        self._call, self._kill = call, kill
        self.injector = Injector(Place.MANAGER, tell=self._tell)

    def refresh(self) -> None:
        """What is armed by now. An older machine knows nothing of faults."""
        try:
            status = self._call("faults.status")
            fired: dict[int, int] = {}
            for row in status["firings"]:
                fired[row["rule"]] = fired.get(row["rule"], 0) + 1
            self.injector.arm(parse_plan(status["plan"]), fired=fired)
        except (HypervisorError, FaultsError, KeyError, TypeError):
            self.injector.disarm()

    def _tell(self, firing: Firing) -> None:
        try:
            self._call("faults.note", rule=firing.rule, facts=dict(firing.facts))
        except HypervisorError:
            return  # the machine has gone: nobody is left to be told

    # -- points

    def step(self, name: str) -> None:
        """A named step of the manager's work begins."""
        if not self.injector.armed:
            return
        rule = self.injector.fire("manager", step=name)
        if rule is None:
            return
        if rule.action == "kill":
            self._kill()
        else:
            time.sleep(rule.value("ms") / 1000)

    def worker(self, side: str, event: str, phase: str, worker: Worker) -> None:
        """A worker has told an event."""
        rule = self.injector.fire("worker", side=side, event=event, phase=phase) if self.injector.armed else None
        if rule is None:
            return
        if rule.action == "kill":
            worker.fail()
        else:
            worker.stall(rule.value("ms") / 1000)

    def outgoing(self, attempt: Attempt, kind: str, body: bytes) -> list[bytes]:
        """A message that is to be sent: what goes out in its place."""
        rule = self._message(attempt, "send", kind)
        if rule is None or rule.action == "delay":
            return [body]
        match rule.action:
            case "duplicate":
                return [body, body]
            case "corrupt":
                return [bytes([body[0] ^ 1]) + body[1:]]
            case "cut":
                attempt.cut_links()
        return []

    def incoming(self, attempt: Attempt, kind: str) -> int:
        """A message that has come: how often it is taken up."""
        rule = self._message(attempt, "receive", kind)
        if rule is None or rule.action in ("delay", "corrupt"):
            return 1
        if rule.action == "cut":
            attempt.cut_links()
        return 2 if rule.action == "duplicate" else 0

    def _message(self, attempt: Attempt, direction: str, kind: str) -> Rule | None:
        if not self.injector.armed:
            return None
        rule = self.injector.fire("migration.message", side=attempt.side, direction=direction, kind=kind.lower(),
                                  phase=attempt.state.phase.name.lower())
        if rule is not None and rule.action == "delay":
            time.sleep(rule.value("ms") / 1000)
        return rule
