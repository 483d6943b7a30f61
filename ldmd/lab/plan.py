"""From a server of a lab to the commands of `ldm` that make it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ldmd.lab.model import DiskServer, LabDomain, LabServer, Properties, Volume
from ldmd.lab.reader import PRIMARY

SPCONFIG = "lab"
"""The configuration that is saved on the service processor, so that a server that was off is as before."""
SUFFIXES = (".qcow2", ".overlay")
"""Of files that a name tells from raw images (emulator/backends/images.py)."""
Command = tuple[str, ...]


def disk_name(server: str, vds: DiskServer, volume: Volume) -> str:
    """Name of the file that a lab makes for a volume: one for all paths of a multipathing group."""
    group = dict(volume.properties).get("mpgroup")
    stem = f"{server}.mpgroup.{group}" if group else f"{server}.{vds.name}.{volume.name}"
    source = volume.image or volume.copy
    if volume.image is not None:
        return f"{stem}.overlay"
    return f"{stem}{source.suffix if source is not None and source.suffix in SUFFIXES else '.img'}"


def commands(server: LabServer, made: Callable[[str], Path]) -> Iterator[Command]:
    """All commands in their order, without ``ldm``; `made` gives the path of a file the lab has made, by its name."""
    control, *guests = server.domains
    yield from _control(control)
    for domain in guests:
        words = ["add-domain", *_assignments(domain.properties), domain.name]
        yield tuple(words)
    for domain in server.domains:
        yield from _services(server, domain, made)
    for domain in server.domains:
        yield from _shape(domain)
    for domain in guests:
        if domain.bind:
            yield ("bind-domain", domain.name)
        if domain.start:
            yield ("start-domain", domain.name)
    yield ("add-spconfig", SPCONFIG)


def _control(domain: LabDomain) -> Iterator[Command]:
    """The control domain gives up what is not its own: a delayed reconfiguration, and the reboot that ends it."""
    sizes = [*_sizes(domain)]
    if domain.properties:
        sizes.insert(0, ("set-domain", *_assignments(domain.properties), PRIMARY))
    if sizes:
        yield ("start-reconf", PRIMARY)
        yield from sizes
        yield ("stop-domain", "-r", PRIMARY)


def _sizes(domain: LabDomain) -> Iterator[Command]:
    if domain.crypto is not None:
        yield ("set-crypto", str(domain.crypto), domain.name)
    if domain.cores is not None:
        yield ("set-core", str(domain.cores), domain.name)
    if domain.vcpus is not None:
        yield ("set-vcpu", str(domain.vcpus), domain.name)
    if domain.memory:
        yield ("set-memory", domain.memory, domain.name)


def _services(server: LabServer, domain: LabDomain, made: Callable[[str], Path]) -> Iterator[Command]:
    for vcc in domain.concentrators:
        yield ("add-vcc", *_assignments(vcc.properties), vcc.name, domain.name)
    for switch in domain.switches:
        yield ("add-vsw", *_assignments(switch.properties), switch.name, domain.name)
    for vds in domain.disk_servers:
        yield ("add-vds", vds.name, domain.name)
        for volume in vds.volumes:
            path = volume.file or made(disk_name(server.name, vds, volume))
            yield ("add-vdsdev", *_assignments(volume.properties), str(path), f"{volume.name}@{vds.name}")


def _shape(domain: LabDomain) -> Iterator[Command]:
    if domain.name != PRIMARY:
        yield from _sizes(domain)
    for disk in domain.disks:
        yield ("add-vdisk", *_assignments(disk.properties), disk.name, disk.source, domain.name)
    for net in domain.networks:
        yield ("add-vnet", *_assignments(net.properties), net.name, net.source, domain.name)
    for device in domain.io:
        yield ("add-io", device, domain.name)
    if domain.console:
        yield ("set-vcons", *_assignments(domain.console), domain.name)
    if domain.variables:
        yield ("set-variable", *_assignments(domain.variables), domain.name)
    yield from (tuple(line.split()) for line in domain.commands)


def _assignments(properties: Properties) -> Iterator[str]:
    return (f"{name}={value}" for name, value in properties)
