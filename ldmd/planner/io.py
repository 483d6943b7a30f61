"""Changes of physical I/O: what goes to and from domains, virtual functions that are made and ended.

Facts: ldm(1M) of 3.3; Administration Guide, "Configuring I/O Domains". What an active domain cannot take up while it
runs begins a delayed reconfiguration where it is the control or a root domain; else it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State, VirtualFunction
from ldmd.planner import iobuses
from ldmd.planner.iobuses import BUS, MAX_VFS, NIU, PF, Device
from ldmd.planner.naming import joined, steady_domain
from ldmd.planner.server import platform_of


@dataclass(frozen=True)
class Target:
    """What add-io and remove-io speak of. `function`: it is a virtual function."""

    name: str
    bus: str
    device: Device
    function: bool

    @property
    def whole_bus(self) -> bool:
        """True for a bus or network interface unit."""
        return self.device.kind in (BUS, NIU) and not self.function


def find_target(configuration: Configuration, name: str) -> Target:
    """A bus, endpoint or virtual function by name, or a refusal."""
    function = find_function(configuration, name)
    if function is not None:
        pf = iobuses.known_device(configuration, function.pf)
        return Target(name, pf.bus, pf, True)
    device = iobuses.known_device(configuration, name)
    if device.kind == PF:
        refuse("io.is-pf", name=name, endpoint=device.endpoint)
    return Target(device.name, device.bus, device, False)


def find_function(configuration: Configuration, name: str) -> VirtualFunction | None:
    """A virtual function by name."""
    return next((each for each in configuration.virtual_functions if each.name == name), None)


def needs_reboot(configuration: Configuration, domain: Domain, target: Target) -> bool:
    """True where an active domain can take or give the device only with its next reboot.

    Refuses where it cannot have a delayed reconfiguration: it must be stopped then. Virtual functions of a bus with
    iov=on come and go while the domain runs.
    """
    if domain.state is not State.ACTIVE or configuration.pending_for(domain.name) is not None:
        return False
    if target.function and target.bus in configuration.iov_buses:
        return False
    if not (domain.control or iobuses.is_root(configuration, domain)):
        refuse("io.stop-first", name=target.name, domain=domain.name)
    return True


def add_io(configuration: Configuration, target: Target, *, domain: str) -> Configuration:
    """Give a device to a domain."""
    guest = steady_domain(configuration, domain)
    owner = _owner(configuration, target)
    if owner is not None:
        refuse("io.owned", name=target.name, owner=owner.name)
    if target.whole_bus:
        return configuration.with_domain(guest.but(io=(*guest.io, target.name)))
    root = iobuses.bus_owner(configuration, target.bus)
    if root is None:
        refuse("io.no-root", name=target.name, bus=target.bus)
    if target.function:
        return configuration.with_domain(guest.but(io=(*guest.io, target.name)))
    if root.name == domain:  # back to the bus's owner
        return configuration.with_domain(
            guest.but(io_without=tuple(each for each in guest.io_without if each != target.name)))  # fmt: skip
    return configuration.with_domain(guest.but(io=(*guest.io, target.name)))


def _owner(configuration: Configuration, target: Target) -> Domain | None:
    if target.function:
        return iobuses.function_owner(configuration, target.name)
    return iobuses.owner(configuration, target.device)


def remove_io(configuration: Configuration, target: Target, *, domain: str) -> Configuration:
    """Take a device from a domain; nobody has it then."""
    guest = steady_domain(configuration, domain)
    owner = _owner(configuration, target)
    if owner is None or owner.name != domain:
        refuse("io.not-owned", name=target.name, domain=domain)
    if target.whole_bus:
        return _remove_bus(configuration, guest, target.name)
    if not target.function:
        functions = [each.name for each in configuration.virtual_functions if each.pf.startswith(f"{target.name}/")]
        if functions:
            refuse("io.has-functions", name=target.name, functions=joined(functions))
    if target.name in guest.io:
        return configuration.with_domain(guest.but(io=tuple(each for each in guest.io if each != target.name)))
    return configuration.with_domain(guest.but(io_without=(*guest.io_without, target.name)))


def _remove_bus(configuration: Configuration, guest: Domain, bus: str) -> Configuration:
    behind = {row.name for row in iobuses.devices(platform_of(configuration.server)) if row.bus == bus}
    functions = [each.name for each in configuration.virtual_functions if each.pf in behind]
    if functions:
        refuse("io.has-functions", name=bus, functions=joined(functions))
    lent = [name for other in configuration.domains for name in other.io if name in behind - {bus}]
    if lent:
        refuse("io.lent", bus=bus, devices=joined(lent))
    return configuration.with_domain(guest.but(
        io=tuple(each for each in guest.io if each != bus),
        io_without=tuple(each for each in guest.io_without if each not in behind)))  # fmt: skip


def set_iov(configuration: Configuration, bus: str, *, on: bool) -> Configuration:
    """Switch I/O virtualization of a bus on or off. Off needs that it has no virtual functions."""
    device = iobuses.known_device(configuration, bus)
    if device.kind != BUS:
        refuse("io.not-bus", name=bus)
    if not any(row.kind == PF for row in iobuses.devices(platform_of(configuration.server))):
        refuse("io.no-iov", platform=platform_of(configuration.server).title)
    others = tuple(each for each in configuration.iov_buses if each != device.name)
    if on:
        return configuration.but(iov_buses=(*others, device.name))
    functions = [each.name for each in configuration.virtual_functions
                 if iobuses.known_device(configuration, each.pf).bus == device.name]  # fmt: skip
    if functions:
        refuse("io.has-functions", name=device.name, functions=joined(functions))
    return configuration.but(iov_buses=others)


# -- virtual functions


def find_pf(configuration: Configuration, name: str) -> tuple[Device, Domain]:
    """A physical function and the root domain that has its bus, or a refusal."""
    device = iobuses.known_device(configuration, name)
    if device.kind != PF:
        refuse("io.not-pf", name=name)
    root = iobuses.bus_owner(configuration, device.bus)
    if root is None:
        refuse("io.no-root", name=name, bus=device.bus)
    owner = iobuses.owner(configuration, device)
    if owner is None or owner.name != root.name:
        refuse("io.pf-lent", name=name, owner=owner.name if owner else "nobody", root=root.name)
    return device, root


def functions_of(configuration: Configuration, pf: str) -> list[VirtualFunction]:
    """The virtual functions of a physical one, by number."""
    rows = [each for each in configuration.virtual_functions if each.pf == pf]
    return sorted(rows, key=lambda each: iobuses.function_number(each.name))


def check_dynamic(configuration: Configuration, device: Device, root: Domain) -> None:
    """Refuse to make or end virtual functions while the root domain runs and its bus has iov=off."""
    runs = root.state is State.ACTIVE and configuration.pending_for(root.name) is None
    if runs and device.bus not in configuration.iov_buses:
        refuse("io.iov-off", pf=device.name, bus=device.bus, root=root.name)


def create_vfs(
    configuration: Configuration, pf: str, *, count: int | None, properties: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, ...], Configuration]:
    """Make so many virtual functions; None: as many as there can still be. Their names, and the configuration."""
    device, root = find_pf(configuration, pf)
    check_dynamic(configuration, device, root)
    used = {iobuses.function_number(each.name) for each in functions_of(configuration, device.name)}
    free = [number for number in range(MAX_VFS) if number not in used]
    wanted = len(free) if count is None else count
    if not free or wanted > len(free):
        refuse("io.no-function-left", pf=device.name, most=MAX_VFS, left=len(free))
    names = tuple(f"{device.name}.VF{number}" for number in free[:wanted])
    made = tuple(VirtualFunction(name=name, pf=device.name, properties=properties) for name in names)
    return names, configuration.but(virtual_functions=(*configuration.virtual_functions, *made))


def destroy_vfs(
    configuration: Configuration, name: str, *, count: int | None, every: bool = False
) -> tuple[tuple[str, ...], Configuration]:
    """End virtual functions: `name` is one (the last of its physical function), or a physical function with a count."""
    function = find_function(configuration, name)
    pf = function.pf if function is not None else name
    device, root = find_pf(configuration, pf)
    check_dynamic(configuration, device, root)
    rows = functions_of(configuration, device.name)
    if function is not None:
        if rows[-1].name != function.name:
            refuse("io.not-last", name=function.name, last=rows[-1].name)
        doomed = [function]
    else:
        wanted = len(rows) if every else count or 0
        if wanted > len(rows) or not rows:
            refuse("io.too-few", pf=device.name, count=len(rows))
        doomed = rows[len(rows) - wanted :]
    for each in doomed:
        owner = iobuses.function_owner(configuration, each.name)
        if owner is not None:
            refuse("io.function-owned", name=each.name, owner=owner.name)
    gone = tuple(each.name for each in reversed(doomed))
    kept = tuple(each for each in configuration.virtual_functions if each.name not in gone)
    return gone, configuration.but(virtual_functions=kept)


def set_function(configuration: Configuration, name: str, *, changes: Mapping[str, str]) -> Configuration:
    """Set properties of a virtual function; "" takes one away. Its domain must not run."""
    function = find_function(configuration, name)
    if function is None:
        refuse("io.not-found", name=name)
    owner = iobuses.function_owner(configuration, name)
    if owner is not None:
        steady_domain(configuration, owner.name)
        if owner.state is State.ACTIVE and not owner.control:
            refuse("device.active", what=f"properties of {name}", domain=owner.name)
    merged = dict(function.properties) | dict(changes)
    after = replace(function, properties=tuple((key, value) for key, value in merged.items() if value))
    rows = tuple(after if each.name == name else each for each in configuration.virtual_functions)
    return configuration.but(virtual_functions=rows)


def set_pf(configuration: Configuration, name: str, *, changes: Mapping[str, str]) -> Configuration:
    """Set properties of a physical function; "" takes one away."""
    device, root = find_pf(configuration, name)
    steady_domain(configuration, root.name)
    fixed = iobuses.device_properties(configuration.but(pf_properties=()), device)
    for key in changes:
        if key in fixed:
            refuse("io.fixed", property=key, name=name)
    merged = dict(configuration.pf_properties) | {f"{device.name} {key}": value for key, value in changes.items()}
    return configuration.but(pf_properties=tuple((key, value) for key, value in merged.items() if value))

