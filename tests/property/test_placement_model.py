"""Placement of memory against a model that knows every granule: a bytearray of owners.

Small servers (a granule is one cell, a large page four or eight) so that brute force can say what is possible.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.mblocks import SYS, Mblock, MemoryMap
from emulator.placement import Amount, Named, Placement, Same, place
from emulator.platforms import Bank
from emulator.shortage import Constraint, Shortage

G = 4 << 20  # granule
PAGE = 4 * G
Cells = dict[int, tuple[int, str | None]]  # cell number -> node and owner


def cells_of(memory: MemoryMap) -> Cells:
    cells: Cells = {}
    for block in memory.blocks:
        assert block.pa % G == 0 and block.size_bytes % G == 0 and block.size_bytes > 0
        for cell in range(block.pa // G, block.end // G):
            assert cell not in cells, "blocks overlap"
            cells[cell] = (block.node, block.owner)
    return cells


def sound(memory: MemoryMap) -> None:
    """What holds of every map: ascending, free neighbours joined, real addresses congruent and apart."""
    cells_of(memory)
    for low, high in itertools.pairwise(memory.blocks):
        assert low.end <= high.pa
        joined = low.owner is None and high.owner is None and low.end == high.pa and low.node == high.node
        assert not joined, "free neighbours are not joined"
    for owner in memory.owners():
        spans = sorted((b.ra, b.size_bytes) for b in memory.owned(owner) if b.ra is not None)
        assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(spans))
        assert all(ra > 0 for ra, _ in spans)


@st.composite
def maps(draw: st.DrawFn) -> MemoryMap:
    """Two or three nodes with up to two banks each, some cells taken."""
    banks, cell = [], draw(st.integers(0, 5))
    for node in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 2))):
            length = draw(st.integers(2, 14))
            banks.append(Bank(cell * G, length * G, node))
            cell += length + draw(st.integers(0, 3))
    memory = MemoryMap.of_banks(banks, [G] if draw(st.booleans()) else [])
    free = sorted(c for c, (_, owner) in cells_of(memory).items() if owner is None)
    taken = draw(st.lists(st.sampled_from(free), unique=True, max_size=len(free))) if free else []
    nodes = {c: node for c, (node, _) in cells_of(memory).items()}
    return memory.assign(Mblock(c * G, G, nodes[c], "old", PAGE * (c + 1)) for c in sorted(taken))


def free_cells(memory: MemoryMap, nodes: tuple[int, ...] | None = None) -> list[int]:
    return [c for c, (node, owner) in sorted(cells_of(memory).items())
            if owner is None and (nodes is None or node in nodes)]


def fewest_blocks(memory: MemoryMap, wanted: int) -> int:
    """How many runs are needed for so many cells, by trying."""
    lengths = [run.size_bytes // G for run in memory.free]
    return next(n for n in range(len(lengths) + 1)
                if any(sum(some) >= wanted for some in itertools.combinations(lengths, n)))


def applied(memory: MemoryMap, placement: Placement) -> MemoryMap:
    """The map with a placement, checked against the cells."""
    before = cells_of(memory)
    after_map = memory.assign(placement.blocks)
    sound(after_map)
    mine = {c for b in placement.blocks for c in range(b.pa // G, b.end // G)}
    assert all(before[c] == (b.node, None) for b in placement.blocks for c in range(b.pa // G, b.end // G))
    assert cells_of(after_map) == {c: (n, placement.owner if c in mine else o) for c, (n, o) in before.items()}
    assert sum(b.size_bytes for b in placement.blocks) == len(mine) * G == placement.size_bytes
    assert after_map.free_bytes == memory.free_bytes - placement.size_bytes
    assert after_map.total_bytes == memory.total_bytes
    return after_map


nodes_wanted = st.lists(st.integers(0, 2), unique=True, max_size=2).map(tuple)


@settings(max_examples=300, deadline=None)
@given(maps(), st.integers(1, 30), nodes_wanted, st.booleans(), st.none() | st.integers(1, 4))
def test_an_amount(memory: MemoryMap, wanted: int, nodes: tuple[int, ...], strict: bool, most: int | None) -> None:
    sound(memory)
    strict = strict and bool(nodes)
    request = Amount(owner="new", largest_page=PAGE, granule=G, size_bytes=wanted * G, nodes=nodes, strict=strict,
                     max_blocks=most)
    room = len(free_cells(memory, nodes if strict else None))
    answer = place(memory, request)
    if isinstance(answer, Shortage):
        assert answer.text().startswith("No room for ") and answer.free_bytes == memory.free_bytes
        if answer.constraint is Constraint.BLOCKS:
            assert most is not None and room >= wanted and (strict or fewest_blocks(memory, wanted) > most)
        else:
            assert room < wanted
            assert (answer.constraint is Constraint.NODES) == (len(free_cells(memory)) >= wanted)
        return
    assert room >= wanted and answer.size_bytes == wanted * G
    assert most is None or len(answer.blocks) <= most
    used = {block.node for block in answer.blocks}
    near = free_cells(memory, nodes)
    if nodes and most is None:  # affinity
        on_near = sum(b.size_bytes for b in answer.blocks if b.node in nodes) // G
        assert on_near == min(wanted, len(near))
    if strict:
        assert used <= set(nodes)
    for block in answer.blocks:
        assert block.ra is not None and (block.ra - block.pa) % PAGE == 0
    after = applied(memory, answer)
    assert after.release("new") == memory


@settings(max_examples=200, deadline=None)
@given(maps(), st.integers(1, 12))
def test_without_affinity_one_run_or_one_node_is_enough_where_it_can_be(memory: MemoryMap, wanted: int) -> None:
    answer = place(memory, Amount(owner="new", largest_page=PAGE, granule=G, size_bytes=wanted * G))
    if isinstance(answer, Placement):
        if any(run.size_bytes >= wanted * G for run in memory.free):
            assert len(answer.blocks) == 1
        if any(len(free_cells(memory, (node,))) >= wanted for node in memory.nodes):
            assert len({block.node for block in answer.blocks}) == 1


@settings(max_examples=300, deadline=None)
@given(maps(), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=3))
def test_named_blocks(memory: MemoryMap, wanted: list[tuple[int, int]]) -> None:
    cells = cells_of(memory)
    named = tuple((first * G, length * G) for first, length in wanted)
    asked = [c for first, length in wanted for c in range(first, first + length)]
    possible = len(asked) == len(set(asked)) and all(cells.get(c, (0, SYS))[1] is None for c in asked)
    possible = possible and all(len({cells[c][0] for c in range(first, first + length)}) == 1
                                for first, length in wanted)
    answer = place(memory, Named(owner="new", largest_page=PAGE, granule=G, parts=named))
    assert isinstance(answer, Placement) == possible
    if isinstance(answer, Placement):
        assert sorted((b.pa, b.size_bytes) for b in answer.blocks) == sorted(named)
        applied(memory, answer)
    elif answer.constraint is Constraint.TAKEN:
        assert any(cells.get(c, (0, None))[1] is not None for c in asked)
    elif answer.constraint is Constraint.HOLE:
        assert any(c not in cells for c in asked)


def possible_layouts(memory: MemoryMap, pieces: list[tuple[int, int]], page: int) -> bool:
    """By trying every place: can the pieces (residue of the first cell, cells) all be placed?"""
    nodes = {c: node for c, (node, owner) in cells_of(memory).items() if owner is None}

    def fits(left: list[tuple[int, int]], free: frozenset[int]) -> bool:
        if not left:
            return True
        residue, length = left[0]
        for first in free:
            span = range(first, first + length)
            if first % page == residue and all(c in free and nodes[c] == nodes[first] for c in span) \
                    and fits(left[1:], free - set(span)):
                return True
        return False

    return fits(pieces, frozenset(nodes))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Mblock, ...]:
    """The blocks of a domain elsewhere: real addresses ascending, each with a congruence of its own or none."""
    blocks, ra = [], draw(st.integers(1, 5))
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 9))
        pa = ra + draw(st.sampled_from([0, 0, 4, 8, 1]))
        blocks.append(Mblock(pa * G, length * G, 0, "d", ra * G))
        ra += length + draw(st.integers(0, 4))
    return tuple(blocks)


def units(block: Mblock) -> list[tuple[int, int]]:
    """A block cut at all multiples of the largest page: residue of the physical address and cells of each."""
    assert block.ra is not None
    ra, end, shift = block.ra // G, (block.ra + block.size_bytes) // G, (block.pa - block.ra) // G
    cuts = [ra, *range((ra // 4 + 1) * 4, end, 4), end]
    return [((low + shift) % 4, high - low) for low, high in itertools.pairwise(cuts)]


@settings(max_examples=400, deadline=None)
@given(maps(), layouts(), st.booleans())
def test_the_layout_of_another_server(memory: MemoryMap, source: tuple[Mblock, ...], split: bool) -> None:
    answer = place(memory, Same(owner="d", largest_page=PAGE, granule=G, source=source, split=split))
    whole = [(block.pa // G % 4, block.size_bytes // G) for block in source]
    pieces = [unit for block in source for unit in units(block)] if split else whole
    possible = sum(n for _, n in whole) <= len(free_cells(memory)) and possible_layouts(memory, pieces, 4)
    if isinstance(answer, Shortage):
        assert answer.constraint in (Constraint.TOTAL, Constraint.CONGRUENCE, Constraint.LAYOUT)
        assert not answer.proved or not possible
        return
    assert possible
    applied(memory, answer)
    # Every real address is there once, and lies as on the source modulo the largest page.
    lies = {ra: b.pa + ra - (b.ra or 0) for b in answer.blocks
            for ra in range(b.ra or 0, (b.ra or 0) + b.size_bytes, G)}
    was = {ra: b.pa + ra - (b.ra or 0) for b in source for ra in range(b.ra or 0, (b.ra or 0) + b.size_bytes, G)}
    assert lies.keys() == was.keys()
    assert all((lies[ra] - was[ra]) % PAGE == 0 for ra in lies)
    starts = {block.ra for block in source}
    assert starts <= {block.ra for block in answer.blocks}
    for low, high in itertools.pairwise(answer.blocks):
        if high.ra not in starts:  # a cut, only where allowed and needed
            assert split and (high.ra or 0) % PAGE == 0 and (low.end, low.node) != (high.pa, high.node)


@settings(max_examples=150, deadline=None)
@given(maps(), st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "release", "less"]),
                                  st.integers(1, 9), st.integers(0, 2)), max_size=12))
def test_a_life_of_adding_and_releasing(memory: MemoryMap, steps: list[tuple[str, str, int, int]]) -> None:
    begin = memory
    for owner, what, cells, node in steps:
        has = memory.owners().get(owner, 0)
        if what == "add":
            request = Amount(owner=owner, largest_page=PAGE, granule=G, size_bytes=cells * G, nodes=(node,))
            answer = place(memory, request)
            if isinstance(answer, Placement):
                memory = applied(memory, answer)
        elif what == "release":
            memory = memory.release(owner)
            assert memory.owned(owner) == ()
        elif has >= cells * G:
            highest = max((b.ra or 0) + b.size_bytes for b in memory.owned(owner))
            parts = memory.last_parts(owner, cells * G)
            memory = memory.release_parts(owner, parts)
            assert memory.owners().get(owner, 0) == has - cells * G
            assert all((b.ra or 0) + b.size_bytes < highest for b in memory.owned(owner))
        sound(memory)
        assert all((b.ra or 0) % PAGE == b.pa % PAGE for o in "abc" for b in memory.owned(o))
    for owner in "abc":
        memory = memory.release(owner)
    assert memory == begin


@given(maps())
def test_the_report_counts_cells(memory: MemoryMap) -> None:
    for row in memory.report(G, PAGE):
        cells = [c for c, (node, _) in cells_of(memory).items() if node == row.node]
        free = set(free_cells(memory, (row.node,)))
        assert (row.total_bytes, row.free_bytes, row.usable_bytes) == (len(cells) * G, len(free) * G, len(free) * G)
        assert row.large_pages == sum({c, c + 1, c + 2, c + 3} <= free for c in free if c % 4 == 0)
        starts = [c for c in free if c - 1 not in free]
        runs = [next(n for n in itertools.count() if c + n not in free) for c in starts]
        assert (row.runs, row.largest_run_bytes) == (len(runs), max(runs, default=0) * G)
    assert memory == replace(memory)
