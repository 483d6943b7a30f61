"""A machine room under random commands, with restarts, power cycles and crashes, beside a model of what must be.

After every step: the manager's own invariants, the model's word on every domain, nothing given twice, machine and
store agree. The machine is once the double of `manager_support`, whose guests boot and answer, and once the machine
itself in virtual time, whose guests stand at OpenBoot's prompt. S4V_SEED chooses the sequences; it is printed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from manager_support import FakeMachine, VirtualClock
from room_model import Dom, Model

from emulator.hvctl.local import LocalHvctl
from emulator.server import Server
from ldmd.log import Log
from ldmd.manager import Manager
from ldmd.model import Domain, State
from ldmd.operations.context import HypervisorError
from ldmd.planner.guestspec import guest_specs, runs
from ldmd.planner.hardware import hardware
from ldmd.planner.invariants import problems
from ldmd.store import Store

SEED = int(os.environ.get("S4V_SEED", "1"))
EXAMPLES = int(os.environ.get("S4V_EXAMPLES", "24"))
GUESTS = st.sampled_from(["a", "b", "c"])
ANY = st.sampled_from(["primary", "a", "b", "c"])


class Crash(BaseException):
    """Nothing in ldmd catches this."""


class RealMachine:
    """The machine itself; events are handed over when somebody looks."""

    def __init__(self, platform: str, gigabytes: int) -> None:
        self.platform, self.gigabytes = platform, gigabytes
        self.clock = VirtualClock()
        self.boots = 0
        self._said: deque[Mapping[str, Any]] = deque()
        self._listener: Any = None
        self._on()

    def _on(self) -> None:
        self.boots += 1
        self.server = Server(self.platform, name="alpha", memory_bytes=self.gigabytes << 30, deterministic=True)
        self.server.boot = f"boot-{self.boots}"
        self.server.events.subscribe(self._said.append)
        self.link = LocalHvctl(self.server, refuse=HypervisorError)

    def power_cycle(self) -> None:
        self.close()
        self._said.clear()
        self._on()

    def close(self) -> None:
        self.link.close()
        self.server.power_off()

    def call(self, op: str, /, **arguments: Any) -> Any:
        return self.link.call(op, **arguments)

    def listen(self, on_event: Any) -> None:
        self._listener = on_event

    def deliver(self) -> None:
        self.server.advance(1_000_000)
        while self._said and self._listener is not None:
            self._listener(self._said.popleft())

    def specs(self) -> dict[int, Any]:
        return {each["guest"]: each["generation"] for each in self.call("guest.list")}

    def running(self) -> set[int]:
        return {each["guest"] for each in self.call("guest.list") if each["state"] == "running"}


class Double(FakeMachine):
    """The double, with the same extras; its guests' systems are up as soon as they run."""

    def __init__(self, platform: str, gigabytes: int) -> None:
        super().__init__(platform, f"{gigabytes}G")

    def deliver(self) -> None:
        for number in self.running() - {0}:
            if self.guests[number].firmware:
                self.boot_os(number)

    def close(self) -> None:
        self.guests = {}

    def specs(self) -> dict[int, Any]:
        return {number: guest.spec["generation"] for number, guest in self.guests.items()}

    def running(self) -> set[int]:
        return {number for number, guest in self.guests.items() if guest.state == "running"}


def seen(domain: Domain) -> Dom:
    """A domain of ldmd in the model's words."""
    return Dom(
        domain.name, domain.cpus.vcpus, domain.memory.size_bytes, domain.crypto, str(domain.state),
        {disk.name: f"{disk.volume}@{disk.service}" for disk in domain.vdisks},
        {net.name: net.service for net in domain.vnets}, dict(domain.variables),
        {each.name: {volume.name for volume in each.volumes} for each in domain.disk_servers},
        {switch.name for switch in domain.switches}, {vcc.name for vcc in domain.vccs})


