"""Guest MIPS of the benchmark programs: our engine, qemu-sparc64, QEMU's softmmu on bare metal, and native code.

    python tests/benchmarks/bench.py [--runs 5] [--small] [--programs fib,crc] [--json FILE]

Every engine runs the same ELF file (images/prebuilt, with the work count changed for --small and --scale); native is
the same source compiled for this host. Time is CPU time: of the engine's loop for ours (`sun4v run --stats`), of the
QEMU threads between the program's first instruction and its end for softmmu (niagara.py), of the process less that of
an empty program for the other two. Runs are interleaved, the table shows medians. Instruction counts are our exact
ones; "native" is that count over native time: what an engine without any overhead would show. The checksum each
engine prints must be the same, else the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))

import niagara  # noqa: E402

IMAGES = ROOT / "images"
MAGIC = b"S4VBENCH"
ENGINES = ("ours", "translator", "user", "softmmu", "native")
TITLES = {"ours": "sun4v", "translator": "translator", "user": "qemu-sparc64", "softmmu": "qemu niagara",
          "native": "native"}
SMALL = 1 / 20
TRAP_PROGRAMS = {"traps"}  # a Linux process makes system calls there: other instructions, no comparison
TIMEOUT_S = 600.0


class BenchError(Exception):
    """A program failed, or engines disagree on its checksum."""


@dataclass
class Program:
    """One benchmark: the ELF to run, its work count, and what was measured."""

    name: str
    source: Path
    elf: Path
    work: int
    native: Path | None = None
    insns: int = 0
    checksum: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, engine: str) -> float | None:
        values = self.seconds.get(engine)
        return max(statistics.median(values), 1e-6) if values else None

    def mips(self, engine: str) -> float | None:
        seconds = self.median(engine)
        if seconds is None or not self.insns or (engine in ("user", "native") and self.name in TRAP_PROGRAMS):
            return None
        return self.insns / seconds / 1e6


def prepare(name: str, source: Path, scale: float, folder: Path) -> Program:
    """Copy the ELF with its work count multiplied by ``scale``."""
    data = bytearray((IMAGES / "prebuilt" / f"bench-{name}.elf").read_bytes())
    at = data.index(MAGIC) + len(MAGIC)
    work = max(1, round(int.from_bytes(data[at:at + 8], "big") * scale))
    data[at:at + 8] = work.to_bytes(8, "big")
    elf = folder / f"{name}.elf"
    elf.write_bytes(data)
    elf.chmod(0o755)
    return Program(name, source, elf, work)


def build_native(program: Program, folder: Path) -> Path:
    """Compile the same source for this host, the work count as a constant of the file."""
    binary = folder / f"{program.name}.native"
    patched = folder / f"{program.name}.c"
    patched.write_text(f'#define BENCH_WORK {program.work}ul\n#include "{program.source}"\n')
    command = ["gcc", "-O2", "-fno-tree-vectorize", "-fno-math-errno", "-w", f"-I{IMAGES / 'lib'}",
               f"-I{program.source.parent}", str(patched), str(program.source.parent / "main.c"), "-o", str(binary)]
    subprocess.run(command, check=True)
    return binary


def run_process(command: list[str]) -> tuple[str, float]:
    """Standard output and CPU seconds (user + system) of a process."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)}: status {process.returncode}, output {output!r}")
    return output.strip(), usage.ru_utime + usage.ru_stime


