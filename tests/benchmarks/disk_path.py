"""Disk throughput and IOPS of a Linux guest: direct I/O on a raw file, at queue depth 1 and 16.

    python tests/benchmarks/disk_path.py [--tree FOLDER ...] [--runs 3] [--scale 1.0] [--vcpus 1] [--json FILE]

The guest is the built Linux with disk_load.c as a program; its numbers are by its own clock, which is the host's. Given
several source trees (each built), runs are interleaved; the table shows medians, and the last tree's gain on the first.
The file is in the host's page cache: the path is measured and not the host's disk. Every block read is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "images" / "linux"))

from linuxbuild.command import find_result  # noqa: E402
from linuxbuild.cpio import Archive  # noqa: E402

DISK_BYTES = 256 << 20
# direction, order, bytes, depth, requests
LOADS = [
    ("write", "seq", 131072, 1, 512), ("write", "seq", 131072, 16, 512), ("read", "seq", 131072, 1, 1024),
    ("read", "seq", 131072, 16, 1024), ("write", "rand", 8192, 1, 2000), ("write", "rand", 8192, 16, 4000),
    ("read", "rand", 4096, 1, 3000), ("read", "rand", 4096, 16, 6000), ("read", "rand", 8192, 1, 3000),
    ("read", "rand", 8192, 16, 6000),
]  # fmt: skip
LINE = re.compile(r"load (\w+) (\w+) (\d+) depth (\d+): (\d+) requests (\d+) us (\d+) wrong")
TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """Of one load: requests a second of wall clock, and the emulator's CPU time for a request, the guest's included."""

    rate: float
    cpu_us: float


def make_initrd(base: Path, program: Path, scale: float) -> bytes:
    """The built RAM disk, and behind it one with the program and a first process that runs it."""
    archive = Archive()
    archive.add_file("usr/bin/disk_load", program.read_bytes(), 0o755)
    lines = ["#!/bin/sh", "mkdir -p /dev /proc", "mount -t proc proc /proc", "mount -t devtmpfs devtmpfs /dev"]
    lines += [f"disk_load /dev/vdiska {d} {o} {b} {q} {max(1, int(n * scale))} 42" for d, o, b, q, n in LOADS]
    archive.add_file("usr/bin/disk_bench", "\n".join([*lines, "poweroff -f", ""]).encode(), 0o755)
    data = base.read_bytes()
    return data + bytes(-len(data) % 4) + archive.to_gzip()


def build_program(folder: Path) -> Path:
    """The guest program. Raises SystemExit without a cross compiler."""
    compiler = shutil.which("sparc64-linux-gnu-gcc")
    if compiler is None:
        raise SystemExit("disk_path: sparc64-linux-gnu-gcc is missing")
    target = folder / "disk_load"
    source = Path(__file__).with_name("disk_load.c")
    subprocess.run([compiler, "-O2", "-static", "-o", str(target), str(source)], check=True)
    return target


def cpu_seconds(pid: int) -> float:
    """User and system time of a process that still lives, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run_once(tree: Path, folder: Path, initrd: Path, disk: Path, options: argparse.Namespace) -> dict[str, Sample]:
    """Samples by load. Raises SystemExit where the guest says something is wrong."""
    python = tree / ".venv" / "bin" / "python"
    command = [str(python if python.is_file() else sys.executable), "-m", "emulator.cli", "run", "--memory", "512M",
               "--vcpus", str(options.vcpus), "--disk", str(disk), "--initrd", str(initrd), "--append",
               "console=ttyHV0 cryptomgr.notests=1 rdinit=/usr/bin/disk_bench",
               str(folder / "vmlinux")]  # fmt: skip
    found: dict[str, Sample] = {}
    with subprocess.Popen(command, cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        before, text = 0.0, ""
        for line in process.stdout:
            text = line.decode("utf-8", "replace")
            now = cpu_seconds(process.pid)
            if match := LINE.search(text):
                direction, order, size, depth, count, us, wrong = match.groups()
                if int(wrong):
                    raise SystemExit(f"disk_path: {match[0]}")
                name = f"{direction} {order} {int(size) // 1024}K depth {depth}"
                found[name] = Sample(int(count) / int(us) * 1e6, (now - before) / int(count) * 1e6)
            before = now
    if len(found) != len(LOADS):
        raise SystemExit(f"disk_path: the guest ended early: {text}")
    return found


def as_markdown(trees: list[Path], rows: dict[str, list[list[Sample]]]) -> str:
    heads = " | ".join(f"{tree.name}: requests/s | MB/s | CPU us" for tree in trees)
    lines = [f"| | {heads} | requests/s, ratio | CPU, ratio |", "|---|" + "--:|--:|--:|" * len(trees) + "--:|--:|"]
    for name, runs in rows.items():
        size = int(name.split()[2].rstrip("K")) * 1024
        each = [Sample(*(statistics.median(column) for column in zip(*samples, strict=True))) for samples in runs]
        cells = " | ".join(f"{one.rate:.0f} | {one.rate * size / 1e6:.1f} | {one.cpu_us:.0f}" for one in each)
        gain = f"{each[-1].rate / each[0].rate:.2f} | {each[0].cpu_us / each[-1].cpu_us:.2f}"
        lines.append(f"| {name} | {cells} | {gain} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tree", type=Path, action="append", help="a built source tree (default: this one)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the requests of each load")
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    folder = find_result()
    if folder is None:
        print("disk_path: Linux is not built: run images/linux/build", file=sys.stderr)
        return 1
    trees = options.tree or [ROOT]
    rows: dict[str, list[list[Sample]]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        initrd, disk = work / "initrd", work / "disk"
        initrd.write_bytes(make_initrd(folder / "initramfs.cpio.gz", build_program(work), options.scale))
        disk.write_bytes(bytes(DISK_BYTES))
        for _ in range(options.runs):
            for number, tree in enumerate(trees):
                for row, value in run_once(tree.resolve(), folder, initrd, disk, options).items():
                    rows.setdefault(row, [[] for _ in trees])[number].append(value)
    print(as_markdown(trees, rows))
    if options.json:
        options.json.write_text(json.dumps({"trees": [str(tree) for tree in trees], "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
