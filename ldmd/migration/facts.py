"""What the two managers know before a migration: `GuestFacts` travel to the target, which checks them with its own.

Both are frozen, and plain data by `ldmd.model.plain`: what comes from a peer is checked for its shape by that alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.chips import CHIPS, cpu_archs
from emulator.mblocks import Mblock, MemoryMap
from ldmd.messages import refuse
from ldmd.model import BoundDevice, Configuration, Domain, MemoryBlock, State, Vcc
from ldmd.planner import channels, iobuses
from ldmd.planner.binding import bound_clients
from ldmd.planner.consoleplaces import consoles_in_use
from ldmd.planner.domains import name_problem
from ldmd.planner.hardware import crypto_owners, hardware, memory_map, strand_owners
from ldmd.planner.macs import macs_in_use
from ldmd.planner.naming import fits
from ldmd.planner.strands import Strands

MANAGER_VERSION = "3.3"
"""The release whose behaviour this manager has, if it is not told to have that of an older one."""
RELEASES = ("3.0", "3.1", "3.2", MANAGER_VERSION)
SPLITTING = (3, 3)
"""The first release that splits blocks of memory (rule G23)."""
OPENBOOT, DEBUGGING = "OpenBoot Running", "Solaris debugging"


@dataclass(frozen=True, kw_only=True)
class System:
    """The operating system in the domain, as far as anybody knows. `version`: "11.3", "10 9/10", or "": not known."""

    name: str = ""  # "Solaris", "Linux", "" where it has not said
    version: str = ""
    soft_state: str = ""
    normal: bool = False  # it says that it runs normally
    firmware: bool = False  # OpenBoot has the domain
    services: tuple[str, ...] = ()  # registered domain services
    apis: tuple[tuple[int, int, int], ...] = ()  # hypervisor interfaces it negotiated: group, major, minor
    tags: bool = False  # it uses memory version tags (Silicon Secured Memory)
    kernel_zones: bool = False  # kernel zones run in it


@dataclass(frozen=True, kw_only=True)
class VolumeFact:
    """A volume of a virtual disk server. `identity`: what tells its contents from others', "" where nobody looked."""

    service: str
    name: str
    options: tuple[str, ...] = ()
    mpgroup: str = ""
    identity: str = ""
    gpt: bool = False  # its disk has an EFI GPT label


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """The machine itself, on either side."""

    machine: str
    platform: str
    chip: str
    chip_title: str
    firmware: str  # "9.2.1", "XCP 2240"
    largest_page: int
    strands_per_core: int
    crypto: tuple[str, ...]  # kinds of crypto units
    manager_version: str
    pending: tuple[str, ...]  # domains in delayed reconfiguration
    migrations: tuple[str, ...] = ()  # domains that migrate to or from here at this time
    performance_access: bool = True
    enabled: bool = True  # outgoing_migration_enabled, incoming_migration_enabled


@dataclass(frozen=True, kw_only=True)
class GuestFacts:
    """All that the source knows of the domain."""

    server: ServerFacts
    domain: Domain
    system: System
    volumes: tuple[VolumeFact, ...] = ()  # those that its disks use
    vlans: tuple[tuple[str, int], ...] = ()  # default VLAN of each switch that it uses
    physical: tuple[tuple[str, str], ...] = ()  # (kind, name) of physical I/O it owns
    clients: tuple[str, ...] = ()  # bound domains that use its services
    operation: str = ""  # another operation on it that runs

    @property
    def live(self) -> bool:
        """True where the domain runs and its memory moves."""
        return self.domain.state is State.ACTIVE

    @property
    def bound(self) -> bool:
        """True where the target has to bind it."""
        return self.domain.state in (State.ACTIVE, State.BOUND)

    @property
    def vcpus(self) -> int:
        """Virtual CPUs it has."""
        return len(self.domain.binding.vcpus) if self.domain.binding else self.domain.cpus.vcpus


