"""Configurations for tests of the planner."""

from __future__ import annotations

from typing import Any

from ldmd.jobs import Outcome
from ldmd.manager import Manager
from ldmd.model import PRIMARY, Configuration, Domain, Server, State


def domain(name: str, number: int, **fields: Any) -> Domain:
    """A domain with a MAC and hostid of its own."""
    mac = 0x0014_4FF8_0000 + number
    fields = {"mac": mac, "hostid": 0x8400_0000 | mac & 0xFF_FFFF, **fields}
    return Domain(name=name, uuid=f"00000000-0000-4000-8000-{number:012x}", **fields)


def server(
    *guests: Domain, platform: str = "t5-2", primary: dict[str, Any] | None = None, **fields: Any
) -> Configuration:
    """A server with a control domain and these guests."""
    control = domain(PRIMARY, 0xFFFF, **{"mac": 0x0021_2857_CD16, "automatic_mac": False, **(primary or {})})
    return Configuration(
        server=Server(name="alpha", platform=platform, memory_bytes=64 << 30), domains=(control, *guests), **fields
    )


def put_guest(manager: Manager, name: str, *, state: State = State.BOUND) -> None:
    """A guest of one strand and 256M in that state, made by the commands; the control domain is made smaller first."""
    if manager.configuration.primary.cpus.vcpus > 16:
        done(manager, "start-reconf", domain="primary")
        done(manager, "set-vcpu", domain="primary", count="16")
        done(manager, "set-memory", domain="primary", size="8G")
        reboot(manager)
    done(manager, "add-domain", domains=[name])
    done(manager, "set-vcpu", domain=name, count="1")
    done(manager, "set-memory", domain=name, size="256M")
    if state is State.INACTIVE:
        return
    if not list(manager.configuration.vccs()):
        done(manager, "add-vcc", vcc="guests-vcc0", domain="primary", port_range="7000-7100")
    done(manager, "bind-domain", domain=name)
    if state is State.ACTIVE:
        done(manager, "start-domain", domains=[name])


def reboot(manager: Manager) -> None:
    """The control domain is rebooted, and what was pending is true."""
    done(manager, "stop-domain", domains=["primary"], reboot=True)
    assert manager.configuration.pending == ()


def _arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Properties have ``-`` in their names, operands ``_``."""
    operands = ("no_reboot", "factory_check_off", "services_only", "reboot")
    return {name if name in operands else name.replace("_", "-"): value for name, value in arguments.items()}


def refused(manager: Manager, command: str, **arguments: Any) -> str:
    """The code of the refusal of a command that changes nothing."""
    before = manager.configuration
    outcome = manager.execute(command, _arguments(arguments))
    assert outcome.error is not None and outcome.status == 1, f"{command} was not refused"
    assert outcome.error.code != "internal", outcome.error.text
    assert manager.configuration == before
    return outcome.error.code


def done(manager: Manager, command: str, **arguments: Any) -> Outcome:
    """The outcome of a command that must succeed. Arguments have ``_`` for ``-``."""
    outcome = manager.execute(command, _arguments(arguments))
    assert outcome.error is None, f"{command}: {outcome.error.code} {outcome.error}"
    return outcome
