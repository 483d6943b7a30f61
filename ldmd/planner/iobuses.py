"""Physical I/O of a server: buses, PCIe endpoints, network interface units, physical and virtual functions, owners.

What a platform has comes from its `roots`. Network devices on the board have two ports, each a physical function
with SR-IOV; names as in the Administration Guide, "Creating an I/O Domain by Using PCIe SR-IOV Virtual Functions".
Which slots hold a card is made up: the first slot of each bus does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from emulator.platforms import Platform, Root
from ldmd.messages import refuse
from ldmd.model import Configuration, Domain
from ldmd.planner.server import platform_of

BUS, NIU, PCIE, PF, VF = "BUS", "NIU", "PCIE", "PF", "VF"
PORTS_EACH = 2
MAX_VFS = 7
"""Virtual functions of a physical one (``max-config-vfs`` in the guide's listing of an onboard device)."""
MAX_VF_MTU = 9216
WITHOUT_IOV = ("t1", "t2", "t2+")
"""Chips of servers without SR-IOV."""

_NETWORK = re.compile(r"/NET[0-9]*$")


@dataclass(frozen=True)
class Device:
    """A row of `ldm list-io`, but for virtual functions."""

    name: str  # "pci_0", "/SYS/MB/NET0", "/SYS/MB/NET0/IOVNET.PF0"
    kind: str  # BUS, NIU, PCIE or PF
    bus: str  # "pci_0"
    path: str  # "pci@300/pci@1/pci@0/pci@4"
    status: str = ""  # of an endpoint: "OCC" or "EMP"
    endpoint: str = ""  # of a physical function


def devices(platform: Platform) -> tuple[Device, ...]:
    """All of a platform in the order in which they are listed: the buses, then what is behind each."""
    return _devices(platform.roots, platform.chip not in WITHOUT_IOV)


@lru_cache(maxsize=64)
def _devices(roots: tuple[Root, ...], iov: bool) -> tuple[Device, ...]:
    rows = [Device(root.name, NIU if root.kind == "NIU" else BUS, root.name, root.device) for root in roots]
    for root in roots:
        for number, endpoint in enumerate(root.endpoints):
            path = f"{root.device}/pci@1/pci@0/pci@{number + 1:x}"
            occupied = endpoint.onboard or number == 0
            rows.append(Device(endpoint.name, PCIE, root.name, path, status="OCC" if occupied else "EMP"))
            if iov and endpoint.onboard and _NETWORK.search(endpoint.name):
                rows += [Device(f"{endpoint.name}/IOVNET.PF{port}", PF, root.name,
                                f"{path}/network@0" + (f",{port}" if port else ""), endpoint=endpoint.name)
                         for port in range(PORTS_EACH)]  # fmt: skip
    return tuple(rows)


def find_device(configuration: Configuration, name: str) -> Device | None:
    """A bus (also by its path, as ``pci@300``), endpoint, unit or physical function."""
    return next((row for row in devices(platform_of(configuration.server)) if name in (row.name, row.path)), None)


def known_device(configuration: Configuration, name: str) -> Device:
    """The same, or a refusal."""
    found = find_device(configuration, name)
    if found is None:
        refuse("io.not-found", name=name)
    return found


def bus_owner(configuration: Configuration, bus: str) -> Domain | None:
    """The domain that has a bus, which makes it a root domain."""
    return next((domain for domain in configuration.domains if bus in domain.io), None)


def owner(configuration: Configuration, device: Device) -> Domain | None:
    """The domain that has a device: the one it was given to, or the bus's, unless that gave it up."""
    name = device.endpoint or device.name
    given = bus_owner(configuration, name)
    if given is not None or device.kind in (BUS, NIU):
        return given
    root = bus_owner(configuration, device.bus)
    return None if root is None or name in root.io_without else root


def function_owner(configuration: Configuration, name: str) -> Domain | None:
    """The domain that has a virtual function."""
    return bus_owner(configuration, name)


def is_root(configuration: Configuration, domain: Domain) -> bool:
    """True where a domain owns a PCIe bus."""
    buses = {row.name for row in devices(platform_of(configuration.server)) if row.kind in (BUS, NIU)}
    return any(name in buses for name in domain.io)


def physical_devices(configuration: Configuration, domain: Domain) -> list[tuple[str, str]]:
    """(kind, name) of all that ties a domain to this server: a domain that has any cannot migrate."""
    functions = {function.name for function in configuration.virtual_functions}
    kinds = {row.name: row.kind for row in devices(platform_of(configuration.server))}
    return [(VF if name in functions else kinds.get(name, PCIE), name) for name in domain.io]


# -- links and rows


def network_links(configuration: Configuration, domain: str) -> dict[str, str]:
    """The physical network devices of a domain as its operating system names them: {"net0": name in list-io}."""
    mine = [row.name for row in _network_devices(configuration)
            if (found := owner(configuration, row)) is not None and found.name == domain]  # fmt: skip
    guest = configuration.find(domain)
    functions = {each.name for each in configuration.virtual_functions}
    mine += [name for name in guest.io if name in functions] if guest else []
    return {f"net{number}": name for number, name in enumerate(mine)}


def _network_devices(configuration: Configuration) -> Iterator[Device]:
    """A row for each port of a network device; where there is no SR-IOV the endpoint stands for each of its ports."""
    platform = platform_of(configuration.server)
    for row in devices(platform):
        if row.kind == PF:
            yield row
        elif platform.chip in WITHOUT_IOV and row.kind == PCIE and _NETWORK.search(row.name):
            yield from [row] * PORTS_EACH


def io_rows(configuration: Configuration) -> list[dict[str, object]]:
    """All rows of `ldm list-io`: {"name", "type", "bus", "domain", "status", "device": path, "class", "options",
    "properties": {name: text}}; `domain` and `status` are "" where there is none."""
    rows: list[dict[str, object]] = []
    for device in devices(platform_of(configuration.server)):
        found = owner(configuration, device)
        rows.append({
            "name": device.name, "type": device.kind, "bus": device.bus, "domain": found.name if found else "",
            "status": _status(configuration, device), "device": device.path,
            "class": "NETWORK" if device.kind == PF else "",
            "options": "iov" if device.name in configuration.iov_buses else "",
            "properties": device_properties(configuration, device),
        })  # fmt: skip
        if device.kind == PF:
            rows += _function_rows(configuration, device)
    return rows


def _status(configuration: Configuration, device: Device) -> str:
    """OCC or EMP of an endpoint: a slot that was given to a domain has a card; IOV of a bus."""
    if device.kind == PCIE and bus_owner(configuration, device.name) is not None:
        return "OCC"
    return "IOV" if device.name in configuration.iov_buses else device.status


def device_properties(configuration: Configuration, device: Device) -> dict[str, str]:
    """Properties of a physical function: what it can, and what set-io set."""
    if device.kind != PF:
        return {}
    fixed = {"max-config-vfs": str(MAX_VFS), "max-vf-mtu": str(MAX_VF_MTU), "max-vlans": "32", "pvid-exclusive": "1"}
    prefix = f"{device.name} "
    return fixed | {key.removeprefix(prefix): value for key, value in configuration.pf_properties
                    if key.startswith(prefix)}  # fmt: skip


def _function_rows(configuration: Configuration, pf: Device) -> Iterator[dict[str, object]]:
    port = int(pf.name[-1])
    for function in configuration.virtual_functions:
        if function.pf == pf.name:
            found = function_owner(configuration, function.name)
            number = function_number(function.name)
            path = f"{pf.path.rpartition('/')[0]}/network@0,{0x80 + PORTS_EACH * number + port:x}"
            yield {"name": function.name, "type": VF, "bus": pf.bus, "domain": found.name if found else "",
                   "status": "", "device": path, "class": function.kind, "options": "",
                   "properties": dict(function.properties)}  # fmt: skip


def function_number(name: str) -> int:
    """3 of ``/SYS/MB/NET0/IOVNET.PF0.VF3``."""
    return int(name.rpartition(".VF")[2])