@dataclass(frozen=True, kw_only=True)
class MemoryPiece:
    """A block of the target's memory. `owner` "": free."""

    pa: int
    size_bytes: int
    node: int
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Concentrator:
    """A console concentrator with the ports nobody has."""

    name: str
    domain: str
    free_ports: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """All that the target knows of itself."""

    server: ServerFacts
    cpu_archs: tuple[str, ...]
    free_strands: int
    free_cores: int
    free_crypto: int
    memory: tuple[MemoryPiece, ...]
    ra_limit: int
    disk_servers: tuple[str, ...]
    volumes: tuple[VolumeFact, ...]
    switches: tuple[str, ...]
    vsans: tuple[str, ...]
    vdpcss: tuple[str, ...]
    concentrators: tuple[Concentrator, ...]
    console_groups: tuple[str, ...]
    macs: tuple[tuple[int, str], ...]  # in use, with what has each
    names: tuple[str, ...]
    uuids: tuple[tuple[str, str], ...]  # uuid, domain
    hostids: tuple[tuple[int, str], ...]  # hostid, domain
    global_counters: str = ""  # the domain that has perf-counters=global
    free_domains: int
    endpoints_per_domain: int
    apis: tuple[tuple[int, int, int], ...] = ()  # group, major, largest minor; (): not told

    @property
    def free_bytes(self) -> int:
        """All memory nobody has."""
        return sum(piece.size_bytes for piece in self.memory if not piece.owner)

    def memory_map(self) -> MemoryMap:
        """The same as the allocator wants it."""
        return MemoryMap(tuple(Mblock(each.pa, each.size_bytes, each.node, each.owner or None) for each in self.memory))

    def volume(self, service: str, name: str) -> VolumeFact | None:
        """A volume by its full name."""
        return next((each for each in self.volumes if (each.service, each.name) == (service, name)), None)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a manager knows beside configuration and statuses; an I/O layer fills it in. By backend path: `identities`
    of contents, `gpt` for those with such a label. `ports_taken`: of its host, by whatever program."""

    identities: Mapping[str, str] | None = None
    gpt: Collection[str] = ()
    migrations: tuple[str, ...] = ()
    operation: str = ""
    enabled: bool = True
    performance_access: bool = True
    manager_version: str = MANAGER_VERSION
    apis: tuple[tuple[int, int, int], ...] = ()
    ports_taken: Collection[int] = ()


NOTHING_MORE = Known()


def server_facts(configuration: Configuration, known: Known = NOTHING_MORE) -> ServerFacts:
    """The machine of a configuration."""
    server = hardware(configuration)
    return ServerFacts(
        machine=configuration.server.name, platform=server.platform.name, chip=server.chip.name,
        chip_title=server.chip.title, firmware=server.platform.firmware,
        largest_page=server.platform.largest_page_bytes, strands_per_core=server.strands_per_core,
        crypto=tuple(server.platform.crypto), manager_version=known.manager_version,
        pending=tuple(each.domain.name for each in configuration.pending), migrations=known.migrations,
        performance_access=known.performance_access, enabled=known.enabled)


def system_of(status: Mapping[str, Any]) -> System:
    """What a status of `guest.list` tells of the guest's operating system."""
    soft = status.get("soft_state", {})
    text, firmware = str(soft.get("text", "")), bool(status.get("firmware", False))
    if firmware and not text.startswith("OpenBoot"):
        text = OPENBOOT  # what the system before a reset said of itself is no longer so
    told = status.get("os", {})
    name = str(told.get("name", "")) or next((each for each in ("Solaris", "Linux") if text.startswith(each)), "")
    return System(
        name=name, version=str(told.get("version", "")), soft_state=text,
        normal=bool(soft.get("normal", False)), firmware=firmware,
        services=tuple(str(each) for each in status.get("services", ())),
        apis=tuple((int(group), int(major), int(minor)) for group, major, minor in status.get("apis", ())),
        tags=bool(told.get("tags", False)), kernel_zones=bool(told.get("kernel_zones", False)))


