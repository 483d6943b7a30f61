"""What a migration asks of the machine (hvctl 1.1, emulator/hvctl/protocol.md), and of the configuration with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from ldmd.migration.events import Guest
from ldmd.migration.facts import GuestFacts
from ldmd.model import Configuration, Domain
from ldmd.model.plain import to_plain
from ldmd.operations.context import HypervisorError
from ldmd.planner.guestspec import ON

if TYPE_CHECKING:
    from ldmd.manager import Manager

GONE = ("unreachable", "timeout")
IMAGES = ("receiving", "received")


class WithDescriptors(Protocol):
    """A hypervisor whose answers may bring descriptors."""

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request; its result, and descriptors, which are the caller's to close. Raises HypervisorError."""


def call_fds(manager: Manager, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
    """One request of the manager's machine."""
    return cast(WithDescriptors, manager.hypervisor).call_fds(op, **arguments)


def domain_of(configuration: Configuration, uuid: str) -> Domain | None:
    """A domain by its uuid."""
    return next((each for each in configuration.domains if each.uuid == uuid), None)


def number_of(configuration: Configuration, uuid: str) -> int | None:
    """The guest's number of a domain, None where it has no binding."""
    domain = domain_of(configuration, uuid)
    return None if domain is None or domain.binding is None else domain.binding.id


def control_cpus(configuration: Configuration) -> int:
    """Virtual CPUs of the control domain, which carry what a migration costs (rule G01)."""
    control = next((each for each in configuration.domains if each.control), None)
    return len(control.binding.vcpus) if control is not None and control.binding is not None else 0


def parallel(wanted: int, *cpus: int) -> int:
    """Connections that carry memory: as many as are wanted, and no more than the smaller control domain has CPUs.

    A number of CPUs that nobody told (0) is no bound.
    """
    return max(1, min(wanted, *(each for each in cpus if each > 0), wanted))


def status_of(manager: Manager, uuid: str) -> Mapping[str, Any]:
    """What the machine says of a domain, {} where it has no guest. Raises HypervisorError."""
    for status in manager.hypervisor.call("guest.list"):
        if status.get("uuid") == uuid:
            return dict(status)
    return {}


def guest_word(status: Mapping[str, Any]) -> Guest:
    """A guest's state in the words of the state machines.

    One that ended by itself has nothing that could be revived: it counts as running, so that nobody boots it.
    """
    state = status.get("state", "")
    if status.get("missing_pages") and state in (*IMAGES, "running"):
        return Guest.PARTIAL
    if state in IMAGES:
        return Guest.IMAGE
    if state == "suspended":
        return Guest.SUSPENDED
    return Guest.RUNNING if state in ("running", "halted") else Guest.NONE


def ran(domain: Domain | None) -> bool:
    """Is it, as far as the store knows, a domain that runs?"""
    return domain is not None and domain.state in ON


def persist(manager: Manager, change: Callable[[Configuration], Configuration]) -> None:
    """Record what the migration made true, past the checks that hold for others; the machine has it already."""
    with manager.turn():
        new = change(manager.configuration)
        if new != manager.configuration:
            manager.note(new)


def state_bytes(value: object) -> bytes:
    """A SHA-256 as a machine or a worker says it."""
    found = value if isinstance(value, bytes) else bytes.fromhex(value) if isinstance(value, str) else b""
    if len(found) != 32:
        raise HypervisorError("internal", "no SHA-256")
    return found


def image_digest(pages: str, state: bytes) -> str:
    """The digest of a whole image as FINAL and READY say it: of the memory's digest and the state's."""
    return hashlib.sha256(bytes.fromhex(pages) + state).hexdigest()[:32]


def cold_digest(facts: GuestFacts | None) -> str:
    """Of a domain without memory: its facts stand for the image."""
    text = json.dumps(to_plain(facts) if facts is not None else None, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
