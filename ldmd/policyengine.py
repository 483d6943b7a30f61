"""Resource management at work: takes samples of the guests and has virtual CPUs added or removed.

Nothing here looks at a clock or starts a thread: whoever runs the manager calls `tick` about once a second, with the
time. What is decided is carried out by the operation set-vcpu, as if a person had typed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ldmd.model import Configuration, Domain, State
from ldmd.planner.policies import DAY_SECONDS, in_force, policy_step

SAMPLES_KEPT = 1024


@dataclass
class _Period:
    """What was seen of a domain since its last decision."""

    began: float
    samples: list[float] = field(default_factory=list)


class PolicyEngine:
    """`statuses`: what guest.list gives; `execute`: a command and its arguments; `zone_seconds`: local time's, east."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        statuses: Callable[[], Sequence[Mapping[str, Any]]],
        execute: Callable[[str, Mapping[str, Any]], Any],
        *,
        zone_seconds: Callable[[float], int] = lambda now: 0,
    ) -> None:
        self._configuration, self._statuses, self._execute = configuration, statuses, execute
        self._zone_seconds = zone_seconds
        self._periods: dict[str, _Period] = {}

    def tick(self, now: float) -> None:
        """Take a sample of each domain that a policy is in force for; where its period is over, act."""
        time_of_day = int(now + self._zone_seconds(now)) % DAY_SECONDS
        managed = [domain for domain in self._configuration().guests
                   if domain.state is State.ACTIVE and domain.binding is not None
                   and in_force(domain.policies, time_of_day) is not None]  # fmt: skip
        self._periods = {domain.name: self._periods.get(domain.name) or _Period(now) for domain in managed}
        if not managed:
            return
        seen = {status["guest"]: status for status in self._statuses()}
        for domain in managed:
            self._sample(domain, seen.get(domain.binding.id if domain.binding else -1), now, time_of_day)

    def _sample(self, domain: Domain, status: Mapping[str, Any] | None, now: float, time_of_day: int) -> None:
        period, policy = self._periods[domain.name], in_force(domain.policies, time_of_day)
        utils = [float(each["util"]) for each in (status or {}).get("vcpus", ())]
        if utils:
            period.samples = [*period.samples, fmean(utils)][-SAMPLES_KEPT:]
        if policy is None or now - period.began < policy.sample_rate:
            return
        self._periods[domain.name] = _Period(now)
        vcpus = len(domain.binding.vcpus) if domain.binding else 0
        decision = policy_step(domain.policies, period.samples, vcpus=vcpus, time_of_day=time_of_day)
        if decision is not None:
            self._execute("set-vcpu", {"count": str(decision.vcpus), "domain": domain.name})
