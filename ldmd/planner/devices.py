"""Numbers and channels of virtual devices of a domain that is bound already.

Device numbers: the one asked for, or the lowest free one of the kind. Channel 0 is domain services.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ldmd.messages import refuse
from ldmd.model import BoundDevice, Configuration, Domain
from ldmd.planner.server import platform_of

ID_LIMIT = 4095


def check_id(domain: Domain, kind: str, number: int | None, *, taken: Iterable[int | None]) -> None:
    """Refuse a device number that another device of the kind asked for or, in a bound domain, was given."""
    if number is None:
        return
    given = {device.number for device in domain.binding.devices if device.kind == kind} if domain.binding else set()
    if number in given or number in set(taken):
        refuse("device.id-in-use", kind=kind, number=number, domain=domain.name)


def add_device(
    configuration: Configuration, domain: Domain, kind: str, *, name: str, number: int | None = None, channels: int = 1
) -> Domain:
    """The domain with a number and channels for one more device, where it is bound; else as it was."""
    binding = domain.binding
    if binding is None:
        return domain
    numbers = {device.number for device in binding.devices if device.kind == kind}
    if number is None:
        number = next(n for n in range(len(numbers) + 1) if n not in numbers)
    used = {channel for device in binding.devices for channel in device.channels}
    limit = platform_of(configuration.server).channels.per_domain
    free = [channel for channel in range(1, min(limit, len(used) + channels + 1)) if channel not in used][:channels]
    if len(free) < channels:
        refuse("device.no-channel", domain=domain.name, limit=limit)
    device = BoundDevice(kind, name, number, tuple(free))
    return domain.but(binding=replace(binding, devices=(*binding.devices, device)))


def drop_device(domain: Domain, kind: str, name: str) -> Domain:
    """The domain without a device's number and channels."""
    binding = domain.binding
    if binding is None:
        return domain
    kept = tuple(device for device in binding.devices if (device.kind, device.name) != (kind, name))
    return domain.but(binding=replace(binding, devices=kept))


def set_channels(domain: Domain, kind: str, name: str, *, channels: tuple[int, ...]) -> Domain:
    """The domain with a device's channels in another order."""
    binding = domain.binding
    if binding is None:
        return domain
    devices = tuple(replace(device, channels=channels) if (device.kind, device.name) == (kind, name) else device
                    for device in binding.devices)  # fmt: skip
    return domain.but(binding=replace(binding, devices=devices))
