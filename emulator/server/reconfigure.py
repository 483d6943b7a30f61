"""From one specification of a guest to another, while it is powered on."""

from __future__ import annotations

from emulator.firmware.variables import VariableError, Variables
from emulator.machine import Machine
from emulator.server.errors import GuestStateError, SpecError
from emulator.server.frame import Housing, crypto_units, describe
from emulator.server.plugs import Plugs
from emulator.server.spec import GuestSpec

FIXED = ("mac", "hostid", "cpu_arch", "services_channel", "extended_mapin")
"""What a guest has read once and for all."""


def change_machine(machine: Machine, plugs: Plugs, housing: Housing, *, old: GuestSpec, new: GuestSpec) -> list[str]:
    """Make a running guest what `new` says; returns what was changed.

    Raises GuestStateError for what cannot change while it is on, ConfigError for what the server does not have; nothing
    is changed then.
    """
    fixed = [name for name in FIXED if getattr(old, name) != getattr(new, name)]
    if fixed:
        raise GuestStateError(f"{old.name} is on: {', '.join(fixed)} cannot change; stop it first")
    generation = machine.machine_description.generation + 1
    description = describe(housing, new, generation=generation)
    told = description != describe(housing, old, generation=generation)
    variables = _check_variables(machine, old, new)
    changed = [*_resize(old, new), *_change_crypto(machine, housing, old=old, new=new), *plugs.apply(new)]
    if told:
        machine.describe(description)
        changed.append(f"machine description {machine.machine_description.generation}")
    elif changed:
        machine.describe(machine.machine_description)  # disks behind the firmware's nodes
    if machine.firmware is not None:
        for name, value in variables.items():
            machine.firmware.variables.outside(name, value)
            changed.append(f"variable {name}")
    return changed


def _resize(old: GuestSpec, new: GuestSpec) -> list[str]:
    if [vid for vid, _ in old.vcpus] != [vid for vid, _ in new.vcpus]:
        raise GuestStateError(f"{old.name} is on: its virtual CPUs cannot change")
    if old.memory != new.memory:
        raise GuestStateError(f"{old.name} is on: its memory cannot change")
    return []


def _check_variables(machine: Machine, old: GuestSpec, new: GuestSpec) -> dict[str, str | None]:
    """What the client has changed; what firmware and guest have set meanwhile stays. Raises SpecError."""
    before, after = dict(old.variables), dict(new.variables)
    changes: dict[str, str | None] = {name: value for name, value in after.items() if before.get(name) != value}
    changes |= dict.fromkeys(before.keys() - after.keys())
    if machine.firmware is not None:
        trial = Variables.lenient(machine.firmware.variables.save())
        try:
            for name, value in changes.items():
                trial.outside(name, value)
        except VariableError as error:
            raise SpecError(f"spec.variables: {error}") from None
    return changes


def _change_crypto(machine: Machine, housing: Housing, *, old: GuestSpec, new: GuestSpec) -> list[str]:
    before, after = crypto_units(housing.platform, old), crypto_units(housing.platform, new)
    for unit in before:
        if unit not in after:
            machine.remove_crypto_unit(unit.ino)
    for unit in after:
        if unit not in before:
            machine.add_crypto_unit(unit)
    return [] if before == after else ["crypto units"]