class Bench:
    """Engines of this host, and the start-up time to take off where a whole process is measured."""

    def __init__(self, folder: Path, engines: list[str], ours_args: list[str]) -> None:
        self.folder = folder
        self.ours_args = ours_args
        self.start_up = {"user": 0.0, "native": 0.0}
        self.runners: dict[str, Callable[[Program], tuple[str, float]]] = {
            "ours": self.run_ours, "translator": self.run_translator, "user": self.run_user,
            "softmmu": self.run_softmmu, "native": self.run_native}
        self.engines = [e for e in engines if self.available(e)]

    @staticmethod
    def available(engine: str) -> bool:
        missing = {"ours": None, "translator": None, "softmmu": niagara.missing_tool(),
                   "user": None if shutil.which("qemu-sparc64") else "qemu-sparc64",
                   "native": None if shutil.which("gcc") else "gcc"}[engine]
        if missing:
            print(f"bench: no {TITLES[engine]} column: {missing} is missing", file=sys.stderr)
        return missing is None

    def measure_start_up(self) -> None:
        """CPU time of a program that does nothing, per engine that is measured as a process."""
        hello = self.folder / "hello.elf"
        shutil.copy(IMAGES / "prebuilt" / "hello.elf", hello)
        empty = self.folder / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        if "native" in self.engines:
            subprocess.run(["gcc", "-O2", str(empty), "-o", str(self.folder / "empty")], check=True)
        commands = {"user": ["qemu-sparc64", str(hello)], "native": [str(self.folder / "empty")]}
        for engine in set(self.engines) & set(commands):
            self.start_up[engine] = statistics.median(run_process(commands[engine])[1] for _ in range(5))

    def run_translator(self, program: Program) -> tuple[str, float]:
        return self.run_ours(program, "translator")

    def run_ours(self, program: Program, engine: str = "interpreter") -> tuple[str, float]:
        command = [sys.executable, "-m", "emulator.cli", "run", "--stats", "--engine", engine]
        command += [*self.ours_args, str(program.elf)]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise BenchError(f"sun4v run {program.name}: status {done.returncode}: {done.stderr}{done.stdout}")
        stats = json.loads(done.stderr.strip().splitlines()[-1])
        insns = int(stats["instructions"])
        if program.insns not in (0, insns):
            raise BenchError(f"{program.name}: {engine} counts {insns} instructions, not {program.insns}")
        program.insns = insns
        return done.stdout.strip(), float(stats["seconds"])

    def run_user(self, program: Program) -> tuple[str, float]:
        output, seconds = run_process(["qemu-sparc64", str(program.elf)])
        return output, seconds - self.start_up["user"]

    def run_softmmu(self, program: Program) -> tuple[str, float]:
        done = niagara.run(program.elf, self.folder, timeout_s=TIMEOUT_S)
        if done.exit_code != 0:
            raise BenchError(f"niagara {program.name}: exit code {done.exit_code}: {done.output!r}")
        return done.output.decode().strip(), done.cpu_seconds

    def run_native(self, program: Program) -> tuple[str, float]:
        if program.native is None:
            program.native = build_native(program, self.folder)
        output, seconds = run_process([str(program.native)])
        return output, seconds - self.start_up["native"]

    def run(self, programs: list[Program], runs: int) -> None:
        """Measure: all engines of a program, then the next program; the whole again ``runs`` times."""
        self.measure_start_up()
        for turn in range(runs):
            for program in programs:
                for engine in self.engines:
                    output, seconds = self.runners[engine](program)
                    program.checksum = program.checksum or output
                    if output != program.checksum:
                        raise BenchError(f"{program.name}: {engine} says {output!r}, not {program.checksum!r}")
                    program.seconds.setdefault(engine, []).append(seconds)
                print(f"bench: {turn + 1}/{runs} {program.name}", file=sys.stderr, flush=True)


def geometric_mean(values: list[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratio(program: Program, other: str, engine: str = "ours") -> float | None:
    ours, theirs = program.mips(engine), program.mips(other)
    return ours / theirs if ours and theirs else None


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def as_markdown(programs: list[Program], engines: list[str]) -> str:
    """The table: million instructions, MIPS by engine, ours against the two QEMUs and the interpreter."""
    against = [(mine, e) for mine in ("ours", "translator") for e in ("softmmu", "user", "ours")
               if mine in engines and e in engines and mine != e]
    head = ["program", "Minsn", *(TITLES[e] for e in engines), *(f"{TITLES[m]} / {TITLES[e]}" for m, e in against)]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    for p in programs:
        cells = [p.name, number(p.insns / 1e6, 1), *(number(p.mips(e)) for e in engines)]
        lines.append("| " + " | ".join(cells + [number(ratio(p, e, m), 2) for m, e in against]) + " |")
    means = [number(geometric_mean([r for p in programs if (r := ratio(p, e, m))]), 2) for m, e in against]
    lines.append("| " + " | ".join(["geometric mean", "", *("" for _ in engines), *means]) + " |")
    return "\n".join(lines)


def as_json(programs: list[Program], engines: list[str], runs: int) -> str:
    rows = [{"program": p.name, "work": p.work, "insns": p.insns, "checksum": p.checksum.split()[-1],
             "seconds": p.seconds, "mips": {e: p.mips(e) for e in engines}} for p in programs]
    means = {e: geometric_mean([r for p in programs if (r := ratio(p, e))]) for e in engines if e != "ours"}
    return json.dumps({"runs": runs, "programs": rows, "geometric_mean_of_ours_against": means}, indent=1)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    manifest = tomllib.loads((IMAGES / "manifest.toml").read_text())["program"]
    names = [name.removeprefix("bench-") for name in manifest if name.startswith("bench-")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs; the median counts")
    parser.add_argument("--small", action="store_true", help="a twentieth of the work: CI")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the work")
    parser.add_argument("--programs", type=lambda s: s.split(","), default=names, metavar="NAME,...")
    parser.add_argument("--engines", type=lambda s: s.split(","), default=list(ENGINES), metavar="NAME,...",
                        help=",".join(ENGINES))
    parser.add_argument("--ours-args", type=str.split, default=[], help="more arguments for `sun4v run`")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    args = parser.parse_args(argv)
    if unknown := [e for e in args.engines if e not in ENGINES] + [p for p in args.programs if p not in names]:
        parser.error(f"unknown: {', '.join(unknown)}")
    args.sources = {n: IMAGES / manifest[f"bench-{n}"]["source"] for n in args.programs}
    return args


def main(argv: list[str]) -> int:
    args = parse_arguments(argv)
    scale = args.scale * (SMALL if args.small else 1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder, args.engines, args.ours_args)
        programs = [prepare(n, args.sources[n], scale, folder) for n in args.programs]
        try:
            bench.run(programs, args.runs)
        except (BenchError, niagara.NiagaraError, subprocess.TimeoutExpired) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(as_markdown(programs, bench.engines))
    if args.json:
        args.json.write_text(as_json(programs, bench.engines, args.runs) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
