"""What a server is: sockets, physical address map, crypto units, channel endpoints, PCIe roots, names, firmware.

Frozen data with what follows from them. `emulator.platforms.reader` makes them from TOML files; which instructions
and page sizes a chip has stands in `emulator.chips`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from emulator.chips import Chip, find_chip
from emulator.errors import ConfigError
from emulator.units import KIB, MIB, format_size

PAGE_BYTES = 8 * KIB
FILL_BYTES = 256 * MIB
"""Nodes are filled in steps of this size, that of the largest page which every chip has."""

MARKS = ("sourced", "recalled", "inferred")
"""How well a fact is known: published and looked up; from data sheets, not looked up again; concluded by us."""

NODE_SHARE = 4
"""A node gets memory if its share is at least this many times what firmware keeps of it."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache of a chip."""

    level: int
    kind: str  # "instruction", "data" or "unified"
    size_bytes: int
    cores: int  # cores that share it; 0: all of the chip


@dataclass(frozen=True, kw_only=True)
class ChannelLimits:
    """How many LDC endpoints there are."""

    per_domain: int
    per_domain_new: int | None  # with manager 3.5 or later and a guest of Solaris 11.3 SRU 8 or later
    total: int | None  # of the server or physical domain; None: no figure published


@dataclass(frozen=True, kw_only=True)
class ChipFacts:
    """What a server inherits from its chip, besides what `emulator.chips` says."""

    chip: str
    server: str  # the server meant when a person names the chip
    crypto: tuple[str, ...]  # units of each core that domains are given: "mau", "cwq"; none: instructions
    caches: tuple[Cache, ...]
    channels: ChannelLimits
    firmware: str
    node_stride_bytes: int  # distance of the nodes' physical addresses
    reserved: tuple[int, ...]  # sizes of the firmware's blocks at the bottom of each node
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Bank:
    """Contiguous physical addresses behind one node's memory controllers."""

    pa: int
    size_bytes: int
    node: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.pa + self.size_bytes


@dataclass(frozen=True)
class Endpoint:
    """A PCIe slot or an onboard device: can be given to a domain, which then cannot migrate."""

    name: str  # "/SYS/MB/PCIE1"
    onboard: bool


@dataclass(frozen=True)
class Root:
    """A PCIe root complex or network interface unit, as `ldm list-io` shows it."""

    device: str  # "pci@300"
    name: str  # pseudonym: "pci_0"
    kind: str  # "BUS" or "NIU"
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A server: sockets of one chip and what is around them."""

    name: str  # as written on the command line
    title: str  # as the maker writes it
    uname: str  # what `uname -i` prints
    chip: str  # name in emulator.chips
    sockets: int
    cores_per_chip: int
    clock_hz: int
    max_domains: int  # of the server, or of each physical domain
    physical_domains: int  # at most
    banks: tuple[Bank, ...]  # with all memory slots filled; the gaps are holes
    reserved: tuple[int, ...]  # sizes of the firmware's blocks at the bottom of each node
    crypto: tuple[str, ...]  # kinds of crypto units of each core
    channels: ChannelLimits
    roots: tuple[Root, ...]
    firmware: str  # "9.2.1", "XCP 2240"
    caches: tuple[Cache, ...]
    marks: Mapping[str, str] = field(default_factory=dict)  # key of the file -> one of MARKS
    origin: str = ""  # the file it was read from

    @property
    def memory_bytes(self) -> int:
        """Largest memory."""
        return sum(bank.size_bytes for bank in self.banks)

    @property
    def cores(self) -> int:
        """Cores of the whole server."""
        return self.sockets * self.cores_per_chip

    @property
    def strands(self) -> int:
        """Hardware threads of the whole server."""
        return self.cores * self._chip.strands_per_core

    @property
    def stick_hz(self) -> int:
        """Rate of STICK: that of the chip, or the clock where the chip has no clock of its own for it."""
        own = self._chip.stick_hz
        return self.clock_hz if own == self._chip.clock_hz else own

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """Page sizes in bytes, ascending."""
        return tuple(PAGE_BYTES << 3 * code for code in range(8) if self._chip.page_sizes >> code & 1)

    @property
    def largest_page_bytes(self) -> int:
        """The *hardware* largest page: real and physical addresses agree modulo this size."""
        return self.page_sizes[-1]

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that have memory, ascending."""
        return tuple(sorted({bank.node for bank in self.banks}))

    @property
    def crypto_units(self) -> int:
        """Crypto units (MAU, with its CWQ where there is one) of the whole server; 0: the chip has instructions."""
        return self.cores if self.crypto else 0

    @property
    def _chip(self) -> Chip:
        return find_chip(self.chip)

    def holes(self) -> tuple[tuple[int, int], ...]:
        """(first address, size) of the gaps between the banks."""
        ordered = sorted(self.banks)
        return tuple((left.end, right.pa - left.end)
                     for left, right in pairwise(ordered) if right.pa > left.end)

    def node_of_socket(self, socket: int) -> int:
        """The node of a socket's memory controllers: its own number, or the nearest lower one with memory."""
        return max((node for node in self.nodes if node <= socket), default=self.nodes[0])

    def fill(self, memory_bytes: int) -> tuple[Bank, ...]:
        """The banks of a server with so much memory, spread over the nodes as evenly as their sizes allow.

        Nodes whose share would be little more than what firmware keeps stay empty, the highest first.
        Raises ConfigError when it is too much, too little to leave a domain any, or not a multiple of 8 KiB.
        """
        kept = sum(self.reserved)
        if memory_bytes % PAGE_BYTES or not kept < memory_bytes <= self.memory_bytes:
            raise ConfigError(
                f"a {self.title} can have up to {format_size(self.memory_bytes)} of memory in multiples of 8K, and "
                f"more than the {format_size(kept)} its firmware keeps; not {format_size(memory_bytes)}")
        nodes = list(self.nodes)
        while len(nodes) > 1 and memory_bytes // len(nodes) < NODE_SHARE * kept and \
                memory_bytes <= sum(bank.size_bytes for bank in self.banks if bank.node in nodes[:-1]):
            nodes.pop()
        shares = _shares(memory_bytes, [sum(b.size_bytes for b in self.banks if b.node == n) for n in nodes])
        return tuple(sorted(bank for node, share in zip(nodes, shares, strict=True)
                            for bank in self._fill_node(node, share)))

    def _fill_node(self, node: int, share: int) -> list[Bank]:
        filled = []
        for bank in sorted(self.banks):
            if bank.node == node and share:
                size = min(share, bank.size_bytes)
                filled.append(Bank(bank.pa, size, node))
                share -= size
        return filled


def _shares(total: int, capacities: list[int]) -> list[int]:
    """`total` cut into one share per capacity: even, in steps of FILL_BYTES, none above its capacity.

    The last open share takes what is not a whole step.
    """
    shares = [0] * len(capacities)
    while left := total - sum(shares):
        open_ones = [i for i, capacity in enumerate(capacities) if shares[i] < capacity]
        step = left // len(open_ones) // FILL_BYTES * FILL_BYTES
        for i in open_ones:
            more = min(step or FILL_BYTES, capacities[i] - shares[i], total - sum(shares))
            shares[i] += more
    return shares
