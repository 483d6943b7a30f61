"""Where a domain's memory shall lie: a request and a map give a `Placement` or a `Shortage`.

Pure: nothing is changed; `MemoryMap.assign(placement.blocks)` does it. Three requests: so much memory anywhere
(`Amount`), memory at addresses somebody chose (`Named`, ``mblock=PA:size``), and the layout that a domain has on
another server (`Same`, migration). docs/internals/physical-memory.md tells the rules and why.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from emulator.errors import ConfigError
from emulator.mblocks import SYS, Mblock, MemoryMap, usable
from emulator.shortage import Constraint, Shortage, explain
from emulator.units import KIB, MIB, format_size

PAGE_BYTES = 8 * KIB
GRANULE_BOUND = 4 * MIB
"""Step of addresses and sizes for a domain that is bound, inactive, or in delayed reconfiguration."""
GRANULE_DYNAMIC = 256 * MIB
"""The same while a domain's memory is changed as it runs."""
RA_LIMIT = 1 << 47
SEARCH_STEPS = 4000
"""After so many tries the search for a layout is given up."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all requests have. Sizes in bytes."""

    owner: str
    largest_page: int  # of the server: real and physical addresses agree modulo this size
    granule: int = GRANULE_BOUND
    nodes: tuple[int, ...] = ()  # where the domain's cores are, best first; none: anywhere
    strict: bool = False  # only on these nodes
    ra_limit: int = RA_LIMIT  # real addresses end here: 1 << `ra_bits` of the chip


@dataclass(frozen=True, kw_only=True)
class Amount(Request):
    """So much memory, anywhere."""

    size_bytes: int
    max_blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Named(Request):
    """Memory at given physical addresses: (address, size) of each block."""

    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Same(Request):
    """The blocks of a domain on another server, with their real addresses and their congruence."""

    source: tuple[Mblock, ...]
    split: bool = False  # the guest allows blocks to be split, at multiples of the largest page


@dataclass(frozen=True)
class Placement:
    """Blocks, ascending by real address, with owner and real address: ready for `MemoryMap.assign`."""

    owner: str
    blocks: tuple[Mblock, ...]

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return sum(block.size_bytes for block in self.blocks)


def place(memory: MemoryMap, request: Amount | Named | Same) -> Placement | Shortage:
    """Find room for a request. Raises ConfigError for a request that makes no sense on any map."""
    _check(request)
    if isinstance(request, Amount):
        return _place_amount(memory, request)
    if isinstance(request, Named):
        return _place_named(memory, request)
    return _place_same(memory, request)


def _check(request: Amount | Named | Same) -> None:
    granule, page = request.granule, request.largest_page
    if granule < PAGE_BYTES or granule & (granule - 1) or page < PAGE_BYTES or page & (page - 1):
        raise ConfigError("granule and largest page must be powers of two, at least 8K")
    if isinstance(request, Amount):
        sizes = [request.size_bytes]
    else:
        sizes = [size for _, size in request.parts] if isinstance(request, Named) else \
            [block.size_bytes for block in request.source]
        if not sizes:
            raise ConfigError("a request needs at least one block")
    step = PAGE_BYTES if isinstance(request, Same) else granule
    if any(size <= 0 or size % step for size in sizes):
        raise ConfigError(f"sizes must be multiples of {format_size(step)}, and more than nothing")
    if isinstance(request, Same) and any(block.ra is None for block in request.source):
        raise ConfigError("blocks of another server need their real addresses")


@dataclass(frozen=True)
class _Problem:
    """A constraint that failed, what is to be said about it, and what would help."""

    constraint: Constraint
    detail: str
    remedies: Sequence[str] = ()
    proved: bool = True


def _shortage(memory: MemoryMap, request: Request, asked: int, problem: _Problem) -> Shortage:
    return explain(memory, request.owner, constraint=problem.constraint, detail=problem.detail,
                   remedies=tuple(problem.remedies), asked_bytes=asked, granule=request.granule,
                   largest_page=request.largest_page, proved=problem.proved)


# -- real addresses

