"""A machine description for people, and as JSON for programs.

Nodes are named by their paths (`MachineDescription.paths`), arcs by those of their targets.
"""

from __future__ import annotations

import json

from emulator.mdesc.model import BACK, Arc, MachineDescription, Node, Value, split_strings

_HEX_ENDINGS = ("base", "-handle", "-mask", "-match", "-offset", "mac-address", "hostid", "page-size-list", "ino")
"""Endings of names whose numbers are addresses, handles or masks; other numbers count something."""


def format_value(name: str, value: Value) -> str:
    """A value as `as_text` has it: ``0x80``, ``"text"``, ``{"a", "b"}``, ``<00 01>``."""
    if isinstance(value, int):
        return f"{value:#x}" if name.endswith(_HEX_ENDINGS) else str(value)
    if isinstance(value, str):
        return json.dumps(value)
    words = split_strings(value)
    if words is not None:
        return "{" + ", ".join(json.dumps(word) for word in words) + "}"
    return f"<{value.hex(' ')}>"


def as_text(md: MachineDescription, *, back: bool = False) -> str:
    """One block of lines a node: its path, properties, arcs; arcs back only where asked for."""
    paths = md.paths
    blocks = ["\n".join(_node_lines(node, path, paths, back)) for node, path in zip(md, paths, strict=True)]
    return "\n\n".join(blocks) + "\n"


def _node_lines(node: Node, path: str, paths: tuple[str, ...], back: bool) -> list[str]:
    lines = [path if path.rsplit("/", maxsplit=1)[-1].startswith(node.name) else f"{path}  ({node.name})"]
    for item in node.items:
        if not isinstance(item, Arc):
            lines.append(f"  {item.name} = {format_value(item.name, item.value)}")
        elif back or item.name != BACK:
            lines.append(f"  {item.name} -> {paths[item.target]}")
    return lines


def as_json(md: MachineDescription) -> str:
    """``{"nodes": [{"path", "node", "properties": {name: value}, "arcs": {"fwd": [paths], "back": [paths]}}]}``.

    Numbers are numbers (64 bits: not every reader of JSON keeps them), string lists are lists, other bytes
    ``{"hex": "..."}``.
    """
    paths = md.paths
    nodes = [
        {
            "path": path,
            "node": node.name,
            "properties": {name: _json_value(value) for name, value in node.properties.items()},
            "arcs": {
                name: [paths[index] for index in node.arcs(name)]
                for name in dict.fromkeys(item.name for item in node.items if isinstance(item, Arc))
            },
        }
        for node, path in zip(md, paths, strict=True)
    ]
    return json.dumps({"nodes": nodes}, indent=1)


def _json_value(value: Value) -> object:
    if isinstance(value, bytes):
        words = split_strings(value)
        return {"hex": value.hex()} if words is None else list(words)
    return value
