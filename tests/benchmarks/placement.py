"""Milliseconds to place domains on a server of 32 TiB: one and 128, on an empty and on a fragmented map, and migration.

    python tests/benchmarks/placement.py [--runs 5]

CPU time, best of the runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from emulator.mblocks import Mblock, MemoryMap
from emulator.placement import Amount, Placement, Same, place
from emulator.platforms import PLATFORMS
from emulator.units import GIB, TIB

SERVER = PLATFORMS["m6-32"]
PAGE = SERVER.largest_page_bytes


def fill(memory: MemoryMap, domains: int) -> MemoryMap:
    """The map with so many more domains of 100 GiB."""
    for number in range(domains):
        request = Amount(owner=f"ldg{number}", largest_page=PAGE, size_bytes=100 * GIB, nodes=(number % 32,))
        answer = place(memory, request)
        assert isinstance(answer, Placement), answer.text()
        memory = memory.assign(answer.blocks)
    return memory


def fragmented(memory: MemoryMap) -> MemoryMap:
    """Every fourth GiB of every node somebody's: 32 TiB in more than 8000 free runs."""
    taken = [Mblock(pa, GIB, run.node, "old") for run in memory.free
             for pa in range(-(-run.pa // GIB) * GIB, run.end - GIB, 4 * GIB)]
    return memory.assign(taken)


def best_ms(runs: int, work: Callable[[], object]) -> float:
    """CPU milliseconds of the fastest run."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    empty = MemoryMap.of_banks(SERVER.banks, SERVER.reserved)
    full, broken = fill(empty, 128), fragmented(empty)
    source = (Mblock(0x20000000, TIB, 0, "d", 0x20000000),)
    whole, cut = (Same(owner="d", largest_page=PAGE, source=source, split=split) for split in (False, True))
    for what, work in (
        ("1 domain, empty server", lambda: fill(empty, 1)),
        ("128 domains, empty server", lambda: fill(empty, 128)),
        ("1 domain beside 128", lambda: place(full, Amount(owner="x", largest_page=PAGE, size_bytes=GIB))),
        (f"100 GiB in {len(broken.free)} free runs",
         lambda: place(broken, Amount(owner="x", largest_page=PAGE, size_bytes=100 * GIB))),
        ("refused, with its explanation",
         lambda: place(full, Amount(owner="x", largest_page=PAGE, size_bytes=32 * TIB))),
        ("migration of 1 TiB beside 128", lambda: place(full, cut)),
        ("migration of 1 TiB cut into free runs, refused", lambda: place(broken, whole)),
        ("migration of 1 TiB cut into free runs", lambda: place(broken, cut)),
    ):
        print(f"{what:50} {best_ms(runs, work):9.2f} ms")


if __name__ == "__main__":
    main()
