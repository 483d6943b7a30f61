"""From one specification of a guest to another, while it is powered on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise

from emulator.errors import AddressError, BusyError, StrandError
from emulator.firmware.variables import VariableError, Variables
from emulator.machine import Machine
from emulator.server.errors import GuestStateError, SpecError
from emulator.server.frame import Clock, Housing, crypto_units, describe
from emulator.server.plugs import Plugs
from emulator.server.spec import Block, GuestSpec

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
    clock = Clock(machine.tick_hz, machine.stick_hz)  # it may have come from another server
    description = describe(housing, new, generation=generation, clock=clock)
    told = description != describe(housing, old, generation=generation, clock=clock)
    variables = _check_variables(machine, old, new)
    changed = [*_resize(machine, old, new), *_change_crypto(machine, housing, old=old, new=new), *plugs.apply(new)]
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


def _resize(machine: Machine, old: GuestSpec, new: GuestSpec) -> list[str]:
    """Strands and memory: all of it, or none. What cannot be taken back, contents of memory that goes, comes last."""
    most = machine.max_strands
    if any(vid >= most for vid, _ in new.vcpus):
        raise GuestStateError(f"{old.name} is on: it can have virtual CPUs 0 to {most - 1}; stop it first")
    before, after = {vid for vid, _ in old.vcpus}, {vid for vid, _ in new.vcpus}
    gone, fresh = _memory_changes(old, new)
    less, more = sorted(before - after), sorted(after - before)
    with ExitStack() as undo:
        if more:
            machine.add_strands(more)
            undo.callback(machine.remove_strands, more)
        if less:
            _do(machine.remove_strands, less)
            undo.callback(machine.add_strands, less)
        for block in fresh:
            machine.add_memory(block.ra, block.pa, block.size_bytes)
            undo.callback(machine.remove_memory, block.ra, block.size_bytes)
        for block in gone:
            _do(machine.remove_memory, block.ra, block.size_bytes)
            undo.callback(machine.add_memory, block.ra, block.pa, block.size_bytes)
        undo.pop_all()
    changed = [f"vcpu {vid} added" for vid in more] + [f"vcpu {vid} removed" for vid in less]
    changed += [f"memory at {block.ra:#x} added" for block in fresh]
    return [*changed, *(f"memory at {block.ra:#x} removed" for block in gone)]


def _do(action: Callable[..., None], *arguments: object) -> None:
    """What the guest may be using. Raises GuestStateError where it does."""
    try:
        action(*arguments)
    except (AddressError, BusyError, StrandError) as error:
        raise GuestStateError(str(error)) from None


def _memory_changes(old: GuestSpec, new: GuestSpec) -> tuple[list[Block], list[Block]]:
    """What goes and what comes, in pieces: what is at the same addresses in both stays, however it is cut.

    Raises GuestStateError where other memory shall be at real addresses that the guest has.
    """
    blocks = (*old.memory, *new.memory)
    edges = sorted({edge for block in blocks for edge in (block.ra, block.ra + block.size_bytes)})
    gone, fresh = [], []
    for low, high in pairwise(edges):
        was, will = _behind(old.memory, low), _behind(new.memory, low)
        if was == will:
            continue
        if was is not None and will is not None:
            raise GuestStateError(f"{old.name} is on: other memory cannot be put at real address {low:#x}")
        if was is not None:
            gone.append(Block(low, was, high - low))
        elif will is not None:
            fresh.append(Block(low, will, high - low))
    return _joined(gone), _joined(fresh)


def _behind(blocks: tuple[Block, ...], ra: int) -> int | None:
    """Physical address behind a real one."""
    for block in blocks:
        if block.ra <= ra < block.ra + block.size_bytes:
            return block.pa + ra - block.ra
    return None


def _joined(pieces: list[Block]) -> list[Block]:
    """Neighbours in both address spaces as one."""
    found: list[Block] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.ra + last.size_bytes, last.pa + last.size_bytes) == (piece.ra, piece.pa):
            found[-1] = Block(last.ra, last.pa, last.size_bytes + piece.size_bytes)
        else:
            found.append(piece)
    return found


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
    there = {unit.ino for unit in machine.crypto_units}  # one without strands has gone with them
    for unit in before:
        if unit not in after and unit.ino in there:
            machine.remove_crypto_unit(unit.ino)
    for unit in after:
        if unit not in before:
            machine.add_crypto_unit(unit)
    return [] if before == after else ["crypto units"]
