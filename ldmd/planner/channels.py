"""Device numbers and LDC channels of the domains that have a binding.

`settle` makes `Binding.devices` what the domains' devices ask for: whoever adds, changes or removes a device changes
the `Domain` and then calls it. What is there keeps its number and channels; what is new gets the lowest free ones.
Channel 0 of a domain is that of domain services.

A disk has one channel for each path of its multipath group. A network device has one to its switch, and where the
switch has inter-vnet links one to each other network device on it with which it may talk past the switch. Endpoints
are limited, per domain and on the whole server (platforms: `channels`): the domain that serves has an endpoint for
each channel as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ldmd.messages import refuse
from ldmd.model import BoundDevice, Configuration, Domain, Vdisk, Vnet, Volume, Vsw
from ldmd.planner.hardware import hardware

SERVICES_CHANNEL = 0
INTER_VNET_LINK_LIMIT = 8
"""With `inter-vnet-link=auto` a switch with more network devices than this has no links between them."""


@dataclass(frozen=True)
class Wanted:
    """A device as its domain asks for it."""

    kind: str
    name: str
    number: int | None  # as asked for with id=
    channels: int
    peers: tuple[int, ...] = ()  # of a network: those behind all channels but the first


@dataclass(frozen=True)
class Path:
    """One way to a disk's data."""

    domain: str  # the service domain
    service: str  # name of its vds
    volume: Volume


def disk_paths(configuration: Configuration, disk: Vdisk) -> tuple[Path, ...]:
    """The ways to a disk, the one that it names first; more than one where its volume is in a multipath group.

    () where its volume or server does not exist.
    """
    found = configuration.find_vds(disk.service)
    volume = found[1].volume(disk.volume) if found else None
    if found is None or volume is None:
        return ()
    paths = [Path(found[0].name, disk.service, volume)]
    if volume.mpgroup:
        paths += [Path(domain.name, server.name, other) for domain, server in configuration.disk_servers()
                  for other in server.volumes
                  if other.mpgroup == volume.mpgroup and (server.name, other.name) != (disk.service, disk.volume)]
    return tuple(paths)


Links = Mapping[tuple[str, str], tuple[int, ...]]
"""MAC addresses of the networks that each (domain, network) has links to."""


def links_of(configuration: Configuration) -> Links:
    """The links between networks of bound domains. One look at all domains."""
    on: dict[str, list[tuple[Domain, Vnet]]] = {}
    for domain in configuration.domains:
        if domain.binding is not None and not domain.control:  # in the control domain nobody is there to answer
            for net in domain.vnets:
                on.setdefault(net.service, []).append((domain, net))
    links: dict[tuple[str, str], tuple[int, ...]] = {}
    for _, switch in configuration.switches():
        users = on.get(switch.name, [])
        if switch.inter_vnet_link == "off" or (
                switch.inter_vnet_link == "auto" and len(users) > INTER_VNET_LINK_LIMIT):
            continue
        for domain, net in users:
            links[domain.name, net.name] = tuple(
                other.mac for _, other in users if other.mac != net.mac and may_link(switch, net, other))
    return links


def may_link(switch: Vsw, one: Vnet, other: Vnet) -> bool:
    """Would frames between the two be the same without the switch? It alone keeps VLANs apart, limits and guards."""
    if any(net.pvlan or net.protection or net.maxbw_bps is not None for net in (one, other)):
        return False
    vlans = [(switch.default_vlan if net.pvid is None else net.pvid, frozenset(net.vids)) for net in (one, other)]
    return vlans[0] == vlans[1]


def wanted_devices(configuration: Configuration, domain: Domain, links: Links | None = None
                   ) -> Iterator[Wanted]:
    """The devices of a domain in the order in which they get numbers and channels. `links`: those of `links_of`."""
    if links is None:
        links = links_of(configuration)
    for disk in domain.vdisks:
        yield Wanted("disk", disk.name, disk.id, max(1, len(disk_paths(configuration, disk))))
    for net in domain.vnets:
        peers = links.get((domain.name, net.name), ())
        yield Wanted("network", net.name, net.id, 1 + len(peers), peers)
    for adapter in domain.vhbas:
        yield Wanted("vhba", adapter.name, adapter.id, 1)
    for client in domain.vdpccs:
        yield Wanted("vdpcc", client.name, None, 1)
    for switch in domain.switches:
        yield Wanted("switch", switch.name, switch.id, 0)


def settle(configuration: Configuration) -> Configuration:
    """With numbers and channels for all devices of bound domains. Refuses where there are not enough endpoints."""
    domains = []
    links = links_of(configuration)
    for domain in configuration.domains:
        binding = domain.binding
        devices = _settled(configuration, domain, links)
        same = binding is None or binding.devices == devices
        domains.append(domain if same else domain.but(binding=binding and binding.but(devices=devices)))
    settled = configuration.but(domains=tuple(domains))
    check_endpoints(settled)
    return settled


