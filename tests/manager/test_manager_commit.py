"""A commit: store and machine change together or not at all; order of requests; agreement after a crash."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import changes
import pytest
from manager_support import FakeMachine, commit, machine_of, make_manager

from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.model import Configuration, Cpus, Domain, MemoryAmount, MemoryBlock, State
from ldmd.operations.context import HypervisorError
from ldmd.planner.guestspec import guest_specs, runs, service_spec
from ldmd.planner.invariants import problems
from ldmd.planner.requests import picture
from ldmd.store import Store


def agrees(manager: Manager) -> None:
    """The machine has what the configuration says, and the store too."""
    machine, configuration = machine_of(manager), manager.configuration
    assert {number: guest.spec for number, guest in machine.guests.items()} == guest_specs(configuration)
    for domain in configuration.guests:
        if domain.binding is not None:
            assert (machine.guests[domain.binding.id].state == "running") is runs(domain), domain.name
    assert machine.switches == service_spec(configuration)["switches"]
    assert manager.store.load() == configuration


@pytest.fixture
def manager() -> Manager:
    found = make_manager()
    commit(found, changes.roomy(found.configuration))
    return found


def life(configuration: Configuration) -> list[Configuration]:
    """A domain from its making to its end."""
    one = configuration.with_domain(changes.guest(1))
    two = one.with_domain(changes.bound(one, changes.guest(1)))
    bound = two.find("ldg1")
    assert bound is not None
    three = two.with_domain(changes.in_state(bound, State.ACTIVE))
    return [one, two, three, two, one, configuration]


def test_the_life_of_a_domain(manager: Manager) -> None:
    machine = machine_of(manager)
    expected = [[], ["guest.configure"], ["guest.start"], ["guest.stop"], ["guest.destroy"], []]
    for new, asked in zip(life(manager.configuration), expected, strict=True):
        machine.calls.clear()
        commit(manager, new)
        assert machine.ops("guest.configure", "guest.start", "guest.stop", "guest.destroy") == asked
        agrees(manager)


def test_the_same_again_asks_nothing(manager: Manager) -> None:
    machine_of(manager).calls.clear()
    commit(manager, manager.configuration)
    assert machine_of(manager).calls == []


@pytest.mark.parametrize("op", ["guest.configure", "guest.start", "guest.stop", "guest.destroy"])
def test_what_the_machine_refuses_is_undone(manager: Manager, op: str) -> None:
    machine = machine_of(manager)
    refused = []
    for new in life(manager.configuration):
        before = manager.configuration
        machine.calls.clear()
        machine.refuse = {op: HypervisorError("config", "no strand of that number")}
        try:
            commit(manager, new)
        except RefusedError as error:
            refused.append(error)
            assert manager.configuration == before
            machine.refuse = {}
            agrees(manager)
            commit(manager, new)
    assert refused
    for error in refused:
        assert error.code == "machine.refused" and "no strand of that number" in error.text and error.cause
    agrees(manager)


def test_several_requests_are_taken_back_in_reverse(manager: Manager) -> None:
    """Two domains are bound and started in one change, and the last request fails."""
    machine = machine_of(manager)
    new = manager.configuration
    for number in (1, 2):
        new = new.with_domain(changes.in_state(changes.bound(new, changes.guest(number)), State.ACTIVE))
    refusal = HypervisorError("config", "no")
    machine.refuse = {"guest.start": lambda arguments: refusal if arguments["guest"] == 2 else None}
    before = manager.configuration
    with pytest.raises(RefusedError):
        commit(manager, new)
    assert manager.configuration == before
    assert set(machine.guests) == {0}
    agrees(manager)


def asked(domain: Domain) -> Domain:
    """With the constraints that its binding fulfils."""
    assert domain.binding is not None
    return domain.but(cpus=Cpus(vcpus=len(domain.binding.vcpus)),
                      memory=MemoryAmount(size_bytes=domain.binding.memory_bytes))


def test_strands_and_memory_move_from_one_domain_to_another(manager: Manager) -> None:
    """What is given back comes first, whatever the order of the domains."""
    new = manager.configuration
    for number in (1, 2):
        new = new.with_domain(changes.bound(new, changes.guest(number)))
    commit(manager, new)
    for giver, taker in (("ldg1", "ldg2"), ("ldg2", "ldg1")):
        one, two = manager.configuration.find(giver), manager.configuration.find(taker)
        assert one is not None and two is not None and one.binding is not None and two.binding is not None
        pid = one.binding.vcpus[-1][1]
        half = one.binding.memory[-1].size_bytes // 2
        last = one.binding.memory[-1]
        given = MemoryBlock(last.ra + half + (1 << 36), last.pa + half, half)
        moved = manager.configuration.with_domain(asked(one.but(binding=dataclasses.replace(
            one.binding, vcpus=one.binding.vcpus[:-1],
            memory=(*one.binding.memory[:-1], MemoryBlock(last.ra, last.pa, half))))))
        moved = moved.with_domain(asked(two.but(binding=dataclasses.replace(
            two.binding, vcpus=(*two.binding.vcpus, (len(two.binding.vcpus), pid)),
            memory=tuple(sorted((*two.binding.memory, given), key=lambda block: block.ra))))))
        commit(manager, moved)
        agrees(manager)


def test_a_number_that_another_domain_takes_over_is_a_new_guest(manager: Manager) -> None:
    first = manager.configuration
    commit(manager, first.with_domain(changes.in_state(changes.bound(first, changes.guest(1)), State.ACTIVE)))
    new = first.with_domain(changes.in_state(changes.bound(first, changes.guest(2)), State.ACTIVE))
    commit(manager, new)
    machine = machine_of(manager)
    assert machine.guests[1].spec["name"] == "ldg2" and machine.guests[1].starts == 1
    agrees(manager)


def test_variables_of_a_running_guest_go_to_its_firmware(manager: Manager) -> None:
    first = manager.configuration
    domain = changes.in_state(changes.bound(first, changes.guest(1)), State.ACTIVE)
    commit(manager, first.with_domain(domain.but(variables=(("a", "1"), ("b", "2")))))
    machine_of(manager).calls.clear()
    commit(manager, first.with_domain(domain.but(variables=(("b", "3"),))))
    asked = [arguments for op, arguments in machine_of(manager).calls if op == "guest.set_variables"]
    assert asked == [{"guest": 1, "set": {"b": "3"}, "remove": ["a"]}]
    agrees(manager)


def test_a_contradiction_is_refused(manager: Manager) -> None:
    first = manager.configuration
    one = changes.bound(first, changes.guest(1))
    two = changes.guest(2).but(state=State.BOUND, binding=one.binding)
    for new, words in (
        (first.with_domain(one).with_domain(two), "guest id 1 is given twice"),
        (first.with_domain(one).with_domain(two), "strand 36 is given twice"),
        (first.with_domain(one.but(state=State.INACTIVE)), "inactive and a binding"),
        (first.with_domain(changes.guest(1).but(state=State.ACTIVE)), "active and no binding"),
        (first.but(domains=first.domains[1:]), "control domain"),
        (first.with_domain(one.but(uuid=first.primary.uuid)), "uuid"),
    ):
        with pytest.raises(RefusedError) as caught:
            commit(manager, new)
        assert caught.value.code == "manager.conflict"
        assert words in str(problems(new))
        agrees(manager)


class Crash(BaseException):
    """Nothing in ldmd catches this."""


class Crasher:
    """Raises at the n-th step, and at each one after it: the process is dead, and hears of no event either."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine, self.count = machine, 0
        self.manager: Manager | None = None
        self.at: int | None = None

    def __call__(self, name: str) -> None:
        self.count += 1
        if self.at is not None and self.count >= self.at:
            self.machine.listen(lambda event: None)
            if self.manager is not None:
                self.manager._inbox.clear()
            raise Crash(name)


