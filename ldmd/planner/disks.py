"""Virtual disks: servers (vds), volumes (vdsdev), disks (vdisk), and the paths of multipathing groups.

Facts: Administration Guide, "Using Virtual Disks" (3.3). What a backend is on the host is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ldmd.messages import refuse
from ldmd.model import Configuration, DiskServer, Domain, State, Vdisk, Volume
from ldmd.planner.channels import disk_paths
from ldmd.planner.devices import check_id, set_channels
from ldmd.planner.naming import check_name, joined, split_volume, steady_domain

OPTIONS = ("ro", "slice", "excl")
TIMEOUT_LIMIT = (1 << 31) - 1
KIND = "disk"


def find_server(configuration: Configuration, name: str) -> tuple[Domain, DiskServer]:
    """A virtual disk server and its domain, or a refusal."""
    found = configuration.find_vds(name)
    if found is None:
        refuse("service.not-found", kind="Virtual disk server", name=name)
    return found


def find_volume(configuration: Configuration, text: str) -> tuple[Domain, DiskServer, Volume]:
    """``volume@service``, or a refusal."""
    name, service = split_volume(text)
    domain, server = find_server(configuration, service)
    volume = server.volume(name)
    if volume is None:
        refuse("disk.volume-not-found", volume=text)
    return domain, server, volume


def volume_users(configuration: Configuration, service: str, volume: str) -> list[tuple[Domain, Vdisk]]:
    """The disks that use a volume, directly or as a path of its multipathing group."""
    found = configuration.find_vds(service)
    mine = found[1].volume(volume) if found else None
    names = {(service, volume)}
    if mine is not None and mine.mpgroup:
        names |= {(server.name, each.name) for server, each in group_paths(configuration, mine.mpgroup)}
    return [(domain, disk) for domain in configuration.domains for disk in domain.vdisks
            if (disk.service, disk.volume) in names]  # fmt: skip


def group_paths(configuration: Configuration, mpgroup: str) -> list[tuple[DiskServer, Volume]]:
    """The volumes of a multipathing group, in the order of the servers."""
    return [(server, volume) for _, server in configuration.disk_servers() for volume in server.volumes
            if volume.mpgroup == mpgroup]  # fmt: skip


def path_names(configuration: Configuration, disk: Vdisk) -> tuple[tuple[str, str], ...]:
    """(service, volume) of each path of a disk, the selected one first."""
    return tuple((path.service, path.volume.name) for path in disk_paths(configuration, disk))


# -- servers


def add_vds(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """A new virtual disk server."""
    owner = steady_domain(configuration, domain)
    check_name("service", name)
    if configuration.find_vds(name) is not None:
        refuse("service.exists", kind="Virtual disk server", name=name)
    return configuration.with_domain(owner.but(disk_servers=(*owner.disk_servers, DiskServer(name=name))))


def remove_vds(configuration: Configuration, name: str, *, force: bool) -> Configuration:
    """Remove a server with its volumes. Disks keep the name of what is gone where it is forced."""
    owner, server = find_server(configuration, name)
    steady_domain(configuration, owner.name)
    users = [user.name for volume in server.volumes for user, disk in volume_users(configuration, name, volume.name)
             if disk.service == name]  # fmt: skip
    if users and not force:
        refuse("disk.server-attached", name=name, users=joined(users))
    kept = tuple(each for each in owner.disk_servers if each.name != name)
    return configuration.with_domain(owner.but(disk_servers=kept))


# -- volumes


def parse_options(text: str) -> tuple[str, ...]:
    """``ro,slice`` in the order in which lists show them; "" for none."""
    given = text.split(",") if text else []
    for option in given:
        if option not in OPTIONS or given.count(option) > 1:
            refuse("disk.option", option=option, options=",".join(OPTIONS))
    return tuple(option for option in OPTIONS if option in given)


def add_vdsdev(configuration: Configuration, volume: Volume, *, service: str, force: bool) -> Configuration:
    """A new volume of a server."""
    owner, server = find_server(configuration, service)
    steady_domain(configuration, owner.name)
    check_name("volume", volume.name)
    if server.volume(volume.name) is not None:
        refuse("disk.volume-exists", volume=f"{volume.name}@{service}")
    _check_group(configuration, server, volume)
    _check_exports(configuration, volume, service=service, force=force)
    return _with_server(configuration, owner, replace(server, volumes=(*server.volumes, volume)))


def _check_group(configuration: Configuration, server: DiskServer, volume: Volume) -> None:
    if not volume.mpgroup:
        return
    check_name("multipathing group", volume.mpgroup)
    for each in server.volumes:
        if each.mpgroup == volume.mpgroup and each.name != volume.name:
            refuse("disk.mpgroup-twice", mpgroup=volume.mpgroup, service=server.name, other=each.name)


def _check_exports(configuration: Configuration, volume: Volume, *, service: str, force: bool) -> None:
    """A backend that is exported already needs force, unless both are paths of one group; exclusive ones stay alone."""
    for _, server in configuration.disk_servers():
        for other in server.volumes:
            if other.backend != volume.backend or (server.name, other.name) == (service, volume.name):
                continue
            full = f"{other.name}@{server.name}"
            if "excl" in (*volume.options, *other.options):
                refuse("disk.exclusive", backend=volume.backend, other=full)
            if not force and (not volume.mpgroup or volume.mpgroup != other.mpgroup):
                refuse("disk.exported", backend=volume.backend, other=full)


def _with_server(configuration: Configuration, owner: Domain, server: DiskServer) -> Configuration:
    servers = tuple(server if each.name == server.name else each for each in owner.disk_servers)
    return configuration.with_domain(owner.but(disk_servers=servers))


def set_vdsdev(
    configuration: Configuration, text: str, *, options: Sequence[str] | None, mpgroup: str | None, force: bool
) -> Configuration:
    """Change a volume's options or group; None leaves what there is."""
    owner, server, volume = find_volume(configuration, text)
    steady_domain(configuration, owner.name)
    changed = replace(volume, options=volume.options if options is None else tuple(options),
                      mpgroup=volume.mpgroup if mpgroup is None else mpgroup)  # fmt: skip
    bound = [user.name for user, _ in volume_users(configuration, server.name, volume.name) if user.binding is not None]
    if bound and changed.mpgroup != volume.mpgroup:
        refuse("disk.mpgroup-bound", volume=text, users=joined(bound))
    if bound and changed != volume and not force:
        refuse("disk.volume-attached", volume=text, users=joined(bound))
    _check_group(configuration, server, changed)
    _check_exports(configuration, changed, service=server.name, force=force)
    volumes = tuple(changed if each.name == volume.name else each for each in server.volumes)
    return _with_server(configuration, owner, replace(server, volumes=volumes))