class Room(RuleBasedStateMachine):
    """`make` makes the machine; `platform` and what it has."""

    make: Any = Double
    platform, gigabytes, cores = "t3-1", 64, 2

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="s4v-")
        self.machine = self.make(self.platform, self.gigabytes)
        self.rng = Random(SEED)
        self.lines: list[str] = []
        self.steps_left: int | None = None
        self.open()

    # -- the process

    def step(self, name: str) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                self.machine.listen(lambda event: None)
                raise Crash(name)

    def open(self) -> None:
        """A new process of the manager."""
        store = Store(Path(self.folder.name) / "store.sqlite", step=self.step)
        self.manager = Manager(self.machine, store, clock=self.machine.clock, rng=self.rng, step=self.step,
                               log=Log(self.lines.append, now=self.machine.clock.now))
        self.manager.start()
        self.machine.deliver()

    def teardown(self) -> None:
        self.manager.store.close()
        self.machine.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        """A small control domain with services."""
        first = self.manager.configuration
        self.model = Model(hardware(first).strands_per_core, {"primary": seen(first.primary)})
        steps: list[tuple[str, dict[str, Any]]] = [
            ("start-reconf", {"domain": "primary"}), ("set-core", {"count": "2", "domain": "primary"}),
            ("set-memory", {"size": "4G", "domain": "primary"}),
            ("stop-domain", {"domains": ["primary"], "reboot": True}),
            ("add-vds", {"vds": "vds0", "domain": "primary"}), ("add-vsw", {"vswitch": "vsw0", "domain": "primary"})]
        if first.primary.crypto:
            steps.insert(1, ("set-crypto", {"count": "0", "domain": "primary"}))
        for command, arguments in steps:
            assert self.do(command, **arguments), command
        outcome = self.manager.execute("add-vcc", {"vcc": "vcc0", "domain": "primary", "port-range": "5000-5003"})
        assert outcome.error is None
        self.model.doms["primary"].vccs.add("vcc0")
        assert self.do("add-vdsdev", volume="v0@vds0", backend="/nowhere/v0", quick=True)
        for name, upto in (("a", 5), ("b", 4)):
            assert self.do("add-domain", domains=[name])
            assert self.do("add-vnet", vnet="n0", vswitch="vsw0", domain=name)
            self.life(name, upto)
        assert self.do("add-vdisk", disk="d0", volume="v0@vds0", domain="b")
        assert [self.model.doms[name].state for name in "ab"] == ["active", "bound"]

    # -- a command

    def do(self, command: str, **arguments: Any) -> bool:
        """Carry out a command; the model follows. False where it was refused."""
        verdict = self.model.verdict(command, arguments)
        before = self.manager.configuration
        outcome = self.manager.execute(command, arguments)
        if outcome.error is None:
            assert verdict is not False, f"{command} {arguments} had to be refused"
            self.model = self.model.effect(command, arguments)
        else:
            assert outcome.error.code not in ("internal", "manager.conflict", "machine.refused"), outcome.error.text
            assert verdict is not True, f"{command} {arguments}: {outcome.error.text}"
            assert self.manager.configuration == before, f"{command} {arguments} was refused, and changed something"
        self.machine.deliver()
        return outcome.error is None

    def crash_in(self, steps: int, command: str, **arguments: Any) -> None:
        """The process dies at its n-th step in the command; what comes up has all of the change or none of it."""
        before, self.steps_left = self.model, steps
        try:
            self.do(command, **arguments)
            maybe = [self.model]
        except Crash:
            maybe = [before]
            with contextlib.suppress(AssertionError, KeyError):
                maybe.append(before.effect(command, arguments))
        self.steps_left = None
        self.manager.store.close()
        self.open()
        found = self.looks()
        fits = [each for each in maybe if each.doms == found.doms and each.pending == found.pending]
        assert fits, f"half of {command} {arguments}: {found}; {maybe}"
        self.model = fits[-1]
        self.model.next = self.manager.configuration.next_poweron
        for name in self.manager.spconfigs.names():
            self.model.saved.setdefault(name, self.model.foreseen())

    def looks(self) -> Model:
        configuration = self.manager.configuration
        pending = configuration.pending_for("primary")
        return Model(self.model.strands_per_core, {each.name: seen(each) for each in configuration.domains},
                     None if pending is None else seen(pending.domain))

    # -- what happens

    @rule(verb=st.sampled_from(["add", "set", "remove"]), kind=st.sampled_from(["vcpu", "core", "crypto"]), domain=ANY,
          count=st.sampled_from(["1", "2", "3", "8", "16", "40"]))
    def amounts(self, verb: str, kind: str, domain: str, count: str) -> None:
        self.do(f"{verb}-{kind}", count=count, domain=domain)

    @rule(verb=st.sampled_from(["add", "set", "remove"]), domain=ANY, size=st.sampled_from(["256M", "1G", "3G", "40G"]))
    def memory(self, verb: str, domain: str, size: str) -> None:
        self.do(f"{verb}-memory", size=size, domain=domain)

    @rule(name=GUESTS, upto=st.sampled_from([3, 4, 5]))
    def life(self, name: str, upto: int) -> None:
        for command, arguments in (
                ("add-domain", {"domains": [name]}), ("set-vcpu", {"count": "8", "domain": name}),
                ("set-memory", {"size": "1G", "domain": name}), ("bind-domain", {"domain": name}),
                ("start-domain", {"domains": [name]}))[:upto]:
            self.do(command, **arguments)

    @rule(command=st.sampled_from(["add-domain", "remove-domain", "start-domain", "stop-domain"]), name=GUESTS)
    def several(self, command: str, name: str) -> None:
        self.do(command, domains=[name])

    @rule(command=st.sampled_from(["bind-domain", "unbind-domain", "panic-domain"]), name=GUESTS)
    def single(self, command: str, name: str) -> None:
        self.do(command, domain=name)

    @rule(name=ANY, force=st.booleans(), reboot=st.booleans())
    def stop(self, name: str, force: bool, reboot: bool) -> None:
        if name != "primary" or reboot:
            self.do("stop-domain", domains=[name], force=force, reboot=reboot)

    @rule(count=st.sampled_from(["1", "2", "40"]), size=st.sampled_from(["2G", "5G", "80G"]),
          end=st.sampled_from(["cancel", "reboot", "power", "later"]))
    def reconf(self, count: str, size: str, end: str) -> None:
        """The control domain in delayed reconfiguration."""
        self.do("start-reconf", domain="primary")
        self.do("set-core", count=count, domain="primary")
        self.do("set-memory", size=size, domain="primary")
        self.do("set-vcpu", count="9", domain="a")
        if end == "cancel":
            self.do("cancel-reconf", domain="primary")
        elif end == "reboot":
            self.do("stop-domain", domains=["primary"], reboot=True)
        elif end == "power":
            self.power_cycle()

    @rule(domain=ANY, name=st.sampled_from(["boot-device", "boot-file"]), value=st.sampled_from(["x", "disk0 net"]),
          remove=st.booleans())
    def variable(self, domain: str, name: str, value: str, remove: bool) -> None:
        if remove:
            self.do("remove-variable", names=[name], domain=domain)
        else:
            self.do("set-variable", assignments=[f"{name}={value}"], domain=domain)

    @rule(domain=ANY, name=st.sampled_from(["s0", "s1"]), verb=st.sampled_from(["add", "remove"]), switch=st.booleans())
    def service(self, domain: str, name: str, verb: str, switch: bool) -> None:
        owner = {"domain": domain} if verb == "add" else {}
        self.do(f"{verb}-{'vsw' if switch else 'vds'}", **{"vswitch" if switch else "vds": name}, **owner)

    @rule(verb=st.sampled_from(["add", "remove"]), volume=st.sampled_from(["v0@vds0", "v1@vds0", "v0@s0", "v1@s1"]))
    def volume(self, verb: str, volume: str) -> None:
        more = {"backend": f"/nowhere/{volume}", "quick": True} if verb == "add" else {}
        self.do(f"{verb}-vdsdev", volume=volume, **more)

    @rule(verb=st.sampled_from(["add", "add", "remove"]), domain=GUESTS, name=st.sampled_from(["d0", "d1"]),
          volume=st.sampled_from(["v0@vds0", "v1@vds0", "v0@s0", "v1@s1"]))
    def disk(self, verb: str, domain: str, name: str, volume: str) -> None:
        self.do(f"{verb}-vdisk", disk=name, domain=domain, **({"volume": volume} if verb == "add" else {}))

    @rule(verb=st.sampled_from(["add", "add", "remove"]), domain=GUESTS, name=st.sampled_from(["n0", "n1"]),
          switch=st.sampled_from(["vsw0", "s0", "s1"]))
    def net(self, verb: str, domain: str, name: str, switch: str) -> None:
        self.do(f"{verb}-vnet", vnet=name, domain=domain, **({"vswitch": switch} if verb == "add" else {}))

    @rule(domain=GUESTS, port=st.sampled_from(["5000", "5001", "5002", "6000", ""]))
    def console(self, domain: str, port: str) -> None:
        self.do("set-vconsole", domain=domain, port=port)

    @rule(verb=st.sampled_from(["add", "set", "remove"]), name=st.sampled_from(["one", "two"]))
    def spconfig(self, verb: str, name: str) -> None:
        self.do(f"{verb}-spconfig", config=name)

    @rule(command=st.sampled_from(["list-domain", "list-devices", "list-io", "list-services", "export-domain"]))
    def look(self, command: str) -> None:
        before = self.manager.configuration
        outcome = self.manager.execute(command, {})
        assert outcome.error is None and self.manager.configuration is before, outcome.error

    @rule(name=GUESTS)
    def moved_after_saving(self, name: str) -> None:
        """What is given up after a save, and given to a domain that was not saved, is there twice after a power-on."""
        if name in self.model.doms and self.model.doms[name].state == "inactive":
            self.do("remove-domain", domains=[name])
        self.do("add-vsw", vswitch="s0", domain="primary")
        self.do("remove-spconfig", config="one")
        self.do("add-spconfig", config="one")
        self.do("remove-vnet", vnet="n0", domain="b")
        self.do("remove-vsw", vswitch="s0", force=True)
        self.do("add-domain", domains=[name])
        self.do("add-vnet", vnet="n0", vswitch="vsw0", domain=name)
        self.do("add-vsw", vswitch="s0", domain=name)
        self.power_cycle()

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        """Of the manager: nothing changes, no guest hears of it."""
        if orderly:
            self.manager.close()
        else:
            self.manager.store.close()
        self.open()

    @rule(steps=st.integers(0, 9), name=GUESTS,
          command=st.sampled_from(["bind-domain", "start-domain", "unbind-domain", "add-vcpu", "add-domain"]))
    def crash(self, steps: int, name: str, command: str) -> None:
        arguments: dict[str, Any] = {"domain": name}
        if command in ("start-domain", "add-domain"):
            arguments = {"domains": [name]}
        if command == "add-vcpu":
            dom = self.model.doms.get(name)
            if dom is not None and dom.state == "active":
                return  # of several changes
            arguments["count"] = "8"
        self.crash_in(steps, command, **arguments)

    @rule()
    def power_cycle(self) -> None:
        self.manager.store.close()
        self.machine.power_cycle()
        self.model = self.model.power_cycle()
        self.open()
        control = self.model.doms["primary"]
        if control.vcpus < 0:
            found = seen(self.manager.configuration.primary)
            assert found.vcpus == len(hardware(self.manager.configuration).strands) and not found.disks | found.nets
            self.model.doms["primary"] = found

    # -- what holds

    @invariant()
    def as_the_model_says(self) -> None:
        if hasattr(self, "model"):
            found = self.looks()
            assert found.doms == self.model.doms
            assert found.pending == self.model.pending
            assert self.manager.configuration.next_poweron == self.model.next
            assert set(self.manager.spconfigs.names()) - {"factory-default"} == set(self.model.saved)

    @invariant()
    def nothing_is_given_twice(self) -> None:
        configuration = self.manager.configuration
        assert problems(configuration) == ()
        server = configuration.server
        bound = [each.binding for each in configuration.domains if each.binding is not None]
        once: list[Any] = [("strand", pid) for binding in bound for _, pid in binding.vcpus]
        once += [("unit", core) for binding in bound for core in binding.crypto]
        once += [("port", binding.console_port) for binding in bound if binding.console_port is not None]
        for domain in configuration.domains:
            once += [("mac", domain.mac), ("uuid", domain.uuid), ("name", domain.name)]
            once += [("mac", mac) for net in domain.vnets for mac in (net.mac, *net.alt_macs)]
            once += [("mac", switch.mac) for switch in domain.switches]
            for kind in ("disk_servers", "switches", "vccs"):
                once += [(kind, each.name) for each in getattr(domain, kind)]
            once += [("io", device) for device in domain.io]
        twice = [what for what, count in Counter(once).items() if count > 1]
        assert not twice, twice
        assert sum(block.size_bytes for binding in bound for block in binding.memory) <= server.memory_bytes
        for domain in configuration.domains:
            assert domain.state in (State.INACTIVE, State.BOUND, State.ACTIVE)

    @invariant()
    def machine_and_store_agree(self) -> None:
        configuration = self.manager.configuration
        assert self.manager.store.load() == configuration
        generations = {number: spec["generation"] for number, spec in guest_specs(configuration).items()}
        assert self.machine.specs() == generations
        assert self.machine.running() - {0} == {
            each.binding.id for each in configuration.guests if each.binding is not None and runs(each)}


class RealRoom(Room):
    """With the machine itself."""

    make: Any = RealMachine
    platform = "t5-2"


@pytest.mark.parametrize("room", [Room, RealRoom])
def test_whatever_is_done_the_room_is_as_the_model_says(room: type[Room]) -> None:
    print(f"S4V_SEED={SEED}")
    examples = EXAMPLES if room is Room else max(1, EXAMPLES // 3)
    wanted = settings(max_examples=examples, stateful_step_count=30, deadline=None, derandomize=False, database=None)
    run_state_machine_as_test(seed(SEED)(room), settings=wanted)  # type: ignore[no-untyped-call]
