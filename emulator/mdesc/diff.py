"""What differs between two machine descriptions, by names that stay when indexes move.

Nodes are matched by their paths, so that a vcpu taken away is one node less and not a change of all behind it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from emulator.mdesc.model import Arc, MachineDescription, Value
from emulator.mdesc.printer import format_value


class ChangeKind(enum.Enum):
    """What happened to a node, a property or an arc."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@dataclass(frozen=True)
class Change:
    """One difference. `name` is None for a whole node, the arc's name for an arc, whose ends are paths."""

    kind: ChangeKind
    path: str
    name: str | None = None
    old: Value | None = None
    new: Value | None = None

    def __str__(self) -> str:
        """``+ /cpus/cpu[4]``, ``~ /: md-generation# 1 -> 2``."""
        if self.name is None:
            return f"{self.kind.value} {self.path}"
        values = [format_value(self.name, value) for value in (self.old, self.new) if value is not None]
        return f"{self.kind.value} {self.path}: {self.name} {' -> '.join(values)}"


def diff(old: MachineDescription, new: MachineDescription) -> tuple[Change, ...]:
    """The changes that lead from `old` to `new`; () for two that say the same.

    A node that came or went is one change: its properties and the arcs to and from it are not listed. Order of
    nodes, properties and arcs does not count.
    """
    before, after = _facts(old), _facts(new)
    changes = [Change(ChangeKind.REMOVED, path) for path in before if path not in after]
    common = before.keys() & after.keys()
    for path, facts in after.items():
        if path not in before:
            changes.append(Change(ChangeKind.ADDED, path))
            continue
        was = before[path]
        keys = dict.fromkeys((*was, *facts))
        for key in keys:
            if key[1] and key[1] not in common:
                continue  # an arc to a node that came or went
            changes += _compare(path, key, was.get(key), facts.get(key))
    return tuple(changes)


_Key = tuple[str, str]  # name of a property and "", or of an arc and the path of its target


def _facts(md: MachineDescription) -> dict[str, dict[_Key, Value]]:
    """Per path what the node says."""
    paths = md.paths
    table: dict[str, dict[_Key, Value]] = {}
    for node, path in zip(md, paths, strict=True):
        facts: dict[_Key, Value] = {(name, ""): value for name, value in node.properties.items()}
        facts |= {
            (item.name, paths[item.target]): paths[item.target] for item in node.items if isinstance(item, Arc)
        }
        table[path] = facts
    return table


def _compare(path: str, key: _Key, old: Value | None, new: Value | None) -> list[Change]:
    if old == new and type(old) is type(new):
        return []
    if old is None:
        return [Change(ChangeKind.ADDED, path, key[0], None, new)]
    if new is None:
        return [Change(ChangeKind.REMOVED, path, key[0], old)]
    return [Change(ChangeKind.CHANGED, path, key[0], old, new)]