def _volume_facts(configuration: Configuration, known: Known) -> tuple[VolumeFact, ...]:
    identities = known.identities or {}
    return tuple(VolumeFact(service=server.name, name=volume.name, options=volume.options, mpgroup=volume.mpgroup,
                            identity=identities.get(volume.backend, ""), gpt=volume.backend in known.gpt)
                 for _, server in configuration.disk_servers() for volume in server.volumes)


def guest_facts(
    configuration: Configuration, domain: Domain, *, status: Mapping[str, Any], known: Known = NOTHING_MORE
) -> GuestFacts:
    """What the source knows of a domain. `status`: of `guest.list`, {} where it is not bound."""
    used = {(disk.service, disk.volume) for disk in domain.vdisks}
    switches = {net.service for net in domain.vnets}
    return GuestFacts(
        server=server_facts(configuration, known), domain=domain, system=system_of(status),
        volumes=tuple(each for each in _volume_facts(configuration, known) if (each.service, each.name) in used),
        vlans=tuple((switch.name, switch.default_vlan) for _, switch in configuration.switches()
                    if switch.name in switches),
        physical=tuple(iobuses.physical_devices(configuration, domain)),
        clients=tuple(sorted(set(bound_clients(configuration, domain)))), operation=known.operation)


def target_facts(configuration: Configuration, known: Known = NOTHING_MORE) -> TargetFacts:
    """What the target knows of itself."""
    server = hardware(configuration)
    strands = Strands.of(server, strand_owners(configuration), "")
    limits = server.platform.channels
    bound = sum(1 for domain in configuration.domains if domain.binding is not None)
    return TargetFacts(
        server=server_facts(configuration, known), cpu_archs=cpu_archs(server.chip.name),
        free_strands=strands.free_strands, free_cores=len(strands.free_cores),
        free_crypto=server.platform.cores - len(crypto_owners(configuration)) if server.has_crypto_units else 0,
        memory=tuple(MemoryPiece(pa=block.pa, size_bytes=block.size_bytes, node=block.node, owner=block.owner or "")
                     for block in memory_map(configuration).blocks),
        ra_limit=server.ra_limit,
        disk_servers=tuple(each.name for _, each in configuration.disk_servers()),
        volumes=_volume_facts(configuration, known),
        switches=tuple(each.name for _, each in configuration.switches()),
        vsans=tuple(each.name for _, each in configuration.vsans()),
        vdpcss=tuple(each.name for domain in configuration.domains for each in domain.vdpcss),
        concentrators=_concentrators(configuration, known),
        console_groups=tuple(sorted({place.group for place in consoles_in_use(configuration)})),
        macs=tuple(sorted(macs_in_use(configuration).items())),
        names=tuple(domain.name for domain in configuration.domains),
        uuids=tuple((domain.uuid, domain.name) for domain in configuration.domains),
        hostids=tuple((domain.hostid, domain.name) for domain in configuration.domains),
        global_counters=next((d.name for d in configuration.domains if "global" in d.perf_counters), ""),
        free_domains=server.platform.max_domains - bound, endpoints_per_domain=limits.per_domain, apis=known.apis)


def _concentrators(configuration: Configuration, known: Known) -> tuple[Concentrator, ...]:
    """All concentrators in the order in which they are tried, the control domain's first.

    Ports that another program of the host listens at come last.
    """
    used = {place.port for place in consoles_in_use(configuration)}

    def free(vcc: Vcc) -> tuple[int, ...]:
        ports = set(range(vcc.first_port, vcc.last_port + 1)) - used
        return tuple(sorted(ports, key=lambda port: (port in known.ports_taken, port)))

    rows = sorted(configuration.vccs(), key=lambda pair: not pair[0].control)
    return tuple(Concentrator(name=vcc.name, domain=domain.name, free_ports=free(vcc)) for domain, vcc in rows)


def wanted_endpoints(guest: GuestFacts) -> int:
    """LDC endpoints the domain has: domain services, console, devices."""
    binding = guest.domain.binding
    if binding is None:
        return 0
    return 1 + sum(len(device.channels) for device in binding.devices) + (channels.SERVICES_CHANNEL == 0)


