"""Memory: G20, G21, G24; `layout` is what the plan uses as well."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.mblocks import Mblock
from emulator.placement import GRANULE_BOUND, Placement, Same, largest_domain, place
from emulator.shortage import Constraint, Shortage
from emulator.units import format_size
from ldmd.migration.checks.cpus import release
from ldmd.migration.facts import SPLITTING, GuestFacts, TargetFacts, numbers
from ldmd.migration.rule import Found, Options, found
from ldmd.model import MemoryBlock
from ldmd.planner.memory import round_up

SPLITS = (11, 3, 0)


def may_split(guest: GuestFacts, target: TargetFacts) -> bool:
    """G23: a guest of Solaris 11.3 or later, between managers of 3.3. One whose version nobody knows is not split."""
    known = release(guest)
    managers = (numbers(each.manager_version)[:2] for each in (guest.server, target.server))
    return known is not None and known >= SPLITS and all(each >= SPLITTING for each in managers)


def request(guest: GuestFacts, target: TargetFacts, blocks: tuple[MemoryBlock, ...], *, nodes: tuple[int, ...] = (),
            name: str = "") -> Same:
    """The same real addresses; physical ones agree with them modulo the largest page of the target.

    On a server of the source's kind that is the remainder the blocks have there: a binding always has remainder 0.
    Where the largest pages differ it is the rule of the machine that will hold the memory (inferred).
    """
    return Same(owner=name or guest.domain.name, largest_page=target.server.largest_page, nodes=nodes,
                source=tuple(Mblock(block.ra, block.size_bytes, 0, None, block.ra) for block in blocks),
                split=may_split(guest, target), ra_limit=target.ra_limit)


def layout(guest: GuestFacts, target: TargetFacts, *, nodes: tuple[int, ...] = ()) -> Placement | Shortage:
    """Where a running domain's memory goes."""
    binding = guest.domain.binding
    assert binding is not None
    return place(target.memory_map(), request(guest, target, binding.memory, nodes=nodes))


def enough(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G20. A domain that is bound there anew needs it in steps of the manager's."""
    if guest.live:
        asked, free = guest.domain.binding.memory_bytes if guest.domain.binding else 0, target.free_bytes
    else:
        asked = round_up(guest.domain.memory.size_bytes, GRANULE_BOUND)
        free = largest_domain(target.memory_map())
    if asked > free:
        yield found("memory", name=guest.domain.name, asked=format_size(asked), free=format_size(free))


def congruent(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G21: for a guest whose blocks cannot be split."""
    if not may_split(guest, target):
        yield from _unplaced(guest, target, "layout")


def unsplittable(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G24: blocks may be split, and no layout is found all the same."""
    if may_split(guest, target):
        yield from _unplaced(guest, target, "layout-split")


def _unplaced(guest: GuestFacts, target: TargetFacts, code: str) -> Iterator[Found]:
    """Every block that has no place beside the others, the largest first served. Nothing where memory is short."""
    binding = guest.domain.binding
    if binding is None or binding.memory_bytes > target.free_bytes:
        return  # G20 says so
    memory = target.memory_map()
    if isinstance(place(memory, request(guest, target, binding.memory)), Placement):
        return
    kept: tuple[MemoryBlock, ...] = ()
    for block in sorted(binding.memory, key=lambda each: -each.size_bytes):
        answer = place(memory, request(guest, target, (*kept, block)))
        if isinstance(answer, Placement):
            kept = (*kept, block)
            continue
        yield found(code, pa=f"{block.pa:#x}", ra=f"{block.ra:#x}", size=format_size(block.size_bytes),
                    page=format_size(target.server.largest_page), name=guest.domain.name,
                    help=_help(answer))


def _help(shortage: Shortage) -> str:
    alone = shortage.constraint is Constraint.CONGRUENCE
    why = "" if alone else "each of its blocks fits alone, not all together; "
    return why + "; or ".join(shortage.remedies)


def real_addresses(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Real addresses stay as they are: the other chip must have as many."""
    binding = guest.domain.binding
    end = max((block.ra + block.size_bytes for block in binding.memory), default=0) if binding else 0
    if end > target.ra_limit:
        yield found("real-address", name=guest.domain.name, end=f"{end:#x}", limit=f"{target.ra_limit:#x}",
                    chip=target.server.chip_title)
