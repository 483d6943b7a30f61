"""Faults in the manager's own process: what is armed at the machine is asked of it, what fires is told to it.

The machine keeps the plan and numbers all firings; a manager that was killed by a rule and started again does not fire
it once more.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from emulator.faults.injector import Firing, Injector
from emulator.faults.points import BY_NAME, Place
from emulator.faults.rules import FaultsError, Rule, parse_plan
from ldmd.operations.context import HypervisorError

if TYPE_CHECKING:
    from ldmd.migrator.attempt import Attempt
    from ldmd.migrator.worker import Worker

Call = Callable[..., Any]


def end_at_once() -> None:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def _fired(status: Mapping[str, Any]) -> dict[int, int]:
    fired: dict[int, int] = {}
    for row in status["firings"]:
        fired[row["rule"]] = fired.get(row["rule"], 0) + 1
    return fired


class ManagerFaults:
    """`call` asks the machine. From any thread; nothing of it raises."""

    def __init__(self, call: Call, *, kill: Callable[[], None] = end_at_once) -> None:
        self._call, self._kill = call, kill
        self.injector = Injector(Place.MANAGER, tell=self._tell)

    def refresh(self) -> None:
        """What is armed by now. An older machine knows nothing of faults."""
        try:
            status = self._call("faults.status")
            self.injector.arm(parse_plan(status["plan"]), fired=_fired(status))
        except (HypervisorError, FaultsError, KeyError, TypeError):
            self.injector.disarm()

    def _tell(self, firing: Firing) -> None:
        self._note(firing.rule, dict(firing.facts))

    def _note(self, rule: int, facts: dict[str, Any]) -> None:
        try:
            self._call("faults.note", rule=rule, facts=facts)
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

    def of_worker(self) -> dict[str, Any]:
        """Options of a worker: the rules that are about what it sends, and how often they have fired."""
        try:
            status = self._call("faults.status")
            if not any(BY_NAME[row["point"]].place is Place.WORKER for row in status["plan"]["fault"]):
                return {}
            return {"faults": status["plan"], "fired": [list(pair) for pair in _fired(status).items()]}
        except (HypervisorError, KeyError, TypeError):
            return {}

    def told(self, event: Mapping[str, Any]) -> None:
        """A rule has fired in a worker."""
        rule, facts = event.get("rule"), event.get("facts")
        if isinstance(rule, int) and isinstance(facts, Mapping):
            self._note(rule, dict(facts))

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
