"""Device numbers that are asked for, and the order of a disk's channels. Others: `channels.settle`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ldmd.messages import refuse
from ldmd.model import Domain

ID_LIMIT = 4095


def check_id(domain: Domain, kind: str, number: int | None, *, taken: Iterable[int | None]) -> None:
    """Refuse a device number that another device of the kind asked for or, in a bound domain, was given."""
    if number is None:
        return
    given = {device.number for device in domain.binding.devices if device.kind == kind} if domain.binding else set()
    if number in given or number in set(taken):
        refuse("device.id-in-use", kind=kind, number=number, domain=domain.name)


def set_channels(domain: Domain, kind: str, name: str, *, channels: tuple[int, ...]) -> Domain:
    """The domain with a device's channels in another order."""
    binding = domain.binding
    if binding is None:
        return domain
    devices = tuple(replace(each, channels=channels) if (each.kind, each.name) == (kind, name) else each
                    for each in binding.devices)  # fmt: skip
    return domain.but(binding=binding.but(devices=devices))
