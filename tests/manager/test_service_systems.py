"""Services go with the system in their domain, and come back with it: what the machine is asked for the clients."""

from __future__ import annotations

import dataclasses
from typing import Any

import changes
import pytest
from manager_support import FakeMachine, commit, machine_of, make_manager

from ldmd.manager import Manager
from ldmd.model import BoundDevice, DiskServer, State, System, Vcc, Vdisk, Vnet, Volume, Vsw
from ldmd.planner.consoles import consoles
from ldmd.store import MEMORY, Store

SVC, CLIENT = 1, 2


def room(*, store: Store | None = None, machine: FakeMachine | None = None) -> Manager:
    """A service domain with all services, and its client, both running."""
    manager = make_manager(store=store, machine=machine)
    if manager.configuration.find("ldg1") is not None:
        return manager
    new = changes.roomy(manager.configuration)
    svc = changes.guest(
        SVC, disk_servers=(DiskServer(name="svc-vds", volumes=(Volume(name="v", backend="/disks/2"),)),),
        switches=(Vsw(name="svc-vsw", mac=0x144FF80001),), vccs=(Vcc(name="svc-vcc", first_port=6000, last_port=6010),))
    svc = changes.bound(new, svc)
    assert svc.binding is not None
    devices = (*svc.binding.devices, BoundDevice("switch", "svc-vsw", 0, ()))
    svc = svc.but(binding=dataclasses.replace(svc.binding, devices=devices))
    new = new.with_domain(changes.in_state(svc, State.ACTIVE))
    client = changes.guest(
        CLIENT, vdisks=(Vdisk(name="disk0", volume="v", service="svc-vds"),),
        vnets=(Vnet(name="net0", service="svc-vsw", mac=0x144FF90002),))
    commit(manager, new.with_domain(changes.in_state(changes.bound(new, client), State.ACTIVE)))
    return manager


def seen(manager: Manager) -> tuple[bool, bool, bool]:
    """Of the client on the machine: is its disk served, its network, its network's switch?"""
    machine = machine_of(manager)
    spec = machine.guests[CLIENT].spec
    (switch,) = [switch for switch in machine.switches if switch["name"] == "svc-vsw"]
    return spec["disks"][0]["online"], spec["nets"][0]["online"], switch["online"]


def system(manager: Manager) -> System:
    domain = manager.configuration.find("ldg1")
    assert domain is not None
    return domain.system


@pytest.mark.parametrize("why", ["panic", "reset", "watchdog"])
def test_services_go_and_come_with_the_system(why: str) -> None:
    manager = room()
    machine = machine_of(manager)
    assert (seen(manager), system(manager)) == ((True,) * 3, System.UNKNOWN)
    machine.emit_state(SVC, why)
    assert seen(manager) == (True,) * 3, "no system was ever seen in it: that it is on is enough"
    machine.boot_os(SVC)
    machine.emit_state(SVC, why)
    assert (seen(manager), system(manager)) == ((False,) * 3, System.GONE)
    machine.emit("guest.soft_state", guest=SVC, normal=False, text="OpenBoot Running")
    assert seen(manager) == (False,) * 3
    machine.boot_os(SVC)
    assert (seen(manager), system(manager)) == ((True,) * 3, System.RUNS)
    assert manager.store.load() == manager.configuration


def test_a_system_that_panics_and_stands_still_serves_no_more() -> None:
    manager = room()
    machine = machine_of(manager)
    machine.boot_os(SVC, text="Linux running")
    machine.emit("guest.soft_state", guest=SVC, normal=False, text="Linux panicking")
    assert seen(manager) == (False,) * 3
    machine.emit_state(SVC, "power-off")
    domain = manager.configuration.find("ldg1")
    assert domain is not None and (domain.state, domain.system) == (State.BOUND, System.UNKNOWN)


def test_what_other_domains_say_of_themselves_is_not_written_down() -> None:
    manager = room()
    before = manager.configuration
    machine_of(manager).boot_os(CLIENT)
    assert manager.configuration is before


def test_consoles_of_its_concentrator() -> None:
    manager = room()
    machine = machine_of(manager)
    client = manager.configuration.find("ldg2")
    assert client is not None and client.binding is not None
    binding = dataclasses.replace(
        client.binding, console_group="ldg2", console_port=6000, console_service="svc-vcc")
    commit(manager, manager.configuration.with_domain(client.but(binding=binding)))
    served = lambda: [row["domain"] for row in consoles(manager.configuration)]  # noqa: E731
    machine.boot_os(SVC)
    events: list[Any] = []
    manager.watch(events.append)
    machine.emit_state(SVC, "panic")
    assert "ldg2" not in served()
    machine.boot_os(SVC)
    assert "ldg2" in served()
    assert [row["event"] for row in events].count("consoles") == 2


@pytest.mark.parametrize(("normal", "after"), [(True, System.RUNS), (False, System.GONE)])
def test_a_manager_that_was_away_looks(normal: bool, after: System) -> None:
    store = Store(MEMORY)
    manager = room(store=store)
    machine = machine_of(manager)
    machine.boot_os(SVC)
    machine.guests[SVC].soft_state = {"normal": normal, "text": "x"}
    again = room(store=store, machine=machine)
    assert (system(again), seen(again)) == (after, (normal,) * 3)
