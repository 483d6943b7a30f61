"""Live migration beside QEMU's: time, pause, CPU, throughput against the link's limit; does the guest live after it?

    python tests/benchmarks/migration.py [--full] [--runs N] [--cells WORD] [--engines WORD,...] [--json FILE]

Ours is `ldm migrate-domain -c` of a Linux domain between a T4 and a T5 with all that belongs to it: rules, TLS 1.3,
journals on both sides, every page verified. QEMU migrates an x86-64 TCG guest (it cannot migrate sparc64 machines),
plain over TCP and with TLS. Both guests run `migrating/dirtier.c`, which checks every page that it writes. Engines take
turns. `total`: until it runs there (ours hashes all memory again afterwards, before it is let go). `down`: the pause
as each engine measures it. CPU: all processes of the engine, without the guest's own at its pace of before.
`tcp`, `tls`: a bare copy of 256 MiB between two processes in the same run.

`hand-over`: both servers on one host, memory by descriptor.

Quick (minutes): 256 MiB, idle and 50 MiB/s. Full (hours): 1 to 8 GiB, rates up to 1000 MiB/s, a capped link with and
without compression, and a terabyte with 1 GiB in it (by the transfer engine alone).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1]),
                str(Path(__file__).resolve().parents[1] / "stream")]

import stream  # noqa: E402
from migrating import qemu  # noqa: E402
from migrating.figures import Cell, Figures, table  # noqa: E402
from migrating.ours import Room  # noqa: E402
from migrating.x86guest import MissingError, X86Guest, x86_guest  # noqa: E402
from stream_support import make_certificate  # noqa: E402

QUICK = (Cell(fill=256), Cell(fill=256, rate=50))
GIGABIT = 117_000_000
FULL = (
    *(Cell(fill=gib << 10) for gib in (1, 2, 4, 8)),
    *(Cell(fill=1024, rate=rate, region=region) for rate in (60, 200, 1000) for region in (64, 256)),
    Cell(fill=1024, rate=60, region=256, cap=GIGABIT), Cell(fill=1024, rate=200, region=256, cap=GIGABIT),
)  # fmt: skip
QUICK_MODES = ("qemu", "qemu multifd", "qemu multifd prealloc", "qemu tls")
Rows = dict[tuple[str, str], list[Figures]]


def limits(mib: int = 256) -> dict[str, float]:
    """GB/s of a bare connection, memory to memory, into memory that was touched before."""
    identity = make_certificate("limit")
    source, found = stream.random_memory(mib << 20), {}
    for name, how in (("tcp", None), ("tls", identity)):
        target = stream.fresh(source.size, warm=True)
        found[name] = max(stream.bare(source, target, how).rate for _ in range(3))
        target.close()
    source.close()
    return found


@contextmanager
def room(memory: int) -> Iterator[Room]:
    """Our two servers with a domain of so many MiB."""
    home = Path(tempfile.mkdtemp(prefix="s4v-b", dir="/tmp"))
    made = Room(home, memory)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(home)


def our_settings(cell: Cell) -> dict[str, dict[str, str | int]]:
    """Variants of ours for a row, by name; those of [migration] that differ from the defaults."""
    if not cell.cap:
        return {"sun4v tls": {}, "sun4v hand-over": {"handover": "auto", "handover_verify": "never"}}
    return {"sun4v tls": {"bandwidth_bps": cell.cap, "compress": "none"},
            "sun4v tls compress": {"bandwidth_bps": cell.cap, "compress": "auto"},
            "sun4v tls post-copy": {"bandwidth_bps": cell.cap, "compress": "none", "postcopy": "auto", "max_rounds": 2}}


def run_ours(made: Room, cell: Cell, rows: Rows) -> None:
    """A move of one row, in each variant; the domain rests before and after."""
    made.load(cell)
    for name, values in our_settings(cell).items():
        if values:
            made.settings(**values)
        note(rows, cell, name, made.move())
        if values:
            made.settings()
    made.unload()


def note(rows: Rows, cell: Cell, name: str, found: Figures) -> None:
    """Keep and show a run."""
    rows[(str(cell), name)].append(found)
    print(f"  {cell}; {name}: {found.total_ms:.0f} ms, down {found.downtime_ms:.0f} ms, "
          f"{found.wire_bytes / 1e6:.0f} MB, {found.rounds} rounds, {found.cpu_seconds:.1f} CPU s, "
          f"{'lives' if found.alive else 'DEAD'}{'; pages waited for: ' * bool(found.waits)}{found.waits}", flush=True)


def run_qemu(guest: X86Guest, cell: Cell, names: tuple[str, ...], rows: Rows) -> None:
    """One migration in each mode."""
    for name in names:
        mode = qemu.MODES[name]
        if not mode.converge or cell.cap:
            note(rows, cell, name, qemu.move(guest, cell, mode))


def sparse(rows: list[str]) -> None:
    """A terabyte with 1 GiB in it beside the 1 GiB alone, by the workers."""
    source = stream.random_memory(1 << 30)
    found = stream.sparse_case(source, [make_certificate("one"), make_certificate("two")])
    source.close()
    alone, big = found["alone"], found["sparse"]
    rows.append(f"1 TiB with 1 GiB in it: {big.seconds:.2f} s, {big.seconds / alone.seconds:.2f} of the 1 GiB alone; "
                f"allocated {big.more['allocated']} of it at source and target")


def measure(cells: tuple[Cell, ...], engines: tuple[str, ...], guest: X86Guest | None, *, runs: int) -> Rows:
    """The matrix. One room for each size of memory; QEMU's guests are booted for each run."""
    rows: Rows = defaultdict(list)
    names = tuple(name for name in engines if name.startswith("qemu"))
    for memory in sorted({cell.memory for cell in cells}):
        with ExitStack() as stack:
            made = stack.enter_context(room(memory)) if "sun4v" in engines else None
            for cell in (each for each in cells if each.memory == memory):
                for _ in range(runs):
                    if made is not None:
                        run_ours(made, cell, rows)
                    if guest is not None:
                        run_qemu(guest, cell, names, rows)
    return rows


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--full", action="store_true", help="the whole matrix: hours")
    parser.add_argument("--runs", type=int, default=0, help="of each row and engine (2; 7 with --full)")
    parser.add_argument("--cells", default="", help="only rows whose text has this word")
    parser.add_argument("--engines", default="", help="sun4v and QEMU's modes, by commas: " + ", ".join(qemu.MODES))
    parser.add_argument("--json", type=Path, help="all figures, as well")
    arguments = parser.parse_args()
    cells = tuple(cell for cell in (FULL if arguments.full else QUICK) if arguments.cells in str(cell))
    modes = tuple(qemu.MODES) if arguments.full else QUICK_MODES
    engines = tuple(arguments.engines.split(",")) if arguments.engines else ("sun4v", *modes)
    guest, more = None, list[str]()
    try:
        guest = x86_guest() if any(name.startswith("qemu") for name in engines) else None
    except MissingError as error:
        print(f"without QEMU: {error}")
    bare = limits()
    rows = measure(cells, engines, guest, runs=arguments.runs or (7 if arguments.full else 2))
    if arguments.full and not arguments.cells:
        sparse(more)
    print("\n".join([f"bare TCP {bare['tcp']:.2f} GB/s, bare TLS {bare['tls']:.2f} GB/s", table(rows, bare), *more]))
    if guest is not None:
        print(qemu.version())
    if arguments.json:
        plain = [{"guest": cell, "engine": name, **asdict(each)} for (cell, name), found in rows.items()
                 for each in found]
        arguments.json.write_text(json.dumps({"limits": bare, "runs": plain}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
