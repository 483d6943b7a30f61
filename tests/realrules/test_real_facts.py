"""What only the managers, a large machine or the domain's own system know: M01, M25, M29, M30; real servers."""

from __future__ import annotations

import pytest
from hall import Hall, said

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
A, B = "t5a", "t5b"
NO_MATES = "Logical Domains Managers of versions {} and {} do not migrate to each other"


@pytest.mark.parametrize("older", [A, B])
def test_m01_managers_one_release_apart(hall: Hall, older: str) -> None:
    """Either of them may be of the release before, neither of the one before that."""
    hall.up(A, B)
    with hall.changed(A, "add-domain mates", back=("remove-domain mates",)):
        with hall.settings(older, release='"3.1"'):
            hall.refused("mates", A, B, NO_MATES.format(*(("3.1", "3.3") if older == A else ("3.3", "3.1"))))
        with hall.settings(older, release='"3.2"'):
            hall.allowed("mates", A, B)


def test_m25_real_addresses_beyond_the_other_chip(hall: Hall) -> None:
    """600G of a T4-4 end above 2^39, where the real addresses of a T2 Plus end; 256M do not."""
    hall.kinds |= {"t4big": "t4-4", "t2a": "t5240"}
    hall.up("t4big", "t2a")
    text = "The memory of LDom vast ends at real address 0x96a0000000, beyond what UltraSPARC T2 Plus has"
    hall.add("t4big", "vast", vcpus=1, size="600G", arch="generic", upto="active")
    hall.volume("t2a", "vast")
    dry, real = (hall.migrate("vast", "t4big", "t2a", options) for options in ("-n", ""))
    assert text in said(dry.err) and text in said(real.err)
    assert "  real addresses there end at 0x8000000000" in dry.err.splitlines()
    hall.ok("t4big", "stop-domain -f vast", "unbind-domain vast", "set-memory 256M vast", "bind-domain vast",
            "start-domain vast")
    assert "ends at real address" not in hall.migrate("vast", "t4big", "t2a").err
    hall.drop("t4big", "vast")


def test_m29_memory_version_tags(hall: Hall) -> None:
    """An M7's, as its system says; a T5 has none, so the same system uses none there."""
    hall.kinds["m7b"] = "t7-1"
    hall.up("m7a", "m7b", A, B)
    hall.add("m7a", "tagged", vcpus=1, words="tags")
    hall.volume("m7b", "tagged")
    hall.refused("tagged", "m7a", "m7b", "LDom tagged uses memory version tags, which are not moved")
    hall.drop("m7a", "tagged")
    hall.add(A, "untagged", vcpus=1, words="tags")
    hall.volume(B, "untagged")
    hall.allowed("untagged", A, B)
    hall.drop(A, "untagged")


def test_m30_kernel_zones(hall: Hall) -> None:
    hall.up(A, B)
    hall.add(A, "zoned", vcpus=1, words="zones=2")
    hall.volume(B, "zoned")
    hall.refused("zoned", A, B, "Kernel zones run in LDom zoned")
    hall.ok(A, "set-variable boot-file=zones=0 zoned", "stop-domain -f zoned", "start-domain zoned")
    hall.booted(A, "zoned")
    hall.allowed("zoned", A, B)
    hall.drop(A, "zoned")
