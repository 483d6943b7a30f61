"""What the engines cost beyond the guest's own work, in CPU time: a migration's rounds, translation, what is called.

``python tests/benchmarks/engine_cost.py [--millions N] [--runs N] [PROGRAM ...]``. Each program runs as many
instructions (four times as many translated) with the marks cleared every 100 ms of CPU time as without, interleaved,
under both engines; then the translator's counters.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from emulator import Machine, StopReason

PREBUILT = Path(__file__).resolve().parents[2] / "images" / "prebuilt"
PROGRAMS = ("bench-dhry", "bench-qsort", "bench-bigsieve", "bench-memset", "bench-mark", "bench-calls", "bench-traps")
ROUND_SECONDS = 0.1


def run(name: str, engine: str, insns: int, *, round_insns: int) -> tuple[float, float, int, Machine]:
    """CPU seconds of the program and of the harvests, pages harvested, the machine; `round_insns`: 0: no rounds."""
    machine = Machine("256M", deterministic=True)
    machine.use_engine(engine)
    machine.boot(PREBUILT / f"{name}.elf")
    seconds = harvests = 0.0
    pages = left = 0
    left = insns
    while left > 0:
        begin = time.process_time()
        stop = machine.run(min(left, round_insns or left))
        seconds += time.process_time() - begin
        left -= stop.insns
        machine.console.read()
        if stop.reason not in (StopReason.BUDGET, StopReason.CONSOLE):
            break
        if round_insns and stop.reason is StopReason.BUDGET:
            begin = time.process_time()
            pages += len(machine.dirty_harvest())
            harvests += time.process_time() - begin
    return seconds, harvests, pages, machine


def marks(names: list[str], most: int, runs: int) -> None:
    print("| program | engine | MIPS | with rounds / without | harvests | pages a round |\n|---|---|--:|--:|--:|--:|")
    for name in names:
        for engine, insns in (("interpreter", most), ("translator", 4 * most)):
            rate = insns / max(run(name, engine, insns, round_insns=0)[0], 1e-3)
            pairs = []
            for _ in range(runs):
                plain, _, _, one = run(name, engine, insns, round_insns=0)
                rounds, harvests, pages, other = run(name, engine, insns, round_insns=int(rate * ROUND_SECONDS))
                pairs.append((rounds / plain, harvests / rounds, pages / max(1, insns / (rate * ROUND_SECONDS))))
                one.close(), other.close()
            ratio, share, each = (statistics.median(values) for values in zip(*pairs, strict=True))
            print(f"| {name} | {engine} | {rate / 1e6:.0f} | {ratio:.2f} | {share:.1%} | {each:.0f} |", flush=True)


def counters(names: list[str], insns: int) -> None:
    print("\n| program | translated | bytes each | µs each | bodies a 1000 | look-ups a 1000 | left a 1000 |"
          "\n|---|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    for name in names:
        with run(name, "translator", insns, round_insns=0)[3] as machine:
            found, each = machine.engine_statistics, machine.insns / 1000
            size, took = found.native_bytes / found.instructions, found.compile_seconds / found.instructions * 1e6
            print(f"| {name} | {found.instructions} | {size:.0f} | {took:.1f} | {found.bodies / each:.1f} | "
                  f"{found.lookups / each:.1f} | {(found.left + found.left_at) / each:.2f} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--millions", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS))
    options = parser.parse_args()
    marks(options.programs, options.millions * 1_000_000, options.runs)
    counters(options.programs, options.millions * 1_000_000)


if __name__ == "__main__":
    main()
