"""Memory of a domain: from a request to its new constraint and binding.

A domain that runs gets and gives memory in aligned steps of 256 MB; one that is bound or in delayed reconfiguration in
steps of 4 MB, to which requests are rounded up; one that is inactive asks, and is looked at when it is bound.
Facts: Administration Guide 3.3, "Memory Alignment"; where blocks lie: `emulator.placement`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from emulator.errors import ConfigError, UnitError
from emulator.mblocks import SYS, Mblock, MemoryMap
from emulator.placement import (
    GRANULE_BOUND,
    GRANULE_DYNAMIC,
    PAGE_BYTES,
    Amount,
    Named,
    Placement,
    largest_domain,
    place,
)
from emulator.shortage import Shortage
from emulator.units import format_size, parse_size
from ldmd.messages import message, refuse
from ldmd.model import Configuration, Domain, MemoryAmount, State
from ldmd.planner.cpus import cpu_nodes
from ldmd.planner.hardware import hardware, memory_map, to_blocks
from ldmd.planner.server import empty_memory

Parts = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class MemoryPlan:
    """The domain as it shall be. `added`, `removed`: (real address, size) of what comes and goes."""

    domain: Domain
    added: Parts = ()
    removed: Parts = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A domain and how memory is changed. `dynamic`: as it runs; `auto`: --auto-adj."""

    configuration: Configuration  # what is foreseen, with the domain in it
    domain: Domain
    auto: bool = False
    delayed: bool = False  # part of a delayed reconfiguration

    @property
    def dynamic(self) -> bool:
        """True where the domain runs and the change is made at once."""
        return self.domain.state is State.ACTIVE and not self.delayed

    @property
    def granule(self) -> int:
        """Step of addresses and sizes."""
        if self.domain.binding is None:
            return PAGE_BYTES
        return GRANULE_DYNAMIC if self.dynamic or self.auto else GRANULE_BOUND