def _settled(configuration: Configuration, domain: Domain, links: Links) -> tuple[BoundDevice, ...]:
    if domain.binding is None:
        return ()
    wanted = tuple(wanted_devices(configuration, domain, links))
    have = {(device.kind, device.name): device for device in domain.binding.devices}
    numbers = _numbers(domain, wanted, have)
    kept = {(each.kind, each.name): _kept(each, have.get((each.kind, each.name))) for each in wanted}
    used = {SERVICES_CHANNEL, *(channel for channels in kept.values() for channel in channels if channel is not None)}
    devices = []
    for each in wanted:
        channels = []
        for channel in kept[each.kind, each.name]:
            channels.append(lowest_free(used) if channel is None else channel)
            used.add(channels[-1])
        number = numbers[each.kind, each.name]
        devices.append(BoundDevice(each.kind, each.name, number, tuple(channels), each.peers))
    return tuple(devices)


def _kept(wanted: Wanted, have: BoundDevice | None) -> list[int | None]:
    """The channels of a device in their order, None for each that is new. A link's goes with its peer."""
    if have is None:
        return [None] * wanted.channels
    own = list(have.channels[: wanted.channels - len(wanted.peers)])
    links = dict(zip(have.peers, have.channels[1:], strict=False))
    services = wanted.channels - len(wanted.peers)
    return [*own, *[None] * (services - len(own)), *(links.get(peer) for peer in wanted.peers)]


def _numbers(domain: Domain, wanted: Iterable[Wanted],
             have: dict[tuple[str, str], BoundDevice]) -> dict[tuple[str, str], int]:
    """A number for each device, unique within its kind: the one asked for, the one it has, the lowest free one."""
    numbers: dict[tuple[str, str], int] = {}
    used: dict[str, dict[int, str]] = {}
    for each in wanted:
        if each.number is not None:
            other = used.setdefault(each.kind, {}).get(each.number)
            if other is not None:
                refuse("device.number-taken", kind=each.kind, number=each.number, other=other, domain=domain.name,
                       name=each.name)
            numbers[each.kind, each.name] = each.number
            used[each.kind][each.number] = each.name
    for keeps in (True, False):
        for each in wanted:
            key, taken = (each.kind, each.name), used.setdefault(each.kind, {})
            if key in numbers or (keeps and (key not in have or have[key].number in taken)):
                continue
            numbers[key] = have[key].number if keeps else lowest_free(taken)
            taken[numbers[key]] = each.name
    return numbers


def lowest_free(used: Iterable[int]) -> int:
    """The lowest number from 0 on that is not used."""
    taken = frozenset(used)
    number = 0
    while number in taken:
        number += 1
    return number


def endpoints(configuration: Configuration) -> dict[str, int]:
    """How many LDC endpoints each bound domain has: domain services, its devices, its clients and their consoles."""
    counts = {domain.name: 1 for domain in configuration.domains if domain.binding is not None}
    for domain in configuration.domains:
        binding = domain.binding
        if binding is None:
            continue
        counts[domain.name] += sum(len(device.channels) for device in binding.devices)
        if not domain.control:
            counts[configuration.primary.name] = counts.get(configuration.primary.name, 0) + 1
        for server in _servers(configuration, domain):
            if server in counts:
                counts[server] += 1
    return counts


def _servers(configuration: Configuration, domain: Domain) -> Iterator[str]:
    """The service domain of each channel of a domain that goes to one, its console's included."""
    for disk in domain.vdisks:
        yield from (path.domain for path in disk_paths(configuration, disk))
    for net in domain.vnets:
        yield from (found[0].name for found in [configuration.find_vsw(net.service)] if found)
    for adapter in domain.vhbas:
        yield from (found[0].name for found in [configuration.find_vsan(adapter.vsan)] if found)
    for client in domain.vdpccs:
        yield from (each.name for each in configuration.domains
                    if any(service.name == client.service for service in each.vdpcss))
    if domain.binding is not None and domain.binding.console_service:
        yield from (found[0].name for found in [configuration.find_vcc(domain.binding.console_service)] if found)


def check_endpoints(configuration: Configuration) -> None:
    """Refuse what takes more LDC endpoints than the platform has."""
    limits = hardware(configuration).platform.channels
    counts = endpoints(configuration)
    for name, count in counts.items():
        if count > limits.per_domain:
            refuse("channels.domain", domain=name, count=count, limit=limits.per_domain)
    total = sum(counts.values())
    if limits.total is not None and total > limits.total:
        refuse("channels.total", count=total, limit=limits.total)
