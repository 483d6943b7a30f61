"""Lists of random configurations: nothing breaks, records can be parsed, documents have the published shapes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import changes
import pytest
from ldm_support import ldm_ok
from manager_support import make_manager

from ldmd.manager import Manager

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/reference/ldm.schema.json").read_text())["$defs"]
LINES = ("list", "list -l", "list -e", "list-bindings", "list-services", "list-constraints", "list-devices -a",
         "list-dependencies -l", "list-dependencies -r", "list-netdev -l", "list-rsrc-group -l", "list-io -l",
         "list -o console,core,cpu,crypto,disk,domain,hba,memory,network,physio,resmgmt,san,serial,stats,status")


def wandered(seed: int) -> Manager:
    """After some changes; the lists look at what is true, so that nothing needs to be committed."""
    manager = make_manager()
    manager._configuration = changes.sequence(changes.roomy(manager.configuration), seed, 25)[-1]
    return manager


def shape_faults(value: Any, schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return all(shape_faults(value, each) for each in schema["anyOf"])
    if isinstance(value, dict) and "properties" in schema:
        return set(schema["required"]) - set(value) != set() or any(
            key not in schema["properties"] or shape_faults(each, schema["properties"][key])
            for key, each in value.items())
    if isinstance(value, list):
        return schema.get("type") != "array" or any(shape_faults(each, schema["items"]) for each in value)
    return False


@pytest.mark.parametrize("seed", range(12))
def test_every_list_of_any_configuration(seed: int) -> None:
    manager = wandered(seed)
    names = [domain.name for domain in manager.configuration.domains]
    for line in LINES:
        shown = ldm_ok(manager, line)
        assert all(row == row.rstrip() for row in shown.splitlines()), line
        records = ldm_ok(manager, f"{line} -p")
        for row in records.splitlines()[1:]:
            assert re.match(r"[A-Z]*(\|[a-z][^|=]*=[^|]*)*$|[a-z]+=", row), (line, row)
        document = json.loads(ldm_ok(manager, f"{line} --json"))
        name = line.split()[0].replace("list", "list-domain", 1) if line.split()[0] == "list" else line.split()[0]
        assert not shape_faults(document, SCHEMA[name]), line
    listed = [row.split("|")[1] for row in ldm_ok(manager, "list -p").splitlines()[1:]]
    assert listed == [f"name={name}" for name in names]


@pytest.mark.parametrize("seed", range(12))
def test_sums_of_lists_agree(seed: int) -> None:
    """What domains have, and what is free, is what the server has."""
    manager = wandered(1000 + seed)
    devices = json.loads(ldm_ok(manager, "list-devices --json"))
    domains = json.loads(ldm_ok(manager, "list-bindings --json"))["domains"]
    for domain in domains:
        owned = [row["pid"] for row in devices["vcpus"] if row["bound"] == domain["name"]]
        assert sorted(row["pid"] for row in domain["vcpu"]) == owned
        size = sum(row["size_bytes"] for row in devices["memory"] if row["bound"] == domain["name"])
        assert size == sum(row["size_bytes"] for row in domain["memory"])
        if domain["state"] != "inactive":
            assert (domain["vcpus"], domain["memory_bytes"]) == (len(owned), size)
    assert sum(row["size_bytes"] for row in devices["memory"]) == manager.configuration.server.memory_bytes