def round_up(size: int, step: int) -> int:
    """The next multiple."""
    return -(-size // step) * step


# -- what a person writes

def parse_amount(text: str) -> int:
    """Bytes of ``4G``, ``512m`` or a plain number. Refuses what is none."""
    try:
        size = parse_size(text)
    except UnitError as error:
        refuse("memory.size", value=text, why=str(error))
    if size >= 1 << 60:
        refuse("memory.size", value=text, why="no server has so much memory")
    return size


def parse_mblocks(text: str) -> Parts:
    """(physical address, size) of each block of ``mblock=``, ascending; () for an empty text."""
    parts = []
    for word in text.split(",") if text else ():
        start, colon, size = word.partition(":")
        if not colon or not start or not size:
            refuse("memory.mblock-syntax", value=text, why=f"{word!r} is not START:SIZE")
        try:
            pa = int(start, 0)
        except ValueError:
            refuse("memory.mblock-syntax", value=text, why=f"{start!r} is not an address")
        if not 0 <= pa < 1 << 60 or parse_amount(size) == 0:
            refuse("memory.mblock-syntax", value=text, why=f"{word!r} is no block of memory")
        parts.append((pa, parse_amount(size)))
    parts.sort()
    for (low, size_low), (high, size_high) in pairwise(parts):
        if low + size_low > high:
            refuse("memory.overlap", one=name_of(low, size_low), other=name_of(high, size_high))
    return tuple(parts)


def name_of(pa: int, size: int) -> str:
    """A block as a person writes it."""
    return f"{pa:#x}:{format_size(size)}"


# -- requests by size

def add_memory(target: Target, size: int) -> MemoryPlan:
    """`add-memory size`."""
    _unnamed(target.domain)
    if size <= 0:
        refuse("memory.zero")
    size, notes = _stepped(target, size)
    return _with_size(target, target.domain.memory.size_bytes + size, notes)


def set_memory(target: Target, size: int) -> MemoryPlan:
    """`set-memory size`."""
    _unnamed(target.domain)
    if size <= 0:
        refuse("memory.zero")
    have = target.domain.memory.size_bytes
    delta = abs(size - have)
    if not target.dynamic or delta % GRANULE_DYNAMIC == 0:
        return _with_size(target, size, ())
    better = have + round_up(size - have, GRANULE_DYNAMIC)
    if better <= 0:
        better = have % GRANULE_DYNAMIC or GRANULE_DYNAMIC
    if not target.auto:
        refuse("memory.set-multiple", asked=format_size(size), verb="add" if size > have else "remove",
               delta=_megabytes(delta), better=format_size(better), name=target.domain.name)
    return _with_size(target, better, (str(message("memory.adjusting", size=format_size(better))),))


def remove_memory(target: Target, size: int) -> MemoryPlan:
    """`remove-memory size`."""
    _unnamed(target.domain)
    domain = target.domain
    if size <= 0:
        refuse("memory.zero")
    notes: tuple[str, ...] = ()
    if target.dynamic:
        down = size // GRANULE_DYNAMIC * GRANULE_DYNAMIC
        if down != size:
            if not target.auto or not down:
                refuse("memory.multiple")
            size, notes = down, (str(message("memory.adjusting", size=format_size(down))),)
    if size > domain.memory.size_bytes:
        refuse("memory.remove-many", name=domain.name, have=format_size(domain.memory.size_bytes),
               asked=format_size(size))
    return _with_size(target, domain.memory.size_bytes - size, notes)


def _megabytes(size: int) -> str:
    return f"{size >> 20}MB" if size % (1 << 20) == 0 else f"{size} bytes"


def _unnamed(domain: Domain) -> None:
    if domain.memory.mblocks:
        refuse("memory.named", name=domain.name)


def _stepped(target: Target, size: int) -> tuple[int, tuple[str, ...]]:
    """An amount to add in the step that the state demands."""
    step = target.granule
    rounded = round_up(size, step)
    if rounded == size:
        return size, ()
    if target.dynamic and not target.auto:
        refuse("memory.multiple")
    shown = target.auto and step == GRANULE_DYNAMIC
    return rounded, (str(message("memory.adjusting", size=format_size(rounded))),) if shown else ()


def _with_size(target: Target, size: int, notes: tuple[str, ...]) -> MemoryPlan:
    domain = target.domain
    limit = largest_domain(empty_memory(target.configuration.server))
    if size > limit:
        refuse("memory.too-much", limit=format_size(limit), asked=format_size(size))
    binding = domain.binding
    if binding is None:
        return MemoryPlan(domain.but(memory=MemoryAmount(size_bytes=round_up(size, PAGE_BYTES))), notes=notes)
    if not target.dynamic:
        size = max(min(round_up(size, target.granule), limit), size)
    if size <= 0:
        refuse("memory.zero-bound", name=domain.name, state=domain.state, have=format_size(binding.memory_bytes))
    delta = size - binding.memory_bytes
    now = memory_map(target.configuration)
    if delta > 0:
        step = _step_for(target, delta)
        placed = find_room(target.configuration, domain, Wish(size_bytes=delta, granule=step))
        return _placed(domain, now, placed, notes)
    if delta < 0:
        return _released(target, now, _choose(target, now, -delta), notes)
    return MemoryPlan(domain.but(memory=MemoryAmount(size_bytes=size)), notes=notes)


def _step_for(target: Target, delta: int) -> int:
    """The step to allocate in; what primary had in factory-default may be no multiple of the usual one."""
    step = GRANULE_DYNAMIC if target.dynamic else GRANULE_BOUND
    while delta % step:
        step >>= 1
    return max(step, PAGE_BYTES)


def _choose(target: Target, now: MemoryMap, size: int) -> Parts:
    """(physical address, size) pieces that a domain gives back: those at its highest real addresses."""
    if not target.dynamic:
        return now.last_parts(target.domain.name, size)
    parts, left = [], size
    for block in sorted(now.owned(target.domain.name), key=lambda each: each.ra or 0, reverse=True):
        low, high = round_up(block.pa, GRANULE_DYNAMIC), block.end // GRANULE_DYNAMIC * GRANULE_DYNAMIC
        take = min(left, max(0, high - low))
        if take:
            parts.append((high - take, take))
        left -= take
    if left:
        refuse("memory.removable", name=target.domain.name, free=format_size(size - left))
    return tuple(parts)


# -- requests by named blocks

def add_mblocks(target: Target, parts: Parts) -> MemoryPlan:
    """`add-memory mblock=...`."""
    if target.domain.memory.size_bytes and not target.domain.memory.mblocks:
        refuse("memory.not-named", name=target.domain.name)
    if not parts:
        refuse("memory.zero")
    return _add_named(target, parts)


def remove_mblocks(target: Target, parts: Parts) -> MemoryPlan:
    """`remove-memory mblock=...`: pieces of the domain's named blocks."""
    domain = target.domain
    _check_steps(target, parts)
    for part in parts:
        if _minus([part], domain.memory.mblocks):
            refuse("memory.not-have", name=domain.name, block=name_of(*part),
                   blocks=", ".join(name_of(*each) for each in domain.memory.mblocks) or "no named blocks")
    rest = _minus(domain.memory.mblocks, parts)
    named = _amount(rest)
    if domain.binding is None:
        return MemoryPlan(domain.but(memory=named))
    if not rest:
        refuse("memory.zero-bound", name=domain.name, state=domain.state, have=format_size(domain.memory.size_bytes))
    plan = _released(target, memory_map(target.configuration), parts, ())
    return MemoryPlan(plan.domain.but(memory=named), removed=plan.removed)


def set_mblocks(target: Target, parts: Parts) -> MemoryPlan:
    """`set-memory mblock=...`; without any the memory remains, and its blocks lose their names."""
    domain = target.domain
    if not parts:
        return MemoryPlan(domain.but(memory=MemoryAmount(size_bytes=domain.memory.size_bytes)))
    _check_steps(target, parts)
    if domain.binding is None:
        return MemoryPlan(domain.but(memory=_amount(parts)))
    now = memory_map(target.configuration)
    have = [(block.pa, block.size_bytes) for block in now.owned(domain.name)]
    gone = tuple(_minus(have, parts))
    new = tuple(_minus(parts, have))
    if target.dynamic and gone and new:
        refuse("memory.running", name=domain.name, block=name_of(*gone[0]))
    plan = _released(target, now, gone, ()) if gone else MemoryPlan(domain)
    if new:
        configuration = target.configuration.with_domain(plan.domain)
        plan = _add_named(Target(configuration, plan.domain, target.auto, target.delayed), new)
    return MemoryPlan(plan.domain.but(memory=_amount(parts)), added=plan.added,
                      removed=() if not gone else _released(target, now, gone, ()).removed)


def _add_named(target: Target, parts: Parts) -> MemoryPlan:
    domain = target.domain
    _check_steps(target, parts)
    named = _amount((*domain.memory.mblocks, *parts))
    if domain.binding is None:
        return MemoryPlan(domain.but(memory=named))
    placed = find_room(target.configuration, domain, Wish(parts=parts, granule=target.granule))
    plan = _placed(domain, memory_map(target.configuration), placed, ())
    return MemoryPlan(plan.domain.but(memory=named), added=plan.added)


def _check_steps(target: Target, parts: Parts) -> None:
    if target.dynamic and any(pa % GRANULE_DYNAMIC or size % GRANULE_DYNAMIC for pa, size in parts):
        refuse("memory.multiple")
    if target.domain.binding is None:
        _check_real(target, parts)


def _check_real(target: Target, parts: Parts) -> None:
    """Named blocks are memory that the server has, and not firmware's; that others have them now is found by bind."""
    blocks = memory_map(target.configuration).blocks
    there = [(block.pa, block.size_bytes) for block in blocks]
    for part in parts:
        if _minus([part], there):
            refuse("memory.no-block", block=name_of(*part), missing=name_of(*_minus([part], there)[0]))
        for block in blocks:
            if block.owner == SYS and part[0] < block.end and block.pa < sum(part):
                refuse("memory.firmware", block=name_of(*part), kept=name_of(block.pa, block.size_bytes))


def _amount(parts: Iterable[tuple[int, int]]) -> MemoryAmount:
    """A constraint of named blocks. Refuses those that overlap."""
    ordered = sorted(parts)
    for low, high in pairwise(ordered):
        if sum(low) > high[0]:
            refuse("memory.overlap", one=name_of(*low), other=name_of(*high))
    return MemoryAmount(size_bytes=sum(size for _, size in ordered), mblocks=tuple(ordered))


def _minus(parts: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is in these (address, size) pieces and not in the others."""
    left = [(pa, pa + size) for pa, size in parts]
    for pa, size in others:
        left = [piece for low, high in left for piece in ((low, min(high, pa)), (max(low, pa + size), high))
                if piece[0] < piece[1]]
    return sorted((low, high - low) for low, high in left)


# -- carrying out

@dataclass(frozen=True, kw_only=True)
class Wish:
    """What memory to find: so much, or named blocks."""

    size_bytes: int = 0
    parts: Parts = ()
    granule: int = GRANULE_BOUND


def find_room(configuration: Configuration, domain: Domain, wish: Wish) -> tuple[Mblock, ...]:
    """Blocks with real addresses for a domain, near its cores. Refuses with the cause and what would help."""
    server = hardware(configuration)
    page, limit = server.platform.largest_page_bytes, server.ra_limit
    nodes = cpu_nodes(server, domain.binding.vcpus) if domain.binding else ()
    request: Amount | Named
    if wish.parts:
        request = Named(owner=domain.name, largest_page=page, granule=wish.granule, ra_limit=limit, parts=wish.parts)
    else:
        request = Amount(owner=domain.name, largest_page=page, granule=wish.granule, ra_limit=limit, nodes=nodes,
                         size_bytes=wish.size_bytes)
    try:
        answer = place(memory_map(configuration), request)
    except ConfigError as error:
        refuse("memory.size", value=format_size(wish.size_bytes), why=str(error))
    if isinstance(answer, Shortage):
        lines = [line for line in answer.text().splitlines() if not line.startswith("Try: ")]
        refuse("memory.short", cause="\n".join(lines), remedy="; or ".join(answer.remedies))
    assert isinstance(answer, Placement)
    return answer.blocks


def _placed(domain: Domain, now: MemoryMap, blocks: tuple[Mblock, ...], notes: tuple[str, ...]) -> MemoryPlan:
    assert domain.binding is not None
    memory = to_blocks(now.assign(sorted(blocks, key=lambda block: block.pa)).owned(domain.name))
    binding = domain.binding.but(memory=memory)
    return MemoryPlan(domain.but(memory=MemoryAmount(size_bytes=binding.memory_bytes), binding=binding), notes=notes,
                      added=tuple((block.ra or 0, block.size_bytes) for block in blocks))


def _released(target: Target, now: MemoryMap, parts: Parts, notes: tuple[str, ...]) -> MemoryPlan:
    domain = target.domain
    assert domain.binding is not None
    cut = tuple(_along_blocks(now, parts))
    binding = domain.binding.but(memory=to_blocks(now.release_parts(domain.name, cut).owned(domain.name)))
    gone = []
    for pa, size in cut:
        block = now.at(pa)
        assert block is not None
        assert block.ra is not None
        gone.append((block.ra + pa - block.pa, size))
    return MemoryPlan(domain.but(memory=MemoryAmount(size_bytes=binding.memory_bytes), binding=binding),
                      removed=tuple(sorted(gone)), notes=notes)


def _along_blocks(now: MemoryMap, parts: Parts) -> Iterable[tuple[int, int]]:
    """The pieces, cut where one of them goes from one block of the map into the next."""
    for pa, size in parts:
        low, end = pa, pa + size
        while low < end:
            block = now.at(low)
            if block is None:
                break
            high = min(end, block.end)
            yield low, high - low
            low = high


def without_memory(configuration: Configuration, name: str, parts: Parts) -> Domain:
    """A domain without some (real address, size) pieces of its memory, its constraint as its binding then is."""
    domain = configuration.find(name)
    assert domain is not None
    assert domain.binding is not None
    now = memory_map(configuration)
    physical = []
    for ra, size in parts:
        block = next(each for each in domain.binding.memory if each.ra <= ra and ra + size <= each.ra + each.size_bytes)
        physical.append((block.pa + ra - block.ra, size))
    memory = to_blocks(now.release_parts(name, _along_blocks(now, tuple(physical))).owned(name))
    binding = domain.binding.but(memory=memory)
    named = _amount(_minus(domain.memory.mblocks, physical)) if domain.memory.mblocks else \
        MemoryAmount(size_bytes=binding.memory_bytes)
    return domain.but(memory=named, binding=binding)
