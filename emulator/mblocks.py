"""The physical memory of a server: which addresses exist, on which node, and whose they are.

Immutable and pure: every change gives a new `MemoryMap`. Where a domain's memory shall lie is decided by
`emulator.placement`; docs/internals/physical-memory.md tells the rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from operator import attrgetter

from emulator.errors import ConfigError
from emulator.platforms import Bank

SYS = "_sys_"
"""Owner of what firmware and hypervisor keep, as `ldm list-devices -a memory` prints it."""


@dataclass(frozen=True, slots=True)
class Mblock:
    """A contiguous piece of physical memory on one node. Addresses and sizes in bytes."""

    pa: int
    size_bytes: int
    node: int
    owner: str | None = None  # None: free
    ra: int | None = None  # where its owner sees it; firmware's and free blocks have none

    @property
    def end(self) -> int:
        """The first physical address behind it."""
        return self.pa + self.size_bytes


@dataclass(frozen=True, slots=True)
class NodeReport:
    """How free memory of one node is cut up."""

    node: int
    total_bytes: int
    free_bytes: int
    runs: int  # contiguous free pieces
    largest_run_bytes: int
    usable_bytes: int  # free in whole, aligned steps of the granule
    large_pages: int  # free pages of the largest size, aligned


@dataclass(frozen=True)
class MemoryMap:
    """All physical memory of a server as blocks in ascending order; what no block covers is a hole.

    Free neighbours on one node are always one block.
    """

    blocks: tuple[Mblock, ...]

    @classmethod
    def of_banks(cls, banks: Iterable[Bank], reserved: Sequence[int] = ()) -> MemoryMap:
        """The map of a server just powered on: firmware's blocks of the given sizes at the bottom of each node.

        Raises ConfigError when banks overlap or firmware's blocks do not fit a node's first bank.
        """
        ordered = sorted(banks)
        for low, high in pairwise(ordered):
            if low.end > high.pa:
                raise ConfigError(f"memory banks at {low.pa:#x} and {high.pa:#x} overlap")
        blocks: list[Mblock] = []
        begun: set[int] = set()
        for bank in ordered:
            pa = bank.pa
            for size in reserved if bank.node not in begun else ():
                blocks.append(Mblock(pa, size, bank.node, SYS))
                pa += size
            begun.add(bank.node)
            if pa > bank.end:
                raise ConfigError(f"what firmware keeps does not fit the bank at {bank.pa:#x}")
            if pa < bank.end:
                blocks.append(Mblock(pa, bank.end - pa, bank.node))
        return cls(tuple(_coalesced(blocks)))

    @cached_property
    def free(self) -> tuple[Mblock, ...]:
        """The free blocks, ascending."""
        return tuple(block for block in self.blocks if block.owner is None)

    @cached_property
    def free_bytes(self) -> int:
        """All free memory."""
        return sum(block.size_bytes for block in self.free)

    @cached_property
    def total_bytes(self) -> int:
        """All memory."""
        return sum(block.size_bytes for block in self.blocks)

    @cached_property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that have memory, ascending."""
        return tuple(sorted({block.node for block in self.blocks}))

    def owned(self, owner: str) -> tuple[Mblock, ...]:
        """The blocks of an owner, by physical address."""
        return tuple(block for block in self.blocks if block.owner == owner)

    def owners(self) -> dict[str, int]:
        """Bytes by owner, firmware included."""
        sums: dict[str, int] = {}
        for block in self.blocks:
            if block.owner is not None:
                sums[block.owner] = sums.get(block.owner, 0) + block.size_bytes
        return sums

    def at(self, pa: int) -> Mblock | None:
        """The block that holds an address; None in a hole."""
        index = bisect_right(self.blocks, pa, key=attrgetter("pa")) - 1
        return self.blocks[index] if index >= 0 and pa < self.blocks[index].end else None

    def assign(self, blocks: Iterable[Mblock]) -> MemoryMap:
        """With these blocks, which name their owner, cut out of the free ones.

        Raises ConfigError where one is not wholly inside a free block of its node.
        """
        now = list(self.blocks)
        for block in blocks:
            index = bisect_right(now, block.pa, key=attrgetter("pa")) - 1
            run = now[index] if index >= 0 else None
            if run is None or run.owner is not None or run.node != block.node or block.end > run.end:
                raise ConfigError(f"{block.pa:#x}..{block.end - 1:#x} is not free memory of node {block.node}")
            if block.owner is None or block.size_bytes <= 0:
                raise ConfigError(f"the block at {block.pa:#x} has no owner or no size")
            parts = [block]
            if run.pa < block.pa:
                parts.insert(0, replace(run, size_bytes=block.pa - run.pa))
            if block.end < run.end:
                parts.append(replace(run, pa=block.end, size_bytes=run.end - block.end))
            now[index : index + 1] = parts
        return MemoryMap(tuple(now))

    def release(self, owner: str) -> MemoryMap:
        """With all blocks of an owner free, and free neighbours joined."""
        return MemoryMap(tuple(_coalesced(
            Mblock(block.pa, block.size_bytes, block.node) if block.owner == owner else block
            for block in self.blocks)))

    def release_parts(self, owner: str, parts: Iterable[tuple[int, int]]) -> MemoryMap:
        """With these (physical address, size) pieces of an owner's blocks free; what remains keeps its real address.

        Raises ConfigError where a piece is not wholly inside one block of the owner.
        """
        now = list(self.blocks)
        for pa, size in parts:
            index = bisect_right(now, pa, key=attrgetter("pa")) - 1
            block = now[index] if index >= 0 else None
            if size <= 0 or block is None or block.owner != owner or pa + size > block.end:
                raise ConfigError(f"{pa:#x}..{pa + size - 1:#x} is not inside one block of {owner}")
            pieces = [(block.pa, pa, True), (pa, pa + size, False), (pa + size, block.end, True)]
            now[index : index + 1] = [_part(block, low, high, kept=kept) for low, high, kept in pieces if low < high]
        return MemoryMap(tuple(_coalesced(now)))

    def last_parts(self, owner: str, size_bytes: int) -> tuple[tuple[int, int], ...]:
        """Which (physical address, size) pieces an owner gives back first: those at its highest real addresses.

        Raises ConfigError when it has less.
        """
        parts = []
        left = size_bytes
        for block in sorted(self.owned(owner), key=lambda b: b.ra or 0, reverse=True):
            take = min(left, block.size_bytes)
            if take:
                parts.append((block.end - take, take))
            left -= take
        if left > 0 or size_bytes < 0:
            raise ConfigError(f"{owner} cannot give back {size_bytes} bytes: it has {size_bytes - left}")
        return tuple(parts)

    def report(self, granule: int, largest_page: int) -> tuple[NodeReport, ...]:
        """How free memory is cut up, node by node. `granule`: step in which memory is given out."""
        reports = []
        for node in self.nodes:
            runs = [block for block in self.free if block.node == node]
            reports.append(NodeReport(
                node=node,
                total_bytes=sum(block.size_bytes for block in self.blocks if block.node == node),
                free_bytes=sum(run.size_bytes for run in runs),
                runs=len(runs),
                largest_run_bytes=max((run.size_bytes for run in runs), default=0),
                usable_bytes=sum(size for run in runs for _, size in [usable(run, granule)]),
                large_pages=sum(size // largest_page for run in runs for _, size in [usable(run, largest_page)]),
            ))
        return tuple(reports)


def usable(run: Mblock, granule: int) -> tuple[int, int]:
    """(address, size) of the aligned part of a run; size 0 where there is none."""
    start = -(-run.pa // granule) * granule
    return start, max(0, (run.end - start) // granule * granule)


def _part(block: Mblock, low: int, high: int, *, kept: bool) -> Mblock:
    if not kept:
        return Mblock(low, high - low, block.node)
    ra = None if block.ra is None else block.ra + low - block.pa
    return replace(block, pa=low, size_bytes=high - low, ra=ra)


def _coalesced(blocks: Iterable[Mblock]) -> Iterator[Mblock]:
    run: Mblock | None = None
    for block in blocks:
        if block.owner is None and run is not None and run.end == block.pa and run.node == block.node:
            run = Mblock(run.pa, run.size_bytes + block.size_bytes, run.node)
            continue
        if run is not None:
            yield run
            run = None
        if block.owner is None:
            run = block
        else:
            yield block
    if run is not None:
        yield run
