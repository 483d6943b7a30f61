"""Buses, devices, physical and virtual functions as plain data: `ldm list-io`.

{"io": [{"name", "device", "type": "BUS"|"NIU"|"PCIE"|"PF"|"VF", "bus", "domain", "status", "class", "options",
"properties"}]}: first the buses, then what is on them, each physical function below its device with its virtual
functions. The facts are those of `iobuses`.
"""

from __future__ import annotations

from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration
from ldmd.planner.iobuses import BUS, NIU, PF, device_properties, find_device, io_rows, known_device


def io_report(configuration: Configuration, name: str | None = None) -> dict[str, Any]:
    """All rows; with `name` that row and those below it. A bus may be named by its path as well."""
    rows = io_rows(configuration)
    if name is None:
        return {"io": rows}
    device = find_device(configuration, name)
    if device is not None and device.kind in (BUS, NIU):
        return {"io": [row for row in rows if row["bus"] == device.bus]}
    own = device.name if device is not None else name
    return {"io": [row for row in rows if row["name"] == own or str(row["name"]).startswith((f"{own}/", f"{own}."))]}


def properties_report(configuration: Configuration, name: str) -> dict[str, Any]:
    """`ldm list-io -d`: {"pf": name, "properties": [{"name", "value"}]} of a physical function."""
    device = known_device(configuration, name)
    if device.kind != PF:
        refuse("io.not-pf", name=name)
    rows = device_properties(configuration, device)
    return {"pf": device.name, "properties": [{"name": key, "value": value} for key, value in rows.items()]}
