"""Memory on real servers: G20 to G24. What is free on the target is what a filler with named blocks leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hall import Hall

from emulator.units import parse_size

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
A, B = "t5a", "t5b"
GIB = 1 << 30
PAGE = 2 * GIB
"""The largest page of a T5."""
LAYOUT = "Free memory layout and congruency requirements prevent binding the"
TOLD = "Domain {} is not running an operating system that is compatible with the latest migration functionality."


def free_runs(hall: Hall, machine: str) -> list[tuple[int, int]]:
    """(physical address, bytes) of what nobody has."""
    rows = [line for line in hall.ok(machine, "list-devices -p memory").splitlines() if line.startswith("|pa=")]
    fields = [dict(each.split("=") for each in row.strip("|").split("|")) for row in rows]
    return [(int(each["pa"], 16), int(each["size"])) for each in fields]


@contextmanager
def free(hall: Hall, *windows: tuple[int, int]) -> Iterator[None]:
    """Nothing else is free on t5b than (physical address, GiB) of the windows."""
    blocks = []
    for pa, size in free_runs(hall, B):
        at, end = pa, pa + size
        for start, count in sorted(windows):
            if at <= start < end:
                blocks += [(at, start - at)] if start > at else []
                at = start + count * GIB
        blocks += [(at, end - at)] if end > at else []
    named = ",".join(f"{pa:#x}:{size}" for pa, size in blocks)
    with hall.changed(B, "add-domain filler", "set-vcpu 1 filler", f"set-memory mblock={named} filler",
                      "bind-domain filler", back=("unbind-domain filler", "remove-domain filler")):
        assert sorted((pa, size // GIB) for pa, size in free_runs(hall, B)) == sorted(windows)
        yield


def block(hall: Hall, machine: str, name: str) -> tuple[str, str, str]:
    """Real address, physical address, size of the domain's only block, as they are printed."""
    ra, pa, size = hall.ok(machine, f"list -o memory {name}").splitlines()[5].split()
    return ra, pa, size


@pytest.fixture(scope="module")
def wide(hall: Hall) -> Iterator[Hall]:
    """Domains of 4G on t5a: `new` runs 11.3, `old` 10 9/10 with a whole core."""
    hall.up(A, B)
    hall.add(A, "new", size="4G")
    hall.add(A, "old4", "set-core 1 old4", size="4G", vcpus=8, words="release=old")
    for name in ("new", "old4"):
        hall.volume(B, name)
    yield hall
    hall.drop(A, "old4")


def test_g20_enough_memory(wide: Hall) -> None:
    with free(wide, (4 * GIB, 3)):
        wide.refused("new", A, B, "Insufficient resources on the target: 4G of memory needed, 3G available")
    wide.allowed("new", A, B)


def test_g20_of_a_bound_domain(hall: Hall) -> None:
    hall.up(A, B)
    with hall.changed(A, "add-domain cold4", "set-vcpu 1 cold4", "set-memory 4G cold4", "bind-domain cold4",
                      back=("unbind-domain cold4", "remove-domain cold4")), free(hall, (4 * GIB, 3)):
        hall.refused("cold4", A, B, "Insufficient resources on the target: 4G of memory needed, 3G available")


def test_g21_an_old_guest_keeps_its_blocks_whole(wide: Hall) -> None:
    ra, pa, size = block(wide, A, "old4")
    told, place = TOLD.format("old4"), int(ra, 16) % PAGE
    with free(wide, (4 * GIB + place, 2), (8 * GIB + place, 2)):
        wide.refused("old4", A, B, LAYOUT, f"memory block with PA {pa}, RA {ra}, and size {size}", told)
    with free(wide, (4 * GIB + place, 4)):
        wide.warned("old4", A, B, told)


def test_g21_real_and_physical_addresses_agree_modulo_the_largest_page(wide: Hall) -> None:
    """A run that begins a GiB beside a congruent address has room, and no place."""
    ra, pa, size = block(wide, A, "old4")
    assert int(ra, 16) % PAGE == int(pa, 16) % PAGE
    with free(wide, (5 * GIB + int(ra, 16) % PAGE, 4)):
        wide.refused("old4", A, B, LAYOUT, f"memory block with PA {pa}, RA {ra}, and size {size}", TOLD.format("old4"))


def test_g24_a_block_that_cannot_be_cut_where_it_must(wide: Hall) -> None:
    """Four runs of 1G hold 4G, and no piece of 2G."""
    ra, pa, size = block(wide, A, "new")
    with free(wide, *((each * 4 * GIB, 1) for each in range(1, 5))):
        wide.refused("new", A, B, LAYOUT, f"memory block with PA {pa}, RA {ra}, and size {size}")


def test_g23_a_block_is_split_and_the_guest_goes_on(wide: Hall) -> None:
    """Really: its one block lies in several places of t5b afterwards, at the same real addresses."""
    ra, _, size = block(wide, A, "new")
    assert size == "4G"
    wide.type(A, "new", "dirty 20000 64M")
    with free(wide, (4 * GIB, 2), (8 * GIB, 2)):
        wide.moved("new", A, B)
        rows = [line.split() for line in wide.ok(B, "list -o memory new").splitlines()[5:] if line.strip()]
        pieces = sorted((int(at, 16), int(pa, 16), parse_size(length)) for at, pa, length in rows)
        assert len(pieces) > 1
        assert all(at % PAGE == pa % PAGE for at, pa, _ in pieces)
        assert all(at % PAGE == 0 for at, _, _ in pieces[1:]), "cut at multiples of the largest page"
        ends = [int(ra, 16), *(at + length for at, _, length in pieces)]
        assert ends == [*(at for at, _, _ in pieces), int(ra, 16) + 4 * GIB]
        assert wide.type(B, "new", "dirty stop", "dirty check")[1].endswith(" 0 wrong")
        wide.drop(B, "new")


@pytest.mark.parametrize(("machine", "largest"), [("t3a", "256M"), ("t5a", "2G"), ("m7a", "16G")])
def test_g22_pagesize(hall: Hall, machine: str, largest: str) -> None:
    hall.up(machine)
    name = hall.guest(machine, f"n-{machine}", vcpus=1, arch="native")
    pages = hall.type(machine, name, "pagesize -a")[0].split()
    units = {"M": 1 << 20, "G": GIB}
    assert max(map(int, pages)) == int(largest[:-1]) * units[largest[-1]]
