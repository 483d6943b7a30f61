"""Why memory could not be placed, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emulator.mblocks import SYS, MemoryMap, NodeReport
from emulator.units import format_size


class Constraint(Enum):
    """What could not be met."""

    TOTAL = "total"  # less is free than was asked for
    ALIGNMENT = "alignment"  # enough is free, but not in whole aligned steps
    NODES = "nodes"  # enough is free, but not on the nodes asked for
    BLOCKS = "blocks"  # enough is free, but in more pieces than allowed
    CONGRUENCE = "congruence"  # no free address agrees with the real address modulo the largest page
    LAYOUT = "layout"  # each block fits alone, not all of them together
    TAKEN = "taken"  # a named block is somebody's
    HOLE = "hole"  # a named block is where no memory is
    OVERLAP = "overlap"  # named blocks overlap, or cross from one node to another
    REAL_ADDRESS = "real-address"  # the domain's real address space is full


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """The answer when memory cannot be placed. All sizes in bytes."""

    owner: str  # for whom
    constraint: Constraint  # the one that failed
    detail: str  # what failed, in one sentence
    remedies: tuple[str, ...]  # what would help, the least effort first
    asked_bytes: int
    free_bytes: int
    usable_bytes: int  # free in whole aligned steps of the granule
    granule: int
    nodes: tuple[NodeReport, ...]
    holders: tuple[tuple[str, int], ...]  # who has memory, most first, without firmware
    proved: bool = True  # False: the search was given up, another placement may exist

    @property
    def largest_run_bytes(self) -> int:
        """The largest contiguous free piece."""
        return max((node.largest_run_bytes for node in self.nodes), default=0)

    def text(self) -> str:
        """The explanation for people, several lines."""
        lines = [f"No room for {format_size(self.asked_bytes)} of {self.owner}: {self.detail}."]
        if not self.proved:
            lines.append("The search was cut short: another placement may exist.")
        lines.append(f"Free: {format_size(self.free_bytes)}, of which {format_size(self.usable_bytes)} in aligned "
                     f"steps of {format_size(self.granule)}; largest run {format_size(self.largest_run_bytes)}.")
        lines += [f"  node {n.node}: {format_size(n.free_bytes)} of {format_size(n.total_bytes)} free in {n.runs} "
                  f"run{'' if n.runs == 1 else 's'}, largest {format_size(n.largest_run_bytes)}" for n in self.nodes]
        lines += [f"Try: {remedy}." for remedy in self.remedies]
        return "\n".join(lines)


def explain(
    memory: MemoryMap,
    owner: str,
    *,
    constraint: Constraint,
    detail: str,
    remedies: tuple[str, ...],
    asked_bytes: int,
    granule: int,
    largest_page: int,
    proved: bool = True,
) -> Shortage:
    """A shortage with the figures of a map."""
    nodes = memory.report(granule, largest_page)
    held = {name: size for name, size in memory.owners().items() if name != SYS}
    return Shortage(
        owner=owner, constraint=constraint, detail=detail, remedies=remedies, asked_bytes=asked_bytes,
        free_bytes=memory.free_bytes, usable_bytes=sum(node.usable_bytes for node in nodes), granule=granule,
        nodes=nodes, holders=tuple(sorted(held.items(), key=lambda item: (-item[1], item[0]))), proved=proved,
    )
