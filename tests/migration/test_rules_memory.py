"""Memory rules: amount, layout, splitting."""

from __future__ import annotations

import pytest
from rules_support import GIB, Move, refused

from emulator.placement import Placement
from ldmd.migration.checks.memory import layout

GUIDE = ((0x8000_0000, 0x4_0000_0000, 2048), (0x4_0000_0000, 0x8_8000_0000, 6144))
GUIDE_FREE = ((0x1808_8000_0000, 5632), (0x301F_7000_0000, 2048), (0x381B_2000_0000, 512))
SIX = ("Free memory layout and congruency requirements prevent binding the\n"
       "memory block with PA 0x880000000, RA 0x400000000, and size 6G")


def test_g20_enough_memory() -> None:
    move = Move(size="2G").with_free((0x8000_0000, 1024), (0x40_0000_0000, 512))
    refused(move, "G20", "Insufficient resources on the target: 2G of memory needed, 1536M available")


def test_g20_of_a_bound_domain_counts_whole_steps() -> None:
    """Of a run that begins and ends between two steps of 4 MB only the whole ones count."""
    move = Move(size="2G", upto="bound").with_free((0x8000_0000 + (1 << 20), 2048))
    refused(move, "G20", "Insufficient resources on the target: 2G of memory needed, 2044M available")
    assert Move(size="2G", upto="bound").with_free((0x8000_0000, 2048)).report().ok


def test_g20_is_not_asked_of_an_inactive_domain() -> None:
    move = Move("t5-2", "t3-1", upto="inactive", size="60G", memory="64G").with_free((0x8000_0000, 4))
    assert move.report().findings == ()


def test_g21_the_guides_example() -> None:
    """The sample of the Administration Guide: 8G are free, the block of 6G has no place, the other one has."""
    refused(Move().with_memory(*GUIDE).with_free(*GUIDE_FREE), "G21", SIX)


def test_g21_all_blocks_without_a_place_are_named() -> None:
    move = Move().with_memory(*GUIDE).with_free(*((each << 31 | 0x400_0000, 1024) for each in range(8)))
    report = move.report()
    assert [each.rule for each in report.findings] == ["G21", "G21"]
    assert report.findings[0].text == SIX
    assert "RA 0x80000000, and size 2G" in report.findings[1].text


@pytest.mark.parametrize(("here", "there", "arch", "page"), [
    ("t3-1", "t3-1", "native", 256 << 20), ("t5-2", "t5-2", "native", 2 * GIB), ("m7-8", "m7-8", "native", 16 * GIB),
    ("t3-1", "t5-2", "generic", 2 * GIB), ("m7-8", "t5-2", "migration-class1", 2 * GIB),
])  # fmt: skip
def test_g21_real_and_physical_addresses_agree(here: str, there: str, arch: str, page: int) -> None:
    """A run that begins a little beside a congruent address has no place; one at the address has."""
    ra = 0x2000_0000
    move = Move(here, there, arch=arch).with_memory((ra, ra, 1024))
    move.with_free((4 * page + ra + (4 << 20), 1024), (64 * page, ra - 4 >> 20))
    refused(move, "G21", "Free memory layout and congruency requirements prevent binding the\n"
            "memory block with PA 0x20000000, RA 0x20000000, and size 1G")
    assert move.with_free((4 * page + ra, 1024)).report().findings == ()
    placed = layout(move.guest(), move.facts())
    assert isinstance(placed, Placement)
    assert [(block.ra, block.pa) for block in placed.blocks] == [(ra, 4 * page + ra)]


def test_g21_is_not_asked_of_a_bound_domain() -> None:
    move = Move(upto="bound").with_memory((0x2000_0000, 0x2000_0000, 1024)).with_free((0x8000_0000 + (4 << 20), 1024))
    assert move.report().findings == ()


def solaris(version: str) -> Move:
    move = Move().with_memory(*GUIDE)
    move.os = {"name": "Solaris", "version": version}
    return move


def test_g24_a_block_that_cannot_be_cut_where_it_must() -> None:
    """Cuts lie at multiples of 2G: pieces of 2G need runs of 2G, of which there are too few though 8G are free."""
    runs = tuple((each << 32, 1024) for each in range(1, 9))
    refused(solaris("11.3").with_free(*runs), "G24",
            SIX, "Free memory layout and congruency requirements prevent binding the\n"
            "memory block with PA 0x400000000, RA 0x80000000, and size 2G")
    refused(solaris("11.3").with_free(*GUIDE_FREE), "G24", SIX)
    assert solaris("11.3").with_free(*((each << 32, 2048) for each in range(1, 5))).report().findings == ()


def test_m25_real_addresses_exist_on_the_other_chip() -> None:
    """An M7 has 49 bits of real addresses, a T5 47."""
    high = 1 << 47
    move = Move("m7-8", "t5-2", arch="migration-class1").with_memory((high, high, 1024))
    refused(move, "M25", "The memory of LDom ldg1 ends at real address 0x800040000000, beyond what SPARC T5 has")
    same = Move("m7-8", "m7-8").with_memory((high, high, 1024)).with_free((1 << 40, 1024))
    assert same.report().findings == ()
