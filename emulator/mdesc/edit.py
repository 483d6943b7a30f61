"""Changes to a machine description that leave its graph as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from emulator.mdesc.model import Arc, MachineDescription, MdescError, Node, Property, Value


def with_properties(md: MachineDescription, kind: str, properties: Mapping[str, Value]) -> MachineDescription:
    """The same, but the one node of that kind has these properties and no others; a generation later.

    Raises MdescError where there is no such node, or more than one.
    """
    found = md.find(kind)
    if len(found) != 1:
        raise MdescError(f"{len(found)} nodes {kind!r}")
    nodes = list(md.nodes)
    arcs = tuple(item for item in nodes[found[0]].items if isinstance(item, Arc))
    fresh = tuple(Property(name, value) for name, value in properties.items())
    nodes[found[0]] = replace(nodes[found[0]], items=fresh + arcs)
    nodes[0] = _next_generation(nodes[0], md.generation + 1)
    return replace(md, nodes=tuple(nodes))


def _next_generation(root: Node, number: int) -> Node:
    """The root with another generation number, where it has one."""
    items = tuple(
        Property(item.name, number) if isinstance(item, Property) and item.name == "md-generation#" else item
        for item in root.items
    )
    return replace(root, items=items)
