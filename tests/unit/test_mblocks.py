"""Physical memory of real servers: addresses of listings, explanations, and how much work placing is."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from emulator.errors import ConfigError
from emulator.mblocks import SYS, Mblock, MemoryMap
from emulator.placement import (
    GRANULE_DYNAMIC,
    RA_LIMIT,
    Amount,
    Named,
    Placement,
    Same,
    largest_domain,
    place,
    real_addresses,
)
from emulator.platforms import PLATFORMS, Bank
from emulator.shortage import Constraint, Shortage
from emulator.units import GIB, KIB, MIB, TIB

PAGE = 2 * GIB


def server(name: str, memory: int | None = None) -> MemoryMap:
    row = PLATFORMS[name]
    return MemoryMap.of_banks(row.banks if memory is None else row.fill(memory), row.reserved)


def amount(memory: MemoryMap, owner: str, size: int, **more: Any) -> Placement | Shortage:
    return place(memory, Amount(**{"owner": owner, "size_bytes": size, "largest_page": PAGE, **more}))


def placed(answer: Placement | Shortage) -> Placement:
    assert isinstance(answer, Placement), answer.text()
    return answer


def refused(answer: Placement | Shortage) -> Shortage:
    assert isinstance(answer, Shortage)
    return answer


# -- maps

def test_firmware_lies_at_the_bottom_of_each_node() -> None:
    t2 = server("t5120", 32 * GIB)
    assert [(b.pa, b.size_bytes, b.owner) for b in t2.blocks] == [
        (0, 512 * KIB, SYS), (0x80000, 1536 * KIB, SYS), (0x200000, 94 * MIB, SYS), (0x6000000, 32 * MIB, SYS),
        (0x8000000, 96 * MIB, SYS), (0xE000000, 32 * GIB - 224 * MIB, None)]
    t5 = server("t5-2")
    assert [(b.pa, b.node) for b in t5.free] == [(0x20000000, 0), (8 * TIB + 0x20000000, 1)]
    assert t5.at(0xA00000) == Mblock(0xA00000, 32 * MIB, 0, SYS)
    assert t5.at(TIB) is None and t5.at(0x20000000) == t5.free[0]
    assert t5.owners() == {SYS: GIB} and t5.total_bytes == TIB


def test_neighbouring_nodes_stay_apart_and_banks_of_one_node_join() -> None:
    banks = [Bank(0, GIB, 0), Bank(GIB, GIB, 0), Bank(2 * GIB, GIB, 1)]
    assert MemoryMap.of_banks(banks).blocks == (Mblock(0, 2 * GIB, 0), Mblock(2 * GIB, GIB, 1))
    with pytest.raises(ConfigError, match="banks at 0x0 and 0x20000000 overlap"):
        MemoryMap.of_banks([Bank(0, GIB, 0), Bank(512 * MIB, GIB, 1)])
    with pytest.raises(ConfigError, match="what firmware keeps does not fit the bank at 0x0"):
        MemoryMap.of_banks([Bank(0, GIB, 0)], [2 * GIB])


@pytest.mark.parametrize("block", [
    Mblock(0, GIB, 0, "a"), Mblock(0x20000000, TIB, 0, "a"), Mblock(0x20000000, GIB, 1, "a"), Mblock(TIB, GIB, 0, "a"),
    Mblock(0x20000000, GIB, 0), Mblock(0x20000000, 0, 0, "a"),
])
def test_only_free_memory_is_assigned(block: Mblock) -> None:
    with pytest.raises(ConfigError):
        server("t5-2").assign([block])


def test_pieces_come_back_from_the_highest_real_address() -> None:
    memory = server("t5-2")
    memory = memory.assign(placed(amount(memory, "a", 4 * GIB)).blocks)
    assert memory.last_parts("a", GIB) == ((0x20000000 + 3 * GIB, GIB),)
    less = memory.release_parts("a", [(0x20000000 + GIB, GIB)])
    assert [(b.pa, b.ra, b.size_bytes) for b in less.owned("a")] == [
        (0x20000000, 0x20000000, GIB), (0x20000000 + 2 * GIB, 0x20000000 + 2 * GIB, 2 * GIB)]
    assert less.free_bytes == memory.free_bytes + GIB
    for parts in ([(0, GIB)], [(0x20000000 + 3 * GIB, 2 * GIB)], [(TIB, GIB)], [(0x20000000, 0)]):
        with pytest.raises(ConfigError, match="is not inside one block of a"):
            memory.release_parts("a", parts)
    with pytest.raises(ConfigError, match="a cannot give back 5368709120 bytes: it has 4294967296"):
        memory.last_parts("a", 5 * GIB)


# -- real addresses

@pytest.mark.parametrize(("platform", "ra"), [("t5120", 0xE000000), ("t5-2", 0x20000000), ("m7-8", 0x20000000)])
def test_the_first_domain_sees_its_memory_where_listings_show_it(platform: str, ra: int) -> None:
    answer = placed(amount(server(platform), "primary", 4 * GIB, largest_page=PLATFORMS[platform].largest_page_bytes))
    assert [(block.ra, block.pa, block.node) for block in answer.blocks] == [(ra, ra, 0)]


@pytest.mark.parametrize(("page", "ra"), [(2 * GIB, 0x80000000), (16 * GIB, 0x400000000)])
def test_memory_on_a_page_border_begins_one_page_up(page: int, ra: int) -> None:
    """Real address 0 would look like no fault area; 0x80000000 and 0x400000000 are those of published listings."""
    found = real_addresses([], [Mblock(64 * GIB, GIB, 0, "a")], largest_page=page)
    assert found is not None and found[0].ra == ra


def test_real_addresses_fill_gaps() -> None:
    owned = [Mblock(0, GIB, 0, "a", PAGE), Mblock(8 * GIB, GIB, 0, "a", 3 * PAGE)]
    found = real_addresses(owned, [Mblock(20 * GIB, 2 * GIB, 0, "a"), Mblock(33 * GIB, GIB, 0, "a")], largest_page=PAGE)
    assert found is not None
    assert [block.ra for block in found] == [2 * PAGE, GIB]
    assert real_addresses(owned, [Mblock(20 * GIB, 2 * GIB, 0, "a")], largest_page=PAGE, ra_limit=3 * PAGE - 1) is None


# -- explanations

def test_too_little() -> None:
    memory = server("t5-2", 16 * GIB)
    memory = memory.assign(placed(amount(memory, "primary", 12 * GIB)).blocks)
    answer = refused(amount(memory, "ldg1", 8 * GIB))
    assert answer.constraint is Constraint.TOTAL and answer.holders == (("primary", 12 * GIB),)
    assert answer.text().splitlines() == [
        "No room for 8G of ldg1: only 3G are free.",
        "Free: 3G, of which 3G in aligned steps of 4M; largest run 3G.",
        "  node 0: 0 of 8G free in 0 runs, largest 0",
        "  node 1: 3G of 8G free in 1 run, largest 3G",
        "Try: ask for at most 3G.",
        "Try: unbind a domain or take memory from one (primary has 12G).",
    ]


def test_wrong_nodes_and_wrong_steps() -> None:
    memory = server("t5-2", 16 * GIB)
    answer = refused(amount(memory, "a", 10 * GIB, nodes=(1,), strict=True))
    assert (answer.constraint, answer.remedies[:2]) == (
        Constraint.NODES, ("allow other nodes, where 7680M are free", "ask for at most 7680M"))
    memory = memory.assign(Mblock(run.pa + 4 * MIB, 4 * MIB, run.node, "b") for run in memory.free)
    almost = memory.free_bytes // GRANULE_DYNAMIC * GRANULE_DYNAMIC
    answer = refused(amount(memory, "a", almost, granule=GRANULE_DYNAMIC))
    assert answer.constraint is Constraint.ALIGNMENT
    assert answer.remedies[0] == "give memory out in steps of 4M"
    assert placed(amount(memory, "a", memory.free_bytes)).size_bytes == memory.free_bytes


def test_too_many_pieces() -> None:
    memory = MemoryMap.of_banks([Bank(0, 8 * GIB, 0)])
    memory = memory.assign(Mblock(gib * GIB, GIB, 0, "b") for gib in (1, 3, 5))
    answer = refused(amount(memory, "a", 4 * GIB, max_blocks=2))
    assert answer.constraint is Constraint.BLOCKS
    assert answer.detail == "it would take 3 blocks and at most 2 are allowed"
    assert answer.remedies[:2] == ("ask for at most 3G", "allow 3 blocks")
    assert len(placed(amount(memory, "a", 3 * GIB, max_blocks=2)).blocks) == 2


def test_real_address_space_is_full() -> None:
    answer = refused(amount(server("t5-2"), "a", 8 * GIB, ra_limit=4 * GIB))
    assert answer.constraint is Constraint.REAL_ADDRESS and "0x100000000" in answer.detail
    assert RA_LIMIT > 32 * TIB


@pytest.mark.parametrize(("parts", "constraint", "detail", "remedy"), [
    (((0x20001000, 4 * MIB),), Constraint.ALIGNMENT, "block 0x20001000:4M does not begin at a multiple of 4M",
     "use 0x20000000 or 0x20400000"),
    (((0, GIB),), Constraint.TAKEN, "block 0x0:1G meets 0x0:10M of _sys_", "0x20000000 has room for it"),
    (((0x20000000, TIB),), Constraint.HOLE, "block 0x20000000:1T goes on where memory ends, at 0x8000000000",
     "ask for 523776M there"),
    (((TIB, GIB),), Constraint.HOLE, "block 0x10000000000:1G begins where this server has no memory",
     "0x20000000 has room for it"),
    (((0x20000000, GIB), (0x40000000, GIB)), Constraint.OVERLAP,
     "block 0x40000000:1G overlaps the one before it, which ends at 0x60000000", "begin at 0x60000000"),
])
def test_named_blocks_that_cannot_be(
    parts: tuple[tuple[int, int], ...], constraint: Constraint, detail: str, remedy: str
) -> None:
    answer = refused(place(server("t5-2"), Named(owner="a", largest_page=PAGE, parts=parts)))
    assert (answer.constraint, answer.detail, answer.remedies[0]) == (constraint, detail, remedy)


def test_a_named_block_may_not_cross_nodes() -> None:
    memory = server("t5440")
    answer = refused(place(memory, Named(owner="a", largest_page=PAGE, parts=((127 * GIB, 2 * GIB),))))
    assert (answer.constraint, answer.detail) == (
        Constraint.TAKEN, "block 0x1fc0000000:2G meets 0x2000000000:512K of _sys_")
    plain = MemoryMap.of_banks([Bank(0, GIB, 0), Bank(GIB, GIB, 1)])
    answer = refused(place(plain, Named(owner="a", largest_page=PAGE, parts=((512 * MIB, GIB),))))
    assert (answer.constraint, answer.remedies) == (Constraint.OVERLAP, ("cut it in two at 0x40000000",))


def test_a_layout_that_needs_splitting() -> None:
    """A block of 8 GiB and a target with two free pieces of 6 GiB on page borders."""
    source = (Mblock(0x20000000, 8 * GIB, 0, "a", 0x20000000),)
    target = MemoryMap.of_banks([Bank(16 * GIB, 6 * GIB, 0), Bank(64 * GIB, 6 * GIB, 1)])
    answer = refused(place(target, Same(owner="a", largest_page=PAGE, source=source)))
    assert answer.constraint is Constraint.CONGRUENCE
    assert answer.detail == ("the block at real address 0x20000000 needs 8G contiguous from a physical address that is "
                             "0x20000000 modulo 2G, and no free run has that")
    assert "split at multiples of 2G" in answer.remedies[0]
    found = placed(place(target, Same(owner="a", largest_page=PAGE, source=source, split=True)))
    assert [(block.ra, block.size_bytes, (block.pa - (block.ra or 0)) % PAGE) for block in found.blocks] == [
        (0x20000000, 6 * GIB - 0x20000000, 0), (6 * GIB, 2 * GIB + 0x20000000, 0)]


def test_many_cuts_all_keep_the_congruence() -> None:
    """A block that does not begin on a page border, and a target of single pages: a piece for each page it touches."""
    source = (Mblock(0x20000000, 9 * GIB, 0, "a", 0x20000000), Mblock(0x400000000, 3 * GIB, 0, "a", 0x400000000))
    target = MemoryMap.of_banks([Bank(n * 3 * GIB, 2 * GIB if n % 2 else 3 * GIB, n % 4) for n in range(40)])
    found = placed(place(target, Same(owner="a", largest_page=PAGE, source=source, split=True)))
    assert [block.ra for block in found.blocks] == [
        0x20000000, *range(PAGE, 9 * GIB + 0x20000000, PAGE), 0x400000000]
    assert all((block.pa - (block.ra or 0)) % PAGE == 0 for block in found.blocks)
    target.assign(found.blocks)  # they do not overlap


def test_the_search_tries_every_place_of_a_run() -> None:
    """The larger block first and at the lowest place leaves no room for the other one."""
    source = (Mblock(4 * GIB, 5 * GIB, 0, "a", 4 * GIB), Mblock(12 * GIB, 4 * GIB, 0, "a", 12 * GIB))
    target = MemoryMap.of_banks([Bank(0, 9 * GIB, 0)])
    found = placed(place(target, Same(owner="a", largest_page=4 * GIB, source=source)))
    assert [(block.ra, block.pa) for block in found.blocks] == [(4 * GIB, 4 * GIB), (12 * GIB, 0)]


def test_a_search_that_is_given_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    source = tuple(Mblock(4 * n * GIB, 3 * GIB, 0, "a", 4 * n * GIB) for n in range(1, 6))
    target = MemoryMap.of_banks([Bank(5 * n * GIB, 5 * GIB, n) for n in range(20)])
    monkeypatch.setattr("emulator.placement.SEARCH_STEPS", 0)
    few = MemoryMap.of_banks([Bank(n * 8 * GIB, (4 if n else 5) * GIB, n) for n in range(4)])
    answer = refused(place(few, Same(owner="a", largest_page=4 * GIB, source=source)))
    assert (answer.constraint, answer.proved) == (Constraint.LAYOUT, False)
    assert "The search was cut short: another placement may exist." in answer.text()
    assert isinstance(place(target, Same(owner="a", largest_page=4 * GIB, source=source)), Placement)


def test_blocks_that_fit_alone_but_not_together() -> None:
    source = (Mblock(PAGE, 2 * GIB, 0, "a", PAGE), Mblock(2 * PAGE, 2 * GIB, 0, "a", 3 * PAGE))
    target = MemoryMap.of_banks([Bank(0, 2 * GIB, 0), Bank(5 * GIB, GIB, 0), Bank(7 * GIB, 512 * MIB, 0),
                                 Bank(9 * GIB, GIB, 0)])
    answer = refused(place(target, Same(owner="a", largest_page=PAGE, source=source)))
    assert (answer.constraint, answer.proved) == (Constraint.LAYOUT, True)
    assert answer.detail == "each of its 2 blocks finds a place alone, but not all of them together"


@pytest.mark.parametrize("request_", [
    Amount(owner="a", largest_page=PAGE, size_bytes=0), Amount(owner="a", largest_page=PAGE, size_bytes=MIB),
    Amount(owner="a", largest_page=3, size_bytes=GIB), Named(owner="a", largest_page=PAGE, parts=()),
    Amount(owner="a", largest_page=PAGE, size_bytes=GIB, granule=3 * MIB),
    Named(owner="a", largest_page=PAGE, parts=((0, -GIB),)),
    Same(owner="a", largest_page=PAGE, source=(Mblock(0, GIB, 0),)),
])
def test_requests_without_sense(request_: Amount | Named | Same) -> None:
    with pytest.raises(ConfigError):
        place(server("t5-2"), request_)


# -- size

def test_32_tib_and_128_domains_take_little_work() -> None:
    """Counted in calls of Python functions, so that no clock is needed: about 0.1 ms for each domain."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    memory = server("m6-32")
    assert memory.total_bytes == 32 * TIB
    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        for number in range(128):
            answer = amount(memory, f"ldg{number}", 250 * GIB, nodes=(number % 32,))
            assert isinstance(answer, Placement)
            memory = memory.assign(answer.blocks)
    finally:
        sys.setprofile(previous)
    assert calls < 128 * 600
    assert largest_domain(memory) == memory.free_bytes == 32 * TIB - 128 * 250 * GIB - 32 * 512 * MIB
    for number in range(128):
        blocks = memory.owned(f"ldg{number}")
        assert [block.node for block in blocks] == [number % 32]
