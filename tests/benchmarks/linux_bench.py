"""Linux as the benchmark: boot to the shell, then the benchmark programs as processes; our engines beside QEMU's sun4u.

    python tests/benchmarks/linux_bench.py [--runs 5] [--programs fib,crc] [--scale 0.1] [--json FILE]

Both emulators boot the same kernel and the same initial RAM disk (images/linux/build), to which this script appends an
archive with the programs of images/prebuilt, their work counts multiplied by --scale. A script in the guest runs one
program after the other and marks begin and end on the console; at each mark the CPU seconds of the emulator's process
(user and system, all threads) are read. Runs are interleaved, the table shows medians and QEMU's over the translator's:
above 1 we are faster. QEMU runs the vmlinux image without symbols on one CPU, which is all its machine has; ours has
--vcpus. Our Python has its compiled bytecode, as an installed package does. A checksum that differs between the
emulators, or from the program's first, ends the run with status 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
sys.path.insert(0, str(IMAGES / "linux"))

from linuxbuild.command import find_result  # noqa: E402
from linuxbuild.cpio import Archive  # noqa: E402

MAGIC = b"S4VBENCH"
PROGRAMS = ("dhry", "mark", "bigsieve", "sha256", "memcpy", "memset", "loop64", "nbody", "chase", "traps", "fib")
OURS = ("interpreter", "translator")
ENGINES = (*OURS, "qemu")
SHELL = "boot"  # the row of the time to the shell
MARK = re.compile(rb"s4v-(begin|end) (\S+)\r?\n")
TICKS = os.sysconf("SC_CLK_TCK")
APPEND = "cryptomgr.notests=1 s4v.run=linuxbench s4v.off"


class BenchError(Exception):
    """An emulator or a program failed, or two disagree."""


@dataclass
class Row:
    """CPU seconds by engine, one for each run, and what the program said."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {engine: [] for engine in ENGINES})
    said: str = ""

    def median(self, engine: str) -> float | None:
        values = self.seconds[engine]
        return statistics.median(values) if values else None

    def ratio(self, engine: str = "translator") -> float | None:
        ours, theirs = self.median(engine), self.median("qemu")
        return theirs / ours if ours and theirs else None


def with_work(elf: bytes, scale: float) -> bytes:
    """A benchmark program with its work count multiplied."""
    data = bytearray(elf)
    at = data.index(MAGIC) + len(MAGIC)
    work = max(1, round(int.from_bytes(data[at : at + 8], "big") * scale))
    data[at : at + 8] = work.to_bytes(8, "big")
    return bytes(data)


def make_initrd(base: Path, programs: list[str], scale: float) -> bytes:
    """The built RAM disk, and behind it one with the programs: the kernel unpacks both."""
    archive = Archive()
    lines = ["#!/bin/sh"]
    for name in programs:
        elf = (IMAGES / "prebuilt" / f"bench-{name}.elf").read_bytes()
        archive.add_file(f"usr/bin/bench-{name}", with_work(elf, scale), 0o755)
        lines += [f"echo s4v-begin {name}", f"bench-{name}", f"echo s4v-end {name}"]
    archive.add_file("usr/bin/linuxbench", "\n".join([*lines, ""]).encode(), 0o755)
    data = base.read_bytes()
    return data + bytes(-len(data) % 4) + archive.to_gzip()


