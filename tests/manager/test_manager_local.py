"""The manager and the machine in one process: no socket, no file, virtual time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from random import Random
from typing import Any

import changes
import pytest

import ldmd
from emulator.hvctl.local import LocalHvctl
from emulator.server import Server
from ldmd.model import Configuration, State
from ldmd.operations.context import HypervisorError
from ldmd.operations.registry import OPERATIONS, Operation
from ldmd.planner.guestspec import guest_specs


@pytest.fixture
def link() -> Iterator[LocalHvctl]:
    server = Server("t5-2", memory_bytes=64 << 30, deterministic=True)
    with LocalHvctl(server, refuse=HypervisorError) as found:
        yield found
    server.power_off()


def commit(manager: ldmd.Manager, new: Configuration) -> None:
    OPERATIONS["test-commit"] = Operation("test-commit", lambda context, arguments: context.commit(new), True)
    try:
        outcome = manager.execute("test-commit", {})
    finally:
        del OPERATIONS["test-commit"]
    if outcome.error is not None:
        raise outcome.error


def test_the_specs_are_those_that_the_machine_takes(link: LocalHvctl) -> None:
    """Every spec that leaves the planner passes the machine's checks, and its generation comes back."""
    manager = ldmd.Manager(link, ldmd.Store(), rng=Random(1))
    manager.start()
    commit(manager, changes.roomy(manager.configuration))
    first = manager.configuration
    ldg1 = changes.bound(first, changes.guest(1, vdisks=(), variables=(("auto-boot?", "false"),)))
    assert ldg1.binding is not None
    networks = tuple(device for device in ldg1.binding.devices if device.kind == "network")
    ldg1 = ldg1.but(binding=dataclasses.replace(ldg1.binding, devices=networks))
    bound = first.with_domain(ldg1)
    for new in (bound, bound.with_domain(changes.in_state(ldg1, State.ACTIVE)), bound, first):
        commit(manager, new)
        status: list[dict[str, Any]] = link.call("guest.list")
        assert {row["guest"]: row["generation"] for row in status} == {
            number: spec["generation"] for number, spec in guest_specs(new).items()}
        assert [row["state"] == "running" for row in status if row["guest"] == 1] == [
            domain.state is State.ACTIVE for domain in new.guests]
    manager.close()