def real_addresses(
    owned: Iterable[Mblock], parts: Iterable[Mblock], *, largest_page: int, ra_limit: int = RA_LIMIT
) -> tuple[Mblock, ...] | None:
    """The parts with the lowest free real addresses that agree with their physical ones modulo the largest page.

    Real address 0 is never given out: a guest's fault area there would look like none. None: no room.
    """
    taken = sorted((block.ra, block.ra + block.size_bytes) for block in owned if block.ra is not None)
    placed = []
    for part in parts:
        ra = part.pa % largest_page or largest_page
        for low, high in taken:
            if ra + part.size_bytes <= low:
                break
            if ra < high:
                ra = high + (part.pa - high) % largest_page
        if ra + part.size_bytes > ra_limit:
            return None
        placed.append(Mblock(part.pa, part.size_bytes, part.node, part.owner, ra))
        taken.append((ra, ra + part.size_bytes))
        taken.sort()
    return tuple(placed)


def _with_addresses(memory: MemoryMap, request: Request, parts: Sequence[Mblock]) -> Placement | Shortage:
    parts = [Mblock(part.pa, part.size_bytes, part.node, request.owner) for part in sorted(parts, key=lambda p: p.pa)]
    placed = real_addresses(memory.owned(request.owner), parts,
                            largest_page=request.largest_page, ra_limit=request.ra_limit)
    if placed is None:
        return _shortage(memory, request, sum(part.size_bytes for part in parts), _Problem(
            Constraint.REAL_ADDRESS,
            f"real addresses end at {request.ra_limit:#x} and those below that are free do not suffice",
            ["ask for less memory"]))
    return Placement(request.owner, tuple(sorted(placed, key=lambda block: block.ra or 0)))


# -- so much memory, anywhere

def _place_amount(memory: MemoryMap, request: Amount) -> Placement | Shortage:
    size = request.size_bytes
    runs = [Mblock(start, length, run.node) for run in memory.free
            for start, length in [usable(run, request.granule)] if length]
    near = [run for run in runs if run.node in request.nodes] if request.nodes else runs
    pool = near if request.strict else runs
    room = sum(run.size_bytes for run in pool)
    if room < size:
        return _too_little(memory, request, room)
    for parts in _choices(near, pool, request):
        if request.max_blocks is None or len(parts) <= request.max_blocks:
            return _with_addresses(memory, request, parts)
    # The last choice has the fewest blocks there can be.
    return _shortage(memory, request, size, _Problem(
        Constraint.BLOCKS, f"it would take {len(parts)} blocks and at most {request.max_blocks} are allowed",
        [f"ask for at most {format_size(_sum_of_largest(pool, request.max_blocks or 0))}",
         f"allow {len(parts)} blocks", *_free_something(memory, request.owner)]))


def _choices(near: Sequence[Mblock], pool: Sequence[Mblock], request: Amount) -> Iterator[list[Mblock]]:
    """Ways to get the memory, best first: all on the near nodes if they have it, else all they have and the rest."""
    size = request.size_bytes
    near_room = sum(run.size_bytes for run in near)
    if near_room >= size:
        yield _cover(near, size, request.nodes)
        yield _largest_first(near, size)
    else:
        far = [run for run in pool if run.node not in request.nodes]
        yield [*near, *_cover(far, size - near_room, ())]
    yield _largest_first(pool, size)


def _too_little(memory: MemoryMap, request: Amount, room: int) -> Shortage:
    """Tell apart: not enough at all, not on these nodes, not in aligned steps."""
    size = request.size_bytes
    everywhere = sum(usable(run, request.granule)[1] for run in memory.free)
    less = [f"ask for at most {format_size(room)}"] if room else []
    more = _free_something(memory, request.owner)
    if request.strict and everywhere >= size:
        names = ", ".join(map(str, request.nodes)) or "none"
        return _shortage(memory, request, size, _Problem(
            Constraint.NODES,
            f"only {format_size(room)} are free on the nodes asked for ({names})",
            [f"allow other nodes, where {format_size(everywhere - room)} are free", *less, *more]))
    if memory.free_bytes >= size and not request.strict:
        remedies = [f"give memory out in steps of {format_size(step)}" for step in (GRANULE_BOUND, PAGE_BYTES)
                    if step < request.granule and sum(usable(run, step)[1] for run in memory.free) >= size]
        return _shortage(memory, request, size, _Problem(
            Constraint.ALIGNMENT,
            f"of {format_size(memory.free_bytes)} free only {format_size(room)} are in whole aligned steps of "
            f"{format_size(request.granule)}", [*remedies[:1], *less, *more]))
    return _shortage(memory, request, size, _Problem(
        Constraint.TOTAL, f"only {format_size(room)} are free", [*less, *more]))


