"""A debugger in a machine room: what `ldm` shows and does while it has a domain, and migrations beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from front_support import LABOS

from emulator.gdb.debuggee import GoneError
from emulator.gdb.remote import RemoteDebuggee
from emulator.hvctl.client import HvctlError
from emulator.hvctl.local import LocalHvctl
from emulator.server import Server
from ldmd.testing.domain import Domain, DomainSetup
from ldmd.testing.errors import RefusedMoveError
from ldmd.testing.room import Room


@pytest.fixture
def room() -> Iterator[Room]:
    with Room(seed=1) as made:
        made.add("alpha")
        made.add("beta")
        yield made


@pytest.fixture
def domain(room: Room) -> Domain:
    return room.machines[0].make_domain(DomainSetup(image=LABOS, memory="32M", ready="# "))


class Debugger:
    """Of a domain, where it is now."""

    def __init__(self, domain: Domain) -> None:
        self.hvctl, self.guest = LocalHvctl(domain.machine.server), domain.guest.spec.id

    def __call__(self, op: str, **arguments: Any) -> Any:
        return self.hvctl.call(f"guest.debug.{op}", guest=self.guest, **arguments)


def test_ldm_shows_it_and_waits_for_nothing(room: Room, domain: Domain) -> None:
    """No command hangs on a domain that stands: no virtual time passes, and the reason is said."""
    debugger, before = Debugger(domain), room.now_ns
    debugger("attach")
    assert "ldg1             active     -t----" in domain.ldm("list").out
    assert "stopped by a debugger" in domain.ldm("list -o domain ldg1").out
    said = domain.machine.ldm("add-vcpu 1 ldg1", check=False)
    assert said.status == 1
    assert "Cause: the guest is stopped by a debugger and would not answer" in said.err
    assert domain.machine.ldm("list -o cpu ldg1").out.count("100%") == 1
    assert room.now_ns == before
    debugger("resume", run=1)
    assert "running under a debugger" in domain.ldm("list -o domain ldg1").out
    domain.ldm("add-vcpu 1 ldg1")  # it runs, and answers
    debugger("stop")
    domain.ldm("stop-domain ldg1")  # it cannot be asked: as of one without an operating system
    assert domain.state == "bound"


def test_a_domain_that_is_debugged_is_not_moved_and_one_that_was_is(room: Room, domain: Domain) -> None:
    debugger, beta = Debugger(domain), room.machines[1]
    debugger("attach")
    for resumed in (False, True):
        if resumed:
            debugger("resume", run=1)
        for dry_run in (True, False):
            said = room.move(domain, beta, check=False, dry_run=dry_run)
            assert said.status == 1
            state = "running under a debugger" if resumed else "stopped by a debugger"
            assert f"while the domain ldg1 is in the '{state}' state" in said.err
    debugger.hvctl.close()  # whoever debugged it has gone
    room.move(domain, beta)
    assert domain.console.do("echo moved") == "moved"


def test_a_debugger_that_comes_while_memory_is_copied_ends_the_migration(
    room: Room, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The domain stays, whole, in the debugger; when that has left, it can be moved."""
    debugger, before = Debugger(domain), room.before

    def attach_first(server: Server, op: str, arguments: Any) -> None:
        if op in ("guest.suspend", "guest.suspend_request"):
            debugger("attach")
        before(server, op, arguments)

    monkeypatch.setattr(room, "before", attach_first)
    with pytest.raises(RefusedMoveError, match="once the debugger has been detached"):
        room.move(domain, room.machines[1])
    assert domain.machine is room.machines[0]
    assert debugger("registers", strand=0)["values"]["pc"]
    monkeypatch.undo()
    debugger("detach")
    assert domain.console.do("echo stays") == "stays"
    room.move(domain, room.machines[1])
    assert domain.console.do("echo moved") == "moved"


class Through:
    """`Hvctl` for a `RemoteDebuggee`, within this process."""

    def __init__(self, server: Server) -> None:
        self._local = LocalHvctl(server)

    def call(self, op: str, /, **arguments: Any) -> Any:
        try:
            return self._local.call(op, **arguments)
        except Exception as error:
            raise HvctlError(getattr(error, "code", ""), str(error)) from None

    def fileno(self) -> int:
        return -1

    def events(self, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        yield from ()

    def pending(self) -> list[dict[str, Any]]:
        return []

    def close(self) -> None:
        self._local.close()


def test_whose_domain_has_gone_to_another_machine_is_told_so(room: Room, domain: Domain) -> None:
    debuggee = RemoteDebuggee(Through(domain.machine.server), domain.guest.spec.id, "alpha/ldg1")
    debuggee.attach()
    debuggee.detach()
    room.move(domain, room.machines[1])
    with pytest.raises(GoneError, match="alpha/ldg1"):
        debuggee.attach()
    with suppress(GoneError):
        debuggee.detach()
    debuggee.close()
