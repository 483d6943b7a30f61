"""Random programs by the translator and by the bodies, for as long as is asked: `make lockstep`.

``python tests/benchmarks/lockstep.py [--minutes 60] [--seed N]``. Every round has a seed of its own and runs all ways
there are: plain, under a debugger, disturbed (evictions from the soft TLB, injected interrupts and errors, timers, lost
write permissions), each with early and late translation and random budgets. Ends at the first difference with status 1
and says how it is had again. What is run depends on the seed alone; how many rounds there are, on the host.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine_drivers import ENVIRONMENT, driver, said

PROGRAMS = 200  # of a run
WAYS: dict[str, dict[str, str]] = {
    "plain, hot at 1": {"SUN4V_TRANSLATE": "1"},
    "plain, hot at 2": {"SUN4V_TRANSLATE": "2"},
    "plain, hot at 6": {"SUN4V_TRANSLATE": "6"},
    "disturbed, hot at 1": {"SUN4V_TRANSLATE": "1", "SUN4V_DISTURBED": "1"},
    "disturbed, hot at 3": {"SUN4V_TRANSLATE": "3", "SUN4V_DISTURBED": "1"},
    "debugged, hot at 2": {"SUN4V_TRANSLATE": "2", "SUN4V_DEBUGGED": "1"},
    "debugged and disturbed, hot at 2": {"SUN4V_TRANSLATE": "2", "SUN4V_DEBUGGED": "1", "SUN4V_DISTURBED": "1"},
}


@dataclass
class Totals:
    """Of all rounds so far, by way."""

    programs: dict[str, int] = field(default_factory=dict)
    insns: dict[str, int] = field(default_factory=dict)
    native_bytes: int = 0

    def add(self, way: str, output: str) -> None:
        words = output.splitlines()[-1].split()
        self.programs[way] = self.programs.get(way, 0) + int(words[1])
        self.insns[way] = self.insns.get(way, 0) + int(words[3])
        self.native_bytes += said(output, "native bytes")

    def report(self) -> str:
        lines = [f"  {way}: {self.programs[way]} programs, {self.insns[way]} instructions" for way in self.programs]
        total = f"{sum(self.programs.values())} programs, {sum(self.insns.values())} instructions"
        return "\n".join([*lines, f"{total}, {self.native_bytes} bytes of host code, no difference"])


def run_round(program: Path, seed: int, totals: Totals) -> None:
    """All ways with one seed. Ends the process at a difference."""
    for way, environment in WAYS.items():
        done = subprocess.run([program, str(seed), str(PROGRAMS)], env=ENVIRONMENT | environment, capture_output=True,
                              text=True, check=False)  # fmt: skip
        if done.returncode:
            words = " ".join(f"{name}={value}" for name, value in environment.items())
            print(f"{way}: {done.stdout}{done.stderr}\nagain: env {words} {program} {seed} {PROGRAMS}")
            print(f"its first instruction: env {words} {program} find SEED, with the seed above")
            sys.exit(1)
        totals.add(way, done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    options = parser.parse_args()
    program, totals = driver("engine_lockstep"), Totals()
    print(f"lockstep: seed {options.seed}", flush=True)
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    while seed == options.seed or time.monotonic() < end:
        run_round(program, seed, totals)
        seed += 1
        print(f"lockstep: {seed - options.seed} rounds\n{totals.report()}", flush=True)


if __name__ == "__main__":
    main()
