"""Dynamic reconfiguration, shutdown and panic with the machine itself and labos in it, in virtual time.

labos has the services dr-cpu, dr-mem, md-update, domain-shutdown and domain-panic.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from domain_support import Room

from ldmd.clock import Bell
from ldmd.manager import Manager
from ldmd.model import Vcc
from ldmd.operations.context import HypervisorError
from ldmd.store import MEMORY, Store

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))
import server_support

MIB = 1 << 20


class RealMachine:
    """The peer of hvctl, with labos put into every guest; and the clock, which lets the machine's time pass."""

    def __init__(self, room: server_support.Room) -> None:
        self.room = room
        self._said: deque[Mapping[str, Any]] = deque()
        self._listener: Callable[[Mapping[str, Any]], None] | None = None
        room.server.events.subscribe(self._said.append)

    def call(self, op: str, /, **arguments: Any) -> Any:
        if op == "guest.configure" and arguments["spec"]["id"]:
            arguments = {"spec": arguments["spec"] | {"boot": {"kernel": str(server_support.LABOS)}}}
            self.room.add(arguments["spec"], start=False)
            return {"generation": arguments["spec"]["generation"]}
        try:
            return self.room.call(op, **arguments)
        except Exception as error:
            raise HypervisorError(getattr(error, "code", "internal"), str(error)) from error

    def listen(self, on_event: Callable[[Mapping[str, Any]], None]) -> None:
        self._listener = on_event

    def deliver(self) -> None:
        while self._said and self._listener is not None:
            self._listener(self._said.popleft())

    def now(self) -> float:
        return 1.7e9 + self.monotonic()

    def monotonic(self) -> float:
        return float(self.room.call("machine.info")["time_ns"]) / 1e9

    def wait(self, bell: Bell, heard: int, seconds: float) -> None:
        deadline = self.monotonic() + seconds
        self.deliver()
        while bell.rings == heard and self.monotonic() < deadline:
            self.room.server.advance(server_support.STEP_NS)
            self.deliver()


class RealRoom(Room):
    """Commands of domain_support.Room on a real machine."""

    def __init__(self, hardware: server_support.Room) -> None:
        self.hardware = hardware
        self.real = RealMachine(hardware)
        self.manager = Manager(self.real, Store(MEMORY), clock=self.real, rng=Random(1))
        self.manager.start()

    def run(self, command: str, **arguments: Any) -> Any:
        outcome = super().run(command, **arguments)
        self.real.deliver()
        return outcome


@pytest.fixture
def room() -> Iterator[RealRoom]:
    with server_support.Room() as hardware:
        room = RealRoom(hardware)
        room.ok("set-core", count="2", domain="primary")
        room.ok("set-memory", size="4G", domain="primary", auto_adj=True)
        room.manager.commit(room.manager.configuration.with_domain(
            room.domain("primary").but(vccs=(Vcc(name="primary-vcc0", first_port=5000, last_port=5010),))))
        room.ok("add-domain", domains=["a"])
        room.ok("set-vcpu", count="2", domain="a")
        room.ok("set-memory", size="512M", domain="a")
        room.ok("bind-domain", domain="a")
        room.ok("start-domain", domains=["a"])
        hardware.prompt(1)
        room.real.deliver()
        yield room
        room.manager.close()


def test_cpus_come_and_go(room: RealRoom) -> None:
    room.ok("add-vcpu", count="2", domain="a")
    assert len(room.hardware.status(1)["vcpus"]) == 4
    assert room.hardware.do(1, "cpus").split() == [word for vid in range(4) for word in (str(vid), "on-line")]
    room.ok("remove-vcpu", count="3", domain="a")
    assert [vid for vid, _ in room.binding("a").vcpus] == [0]
    assert len(room.hardware.status(1)["vcpus"]) == 1
    assert room.hardware.do(1, "cpus").split()[:2] == ["0", "on-line"]


def test_memory_comes_and_goes(room: RealRoom) -> None:
    room.ok("add-memory", size="512M", domain="a")
    assert room.hardware.status(1)["memory_bytes"] == 1024 * MIB
    room.ok("remove-memory", size="256M", domain="a")
    assert room.hardware.status(1)["memory_bytes"] == 768 * MIB == room.binding("a").memory_bytes
    room.ok("set-memory", size="256M", domain="a")
    assert room.hardware.status(1)["memory_bytes"] == 256 * MIB
    assert room.hardware.do(1, "cpus").split() == ["0", "on-line", "1", "on-line"], "it goes on"


def test_an_orderly_stop(room: RealRoom) -> None:
    outcome = room.ok("stop-domain", domains=["a"])
    assert outcome.lines == (("say", "LDom a stopped"),) and room.state("a") == "bound"
    assert ("halted", "power-off") in room.hardware.states(1)
    room.ok("start-domain", domains=["a"])
    room.hardware.until(lambda: room.hardware.text(1).count("# ") >= 2)


def test_a_reboot(room: RealRoom) -> None:
    outcome = room.ok("stop-domain", domains=["a"], reboot=True)
    assert outcome.out == "LDom a rebooted\n" and room.state("a") == "active"
    assert ("running", "reset") in room.hardware.states(1)
    room.hardware.until(lambda: room.hardware.text(1).count("# ") >= 2)


def test_a_panic(room: RealRoom) -> None:
    room.ok("panic-domain", domain="a")
    room.hardware.until(lambda: "panic" in room.hardware.text(1).lower())
    room.real.deliver()
