"""Configurations for tests of the planner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ldmd.jobs import Outcome
from ldmd.manager import Manager
from ldmd.model import PRIMARY, Binding, Configuration, Cpus, Domain, MemoryAmount, MemoryBlock, Server, State


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


def put_guest(manager: Manager, name: str, number: int, *, state: State = State.BOUND, **fields: Any) -> Domain:
    """A guest of one strand and 256M in a manager, in that state; the control domain gives them up."""
    configuration = manager.configuration
    primary = configuration.primary
    assert primary.binding is not None
    largest = max(primary.binding.memory, key=lambda block: block.size_bytes)
    size = 256 << 20
    shrunk = replace(largest, size_bytes=largest.size_bytes - size)
    mine = MemoryBlock(ra=0x2000_0000 + (largest.pa + shrunk.size_bytes) % (1 << 31), pa=largest.pa + shrunk.size_bytes,
                       size_bytes=size)  # fmt: skip
    strand = primary.binding.vcpus[-1][1]
    binding = replace(primary.binding, vcpus=primary.binding.vcpus[:-1], memory=tuple(
        shrunk if block is largest else block for block in primary.binding.memory))  # fmt: skip
    guest = domain(name, number, cpus=Cpus(vcpus=1), memory=MemoryAmount(size_bytes=size), state=state, **fields)
    if state is not State.INACTIVE:
        configuration = configuration.with_domain(primary.but(binding=binding))
        guest = guest.but(binding=Binding(id=number, vcpus=((0, strand),), memory=(mine,)))
    manager.commit(configuration.with_domain(guest))
    return guest


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
