"""Initiator ports of a domain and the virtual SANs behind them, as plain data: `ldm list-hba`.

{"domain": name, "hba": [{"alias", "device", "vsan", "domain"}]}; `vsan` is "" where a port has none.
"""

from __future__ import annotations

from typing import Any

from ldmd.model import Configuration
from ldmd.planner.iobuses import find_device
from ldmd.planner.storage import initiator_ports


def hba_report(configuration: Configuration, name: str) -> dict[str, Any]:
    """The ports of controllers that a domain owns. Raises RefusedError where there is no such domain."""
    used = {vsan.iport: vsan.name for _, vsan in configuration.vsans()}
    rows = []
    for port in initiator_ports(configuration, name):
        endpoint = find_device(configuration, port.path.split("/HBA")[0])
        path = f"{endpoint.path}/scsi@0/iport@{port.path.rpartition('PORT')[2]}" if endpoint is not None else ""
        rows.append({"alias": port.path, "device": path, "vsan": used.get(port.path, ""), "domain": name})
    return {"domain": name, "hba": rows}