def _free_something(memory: MemoryMap, owner: str) -> list[str]:
    """Who could give memory back."""
    held = [(size, name) for name, size in memory.owners().items() if name not in (SYS, owner)]
    if not held:
        return []
    size, name = max(held)
    return [f"unbind a domain or take memory from one ({name} has {format_size(size)})"]


def _sum_of_largest(runs: Iterable[Mblock], count: int) -> int:
    return sum(sorted((run.size_bytes for run in runs), reverse=True)[:count])


def _cover(runs: Sequence[Mblock], size: int, nodes: tuple[int, ...]) -> list[Mblock]:
    """Parts of the runs that make up `size`, which they do: one run, or one node, or the fewest blocks."""
    rank = {node: place for place, node in enumerate(nodes)}

    def order(run: Mblock) -> tuple[int, int, int]:
        return rank.get(run.node, 0), run.size_bytes, run.pa  # on the best node, the tightest, the lowest

    fitting = [run for run in runs if run.size_bytes >= size]
    if fitting:
        run = min(fitting, key=order)
        return [Mblock(run.pa, size, run.node)]
    rooms: dict[int, int] = {}
    for run in runs:
        rooms[run.node] = rooms.get(run.node, 0) + run.size_bytes
    enough = [node for node, room in rooms.items() if room >= size]
    if enough:
        node = min(enough, key=lambda n: (rank.get(n, 0), rooms[n], n))
        runs = [run for run in runs if run.node == node]
    return _largest_first(runs, size)


def _largest_first(runs: Iterable[Mblock], size: int) -> list[Mblock]:
    """The fewest blocks: largest runs whole, and for what is left the tightest run."""
    left = sorted(runs, key=lambda run: (run.size_bytes, -run.pa))
    parts = []
    while size > 0:
        fitting = next((i for i, run in enumerate(left) if run.size_bytes >= size), len(left) - 1)
        run = left.pop(fitting)
        part = Mblock(run.pa, min(size, run.size_bytes), run.node)
        parts.append(part)
        size -= part.size_bytes
    return parts


# -- memory at given addresses

def _place_named(memory: MemoryMap, request: Named) -> Placement | Shortage:
    asked = sum(size for _, size in request.parts)
    ordered = sorted(request.parts)
    parts = []
    end = 0
    for pa, size in ordered:
        problem = _wrong_ends(request, pa, size, end) or _wrong_inside(memory, request, pa, size)
        if problem is not None:
            return _shortage(memory, request, asked, problem)
        run = memory.at(pa)
        assert run is not None
        parts.append(Mblock(pa, size, run.node))
        end = pa + size
    return _with_addresses(memory, request, parts)


def _wrong_ends(request: Named, pa: int, size: int, end: int) -> _Problem | None:
    """What is wrong with a named block's address; `end` is that of the block before it."""
    name, granule = f"{pa:#x}:{format_size(size)}", request.granule
    if pa % granule:
        down = pa // granule * granule
        return _Problem(Constraint.ALIGNMENT, f"block {name} does not begin at a multiple of {format_size(granule)}",
                        [f"use {down:#x} or {down + granule:#x}"])
    if pa < end:
        return _Problem(Constraint.OVERLAP, f"block {name} overlaps the one before it, which ends at {end:#x}",
                        [f"begin at {end:#x}"])
    return None


def _wrong_inside(memory: MemoryMap, request: Named, pa: int, size: int) -> _Problem | None:
    """Why a named block is not one piece of free memory."""
    name = f"{pa:#x}:{format_size(size)}"
    block = memory.at(pa)
    elsewhere = _nearest(memory, request.granule, size)
    if block is None:
        return _Problem(Constraint.HOLE, f"block {name} begins where this server has no memory", elsewhere)
    if block.owner is None and block.end < pa + size:
        border, following = block.end, memory.at(block.end)
        if following is None:
            return _Problem(Constraint.HOLE, f"block {name} goes on where memory ends, at {border:#x}",
                            [f"ask for {format_size(border - pa)} there", *elsewhere])
        if following.owner is None:
            return _Problem(Constraint.OVERLAP, f"block {name} crosses from node {block.node} to node "
                            f"{following.node} at {border:#x}", [f"cut it in two at {border:#x}"])
        block = following
    if block.owner is not None:
        return _Problem(Constraint.TAKEN,
                        f"block {name} meets {block.pa:#x}:{format_size(block.size_bytes)} of {block.owner}", elsewhere)
    return None