def check(manager: Manager, path: list[Configuration], reached: int) -> int:
    """The configuration is that after change `reached`, or after the next one, which was under way; which of them."""
    found = manager.configuration
    wanted = [path[reached], *path[reached + 1 : reached + 2]]
    assert found in wanted, "half of a change"
    agrees(manager)
    return reached + wanted.index(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_any_step_leaves_nothing_half_done(seed: int, tmp_path: Path) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    store, machine = tmp_path / "store.sqlite", FakeMachine()
    crasher = Crasher(machine)
    manager = make_manager(store=Store(store, step=crasher), machine=machine, step=crasher)
    commit(manager, changes.roomy(manager.configuration))
    path = changes.sequence(manager.configuration, seed, 60)
    reached, crashes, starts = 0, 0, {}
    while reached + 1 < len(path):
        crasher.at, crasher.manager = crasher.count + rng.randrange(1, 14), manager
        try:
            while reached + 1 < len(path):
                starts = {number: guest.starts for number, guest in machine.guests.items()}
                commit(manager, path[reached + 1])
                reached += 1
        except Crash:
            crashes += 1
        crasher.at = None
        running = {number for number, guest in machine.guests.items() if guest.state == "running"}
        manager.store.close()
        manager = make_manager(store=Store(store, step=crasher), machine=machine, step=crasher)
        reached = check(manager, path, reached)
        for number in running & set(machine.guests):
            # restarting ldmd starts no guest, stops no guest, but those of the change that was under way
            assert machine.guests[number].starts - starts.get(number, 0) in (0, 1)
            assert machine.guests[number].state == "running" or path[reached] != path[reached - 1]
    assert crashes > 10


def test_from_any_configuration_to_any_other(manager: Manager) -> None:
    """However far apart they are, the machine never refuses, and never has anything twice on the way."""
    path = changes.sequence(manager.configuration, 3, 80)
    rng = Random(3)
    known = (path[0], picture(path[0]))
    for _ in range(40):
        new = rng.choice(path)
        commit(manager, new)
        agrees(manager)
        # what is remembered of the configuration before makes no difference
        known = (new, picture(new, known))
        assert known[1] == picture(new)


def test_a_change_that_crashed_after_a_stop_leaves_a_bound_domain(tmp_path: Path) -> None:
    """Stop and unbind in one change: what memory held is gone, so the way back ends at bound."""
    store, machine = tmp_path / "store.sqlite", FakeMachine()
    crasher = Crasher(machine)
    manager = make_manager(store=Store(store), machine=machine, step=crasher)
    crasher.manager = manager
    commit(manager, changes.roomy(manager.configuration))
    first = manager.configuration
    domain = changes.bound(first, changes.guest(1))
    commit(manager, first.with_domain(changes.in_state(domain, State.ACTIVE)))
    crasher.at = crasher.count + 3  # stop.begin, stop.done, destroy.begin
    with pytest.raises(Crash):
        commit(manager, first.with_domain(changes.guest(1)))
    manager.store.close()
    manager = make_manager(store=Store(store), machine=machine)
    assert manager.configuration == first.with_domain(domain)
    assert any("taken back" in line for line in manager.log_lines)  # type: ignore[attr-defined]
    agrees(manager)
