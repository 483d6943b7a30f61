"""Buses, devices, physical and virtual functions as plain data: `ldm list-io`.

{"io": [{"name", "device", "type": "BUS"|"NIU"|"PCIE"|"PF"|"VF", "bus", "domain", "status", "class", "properties"}]}:
first the buses, then what is on them, each physical function below its device with its virtual functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emulator.platforms import Endpoint, Root
from ldmd.model import Configuration
from ldmd.planner.hardware import hardware

FUNCTIONS_OF_A_DEVICE = 2
"""Physical functions of an onboard network device (inferred: two ports)."""
_KINDS = {"/NET": ("IOVNET", "NETWORK"), "/HBA": ("IOVFC", "FIBRECHANNEL")}


@dataclass(frozen=True)
class Function:
    """A physical function: ``/SYS/MB/NET0/IOVNET.PF0``."""

    name: str
    kind: str  # "NETWORK" or "FIBRECHANNEL"
    device: str


def physical_functions(root: Root, endpoint: Endpoint) -> tuple[Function, ...]:
    """The functions of a device that can have virtual ones."""
    place = root.endpoints.index(endpoint)
    for word, (prefix, kind) in _KINDS.items():
        if endpoint.onboard and word in endpoint.name:
            driver = "network" if kind == "NETWORK" else "SUNW,emlxs"
            return tuple(Function(f"{endpoint.name}/{prefix}.PF{n}", kind, f"{_path(root, place)}/{driver}@0,{n}"
                                  if n else f"{_path(root, place)}/{driver}@0")
                         for n in range(FUNCTIONS_OF_A_DEVICE))  # fmt: skip
    return ()


def _path(root: Root, place: int) -> str:
    """Device path of the slot behind a root's switch."""
    return f"{root.device}/pci@1/pci@0/pci@{place + 1:x}"


def io_report(configuration: Configuration, name: str | None = None) -> dict[str, Any]:
    """All rows; with `name` that row and those below it."""
    rows = [*_buses(configuration), *_devices(configuration)]
    if name is not None:
        bus = next((row["name"] for row in rows if name in (row["name"], row["device"]) and row["type"] == "BUS"), None)
        rows = [row for row in rows if row["name"] == name or row["device"] == name or row["bus"] == bus is not None
                or row["name"].startswith((f"{name}/", f"{name}."))]  # fmt: skip
    return {"io": rows}


def _row(configuration: Configuration, **values: Any) -> dict[str, Any]:
    properties = {key.split(" ", 1)[1]: value for key, value in configuration.pf_properties
                  if key.split(" ", 1)[0] == values["name"] and " " in key}  # fmt: skip
    return {"class": "", "properties": properties, **values}


def _buses(configuration: Configuration) -> Iterator[dict[str, Any]]:
    owners = _owners(configuration)
    for root in hardware(configuration).platform.roots:
        status = "IOV" if root.name in configuration.iov_buses else ""
        yield _row(configuration, name=root.name, device=root.device, type=root.kind, bus=root.name,
                   domain=owners.get(root.name, ""), status=status)  # fmt: skip


def _owners(configuration: Configuration) -> dict[str, str]:
    return {name: domain.name for domain in configuration.domains for name in domain.io}


def _devices(configuration: Configuration) -> Iterator[dict[str, Any]]:
    owners = _owners(configuration)
    for root in hardware(configuration).platform.roots:
        of_bus = owners.get(root.name, "")
        for place, endpoint in enumerate(root.endpoints):
            used = endpoint.onboard or endpoint.name in owners
            yield _row(configuration, name=endpoint.name, device=_path(root, place), type="PCIE", bus=root.name,
                       domain=owners.get(endpoint.name, of_bus), status="OCC" if used else "EMP")  # fmt: skip
            for function in physical_functions(root, endpoint):
                yield _row(configuration, name=function.name, device=function.device, type="PF", bus=root.name,
                           domain=owners.get(function.name, of_bus), status="",
                           **{"class": function.kind})  # fmt: skip
                yield from _virtual(configuration, root, function, owners)


def _virtual(
    configuration: Configuration, root: Root, function: Function, owners: dict[str, str]
) -> Iterator[dict[str, Any]]:
    mine = [each for each in configuration.virtual_functions if each.pf == function.name]
    for number, each in enumerate(mine):
        row = _row(configuration, name=each.name, device=f"{function.device}:vf{number}", type="VF", bus=root.name,
                   domain=owners.get(each.name, ""), status="", **{"class": each.kind})  # fmt: skip
        yield {**row, "properties": dict(each.properties)}
