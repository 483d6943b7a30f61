"""State of the domain, of both managers, identity, versions: G60, G63 and the rules of the other pages."""

from __future__ import annotations

from collections.abc import Iterator

from ldmd.migration.checks.cpus import release
from ldmd.migration.facts import DEBUGGING, GuestFacts, ServerFacts, TargetFacts, numbers
from ldmd.migration.rule import Found, Options, found
from ldmd.model import State
from ldmd.planner.domains import name_problem

STEADY = (State.ACTIVE, State.BOUND, State.INACTIVE)
LEAST_SOLARIS = (10, 2010, 9)
LEAST_FIRMWARE = {"t2": (7, 4, 5), "t2+": (7, 4, 5), "t3": (8, 2, 2), "t4": (8, 2, 2)}
"""For live migration; the product's "8.2.2.c" has a letter that is not compared."""
NEWER_INTERFACES = {8: (8, 4), 9: (9, 1)}
NEWER_XCP = (2210,)


def _sides(guest: GuestFacts, target: TargetFacts) -> tuple[tuple[str, ServerFacts], ...]:
    return ("source", guest.server), ("target", target.server)


def pending(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G60."""
    for side, server in _sides(guest, target):
        for name in server.pending:
            yield found("reconfiguration", side=side, machine=server.machine, pending=name)


def coordination(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """G63: only an operating system that runs normally is moved."""
    system = guest.system
    if system.firmware or not system.normal or system.soft_state == DEBUGGING:
        state = system.soft_state
        yield found("soft-state", name=guest.domain.name, state=state) if state else \
            found("silent", name=guest.domain.name)


def migrating(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """A machine takes part in one migration at a time."""
    for side, server in _sides(guest, target):
        for name in server.migrations:
            yield found("busy", side=side, machine=server.machine, other=name)


def operation(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """Nothing else is under way with the domain."""
    if guest.operation:
        yield found("operation", name=guest.domain.name, operation=guest.operation)


def steady(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """The domain is active, bound or inactive."""
    if guest.domain.state not in STEADY:
        yield found("state", name=guest.domain.name, state=str(guest.domain.state))


def control(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """The control domain stays."""
    if guest.domain.control:
        yield found("control", name=guest.domain.name)


def service_domain(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """A domain that serves others stays."""
    if guest.domain.serves and not guest.domain.control:
        users = ", ".join(guest.clients)
        yield found("serves", name=guest.domain.name, users=f"used by {users}" if users else "nobody uses them now")


def name_free(guest: GuestFacts, target: TargetFacts, options: Options) -> Iterator[Found]:
    """The name is one, and free on the target."""
    why = name_problem(options.name(guest))
    if why:
        yield found("new-name", name=options.name(guest)[:64], why=why)
    if options.name(guest) in target.names:
        yield found("name", name=options.name(guest), host=target.server.machine)


def uuid_free(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """The uuid is free on the target."""
    for uuid, owner in target.uuids:
        if uuid == guest.domain.uuid:
            yield found("uuid", uuid=uuid, owner=owner)


def hostid_free(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """The hostid is nobody's there: a warning, as nothing but software licences looks at it."""
    for hostid, owner in target.hostids:
        if hostid == guest.domain.hostid:
            yield found("hostid", hostid=f"{hostid:#x}", owner=owner)


def room(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """The platform can have one more domain."""
    if target.free_domains < 1:
        yield found("domains", name=guest.domain.name, machine=target.server.machine)


def masters(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """A master that is not there is dropped."""
    for name in guest.domain.masters:
        if name not in target.names:
            yield found("master", name=guest.domain.name, master=name)


def named(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """Named cores and memory blocks are those of one machine."""
    cpus, memory = guest.domain.cpus, guest.domain.memory
    words = [word for word, there in (("core", cpus.cids), ("memory", memory.mblocks)) if there]
    if words:
        clear = [f"`ldm set-{word} {'cid' if word == 'core' else 'mblock'}= {guest.domain.name}`" for word in words]
        yield found("named", name=guest.domain.name, kinds=",".join(words), clear=" and ".join(clear))


def counters(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """perf-counters=global is held by one domain."""
    if "global" in guest.domain.perf_counters and target.global_counters and target.server.performance_access:
        yield found("counters", name=guest.domain.name, owner=target.global_counters)


def versions(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Managers of release N and N or N-1, in both directions."""
    here, there = numbers(guest.server.manager_version)[:2], numbers(target.server.manager_version)[:2]
    if len(here) < 2 or len(there) < 2 or here[0] != there[0] or abs(here[1] - there[1]) > 1:
        yield found("versions", here=guest.server.manager_version, there=target.server.manager_version)


def least_system(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """Solaris 10 9/10 or later."""
    known = release(guest)
    if known is not None and known < LEAST_SOLARIS:
        yield found("system", name=guest.domain.name, version=guest.system.version)


def least_firmware(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Firmware that can move a running domain, on both sides."""
    for side, server in _sides(guest, target):
        least = LEAST_FIRMWARE.get(server.chip, ())
        if numbers(server.firmware)[: len(least)] < least:
            yield found("firmware", side=side, machine=server.machine, firmware=server.firmware,
                        least=".".join(map(str, least)))


def families(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """None between firmware 7.x (and 6.x) and later families."""
    old = [numbers(server.firmware)[:1] < (8,) and not server.firmware.startswith("XCP")
           for _, server in _sides(guest, target)]
    if old[0] != old[1]:
        yield found("firmware-family", here=guest.server.firmware, there=target.server.firmware)


def has_newer_interfaces(firmware: str) -> bool:
    """True from 8.4, 9.1 and XCP 2210 on: guests there use hypervisor interfaces that older firmware lacks."""
    level = numbers(firmware)
    if firmware.startswith("XCP"):
        return level >= NEWER_XCP
    return bool(level) and (level[0] > 9 or level >= NEWER_INTERFACES.get(level[0], (99,)))


def interfaces(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Every hypervisor interface that the guest negotiated is there; where nobody told, the firmware's level counts."""
    if guest.system.apis and target.apis:
        have = {(group, major): minor for group, major, minor in target.apis}
        lacks = [f"{group:#x} {major}.{minor}" for group, major, minor in guest.system.apis
                 if have.get((group, major), -1) < minor]
        if lacks:
            yield found("interfaces", name=guest.domain.name, what="hypervisor interfaces " + ", ".join(lacks))
    elif has_newer_interfaces(guest.server.firmware) and not has_newer_interfaces(target.server.firmware):
        yield found("interfaces", name=guest.domain.name,
                    what=f"firmware {guest.server.firmware} has them, {target.server.firmware} does not")


def m5_upgrade(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """From older firmware to newer is allowed, but not to an M5-32."""
    if target.server.platform == "m5-32" and has_newer_interfaces(target.server.firmware) and \
            not has_newer_interfaces(guest.server.firmware):
        yield found("m5", here=guest.server.firmware, there=target.server.firmware)


def tags(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """Memory version tags are not moved by managers before 3.5."""
    if guest.system.tags:
        yield found("tags", name=guest.domain.name)


def kernel_zones(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """No running kernel zones."""
    if guest.system.kernel_zones:
        yield found("kernel-zones", name=guest.domain.name)


def enabled(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Both managers allow migrations."""
    for side, server in _sides(guest, target):
        if not server.enabled:
            yield found("disabled", side=side, machine=server.machine,
                        setting="outgoing_migration_enabled" if side == "source" else "incoming_migration_enabled")
