"""Physical I/O, disks, networks, storage, consoles, channels: G30 to G49."""

from __future__ import annotations

from collections.abc import Iterator

from ldmd.migration.facts import GuestFacts, TargetFacts, VolumeFact, numbers, wanted_endpoints
from ldmd.migration.rule import Found, Options, Severity, found
from ldmd.planner.iobuses import NIU, PCIE, VF
from ldmd.planner.macs import domain_macs, format_mac

GPT_FROM = {8: (8, 4), 9: (9, 1), "XCP": (2230,)}
"""Firmware that knows disks with an EFI GPT label."""


def _physical(guest: GuestFacts, code: str, kinds: tuple[str, ...]) -> Iterator[Found]:
    names = [name for kind, name in guest.physical if kind in kinds]
    if names:
        yield found(code, name=guest.domain.name, devices=", ".join(names), first=names[0])


def root_domain(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """G30: buses and network interface units."""
    yield from _physical(guest, "physical", ("BUS", NIU))


def endpoints(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """G31."""
    yield from _physical(guest, "endpoint", (PCIE,))


def functions(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """G32."""
    yield from _physical(guest, "function", (VF,))


def services(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G40: disk servers and data plane services; switches, SANs and consoles have rules of their own."""
    for name in dict.fromkeys(disk.service for disk in guest.domain.vdisks):
        if name not in target.disk_servers:
            yield found("service", name=guest.domain.name, kind="virtual disk server", service=name,
                        command=f"add-vds {name} primary")
    for client in guest.domain.vdpccs:
        if client.service not in target.vdpcss:
            yield found("service", name=guest.domain.name, kind="virtual data plane channel service",
                        service=client.service, command=f"add-vdpcs {client.service} primary")


def _pairs(guest: GuestFacts, target: TargetFacts) -> Iterator[tuple[VolumeFact, VolumeFact]]:
    """The domain's volumes here and there, where both are known."""
    for here in guest.volumes:
        there = target.volume(here.service, here.name)
        if there is not None:
            yield here, there


def volumes(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G41."""
    for disk in guest.domain.vdisks:
        if disk.service in target.disk_servers and target.volume(disk.service, disk.volume) is None:
            yield found("volume", disk=disk.name, service=disk.service, volume=disk.volume)


def contents(guest: GuestFacts, target: TargetFacts, options: Options) -> Iterator[Found]:
    """G42: a warning where they provably differ; an error where that was asked for."""
    for here, there in _pairs(guest, target):
        if here.identity and there.identity and here.identity != there.identity:
            severity = Severity.ERROR if options.strict_storage else None
            yield Found(code="migration.contents", severity=severity,
                        values=(("volume", f"{here.name}@{here.service}"),))


def volume_options(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Options and mpgroup of an active domain's volumes are the same."""
    for here, there in _pairs(guest, target):
        for what, one, other in (("options", ",".join(sorted(here.options)), ",".join(sorted(there.options))),
                                 ("mpgroup", here.mpgroup, there.mpgroup)):
            if one != other:
                yield found("volume-options", volume=f"{here.name}@{here.service}", what=what, here=one or "none",
                            there=other or "none")


def gpt(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Disks with an EFI GPT label need firmware that knows them."""
    if knows_gpt(target.server.firmware):
        return
    for each in guest.volumes:
        if each.gpt:
            yield found("gpt", volume=f"{each.name}@{each.service}", firmware=target.server.firmware)


def knows_gpt(firmware: str) -> bool:
    """True from 8.4, 9.1 and XCP 2230 on."""
    level = numbers(firmware)
    if firmware.startswith("XCP"):
        return level >= GPT_FROM["XCP"]
    return level >= GPT_FROM.get(level[0] if level else 0, (9,) if level and level[0] > 9 else (10,))


def switches(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G43."""
    for name in dict.fromkeys(net.service for net in guest.domain.vnets):
        if name not in target.switches:
            nets = ", ".join(net.name for net in guest.domain.vnets if net.service == name)
            yield found("vsw", vsw=name, name=guest.domain.name, nets=nets)


def macs(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G45, of addresses given by hand as well: two of one network are an error in any range."""
    used = dict(target.macs)
    for mac, _what in domain_macs(guest.domain):
        if mac in used:
            yield found("mac", mac=format_mac(mac), owner=used[mac])


def console_port(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G46."""
    if not any(each.free_ports for each in target.concentrators):
        names = ", ".join(each.name for each in target.concentrators) or "none"
        yield found("console-port", name=guest.domain.name, services=names)


def console_group(_guest: GuestFacts, target: TargetFacts, options: Options) -> Iterator[Found]:
    """G48: the migrated domain's name is the group's."""
    name = options.name(_guest)
    if name in target.console_groups:
        yield found("console-group", name=_guest.domain.name, group=name)


def vsans(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G49."""
    for name in dict.fromkeys(adapter.vsan for adapter in guest.domain.vhbas):
        if name not in target.vsans:
            yield found("vsan", vsan=name, name=guest.domain.name)


def adapter_timeout(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """The timeout of each vHBA is 0 before a live migration."""
    for adapter in guest.domain.vhbas:
        if adapter.timeout:
            yield found("vhba-timeout", name=guest.domain.name, adapter=adapter.name, timeout=adapter.timeout)


def channels(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """A domain's LDC endpoints are limited by the platform."""
    asked = wanted_endpoints(guest)
    if asked > target.endpoints_per_domain:
        yield found("channels", name=guest.domain.name, asked=asked, limit=target.endpoints_per_domain)