def commands(folder: Path, initrd: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """The command line of each emulator that is there."""
    found = {
        engine: [sys.executable, "-m", "emulator.cli", "run", "--memory", "512M", "--vcpus", str(options.vcpus),
                 "--engine", engine, "--platform", options.platform, "--initrd", str(initrd),
                 "--append", f"console=ttyHV0 {APPEND}", str(folder / "vmlinux")]
        for engine in OURS
    }  # fmt: skip
    if qemu := shutil.which("qemu-system-sparc64"):
        found["qemu"] = [qemu, "-M", "sun4u", "-m", "512", "-nographic", "-vga", "none", "-no-reboot",
                         "-kernel", str(folder / "image"), "-initrd", str(initrd),
                         "-append", f"console=ttyS0 {APPEND}"]  # fmt: skip
    else:
        print("linux_bench: no qemu column: qemu-system-sparc64 is missing", file=sys.stderr)
    return {engine: found[engine] for engine in options.engines if engine in found}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process that still lives."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def marks(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, float, bytes]]:
    """(mark, CPU seconds when it came, output since the mark before), as the guest prints them."""
    assert process.stdout is not None
    text = b""
    yield "start", 0.0, b""
    while data := os.read(process.stdout.fileno(), 65536):
        text += data
        now = cpu_seconds(process.pid)
        while match := MARK.search(text):
            yield f"{match[1].decode()} {match[2].decode()}", now, text[: match.start()]
            text = text[match.end() :]
    yield "last", 0.0, text


def environment(cache: Path) -> dict[str, str]:
    """Where Python keeps its bytecode in `cache`, whatever is customary here; filled by a first start."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found["PYTHONPYCACHEPREFIX"] = str(cache)
    subprocess.run([sys.executable, "-m", "emulator.cli", "run", str(IMAGES / "prebuilt" / "hello.elf")], cwd=ROOT,
                   env=found, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip
    return found


def run_once(engine: str, command: list[str], env: dict[str, str], rows: dict[str, Row]) -> None:
    """One boot with all programs. Raises BenchError."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)  # fmt: skip
    begun, seen, last = 0.0, 0, b""
    try:
        for mark, seconds, said in marks(process):
            word, _, name = mark.partition(" ")
            if word == "begin":
                if seen == 0:
                    rows[SHELL].seconds[engine].append(seconds)
                begun = seconds
            elif word == "end":
                line = said.decode("latin-1").strip().splitlines()[-1:] or [""]
                rows[name].said = rows[name].said or line[0]
                if line[0] != rows[name].said or "FAILED" in line[0]:
                    raise BenchError(f"{name}: {engine} says {line[0]!r}, not {rows[name].said!r}")
                rows[name].seconds[engine].append(seconds - begun)
                seen += 1
            else:
                last = said
    finally:
        process.kill()
        process.wait()
    if seen != len(rows) - 1:
        raise BenchError(f"{engine} ended after {seen} programs: {last[-600:].decode('latin-1')}")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def geometric_mean(rows: dict[str, Row], engine: str = "translator") -> float | None:
    ratios = [ratio for name, row in rows.items() if name != SHELL and (ratio := row.ratio(engine))]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def as_markdown(rows: dict[str, Row]) -> str:
    titles = [*(f"{engine}, CPU s" for engine in ENGINES), *(f"qemu / {engine}" for engine in OURS)]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "--:|" * len(titles)]
    for name, row in rows.items():
        cells = [number(row.median(engine)) for engine in ENGINES] + [number(row.ratio(engine)) for engine in OURS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = " | ".join(number(geometric_mean(rows, engine)) for engine in OURS)
    lines.append("| geometric mean of the programs | " + "| " * len(ENGINES) + f"{means} |")
    return "\n".join(lines)


def as_json(rows: dict[str, Row], options: argparse.Namespace) -> str:
    table = {name: {"cpu_seconds": row.seconds, "ratio": row.ratio(), "said": row.said} for name, row in rows.items()}
    return json.dumps({"runs": options.runs, "scale": options.scale, "platform": options.platform,
                       "vcpus": options.vcpus, "rows": table,
                       "geometric_mean": geometric_mean(rows)}, indent=1)  # fmt: skip


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    known = [name.removeprefix("bench-") for name in tomllib.loads((IMAGES / "manifest.toml").read_text())["program"]
             if name.startswith("bench-")]  # fmt: skip
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs; the median counts (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the work of the programs")
    parser.add_argument("--programs", type=lambda s: s.split(","), default=list(PROGRAMS), metavar="NAME,...")
    parser.add_argument("--engines", type=lambda s: s.split(","), default=list(ENGINES), metavar="NAME,...")
    parser.add_argument("--platform", default="t5-2")
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--linux", type=Path, metavar="FOLDER", help="what images/linux/build has made")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    options = parser.parse_args(argv)
    if unknown := [n for n in options.programs if n not in known] + [e for e in options.engines if e not in ENGINES]:
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def main(argv: list[str]) -> int:
    options = parse_arguments(argv)
    folder = options.linux or find_result()
    if folder is None:
        print("linux_bench: Linux is not built: run images/linux/build", file=sys.stderr)
        return 1
    rows = {name: Row() for name in [SHELL, *options.programs]}
    with tempfile.TemporaryDirectory() as name:
        initrd = Path(name) / "initrd"
        initrd.write_bytes(make_initrd(folder / "initramfs.cpio.gz", options.programs, options.scale))
        env = environment(Path(name) / "bytecode")
        try:
            for turn in range(options.runs):
                for engine, command in commands(folder, initrd, options).items():
                    run_once(engine, command, env, rows)
                    print(f"linux_bench: {turn + 1}/{options.runs} {engine}", file=sys.stderr, flush=True)
        except BenchError as error:
            print(f"linux_bench: {error}", file=sys.stderr)
            return 1
    print(as_markdown(rows))
    if options.json:
        options.json.write_text(as_json(rows, options) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