def remove_vdsdev(configuration: Configuration, text: str, *, force: bool) -> Configuration:
    """Remove a volume."""
    owner, server, volume = find_volume(configuration, text)
    steady_domain(configuration, owner.name)
    users = [user.name for user, disk in volume_users(configuration, server.name, volume.name)
             if (disk.service, disk.volume) == (server.name, volume.name) or user.binding is not None]  # fmt: skip
    if users and not force:
        refuse("disk.volume-attached", volume=text, users=joined(users))
    kept = tuple(each for each in server.volumes if each.name != volume.name)
    return _with_server(configuration, owner, replace(server, volumes=kept))


# -- disks


def find_disk(domain: Domain, name: str) -> Vdisk:
    """A disk of a domain, or a refusal."""
    found = next((disk for disk in domain.vdisks if disk.name == name), None)
    if found is None:
        refuse("device.not-found", kind="Virtual disk", name=name, domain=domain.name)
    return found


def add_vdisk(configuration: Configuration, disk: Vdisk, *, domain: str) -> Configuration:
    """A new disk; a domain that is bound gets it at once."""
    client = steady_domain(configuration, domain)
    check_name("disk", disk.name)
    if any(each.name == disk.name for each in client.vdisks):
        refuse("device.exists", kind="Virtual disk", name=disk.name, domain=domain)
    find_volume(configuration, f"{disk.volume}@{disk.service}")
    _check_unused(configuration, disk)
    check_id(client, KIND, disk.id, taken=(each.id for each in client.vdisks))
    return configuration.with_domain(client.but(vdisks=(*client.vdisks, disk)))


def _check_unused(configuration: Configuration, disk: Vdisk, *, besides: Iterable[tuple[str, str]] = ()) -> None:
    """A volume, and a multipathing group, is one disk of one domain."""
    for user, other in volume_users(configuration, disk.service, disk.volume):
        if (user.name, other.name) not in besides:
            refuse("disk.volume-used", volume=f"{disk.volume}@{disk.service}", disk=other.name, domain=user.name)


def set_vdisk(
    configuration: Configuration, name: str, *, domain: str, timeout: int | None, volume: str | None
) -> Configuration:
    """Change the timeout, or the volume. In an active domain only the selected path of a group can be changed."""
    client = steady_domain(configuration, domain)
    disk = find_disk(client, name)
    active = client.state is State.ACTIVE and not client.control
    if timeout is not None and timeout != disk.timeout and active:
        refuse("device.active", what=f"timeout of {name}", domain=domain)
    after = disk if timeout is None else replace(disk, timeout=timeout)
    if volume is not None:
        after = _other_volume(configuration, client, after, text=volume, active=active)
    old, new = path_names(configuration, disk), path_names(configuration, after)
    client = client.but(vdisks=tuple(after if each.name == name else each for each in client.vdisks))
    device = client.binding.device(KIND, name) if client.binding else None
    if device is not None and set(old) == set(new) and len(device.channels) == len(old):  # each path keeps its channel
        order = dict(zip(old, device.channels, strict=True))
        client = set_channels(client, KIND, name, channels=tuple(order[path] for path in new))
    return configuration.with_domain(client)


def _other_volume(configuration: Configuration, client: Domain, disk: Vdisk, *, text: str, active: bool) -> Vdisk:
    _, server, volume = find_volume(configuration, text)
    now = (disk.service, disk.volume)
    if (server.name, volume.name) == now:
        return disk
    if active and (server.name, volume.name) not in path_names(configuration, disk):
        refuse("disk.not-a-path", volume=text, disk=disk.name, domain=client.name)
    after = replace(disk, service=server.name, volume=volume.name)
    _check_unused(configuration, after, besides={(client.name, disk.name)})
    return after


def remove_vdisk(configuration: Configuration, name: str, *, domain: str) -> Configuration:
    """Remove a disk. That the guest lets go of it is the operation's to see to."""
    client = steady_domain(configuration, domain)
    find_disk(client, name)
    return configuration.with_domain(client.but(vdisks=tuple(each for each in client.vdisks if each.name != name)))
