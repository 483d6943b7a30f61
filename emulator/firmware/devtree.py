"""The device tree: nodes, properties, paths and aliases, as firmware keeps it and its clients ask for it.

Nothing here knows what a node is for (`emulator.firmware.nodes` makes them). Properties are bytes, encoded as IEEE 1275
says: integers as 32-bit big-endian cells, strings with their NUL, lists of strings one after the other.

Source: IEEE 1275-1994, 3.2 and 4.3 (path names), its SPARC binding for unit addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from emulator.errors import EmulatorError

MAX_PROPERTY_NAME = 31
"""Characters of a property's name: what IEEE 1275 allows, and room in a client's buffer for `nextprop`."""
MAX_ALIAS_HOPS = 8
"""Aliases of aliases that are followed before a path counts as one that leads nowhere."""


class DeviceTreeError(EmulatorError, ValueError):
    """A property or node that a device tree cannot have."""

    code = "devtree"


def cells(*numbers: int) -> bytes:
    """Integers as 32-bit cells."""
    return b"".join((number & 0xFFFF_FFFF).to_bytes(4, "big") for number in numbers)


def cells64(*numbers: int) -> bytes:
    """Integers as pairs of cells, the high one first."""
    return b"".join((number & (1 << 64) - 1).to_bytes(8, "big") for number in numbers)


def text(*words: str) -> bytes:
    """A string, or a list of them."""
    return b"".join(word.encode("latin-1", "replace") + b"\0" for word in words)


@dataclass(eq=False)
class Node:
    """A node. `unit` is its unit address as text, "" where it has none; `properties` are in their order."""

    name: str
    unit: str = ""
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None
    phandle: int = 0

    @property
    def path(self) -> str:
        """Full path: ``/virtual-devices@100/console@1``; of the root ``/``."""
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.label}"

    @property
    def label(self) -> str:
        """Name and unit address: ``console@1``."""
        return f"{self.name}@{self.unit}" if self.unit else self.name

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def set(self, name: str, value: bytes) -> None:
        """Give a property its value. Raises DeviceTreeError for a name that is none."""
        if not 1 <= len(name) <= MAX_PROPERTY_NAME or not name.isprintable() or " " in name or "/" in name:
            raise DeviceTreeError(f"not a property name: {name!r}")
        self.properties[name] = value

    def text(self, name: str) -> str | None:
        """A property as a string, without its NUL; None where it is missing."""
        value = self.properties.get(name)
        return None if value is None else value.split(b"\0", 1)[0].decode("latin-1")

    def matches(self, word: str) -> bool:
        """Does one step of a path name this node: ``cpu@1``, ``cpu`` (any unit address), ``@1`` (any name)?"""
        name, _, unit = word.partition("@")
        if not name:
            return bool(unit) and unit == self.unit
        return name == self.name and unit in ("", self.unit)


class DeviceTree:
    """The nodes of one machine. Handles are numbers from 1 up, given in the order of adding."""

    def __init__(self) -> None:
        self.root = Node("", phandle=0)
        self._nodes: dict[int, Node] = {}
        self._register(self.root)

    def _register(self, node: Node) -> None:
        node.phandle = len(self._nodes) + 1
        self._nodes[node.phandle] = node

    def add(self, parent: Node, name: str, unit: str = "") -> Node:
        """A new child, after those there are; its ``name`` property is set."""
        node = Node(name, unit, parent=parent)
        node.set("name", text(name))
        parent.children.append(node)
        self._register(node)
        return node

    def node(self, phandle: int) -> Node | None:
        """The node of a handle."""
        return self._nodes.get(phandle)

    def __len__(self) -> int:
        return len(self._nodes)

    def peer(self, node: Node) -> Node | None:
        """The sibling after a node."""
        if node.parent is None:
            return None
        siblings = node.parent.children
        place = siblings.index(node) + 1
        return siblings[place] if place < len(siblings) else None

    @property
    def aliases(self) -> dict[str, str]:
        """Device aliases (properties of /aliases) without ``name``."""
        node = self._child(self.root, "aliases")
        if node is None:
            return {}
        return {name: node.text(name) or "" for name in node.properties if name != "name"}

    def expand(self, path: str) -> str:
        """A path with its first word replaced by what it is an alias of; others as they are.

        ``disk:a`` becomes ``/virtual-devices@100/.../disk@0:a``.
        """
        for _ in range(MAX_ALIAS_HOPS):
            if path.startswith("/"):
                break
            word, rest = _split_first(path)
            device, colon, args = word.partition(":")
            target = self.aliases.get(device)
            if target is None:
                break
            path = f"{target}{colon}{args}{rest}"
        return path

    def find(self, path: str, start: Node | None = None) -> Node | None:
        """The node of a path or alias; device arguments (``:...``) are ignored. None: there is none.

        A path that does not begin with a slash and is no alias is searched below `start`, or not found.
        """
        path = self.expand(path.strip())
        node = self.root if path.startswith("/") else start
        for word in path.split("/"):
            if node is None:
                break
            step = word.partition(":")[0]
            if step in ("", "."):
                continue
            node = node.parent if step == ".." else self._child(node, step)
        return node if path else None

    @staticmethod
    def _child(node: Node, word: str) -> Node | None:
        return next((child for child in node.children if child.matches(word)), None)


def _split_first(path: str) -> tuple[str, str]:
    """The first step of a path, and the rest with its slash."""
    word, slash, rest = path.partition("/")
    return word, slash + rest


def device_arguments(path: str) -> str:
    """What stands behind the colon of a path's last step: "" where there is none."""
    return path.rpartition("/")[2].partition(":")[2]
