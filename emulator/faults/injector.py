"""What a process has armed: which rule an occasion fires, and what has fired so far.

The same plan and the same occasions fire the same rules: chance is drawn for each rule from a generator of its own.
`armed` is all that is looked at while nothing is armed.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from emulator.faults.points import BY_NAME, Place
from emulator.faults.rules import Plan, Rule

FIRINGS_KEPT = 4096


@dataclass
class _Armed:
    """A rule, and how far it is."""

    number: int
    rule: Rule
    chance: random.Random
    seen: int = 0
    fired: int = 0
    next_ms: float = 0.0
    done: set[str] = field(default_factory=set)  # domains whose instructions have come

    @property
    def spent(self) -> bool:
        """It cannot fire any more."""
        return 0 < self.rule.times <= self.fired

    def occurs(self) -> bool:
        """One more occasion: does it fire?"""
        self.seen += 1
        if self.spent or self.seen <= self.rule.after:
            return False
        return self.rule.probability >= 1 or self.chance.random() < self.rule.probability


@dataclass(frozen=True)
class Firing:
    """`ordinal` counts from 1 since the power-on; `rule` is the rule's place in the plan."""

    ordinal: int
    rule: int
    point: str
    action: str
    at_ns: int
    facts: tuple[tuple[str, object], ...]

    def plain(self) -> dict[str, Any]:
        """For events and status."""
        return {"ordinal": self.ordinal, "rule": self.rule, "point": self.point, "action": self.action,
                "at_ns": self.at_ns, "facts": dict(self.facts)}  # fmt: skip


class Injector:
    """Safe from any thread. `tell` gets each firing."""

    def __init__(self, place: Place = Place.MACHINE, *, tell: Callable[[Firing], None] = lambda firing: None,
                 clock_ns: Callable[[], int] = lambda: 0) -> None:
        self.armed = False
        self.plan = Plan()
        self.tell = tell
        self._place, self._clock_ns = place, clock_ns
        self._lock = threading.Lock()
        self._rules: list[_Armed] = []
        self._ordinal = 0
        self._digest = hashlib.sha256()
        self._firings: deque[Firing] = deque(maxlen=FIRINGS_KEPT)

    def arm(self, plan: Plan, *, fired: dict[int, int] | None = None) -> None:
        """These rules and no others, from now on; what fired of others before is no part of the record any more, unless
        there are no new ones. `fired`: how often some have fired already.
        """
        with self._lock:
            self.plan = plan
            if plan.rules:
                self._ordinal, self._digest = 0, hashlib.sha256()
                self._firings.clear()
            self._rules = [_Armed(number, rule, random.Random(f"{plan.seed} {number}"), next_ms=rule.at_ms or 0.0,
                                  fired=(fired or {}).get(number, 0))
                           for number, rule in enumerate(plan.rules) if BY_NAME[rule.point].place is self._place]
            self.armed = bool(self._rules)

    def disarm(self) -> None:
        """No rules."""
        self.arm(Plan())

    # -- occasions

    def fire(self, point: str, **facts: object) -> Rule | None:
        """An occasion of a point. The rule that fires, which has been told."""
        with self._lock:
            armed = [each for each in self._rules if each.rule.point == point and each.rule.matches(facts)]
            # each of them sees the occasion, and the first one that fires has it
            firing = next((each for each in [each for each in armed if each.occurs()]), None)
            found = None if firing is None else self._note(firing, dict(facts))
        if found is not None and firing is not None:
            self.tell(found)
            return firing.rule
        return None

    def watches(self, *points: str, **facts: object) -> bool:
        """Is there a rule that an occasion of one of these points may fire?"""
        with self._lock:
            rules = [each for each in self._rules if each.rule.point in points and not each.spent]
            return any(each.rule.matches(facts) for each in rules)

    def due(self, now_ms: float, *, domain: str | None, insns: int = 0) -> Iterator[Rule]:
        """Timed rules whose time has come, each told; of a domain that has completed so many instructions, or (None) of
        none.
        """
        for armed in tuple(self._rules):
            if not self._comes(armed, now_ms, domain, insns):
                continue
            with self._lock:
                fires = armed.occurs()
                found = self._note(armed, {} if domain is None else {"domain": domain}) if fires else None
            if found is not None:
                self.tell(found)
                yield armed.rule

    @staticmethod
    def _comes(armed: _Armed, now_ms: float, domain: str | None, insns: int) -> bool:
        rule, point = armed.rule, BY_NAME[armed.rule.point]
        if not point.timed or armed.spent or ("domain" in point.selects) != (domain is not None):
            return False
        if domain is not None and not fnmatchcase(domain, dict(rule.select).get("domain", "*")):
            return False
        if rule.at_insns is not None:
            if insns < rule.at_insns or domain in armed.done:
                return False
            armed.done.add(domain or "")
            return True
        if now_ms < armed.next_ms:
            return False
        armed.next_ms = now_ms + rule.every_ms if rule.every_ms else float("inf")
        return True

    def next_ms(self) -> float | None:
        """When the next timed rule is due; None: there is none."""
        with self._lock:
            times = [each.next_ms for each in self._rules
                     if BY_NAME[each.rule.point].timed and not each.spent and each.rule.at_insns is None]
        return min((each for each in times if each != float("inf")), default=None)

    def _note(self, armed: _Armed, facts: dict[str, Any]) -> Firing:
        armed.fired += 1
        return self.note(armed.number, armed.rule, facts)

    def note(self, number: int, rule: Rule, facts: dict[str, Any]) -> Firing:
        """A firing, here or in another process of the machine."""
        self._ordinal += 1
        firing = Firing(self._ordinal, number, rule.point, rule.action, self._clock_ns(), tuple(sorted(facts.items())))
        self._firings.append(firing)
        self._digest.update(f"{firing}\n".encode())
        return firing

    # -- what was

    def status(self) -> dict[str, Any]:
        """The plan, and what has fired of it; `digest` is over all its firings."""
        with self._lock:
            firings = [each.plain() for each in self._firings]
            return {"plan": self.plan.plain(), "count": self._ordinal, "digest": self._digest.hexdigest(),
                    "firings": firings[-256:]}  # fmt: skip

    def counts(self) -> dict[int, int]:
        """How often each rule has fired, of those firings that are kept."""
        with self._lock:
            out: dict[int, int] = {}
            for each in self._firings:
                out[each.rule] = out.get(each.rule, 0) + 1
            return out
