"""What instruction counting and dirty marking cost: the benchmark programs on builds without them.

    python tests/benchmarks/cost.py [--runs 3] [--scale 0.05] [--programs sieve,qsort]

Builds two variants of the core beside the usual one, for this measurement only: without the count on block edges
(such a build stops at the program's end and nowhere else) and without dirty marks. CPU time of the run loop,
interleaved, medians; the table gives time relative to the usual build.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bench

VARIANTS = {"as shipped": "", "no count": "-DS4V_COST_NO_COUNT", "no dirty marks": "-DS4V_COST_NO_DIRTY"}


def build(name: str, flags: str) -> Path:
    """Build a variant; returns the directory to put on PYTHONPATH."""
    library = bench.ROOT / "build" / f"cost-{name.replace(' ', '-')}"
    env = dict(os.environ, S4V_VARIANT=name.replace(" ", "-"), CFLAGS=flags)
    subprocess.run([sys.executable, "setup.py", "-q", "build", "--build-lib", str(library)], cwd=bench.ROOT, env=env,
                   check=True, capture_output=True)
    return library


def run(library: Path, elf: Path) -> float:
    """CPU seconds of the run loop."""
    done = subprocess.run([sys.executable, "-m", "emulator.cli", "run", "--stats", str(elf)], cwd=library,
                          env=dict(os.environ, PYTHONPATH=str(library)), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=bench.TIMEOUT_S, check=True)
    return float(json.loads(done.stderr.strip().splitlines()[-1])["seconds"])


def measure(names: list[str], runs: int, scale: float) -> dict[str, dict[str, float]]:
    """Program -> variant -> median seconds."""
    libraries = {name: build(name, flags) for name, flags in VARIANTS.items()}
    out: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            program = bench.prepare(name, Path(), scale, Path(folder))
            seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
            for _ in range(runs):
                for variant, library in libraries.items():
                    seconds[variant].append(run(library, program.elf))
            out[name] = {variant: statistics.median(values) for variant, values in seconds.items()}
            print(f"cost: {name}", file=sys.stderr, flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.25)
    parser.add_argument("--programs", default="sieve,crc,matmul,sha,qsort,fib,bytecode,str,hash")
    args = parser.parse_args()
    table = measure(args.programs.split(","), args.runs, args.scale)
    print("| program | " + " | ".join(VARIANTS) + " |\n|---" + "|--:" * len(VARIANTS) + "|")
    ratios: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for name, seconds in table.items():
        for variant in VARIANTS:
            ratios[variant].append(seconds[variant] / seconds["as shipped"])
        print(f"| {name} | " + " | ".join(f"{ratios[variant][-1]:.2f}" for variant in VARIANTS) + " |")
    means = [bench.geometric_mean(ratios[variant]) for variant in VARIANTS]
    print("| geometric mean | " + " | ".join(bench.number(mean, 2) for mean in means) + " |")


if __name__ == "__main__":
    main()