PAGE = 8 << 10
MOST_BLOCKS, MOST_CPUS, MOST_DEVICES = 1024, 4096, 4096


def check_facts(guest: GuestFacts) -> None:
    """Refuse what a source sent where it is no domain: before any rule looks at it. Its shape is right already."""
    problem = _nonsense(guest)
    if problem:
        refuse("migration.facts", problem=problem)


def _nonsense(guest: GuestFacts) -> str:
    domain, binding, server = guest.domain, guest.domain.binding, guest.server
    macs = [domain.mac, *(mac for net in domain.vnets for mac in (net.mac, *net.alt_macs))]
    cpus = domain.cpus
    good = (
        ("its CPU", server.chip in CHIPS and server.strands_per_core > 0),
        ("its name", not name_problem(domain.name)),
        ("the names of its devices", all(map(fits, _names(domain)))),
        ("its state", (binding is None) == (domain.state in (State.INACTIVE, State.BINDING))),
        ("its memory", 0 <= domain.memory.size_bytes < 1 << 60),
        ("its virtual CPUs", min(cpus.vcpus, cpus.cores, domain.crypto) >= 0 and (cpus.cores or not cpus.whole_core)),
        ("its MAC addresses", len(set(macs)) == len(macs) and all(0 < mac < 1 << 48 for mac in macs)),
    )
    wrong = next((what for what, right in good if not right), "")
    if wrong or binding is None:
        return wrong
    return _bad_memory(binding.memory) or _bad_vcpus(binding.vcpus) or _bad_devices(binding.devices)


def _names(domain: Domain) -> Iterator[str]:
    """Of devices, of the services they use, and what else becomes part of lists and of files' names here."""
    for disk in domain.vdisks:
        yield from (disk.name, disk.volume, disk.service)
    for net in domain.vnets:
        yield from (net.name, net.service)
    for hba in domain.vhbas:
        yield from (hba.name, hba.vsan)
    for client in domain.vdpccs:
        yield from (client.name, client.service)
    yield from (policy.name for policy in domain.policies)
    yield from (name for name in (domain.vcons.group, domain.vcons.service) if name is not None)


def _bad_memory(memory: tuple[MemoryBlock, ...]) -> str:
    end = 1
    for block in memory:
        if block.ra < end or block.ra % PAGE or not 0 < block.size_bytes < 1 << 60 or block.size_bytes % PAGE:
            return "its memory"
        end = block.ra + block.size_bytes
    return "its memory" if not memory or len(memory) > MOST_BLOCKS or end > 1 << 60 else ""


def _bad_vcpus(vcpus: tuple[tuple[int, int], ...]) -> str:
    vids = [vid for vid, _ in vcpus]
    good = 0 < len(vids) <= MOST_CPUS and vids == sorted(set(vids)) and vids[0] >= 0 and vids[-1] < MOST_CPUS
    return "" if good else "its virtual CPUs"


def _bad_devices(devices: tuple[BoundDevice, ...]) -> str:
    used = [channel for device in devices for channel in device.channels]
    good = len(devices) <= MOST_DEVICES and len(set(used)) == len(used) and all(0 < each < 1 << 16 for each in used)
    good = good and all(len(each.peers) < max(1, len(each.channels)) for each in devices)
    good = good and all(0 <= peer < 1 << 48 for each in devices for peer in each.peers)
    return "" if good and all(0 <= device.number < 1 << 16 for device in devices) else "its devices"


_LEVEL = re.compile(r"\d+")


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version: (9, 2, 1) of "9.2.1"."""
    return tuple(int(each[:9]) for each in _LEVEL.findall(text))


def solaris(system: System) -> tuple[int, int, int] | None:
    """(10, year, month) or (11, minor, 0) of a Solaris whose version is known, for comparing; else None.

    "10 9/10" is the update of September 2010.
    """
    found = numbers(system.version)
    if system.name != "Solaris" or not found:
        return None
    if found[0] == 10 and len(found) == 3:
        return 10, found[2], found[1]
    return (found[0], found[1] if len(found) > 1 else 0, 0)
