"""A machine description under construction: nodes that can still get properties and links."""

from __future__ import annotations

from collections.abc import Iterable

from emulator.errors import ConfigError
from emulator.mdesc.model import BACK, FWD, Arc, MachineDescription, Node, Property, Value


class Graph:
    """Nodes by index. Every link is made in both directions: guests walk both."""

    def __init__(self, most_channels: int) -> None:
        self._most_channels = most_channels
        self._names: list[str] = []
        self._properties: list[dict[str, Value]] = []
        self._arcs: list[list[Arc]] = []
        self._links: set[tuple[int, int]] = set()
        self._channels: set[int] = set()

    def add(self, name: str, properties: Iterable[tuple[str, Value | None]] = (), *parents: int) -> int:
        """A new node, linked from `parents`; properties that are None are left out. Returns its index.

        Raises ConfigError for a property that is given twice: a guest would see the first only.
        """
        index = len(self._names)
        given: dict[str, Value] = {}
        for key, value in properties:
            if key in given:
                raise ConfigError(f"{name}: the property {key} is given twice")
            if value is not None:
                given[key] = value
        self._names.append(name)
        self._properties.append(given)
        self._arcs.append([])
        for parent in parents:
            self.link(parent, index)
        return index

    def link(self, upper: int, lower: int) -> None:
        """An arc fwd from `upper` to `lower`, and one back; once, however often it is asked for."""
        if (upper, lower) not in self._links:
            self._links.add((upper, lower))
            self._arcs[upper].append(Arc(FWD, lower))
            self._arcs[lower].append(Arc(BACK, upper))

    def claim_channel(self, channel: int) -> None:
        """Note the use of an LDC channel. Raises ConfigError where two ports want the same, or it is out of range."""
        if not 0 <= channel < self._most_channels:
            raise ConfigError(f"LDC channels of a domain are 0 to {self._most_channels - 1}, not {channel}")
        if channel in self._channels:
            raise ConfigError(f"two ports use LDC channel {channel}")
        self._channels.add(channel)

    def finish(self) -> MachineDescription:
        """The frozen description: of every node first the properties, then the arcs."""
        return MachineDescription(
            tuple(
                Node(name, (*(Property(key, value) for key, value in properties.items()), *arcs))
                for name, properties, arcs in zip(self._names, self._properties, self._arcs, strict=True)
            )
        )