def _nearest(memory: MemoryMap, granule: int, size: int) -> list[str]:
    runs = [usable(run, granule) for run in memory.free]
    fitting = [start for start, length in runs if length >= size]
    return [f"{min(fitting):#x} has room for it"] if fitting else []


# -- the layout of another server

@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of real addresses to be placed so that (ra - pa) mod page is `delta`."""

    ra: int
    size_bytes: int
    delta: int


_Run = tuple[int, int, int]  # first address, end, node


def _place_same(memory: MemoryMap, request: Same) -> Placement | Shortage:
    page = request.largest_page
    pieces = [_Piece(block.ra, block.size_bytes, (block.ra - block.pa) % page)
              for block in request.source if block.ra is not None]
    asked = sum(piece.size_bytes for piece in pieces)
    if memory.free_bytes < asked:
        return _shortage(memory, request, asked, _Problem(
            Constraint.TOTAL, f"only {format_size(memory.free_bytes)} are free",
            _free_something(memory, request.owner)))
    runs = tuple((run.pa, run.end, run.node) for run in memory.free
                 if not request.strict or run.node in request.nodes)
    rank = {node: place for place, node in enumerate(request.nodes)}
    order = sorted(pieces, key=lambda piece: -piece.size_bytes)
    found, proved = _search(order, runs, page, rank)
    if found is None and request.split:
        found = _split_greedily(order, runs, page, rank)
        if found is None:
            units = sorted((unit for piece in pieces for unit in _units(piece, page)), key=lambda u: -u.size_bytes)
            found, proved = _search(units, runs, page, rank)
    if found is None:
        return _no_layout(memory, request, order, runs, proved=proved)
    return Placement(request.owner, _joined(found, request.owner, {piece.ra for piece in pieces}))


def _candidates(piece: _Piece, runs: tuple[_Run, ...], page: int, rank: dict[int, int]) -> Iterator[tuple[int, int]]:
    """(index of a run, physical address) where a piece fits: near nodes first, then tight runs, then low addresses."""
    fits = []
    for index, (low, end, node) in enumerate(runs):
        first = low + (piece.ra - piece.delta - low) % page
        if first + piece.size_bytes <= end:
            fits.append((rank.get(node, len(rank)), end - low, index, first, end))
    for _, _, index, first, end in sorted(fits):
        for pa in range(first, end - piece.size_bytes + 1, page):
            yield index, pa


def _without(runs: tuple[_Run, ...], index: int, pa: int, end: int) -> tuple[_Run, ...]:
    low, high, node = runs[index]
    rest = tuple(run for run in ((low, pa, node), (end, high, node)) if run[0] < run[1])
    return runs[:index] + rest + runs[index + 1 :]


def _search(pieces: Sequence[_Piece], runs: tuple[_Run, ...], page: int,
            rank: dict[int, int]) -> tuple[list[Mblock] | None, bool]:
    """A place for every piece, or None and whether that is certain. The first try is best fit, largest piece first."""
    states = [runs]
    trials = [_candidates(pieces[0], runs, page, rank)]
    placed: list[Mblock] = []
    failures = 0
    while trials:
        found = next(trials[-1], None)
        if found is None:
            failures += 1
            trials.pop()
            states.pop()
            if placed:
                placed.pop()
            if failures > SEARCH_STEPS:
                return None, False
            continue
        index, pa = found
        piece = pieces[len(placed)]
        placed.append(Mblock(pa, piece.size_bytes, states[-1][index][2], None, piece.ra))
        if len(placed) == len(pieces):
            return placed, True
        states.append(_without(states[-1], index, pa, pa + piece.size_bytes))
        trials.append(_candidates(pieces[len(placed)], states[-1], page, rank))
    return None, True


def _units(piece: _Piece, page: int) -> Iterator[_Piece]:
    """A piece cut at all multiples of the largest page."""
    ra, end = piece.ra, piece.ra + piece.size_bytes
    while ra < end:
        cut = min(end, (ra // page + 1) * page)
        yield _Piece(ra, cut - ra, piece.delta)
        ra = cut


def _split_greedily(pieces: Sequence[_Piece], runs: tuple[_Run, ...], page: int,
                    rank: dict[int, int]) -> list[Mblock] | None:
    """Each piece from its beginning, as much at a time as any run takes: few cuts, but not sure to find a way."""
    placed: list[Mblock] = []
    for piece in pieces:
        rest: _Piece | None = piece
        while rest is not None:
            whole = next(_candidates(rest, runs, page, rank), None)
            if whole is not None:
                index, pa = whole
                placed.append(Mblock(pa, rest.size_bytes, runs[index][2], None, rest.ra))
                runs, rest = _without(runs, index, pa, pa + rest.size_bytes), None
            else:
                begin, rest = rest, _take_beginnings(rest, runs, page, placed)
                if rest.ra == begin.ra:
                    return None
                runs = _all_without(runs, placed)
    return placed


def _take_beginnings(piece: _Piece, runs: tuple[_Run, ...], page: int, placed: list[Mblock]) -> _Piece:
    """Place beginnings of a piece, up to a cut that is allowed, in the runs that take most; returns what is left.

    Stops when one run could take all that is left, or none takes anything.
    """
    rooms = []  # (room, first address, node), tightest first
    for low, end, node in runs:
        pa = low + (piece.ra - piece.delta - low) % page
        if pa < end:
            rooms.append((end - pa, -pa, node))
    rooms.sort()
    ra, stop = piece.ra, piece.ra + piece.size_bytes
    while rooms and stop - ra > rooms[-1][0]:
        room, minus_pa, node = rooms.pop()
        cut = (ra + room) // page * page  # the last place in this run where the piece may be cut
        if cut <= ra:
            break
        placed.append(Mblock(-minus_pa, cut - ra, node, None, ra))
        ra = cut
        if piece.ra % page:
            break  # what is left begins at another remainder
    return _Piece(ra, stop - ra, piece.delta)


def _all_without(runs: tuple[_Run, ...], placed: Iterable[Mblock]) -> tuple[_Run, ...]:
    """The runs less the blocks that lie in them."""
    spans = {block.pa: block.end for block in placed}
    left: list[_Run] = []
    firsts = sorted(spans)
    for low, end, node in runs:
        begin = low
        for pa in firsts[bisect_left(firsts, low) : bisect_left(firsts, end)]:
            if begin < pa:
                left.append((begin, pa, node))
            begin = spans[pa]
        if begin < end:
            left.append((begin, end, node))
    return tuple(left)


def _joined(placed: Iterable[Mblock], owner: str, begins: set[int]) -> tuple[Mblock, ...]:
    """The blocks ascending by real address; what was cut but lies together is one again. A source block stays one."""
    blocks: list[Mblock] = []
    for block in sorted(placed, key=lambda b: b.ra or 0):
        last = blocks[-1] if blocks else None
        if last is not None and block.ra not in begins and (last.end, last.node) == (block.pa, block.node):
            blocks[-1] = Mblock(last.pa, last.size_bytes + block.size_bytes, last.node, owner, last.ra)
        else:
            blocks.append(Mblock(block.pa, block.size_bytes, block.node, owner, block.ra))
    return tuple(blocks)


def _no_layout(memory: MemoryMap, request: Same, pieces: Sequence[_Piece], runs: tuple[_Run, ...],
               *, proved: bool) -> Shortage:
    page = request.largest_page
    asked = sum(piece.size_bytes for piece in pieces)
    remedies = [] if request.split else [
        f"let the guest's blocks be split at multiples of {format_size(page)} (a guest of Solaris 11.3 or later)"]
    if request.strict:
        remedies.append("allow other nodes")
    remedies += [*_free_something(memory, request.owner), "migrate the domain while it is bound or inactive"]
    units = [unit for piece in pieces for unit in _units(piece, page)] if request.split else pieces
    for piece in units:
        if next(_candidates(piece, runs, page, {}), None) is None:
            at = (piece.ra - piece.delta) % page
            return _shortage(memory, request, asked, _Problem(
                Constraint.CONGRUENCE,
                f"the block at real address {piece.ra:#x} needs {format_size(piece.size_bytes)} contiguous from a "
                f"physical address that is {at:#x} modulo {format_size(page)}, and no free run has that", remedies))
    return _shortage(memory, request, asked, _Problem(
        Constraint.LAYOUT, f"each of its {len(units)} blocks finds a place alone, but not all of them together",
        remedies, proved=proved))


def largest_domain(memory: MemoryMap, granule: int = GRANULE_BOUND) -> int:
    """The most memory, in bytes, that one more domain can get."""
    return sum(usable(run, granule)[1] for run in memory.free)


