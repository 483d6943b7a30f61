"""A machine description as frozen data: nodes with properties, and arcs between them.

The graph a guest reads to learn what it has. A node is named by its kind (``cpu``, ``mblock``); which one of its
kind it is, stands in its properties. Source: UltraSPARC Virtual Machine Specification 3.0, chapter 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from emulator.errors import EmulatorError

Value = int | str | bytes
"""Of a property: a number of 64 bits (PROP_VAL), a string without NUL (PROP_STR), bytes (PROP_DATA)."""

FWD, BACK = "fwd", "back"
GENERATION = "md-generation#"


class MdescError(EmulatorError, ValueError):
    """A machine description is malformed: bytes that are none, or a graph that cannot be encoded."""

    code = "mdesc"


def string_list(*words: str) -> bytes:
    """Strings as PROP_DATA holds a list of them: each with its NUL. Raises MdescError for a word with a NUL."""
    if any("\0" in word for word in words):
        raise MdescError("a string of a list holds a NUL")
    return b"".join(word.encode() + b"\0" for word in words)


def split_strings(data: bytes) -> tuple[str, ...] | None:
    """The words of a string list; None where the bytes are not printable strings, each with its NUL."""
    if not data.endswith(b"\0"):
        return None
    words = data[:-1].split(b"\0")
    if any(not word or min(word) < 0x20 or max(word) > 0x7E for word in words):
        return None
    return tuple(word.decode("ascii") for word in words)


@dataclass(frozen=True, slots=True)
class Property:
    """A named value of a node."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Arc:
    """A named link to another node, by its index in `MachineDescription.nodes`."""

    name: str  # "fwd" or "back"; a decoder may meet others
    target: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its kind, and its properties and arcs in their order."""

    name: str
    items: tuple[Property | Arc, ...] = ()

    @property
    def properties(self) -> dict[str, Value]:
        """Properties by name; of several with one name the first, which is the one a guest finds."""
        found: dict[str, Value] = {}
        for item in self.items:
            if isinstance(item, Property):
                found.setdefault(item.name, item.value)
        return found

    def arcs(self, name: str = FWD) -> tuple[int, ...]:
        """Targets of the arcs of that name, in their order."""
        return tuple(item.target for item in self.items if isinstance(item, Arc) and item.name == name)

    def get(self, name: str) -> Value | None:
        """Value of a property, or None."""
        return next((i.value for i in self.items if isinstance(i, Property) and i.name == name), None)

    def strings(self, name: str) -> tuple[str, ...]:
        """The words of a string-list property; () where it is missing or is none."""
        value = self.get(name)
        return (split_strings(value) or ()) if isinstance(value, bytes) else ()


@dataclass(frozen=True)
class MachineDescription:
    """Nodes in the order of the node block; the first is the root."""

    nodes: tuple[Node, ...]

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def root(self) -> Node:
        """The first node."""
        return self.nodes[0]

    @property
    def generation(self) -> int:
        """``md-generation#`` of the root, which grows with every change; 0 where it is missing."""
        value = self.root.get(GENERATION)
        return value if isinstance(value, int) else 0

    def newer(self) -> MachineDescription:
        """The same, one generation on."""
        root = self.root
        newer = Property(GENERATION, self.generation + 1)
        items = tuple(newer if getattr(each, "name", "") == GENERATION else each for each in root.items)
        return MachineDescription((Node(root.name, items), *self.nodes[1:]))

    def find(self, name: str, /, **properties: Value) -> tuple[int, ...]:
        """Indexes of the nodes of that kind whose properties have these values (``cfg_handle`` for cfg-handle)."""
        wanted = {key.replace("_", "-"): value for key, value in properties.items()}
        return tuple(
            index
            for index, node in enumerate(self.nodes)
            if node.name == name and all(node.get(key) == value for key, value in wanted.items())
        )

    def node(self, name: str, /, **properties: Value) -> Node:
        """The one node that `find` finds. Raises MdescError where there is none, or more than one."""
        found = self.find(name, **properties)
        if len(found) != 1:
            raise MdescError(f"{len(found)} nodes {name!r} {properties or ''}".rstrip())
        return self.nodes[found[0]]

    def linked(self, node: Node, kind: str | None = None, *, arc: str = FWD) -> tuple[Node, ...]:
        """The nodes a node's arcs lead to, all or those of one kind."""
        targets = (self.nodes[index] for index in node.arcs(arc))
        return tuple(target for target in targets if kind in (None, target.name))

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """A name for every node that says which one it is, unique: ``/channel-devices/disk[0]/vdc-port[0]``.

        From the node that the first arc back leads to, and its own label (see `label`). A second node of the same
        path gets ``~2``, and so on. Two machine descriptions of one domain name the same things alike.
        """
        return _unique_paths(self.nodes)


# What tells nodes of a kind apart, most telling first.
_KEYS = ("id", "cfg-handle", "base", "level", "latency")
_UNITS = ("exec-unit", "cache", "tlb")
"""Nodes below a cpu: their paths go from the first cpu that has them, whatever lies between."""


def label(node: Node) -> str:
    """Kind of a node, and in brackets what tells it from others of its kind: ``cpu[3]``, ``disk[0]``."""
    values: Mapping[str, Value] = node.properties
    name = values.get("name")
    own = name if isinstance(name, str) and node.name.startswith("virtual-device") else node.name
    marks = []
    for key in _KEYS:
        value = values.get(key)
        if isinstance(value, int) and node.name not in ("virtual-devices", "channel-devices"):
            marks.append(f"{value:#x}" if value > 0xFFFF else str(value))
            break
    kind = values.get("type")
    if isinstance(kind, bytes) and node.name in _UNITS:
        words = split_strings(kind) or ()
        marks += ["+".join(words) if node.name == "cache" else words[0]] if words else []
    return f"{own}[{','.join(marks)}]" if marks else own


def _unique_paths(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    labels = [label(node) for node in nodes]
    parents = [next(iter(node.arcs(BACK)), 0) for node in nodes]
    seen: dict[str, int] = {}
    paths = []
    for index in range(len(nodes)):
        steps: list[str] = []
        at, hops = index, 0
        # Arcs of a foreign description may go round in circles, and be long: eight hops name everything of ours.
        while at != 0 and hops < 8:
            if not steps or nodes[at].name not in _UNITS:
                steps.append(labels[at])
            at = parents[at]
            hops += 1
        path = "/" + "/".join(reversed(steps))
        count = seen[path] = seen.get(path, 0) + 1
        paths.append(path if count == 1 else f"{path}~{count}")
    return tuple(paths)
