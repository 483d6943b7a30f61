"""gcc's `execute` torture tests: compile one freestanding with our runtime, run it in a Machine, judge it.

A test is its own judge: it calls abort() when it finds a wrong result. A test that fails here is compiled once more
as an ordinary static Linux program and run under qemu-sparc64; one that passes there must pass here.
"""

from __future__ import annotations

import enum
import re
import shlex
import shutil
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import emulator

HERE = Path(__file__).resolve().parent
LIB = HERE.parents[1] / "images" / "lib"
CROSS = "sparc64-linux-gnu-"
QEMU_USER = "qemu-sparc64"
BUDGET_INSNS = 400_000_000
QEMU_TIMEOUT_S = 60
COMMON = ["-w", "-mcmodel=medlow", "-fno-pic", "-fno-pie", "-fno-stack-protector"]
LINK = ["-static", "-nostdlib", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=0x2000",
        f"-Wl,-T,{LIB / 'link.ld'}"]
DIRECTIVE = re.compile(r"\{\s*dg-(?:additional-)?options\s+\{?\s*\"?([^\"{}]*)\"?\s*\}?\s*(\{\s*target[^\n]*)?\}")


class Verdict(enum.Enum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    DIFFERENT = "the engines differ"
    NOT_COMPILED = "not compiled"
    NOT_FREESTANDING = "needs a C library"


@dataclass(frozen=True)
class Variant:
    """One way to compile: optimisation and processor."""

    level: str
    cpu: str = "ultrasparc"

    def __str__(self) -> str:
        return f"{self.level} {self.cpu}"


@dataclass(frozen=True)
class Result:
    """Verdict of one test with the reason in a line where it did not pass."""

    name: str
    verdict: Verdict
    why: str = ""


def missing_tool() -> str | None:
    return next((t for t in (CROSS + "gcc", CROSS + "ar", QEMU_USER) if shutil.which(t) is None), None)


def test_options(source: Path) -> list[str]:
    """Options the test asks for in its dg- comments, but for those of other targets."""
    out: list[str] = []
    for options, target in DIRECTIVE.findall(source.read_text(errors="replace")):
        if not target or "sparc" in target:
            out += shlex.split(options)
    return [o for o in out if o != "-fpic"]


class Toolchain:
    """The runtime as a library, and the compiler runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "libruntime.a"
        self._build_library()

    def _build_library(self) -> None:
        flags = ["-O2", "-mcpu=ultrasparc", "-Wa,-Av9m8", "-ffreestanding", "-fno-tree-loop-distribute-patterns",
                 "-mno-vis", *COMMON, "-I", str(LIB), "-c"]
        sources = [LIB / n for n in ("start.S", "traps.S", "runtime.c", "format.c", "string.c")]
        objects = []
        for source in [*sources, HERE / "torture_support.c"]:
            target = self.folder / (source.stem + ".o")
            subprocess.run([CROSS + "gcc", *flags, str(source), "-o", str(target)], check=True)
            objects.append(target)
        self.start, *members = objects
        members += self._quad_objects()
        subprocess.run([CROSS + "ar", "rcs", str(self.library), *map(str, members)], check=True)

    def _quad_objects(self) -> list[Path]:
        """long double arithmetic: the _Qp_ functions of the cross C library, which need nothing else of it."""
        found = subprocess.run([CROSS + "gcc", "-print-file-name=libc.a"], capture_output=True, text=True, check=True)
        archive = Path(found.stdout.strip())
        if not archive.is_absolute():
            return []
        names = subprocess.run([CROSS + "ar", "t", str(archive)], capture_output=True, text=True, check=True).stdout
        wanted = [n for n in names.split() if n.startswith("qp_")]
        subprocess.run([CROSS + "ar", "x", str(archive), *wanted], check=True, cwd=self.folder)
        return [self.folder / n for n in wanted]

    def compile(self, source: Path, variant: Variant, target: Path) -> Result | None:
        """Build the freestanding ELF; None, or why there is none."""
        command = [CROSS + "gcc", variant.level, f"-mcpu={variant.cpu}", *COMMON, *test_options(source), *LINK,
                   str(self.start), str(source), str(self.library), "-lgcc", "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        if missing := sorted(set(re.findall(r"undefined reference to `([^']+)'", done.stderr))):
            return Result(source.stem, Verdict.NOT_FREESTANDING, ", ".join(missing))
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        return Result(source.stem, Verdict.NOT_COMPILED, (lines or [done.stderr[:200]])[0].split("error: ")[-1])

    def passes_in_qemu(self, source: Path, variant: Variant) -> bool:
        """Compile as a static Linux program and run it under qemu-sparc64."""
        target = self.folder / f"{source.stem}.linux"
        command = [CROSS + "gcc", variant.level, f"-mcpu={variant.cpu}", *COMMON, *test_options(source), "-static",
                   str(source), "-lm", "-o", str(target)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return False
        try:
            done = subprocess.run([QEMU_USER, str(target)], capture_output=True, timeout=QEMU_TIMEOUT_S, check=False,
                                  cwd=self.folder)
        except subprocess.TimeoutExpired:
            return False
        finally:
            target.unlink()
        return done.returncode == 0


def translates() -> bool:
    """Whether this host has a translator of code."""
    with emulator.Machine("8M") as machine:
        try:
            machine.use_engine("translator")
        except emulator.EmulatorError:
            return False
    return True


def _run(elf: Path, hot_entries: int) -> tuple[emulator.Stop, bytes, tuple[bytes, int]]:
    """A run to MACH_EXIT, translated from so many entries on (0: interpreted): stop, output, (digest, instructions)."""
    with emulator.Machine("32M", deterministic=True) as machine:
        if hot_entries:
            machine.use_engine("translator", hot_entries=hot_entries)
        machine.boot(elf)
        stop = machine.run(BUDGET_INSNS)
        output, insns = machine.console.read(), stop.insns
        while stop.reason is emulator.StopReason.CONSOLE:
            stop = machine.run(BUDGET_INSNS)
            output += machine.console.read()
            insns += stop.insns
        assert not hot_entries or machine._core.native_bytes() > 0
        return stop, output, (machine.digest(), insns)


def run_ours(name: str, elf: Path, *, both: bool) -> Result:
    """Run in a Machine to MACH_EXIT; with `both` translated as well, to the same state."""
    stop, output, end = _run(elf, 0)
    if both:
        hot = 1 + zlib.crc32(name.encode()) % 4  # early: these programs are short
        _, _, other = _run(elf, hot)
        if other != end:
            return Result(name, Verdict.DIFFERENT, f"translated from entry {hot} on: {other[1]} insns, not {end[1]}")
    if stop.reason is emulator.StopReason.EXIT and stop.exit_code == 0:
        return Result(name, Verdict.PASSED)
    what = f"exit code {stop.exit_code}" if stop.reason is emulator.StopReason.EXIT else str(stop)
    return Result(name, Verdict.FAILED, f"{what} {output[-120:].decode(errors='replace').strip()}")


def run_tests(sources: list[Path], variant: Variant, tools: Toolchain, *, compilers: int = 2) -> list[Result]:
    """Compile in parallel, run one after the other, by both engines where there are two. Results in that order."""
    both = translates()

    def compile_one(source: Path) -> tuple[Path, Result | None, Path]:
        elf = tools.folder / f"{source.parent.name}-{source.stem}.elf"
        return source, tools.compile(source, variant, elf), elf

    results = []
    with ThreadPoolExecutor(compilers) as pool:
        for source, problem, elf in pool.map(compile_one, sources):
            if problem is not None:
                results.append(problem)
                continue
            results.append(run_ours(source.stem, elf, both=both))
            elf.unlink()
    return results


def summary(variant: Variant, results: list[Result]) -> str:
    """Run / passed / why not, one line per test that did not pass."""
    counts = {v: sum(r.verdict is v for r in results) for v in Verdict}
    run = counts[Verdict.PASSED] + counts[Verdict.FAILED] + counts[Verdict.DIFFERENT]
    head = f"{variant}: {len(results)} tests, run {run}, passed {counts[Verdict.PASSED]}"
    lines = [f"  {r.name}: {r.verdict.value}: {r.why}" for r in results if r.verdict is not Verdict.PASSED]
    return "\n".join([head, *lines])
