"""Commands on a manager with a fake machine, for the tests of operations on domains."""

from __future__ import annotations

from typing import Any

import pytest
from manager_support import FakeMachine, machine_of, make_manager

from ldmd.jobs import Outcome
from ldmd.manager import Manager
from ldmd.model import Binding, Domain, Vcc
from ldmd.planner.invariants import problems


class Room:
    """A manager, its machine, and commands. Every command is followed by the check of all invariants."""

    def __init__(self, platform: str = "t5-2", memory: str = "64G", **more: Any) -> None:
        self.manager: Manager = make_manager(platform, memory, **more)

    @property
    def machine(self) -> FakeMachine:
        return machine_of(self.manager)

    def run(self, command: str, **arguments: Any) -> Outcome:
        outcome = self.manager.execute(command, arguments)
        assert problems(self.manager.configuration) == ()
        return outcome

    def ok(self, command: str, **arguments: Any) -> Outcome:
        outcome = self.run(command, **arguments)
        assert outcome.error is None, (outcome.error.code, str(outcome.error), outcome.error.cause)
        return outcome

    def refused(self, command: str, **arguments: Any) -> str:
        """The code of the refusal, after which nothing is changed."""
        before = self.manager.configuration
        outcome = self.run(command, **arguments)
        assert outcome.error is not None
        assert outcome.error.code != "internal", outcome.error.text
        assert self.manager.configuration == before
        return outcome.error.code

    def domain(self, name: str) -> Domain:
        found = self.manager.configuration.find(name)
        assert found is not None
        return found

    def binding(self, name: str) -> Binding:
        found = self.domain(name).binding
        assert found is not None
        return found

    def state(self, name: str) -> str:
        return str(self.domain(name).state)

    def number(self, name: str) -> int:
        return self.binding(name).id


def ready(platform: str = "t5-2", memory: str = "64G", *, cores: int = 2, size: str = "4G",
          **more: Any) -> Room:
    """A server whose control domain is small and has a console concentrator."""
    room = Room(platform, memory, **more)
    room.ok("start-reconf", domain="primary")
    if room.domain("primary").crypto:
        room.ok("set-crypto", count="0", domain="primary")
    room.ok("set-core", count=str(cores), domain="primary")
    room.ok("set-memory", size=size, domain="primary")
    room.ok("stop-domain", domains=["primary"], reboot=True)
    primary = room.domain("primary").but(vccs=(Vcc(name="primary-vcc0", first_port=5000, last_port=5100),))
    room.manager.commit(room.manager.configuration.with_domain(primary))
    return room


def guest(room: Room, name: str, *, vcpus: int = 8, size: str = "2G", upto: str = "inactive") -> None:
    """A domain, bound, started or booted as far as asked: inactive, bound, active, booted."""
    room.ok("add-domain", domains=[name])
    room.ok("set-vcpu", count=str(vcpus), domain=name)
    room.ok("set-memory", size=size, domain=name)
    if upto != "inactive":
        room.ok("bind-domain", domain=name)
    if upto in ("active", "booted"):
        room.ok("start-domain", domains=[name])
    if upto == "booted":
        room.machine.boot_os(room.number(name))


@pytest.fixture
def room() -> Room:
    return ready()
