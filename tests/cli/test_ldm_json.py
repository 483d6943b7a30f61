"""--json: documents have the published shapes; other commands print JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ldm_sessions import Session, sessions
from ldm_support import ldm
from manager_support import make_manager

from ldmd.cli import shapes
from ldmd.operations.context import HypervisorError

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/reference/ldm.schema.json").read_text())


def faults(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """What of a value is not as a schema says: the words of JSON Schema that ours has."""
    if "anyOf" in schema:
        tries = [faults(value, each, where) for each in schema["anyOf"]]
        return [] if [] in tries else min(tries, key=len)
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
             "array": list, "object": dict}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, types[kind]) and not (isinstance(value, bool) and kind != "boolean")
               for kind in kinds):
        return [f"{where}: {value!r} is no {' or '.join(kinds)}"]
    found = []
    if isinstance(value, list):
        for place, each in enumerate(value):
            found += faults(each, schema["items"], f"{where}[{place}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{where}: {key} is missing" for key in schema.get("required", ()) if key not in value]
        for key, each in value.items():
            inner = known.get(key, schema.get("additionalProperties", False))
            found += [f"{where}: {key} is not known"] if inner is False else faults(each, inner, f"{where}.{key}")
    return found


LINES = {
    "list-domain": ["list --json", "list -l --json", "list -o disk,net --json ldg1"],
    "list-bindings": ["list-bindings --json"],
    "list-constraints": ["list-constraints --json"],
    "list-services": ["list-services --json"],
    "list-devices": ["list-devices --json"],
    "list-io": ["list-io --json", "list-io -d --json /SYS/MB/NET0/IOVNET.PF0"],
    "list-hba": ["list-hba --json primary"],
    "list-netdev": ["list-netdev --json"],
    "list-netstat": ["list-netstat --json"],
    "list-rsrc-group": ["list-rsrc-group --json"],
    "list-socket": ["list-socket --json"],
    "list-permits": ["list-permits --json"],
    "list-cmi": ["list-cmi --json"],
    "list-dependencies": ["list-dependencies --json"],
    "list-variable": ["list-variable --json primary"],
    "list-spconfig": ["list-spconfig --json", "list-spconfig -r --json"],
    "list-history": ["list-history --json"],
    "list-logctl": ["list-logctl --json"],
}


@pytest.mark.parametrize("session", ["lists", "io", "networks", "disks", "policies", "crypto", "consoles", "scsi"])
def test_documents_have_the_published_shapes(session: str, tmp_path: Path) -> None:
    """After each line of a session that changes something, every list."""
    path = next(path for path in sessions() if path.stem == session)
    player, checked = Session(tmp_path), 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("! ") and not line.startswith(("! file", "! end")):
            player.stage(line[2:].split())
        elif line.startswith("# ldm ") and "list" not in line and " ls" not in line:
            player.type(line[2:])
            checked += check_all(player)
    assert checked > 20


def check_all(player: Session) -> int:
    checked = 0
    for command, lines in LINES.items():
        for line in lines:
            done = ldm(player.manager, line)
            document = json.loads(done.out)
            if done.status == 0:
                assert document.pop("version") == shapes.VERSION
                assert faults({"version": 1, **document}, SCHEMA["$defs"][command]) == [], line
                checked += 1
    return checked


def test_the_table_of_shapes_has_every_list_of_ours() -> None:
    assert set(LINES) == set(shapes.COMMANDS) == set(shapes.COMMANDS_TEXT) == set(SCHEMA["$defs"])


def test_a_wrong_document_is_seen() -> None:
    schema = shapes.to_schema({"a": "integer", "b?": ["text"], "c?": {"?": {"d": "yes"}}})
    assert faults({"a": 1, "b": ["x"], "c": None}, schema) == [] == faults({"a": 1, "c": {"d": True}}, schema)
    for wrong in ({}, {"a": "1"}, {"a": True}, {"a": 1, "b": [1]}, {"a": 1, "e": 2}, {"a": 1, "c": {"d": 1}}):
        assert faults(wrong, schema)


def test_errors_are_a_document() -> None:
    done = ldm(make_manager(), "list --json nobody")
    assert (done.status, done.err) == (1, "")
    assert json.loads(done.out) == {"version": 1, "error": {
        "code": "domain.not-found", "text": "LDom nobody was not found", "cause": "",
        "remedy": "`ldm list` shows the domains of this server"}}


def test_a_warning_does_not_stand_in_a_document() -> None:
    manager = make_manager()
    manager.hypervisor.refuse["guest.list"] = HypervisorError("timeout", "no answer")  # type: ignore[attr-defined]
    done = ldm(manager, "list --json")
    assert json.loads(done.out)["domains"] and "no answer" in done.err


def test_other_commands_print_lines() -> None:
    done = ldm(make_manager(), "start-reconf --json primary")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows[-1]["status"] == 0 and any("say" in row or "warn" in row for row in rows[:-1])
    assert done.err == ""
