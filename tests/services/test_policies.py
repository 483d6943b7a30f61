"""Resource management policies: what is refused, what a step decides, and hours of work in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manager_support import make_manager
from services_support import domain, done, put_guest, refused, server

from ldmd.messages import RefusedError
from ldmd.model import Binding, Policy, State
from ldmd.planner.policies import format_time, in_force, parse_time, policy_step
from ldmd.policyengine import PolicyEngine

P = Policy(name="p", enable=True)
NOON = 12 * 3600


def step(policy: Policy, util: float, vcpus: int) -> int:
    decision = policy_step((policy,), [util], vcpus=vcpus, time_of_day=NOON)
    return vcpus if decision is None else decision.vcpus


def test_a_step() -> None:
    assert step(P, 70, 10) == 10
    assert step(P, 100, 10) == 12  # ceil(10 * 100 / 85)
    assert step(P, 86, 2) == 3  # at least one
    assert step(replace(P, attack=1), 100, 10) == 11
    assert step(replace(P, vcpu_max=11), 100, 10) == 11
    assert step(P, 59, 10) == 9  # decay is 1
    assert step(replace(P, decay=4), 10, 10) == 6
    assert step(replace(P, decay=9), 10, 10) == 2  # vcpu-min
    assert step(replace(P, decay=9), 55, 10) == 7  # 5.5 strands of load at most 80 % busy
    assert step(P, 0, 1) == 2 and step(replace(P, vcpu_max=4), 70, 6) == 5
    assert step(replace(P, elastic_margin=30), 58, 4) == 4  # with 3 it would be busier than 55 %


@given(
    st.floats(0, 100), st.integers(1, 300), st.integers(1, 50), st.integers(1, 50),
    st.one_of(st.none(), st.integers(1, 20)), st.integers(1, 20), st.integers(0, 60), st.integers(61, 100),
    st.integers(0, 40),
)  # fmt: skip
def test_a_step_stays_in_its_bounds(
    util: float, vcpus: int, least: int, more: int, attack: int | None, decay: int, low: int, high: int, margin: int
) -> None:
    policy = replace(P, attack=attack, decay=decay, vcpu_min=least, vcpu_max=least + more, util_lower=low,
                     util_upper=high, elastic_margin=margin)  # fmt: skip
    wanted = step(policy, util, vcpus)
    assert wanted >= max(1, vcpus - decay)
    if attack is not None:
        assert wanted <= vcpus + attack
    assert wanted <= max(vcpus, least + more) and wanted >= min(vcpus, least)
    if low <= util <= high and least <= vcpus <= least + more:
        assert wanted == vcpus
    if wanted < vcpus <= least + more:  # a removal is never undone by the same load
        assert vcpus * util / wanted <= high + 1e-9


def test_priority_and_hours_choose_the_policy() -> None:
    day = replace(P, name="day", tod_begin=parse_time("08:00"), tod_end=parse_time("18:00:00"), priority=1)
    other = replace(P, name="off", enable=False, priority=1)
    assert in_force((P, day, other), NOON) is day
    assert in_force((P, day, other), parse_time("07:59:59")) is P
    assert in_force((day, other), parse_time("18:00:01")) is None
    assert policy_step((other,), [100.0], vcpus=4, time_of_day=NOON) is None


@given(st.integers(0, 86399))
def test_times(seconds: int) -> None:
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize("text", ["24:00", "12", "12:60", "12:00:60", "1:2:3:4", "ab:cd", "-1:00", "012:00", ""])
def test_wrong_times(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_time(text)


def test_the_operations() -> None:
    manager = make_manager()
    put_guest(manager, "ldg1")
    put_guest(manager, "ldg2")
    done(manager, "add-policy", name="p1", domains=["ldg1", "ldg2"], enable="yes", **{"vcpu-max": "8", "attack": "2"})
    policy = manager.configuration.find("ldg2").policies[0]  # type: ignore[union-attr]
    assert policy == Policy(name="p1", enable=True, vcpu_max=8, attack=2)
    assert refused(manager, "add-policy", name="p1", domains=["ldg1"]) == "policy.exists"
    assert refused(manager, "add-policy", name="p2", domains=["ldg1", "ldg9"]) == "domain.not-found"
    assert refused(manager, "add-policy", name="p2", domains=["ldg1"], enable="yes") == "policy.overlap"
    done(manager, "add-policy", name="p2", domains=["ldg1"], enable="yes", priority="5")
    assert refused(manager, "set-policy", name="p2", domains=["ldg1"], priority="99") == "policy.overlap"
    done(manager, "set-policy", name="p2", domains=["ldg1"], priority="", tod_begin="08:00", enable="no")
    for name, text, code in (
        ("util_lower", "85", "policy.order"), ("vcpu_min", "1000", None), ("vcpu_max", "1", "policy.order"),
        ("tod_end", "07:00", "policy.order"), ("priority", "0", "property.number"), ("attack", "x", "property.number"),
        ("decay", "unlimited", "property.number"), ("enable", "maybe", "usage.choice"),
        ("tod_begin", "8", "policy.time"),
        ("elastic_margin", "101", "property.number"),
    ):  # fmt: skip
        if code is not None:
            assert refused(manager, "set-policy", name="p2", domains=["ldg1"], **{name: text}) == code
    assert refused(manager, "set-policy", name="p2", domains=["ldg1"]) == "property.needed"
    assert refused(manager, "remove-policy", names=["p1", "p9"], domain="ldg1") == "policy.not-found"
    done(manager, "remove-policy", names=["name=p1", "p2"], domain="ldg1")
    assert manager.configuration.find("ldg1").policies == ()  # type: ignore[union-attr]


def test_not_with_whole_cores() -> None:
    manager = make_manager()
    put_guest(manager, "ldg1", state=State.INACTIVE)
    done(manager, "set-core", domain="ldg1", count="1")
    assert refused(manager, "add-policy", name="p", domains=["ldg1"]) == "policy.whole-core"


def test_the_power_policy_of_the_service_processor() -> None:
    manager = make_manager()
    assert done(manager, "get-power-policy").result["policy"] == "disabled"
    done(manager, "set-power-policy", policy="elastic")
    assert done(manager, "get-power-policy").result["policy"] == "elastic"
    assert refused(manager, "set-power-policy", policy="eco") == "usage.choice"


class Plant:
    """A domain whose load, in strands, changes with the hour; obeys set-vcpu."""

    def __init__(self, policy: Policy) -> None:
        self.load, self.vcpus, self.policy = 1.0, 4, policy
        self.commands: list[int] = []

    def configuration(self) -> Any:
        binding = Binding(id=1, vcpus=tuple((n, n) for n in range(self.vcpus)))
        return server(domain("ldg1", 1, state=State.ACTIVE, binding=binding, policies=(self.policy,)))

    def statuses(self) -> list[dict[str, Any]]:
        util = min(100.0, 100 * self.load / self.vcpus)
        return [{"guest": 1, "vcpus": [{"vid": n, "util": util} for n in range(self.vcpus)]}]

    def execute(self, command: str, arguments: Any) -> None:
        assert command == "set-vcpu" and arguments["domain"] == "ldg1"
        self.vcpus = int(arguments["count"])
        self.commands.append(self.vcpus)


def test_load_comes_and_goes() -> None:
    plant = Plant(replace(P, sample_rate=10, vcpu_max=32))
    engine = PolicyEngine(plant.configuration, plant.statuses, plant.execute)
    for second in range(100):
        engine.tick(float(second))
    assert plant.vcpus == 2 and plant.commands == [3, 2]  # one strand of load, and vcpu-min
    plant.load = 20.0
    for second in range(100, 400):
        engine.tick(float(second))
    assert plant.vcpus == 24  # 20 strands of load at most 85 % busy
    settled = len(plant.commands)
    for second in range(400, 1000):
        engine.tick(float(second))
    assert len(plant.commands) == settled  # no oscillation
    plant.load = 1.0
    for second in range(1000, 2000):
        engine.tick(float(second))
    assert plant.vcpus == 2


def test_the_period_and_the_hours_are_kept() -> None:
    plant = Plant(replace(P, sample_rate=60, tod_begin=3600, tod_end=7200))
    plant.load = 100.0
    engine = PolicyEngine(plant.configuration, plant.statuses, plant.execute)
    for second in range(0, 3600):
        engine.tick(float(second))
    assert plant.commands == []
    for second in range(3600, 3660):
        engine.tick(float(second))
    assert plant.commands == []
    engine.tick(3660.0)
    assert plant.commands == [5]
